"""``python -m leadplan_cli.tool_pages``."""

import sys

from leadplan_cli.tool_pages.generate import main

sys.exit(main())
