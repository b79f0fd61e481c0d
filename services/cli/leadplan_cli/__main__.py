"""``python -m leadplan_cli``: the ``leadplan`` command."""

from leadplan_cli.main import main

main()
