"""``leadplan list``: plans, those that changed last first."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_cli.plan_filters import PlanFilters
    from leadplan_contracts.control import PlanSummary

_STATES = "queued, running, waiting, paused, cancelling, completed, rejected; succeeded, partial, failed, cancelled"


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "list",
        epilog=examples(
            "leadplan list --failed --since 1d",
            "leadplan list --state waiting --account acct_3",
            "leadplan list --state paused --ids --all | leadplan resume -",
            "leadplan list --json --all | jq -r .planId",
        ),
    )(connecting(list_plans))


def list_plans(
    states: Annotated[
        list[str] | None,
        typer.Option("--state", help=f"How plans stand or ended; can be given again: {_STATES}.", metavar="STATE"),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="Those that ended as failed or partial: for `leadplan retry`.")
    ] = False,
    account: Annotated[str | None, typer.Option(help="Of this account.", metavar="ID")] = None,
    user: Annotated[str | None, typer.Option(help="Of this user.", metavar="ID")] = None,
    text: Annotated[str | None, typer.Option(help="In the plan's id, title or goal.")] = None,
    since: Annotated[
        str | None, typer.Option(help="Changed since this day, time or age: 2026-11-23, 30min, 2h, 7d.", metavar="WHEN")
    ] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 20,
    every: Annotated[bool, typer.Option("--all", help="As many as there are.")] = False,
    ids: Annotated[bool, typer.Option("--ids", help="Ids only, one a line, for other commands.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON a plan, and nothing else.")] = False,
) -> None:
    """List plans, those that changed last first.

    All filters must fit; of several --state one must. Exit code 0 also when there are none.
    """
    from leadplan_cli.plan_filters import filters
    from leadplan_cli.running import run

    if ids and as_json:
        raise CommandError("--ids and --json exclude one another", exit_code=BAD_USE)
    wanted = filters(states or [], failed=failed, account=account, user=user, text=text, since=since)
    more = run(_list(wanted, None if every else limit, ids, as_json))
    if more and not as_json:
        sys.stderr.write(f"leadplan: there are more than these {limit}: --limit N or --all shows them\n")


async def _list(wanted: "PlanFilters", limit: int | None, ids: bool, as_json: bool) -> bool:
    """Print the plans; returns whether there are more."""
    from leadplan_cli.running import connected
    from leadplan_client import PlanClient
    from leadplan_contracts.wire import encode

    plans: list[PlanSummary] = []
    count = 0
    async with connected("leadplan list") as nc:
        async for plan in PlanClient(nc).list_plans(wanted.request(limit)):
            if not wanted.fit(plan):
                continue
            if count == limit:
                _print(plans)
                return True
            count += 1
            if ids or as_json:  # as they come: there may be very many
                typer.echo(plan.plan_id if ids else encode(plan))
            else:
                plans.append(plan)
    _print(plans)
    if count == 0 and not ids and not as_json:
        typer.echo(f"There are no {'such plans' if wanted.any else 'plans'}.")
    return False


def _print(plans: "list[PlanSummary]") -> None:
    if not plans:
        return
    from rich.text import Text

    from leadplan_cli.relative_times import ago, now_ms
    from leadplan_cli.status_table import STATE_STYLES
    from leadplan_cli.status_view import outcome_or_state
    from leadplan_cli.text_tables import print_table

    now = now_ms()
    rows = []
    for plan in plans:
        word = outcome_or_state(plan.state, plan.overall_status)
        whose = plan.account_id or plan.user_id
        title = plan.title or plan.goal
        state = Text(word, style=STATE_STYLES[word])
        rows.append((plan.plan_id, state, ago(plan.changed_at, now), plan.steps, whose, title))
    print_table(("Plan", "State", "Changed", "Steps", "Account", "Title"), rows)
