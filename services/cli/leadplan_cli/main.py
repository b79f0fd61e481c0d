"""The ``leadplan`` command: its parts, and the one place where errors become exit codes.

Each command imports what it needs when it runs: ``leadplan demo`` starts eight processes, and none of them should
load what only another one uses.
"""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from leadplan_cli import (
    health_command,
    leads_commands,
    local_commands,
    monitors_commands,
    new_tool_command,
    plan_commands,
    service_commands,
)
from leadplan_cli.conformance import command as conformance_command
from leadplan_cli.errors import explained

app = typer.Typer(
    name="leadplan",
    no_args_is_help=True,
    add_completion=False,
    # Plain help and one-line errors: the same on a terminal, in a log and in a script, and rich isn't imported.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415

        typer.echo(f"leadplan {version('leadplan')}")
        raise typer.Exit


@app.callback(epilog="Start with: leadplan demo")
def leadplan(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Lead-generation plans on NATS: run them, submit them, follow them.

    Where the NATS server is comes from NATS_URL; demo and dev start one of their own when it isn't set.
    Exit codes: 0 when all went well, 1 when a plan or an operation failed, 2 for bad use.
    """


local_commands.add_to(app)
plan_commands.add_to(app)
leads_commands.add_to(app)
monitors_commands.add_to(app)
service_commands.add_to(app)
health_command.add_to(app)
new_tool_command.add_to(app)
conformance_command.add_to(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; arguments default to those of the process."""
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="leadplan")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        known = explained(error)
        if known is None:
            raise
        sys.stderr.write(f"leadplan: {known}\n")
        sys.exit(known.exit_code)
