"""The ``leadplan`` command: its parts, and the one place where errors become exit codes.

Each command imports what it needs when it runs: ``leadplan demo`` starts eight processes, and none of them should
load what only another one uses.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from leadplan_cli import (
    completion_command,
    context_commands,
    control_commands,
    events_command,
    health_command,
    leads_commands,
    list_command,
    local_commands,
    monitors_commands,
    new_tool_command,
    plan_commands,
    result_command,
    service_commands,
    status_command,
    tools_command,
    validate_command,
)
from leadplan_cli import connection_options as connection
from leadplan_cli.conformance import command as conformance_command
from leadplan_cli.doctor import command as doctor_command
from leadplan_cli.errors import BAD_USE, CommandError, explained
from leadplan_cli.graph import command as graph_command
from leadplan_cli.help_sections import SectionedGroup

app = typer.Typer(
    name="leadplan",
    cls=SectionedGroup,
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


_EPILOG = """\b
First steps:
  leadplan demo                                    everything at once, on this machine
  leadplan plan "Find dentists in Leeds" | leadplan submit - --watch

\b
When something failed:
  leadplan list --state completed --failed         find the plan
  leadplan status PLAN                             which steps failed, and why
  leadplan events PLAN                             all that happened, in order
  leadplan retry PLAN                              run again what failed; what succeeded stays
  leadplan doctor                                  when plans don't start at all

\b
Exit codes: 0 all went well, 1 a plan or an operation failed, 2 bad use, 130 Ctrl-C.
Output: --json gives JSON lines and nothing else. Colours are for terminals only; NO_COLOR and FORCE_COLOR are heeded.
"""


@app.callback(epilog=_EPILOG)
def leadplan(
    ctx: typer.Context,
    server: connection.ServerOption = None,
    context: connection.ContextOption = None,
    creds: connection.CredsOption = None,
    user: connection.UserOption = None,
    password: connection.PasswordOption = None,
    nkey: connection.NkeyOption = None,
    ca: connection.TlsCaOption = None,
    cert: connection.TlsCertOption = None,
    key: connection.TlsKeyOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Lead-generation plans on NATS: run them, follow them, steer them.

    The NATS server is found as by the nats command: by the options below, by NATS_URL, NATS_CREDS and so on, or by a
    context; leadplan context shows which. --server, --context and --creds can also stand behind a command.
    """
    about_user = {"creds": creds, "user": user, "password": password, "nkey": nkey}
    given = {"server": server, "context": context, **about_user, "ca": ca, "cert": cert, "key": key}
    connection.begin_options(**given)
    name, group = ctx.invoked_subcommand, ctx.command
    if any(given.values()) and isinstance(group, SectionedGroup) and name and not group.connecting_command(name):
        raise CommandError(
            f"{name} takes no options on the server; where a program needs one that is started here, set NATS_URL",
            exit_code=BAD_USE,
        )


local_commands.add_to(app)
plan_commands.add_to(app)
validate_command.add_to(app)
status_command.add_to(app)
list_command.add_to(app)
control_commands.add_to(app)
leads_commands.add_to(app)
monitors_commands.add_to(app)
service_commands.add_to(app)
health_command.add_to(app)
events_command.add_to(app)
result_command.add_to(app)
tools_command.add_to(app)
graph_command.add_to(app)
doctor_command.add_to(app)
context_commands.add_to(app)
completion_command.add_to(app)
new_tool_command.add_to(app)
conformance_command.add_to(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; arguments default to those of the process."""
    completion_command.answer_completions(os.environ)
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
