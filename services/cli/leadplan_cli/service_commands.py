"""``leadplan executor``, ``leadplan tool NAME`` and ``leadplan sandbox``: one process each."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import Annotated

import typer

from leadplan_cli.errors import missing_extra
from leadplan_cli.examples import examples


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command(
        "executor",
        epilog=examples(
            "nats-server -js &",
            "NATS_URL=nats://127.0.0.1:4222 leadplan executor",
        ),
    )(executor)
    app.command(
        "tool",
        epilog=examples(
            "HUNTER_API_KEY=... leadplan tool hunter-enrich",
        ),
    )(tool)
    app.command(
        "sandbox",
        epilog=examples(
            "SANDBOX_PORT=8090 leadplan sandbox &",
            "HUNTER_BASE_URL=http://127.0.0.1:8090/v2 HUNTER_API_KEY=sandbox-hunter-key leadplan tool hunter-enrich",
        ),
    )(sandbox)


def executor() -> None:
    """Run an executor until SIGTERM or Ctrl-C.

    It takes plans from the work queue, has their steps done by whoever listens on tools.<TOOL>, and writes the
    events. Start as many as you like, on as many machines as you like: they share the work, and take over from one
    that dies. The first one creates the streams. Settings come from the environment: NATS_URL and LEADPLAN_*.
    """
    try:
        from leadplan_executor.service import run
    except ModuleNotFoundError as error:
        raise missing_extra(error, "executor") from error
    raise typer.Exit(run())


def tool(
    name: Annotated[str, typer.Argument(help="The tool, as HUNTER_ENRICH or hunter-enrich.", metavar="NAME")],
) -> None:
    """Serve one tool until SIGTERM or Ctrl-C.

    Tools are found by the entry point group "leadplan.tools", so another package can bring its own. Settings come
    from the environment: NATS_URL, LEADPLAN_LOG_LEVEL, LEADPLAN_GRACE_MS, and those of the tool (its README lists
    them).
    """
    from leadplan_cli import json_logs
    from leadplan_cli.installed_tools import load_tool

    json_logs.configure(json_logs.log_level())
    load_tool(name)().run()


def sandbox() -> None:
    """Run stand-ins for the paid APIs, for trying things out.

    They answer as Google Places and Hunter would, without keys or costs. The address stands in its first log line.
    Settings: SANDBOX_HOST, SANDBOX_PORT (0 takes a free one), SANDBOX_*.
    """
    try:
        from leadplan_sandbox.server import run
    except ModuleNotFoundError as error:
        raise missing_extra(error, "sandbox") from error
    raise typer.Exit(run())
