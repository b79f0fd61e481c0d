"""``leadplan events``: what happened in a plan, from its log."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.event_log import EventFilter

JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines, as stored, on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "events",
        epilog=examples(
            "leadplan events plan_01HZX4",
            "leadplan events plan_01HZX4 --type STEP_FAILED --type STEP_RETRYING",
            "leadplan events plan_01HZX4 --follow --step enrich",
            "leadplan events plan_01HZX4 --json | jq -c '[.sequence, .type, .step.id]'",
        ),
    )(connecting(events))


def events(
    plan_id: Annotated[str, typer.Argument(help="The plan's id.", metavar="PLAN")],
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, progress included, until the plan ends.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(help="Only from then on: 2026-11-23, a time in UTC, or an age: 12h, 7d.")
    ] = None,
    last: Annotated[int | None, typer.Option(help="Only so many of the stored ones, the latest.", min=0)] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--type", help="Only this type; can be given several times.", metavar="TYPE")
    ] = None,
    steps: Annotated[
        list[str] | None, typer.Option("--step", help="Only this step; can be given several times.", metavar="STEP")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what happened in a plan, one line an event.

    That is: when (UTC), the event's number in the plan, its type, the step, and what is to be said of it: which
    attempt, which error, who did it and why. Of a plan that never began: why it was rejected.
    """
    from leadplan_cli.event_log import EventFilter
    from leadplan_cli.moments import moment
    from leadplan_cli.running import run

    wanted = EventFilter(
        kinds=frozenset(_event_types(kinds or [])),
        steps=frozenset(steps or []),
        since=moment(since) if since is not None else None,
    )
    run(_show(plan_id, wanted, last, follow, as_json))


def _event_types(names: Iterable[str]) -> Iterable[str]:
    import difflib

    from leadplan_contracts import LeadPlanEventType

    known = [kind.value for kind in LeadPlanEventType]
    for name in names:
        kind = name.upper().replace("-", "_")
        if kind not in known:
            alike = difflib.get_close_matches(kind, known, n=1)
            hint = f"did you mean {alike[0]}?" if alike else f"there are {', '.join(known)}"
            raise CommandError(f"no event is of type {name!r}: {hint}", exit_code=BAD_USE)
        yield kind


async def _show(plan_id: str, wanted: "EventFilter", last: int | None, follow: bool, as_json: bool) -> None:
    from leadplan_cli.event_log import EventWriter, stored_events
    from leadplan_cli.running import connected
    from leadplan_client import PlanClient
    from leadplan_client.errors import UnknownPlanError
    from leadplan_contracts.wire import encode

    async with connected("leadplan events") as nc:
        stored = await stored_events(nc, plan_id)
        if not stored and not follow:
            raise UnknownPlanError(plan_id)
        writer = EventWriter(sys.stdout, wanted, as_json=as_json)
        writer.write_stored(stored, last)
        if not stored:
            typer.echo(f"leadplan: nothing is known of plan {plan_id} yet, waiting for it; Ctrl-C ends this", err=True)
        if not follow or (stored and not writer.newest):
            return  # stored, and no event of a plan's log: it was rejected
        async for event in PlanClient(nc).follow(plan_id, known_sequence=writer.newest):
            if event.sequence is None or event.sequence > writer.newest:
                writer.write(encode(event))
