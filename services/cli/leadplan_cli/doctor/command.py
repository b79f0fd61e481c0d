"""``leadplan doctor`` on the command line."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import FAILED, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.connection_choice import ConnectionChoice
    from leadplan_cli.doctor.check import Check

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]
_MONITORING_VARIABLE = "LEADPLAN_NATS_MONITORING_URL"


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "doctor",
        epilog=examples(
            "leadplan doctor",
            "leadplan doctor --context prod",
            "leadplan doctor --json | jq -c 'select(.outcome == \"problem\")'",
        ),
    )(connecting(doctor))


def doctor(as_json: JsonOption = False) -> None:
    """Check all that plans need, and say what to do.

    Looked at: the server that this machine chooses, JetStream, what the server keeps and how safely, clocks, the
    streams, executors, the queue, the tools, and variables whose names nothing reads. With LEADPLAN_NATS_MONITORING_URL
    also when the server writes to disk. Nothing is changed. Exit code 1 when there is a problem (✗), else 0.
    """
    from leadplan_cli.doctor.check import Outcome
    from leadplan_cli.running import run

    checks = run(_examine())
    _show(checks, as_json)
    if any(check.outcome is Outcome.PROBLEM for check in checks):
        raise typer.Exit(FAILED)


async def _examine() -> "list[Check]":
    from leadplan_cli.connection_choice import choose_connection
    from leadplan_cli.doctor.check import problem
    from leadplan_cli.doctor.own_settings import connection_checks, variable_checks

    checks: list[Check] = []
    try:
        choice = choose_connection()
        checks += connection_checks(choice)
        checks += await _installation(choice)
    except CommandError as error:
        what, _, remedy = str(error).partition("; ")
        checks.append(problem("connection", what, remedy))
    return [*checks, *variable_checks(os.environ)]


async def _installation(choice: "ConnectionChoice") -> "list[Check]":
    from leadplan_bus.errors import AccessError, InvalidAddressError
    from leadplan_cli.doctor.check import problem
    from leadplan_cli.doctor.checks import check_installation
    from leadplan_cli.doctor.questions import examine
    from leadplan_cli.running import connected

    try:
        async with connected("leadplan doctor") as nc:
            facts = await examine(nc, choice.shown_url, os.environ.get(_MONITORING_VARIABLE, ""))
    except (AccessError, InvalidAddressError) as error:
        return [problem("connection", str(error), "See which settings count: leadplan context show")]
    return check_installation(facts)


def _show(checks: "list[Check]", as_json: bool) -> None:
    from leadplan_cli.doctor.check import Outcome
    from leadplan_cli.terminal import Paint, printable
    from leadplan_contracts.wire import encode

    if as_json:
        for check in checks:
            typer.echo(encode(check._asdict()))
        return
    paint = Paint(sys.stdout)
    looks = {
        Outcome.OK: ("✓", "ok", "green"),
        Outcome.NOTICE: ("!", "note", "yellow"),
        Outcome.UNKNOWN: ("?", "unknown", "dim"),
        Outcome.PROBLEM: ("✗", "problem", "red"),
    }
    width = max(len(check.name) for check in checks)
    for check in checks:
        sign, word, style = looks[check.outcome]
        shown = paint(sign, style) if sys.stdout.isatty() and paint.signs else f"{word:<7}"
        remedy = f" -> {check.remedy}" if check.remedy else ""
        typer.echo(f"{shown} {check.name:<{width}}  {printable(check.what)}{printable(remedy)}", color=True)
