"""``leadplan result``: what a finished plan brought."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, FAILED, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_client import PlanClient
    from leadplan_contracts import LeadGenExecutionResult

JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "result",
        epilog=examples(
            "leadplan result plan_01HZX4",
            "leadplan result plan_01HZX4 --wait 600 --json | jq .overallStatus",
            "leadplan result plan_01HZX4 --step enrich | jq '.leads[].company'",
        ),
    )(connecting(result))


def result(
    plan_id: Annotated[str, typer.Argument(help="The plan's id.", metavar="PLAN")],
    wait: Annotated[
        float | None, typer.Option(help="Wait so long for the plan to end.", min=0, metavar="SECONDS")
    ] = None,
    step: Annotated[
        str | None, typer.Option(help="Print what this step returned, as JSON and whole.", metavar="STEP")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how a plan ended and what its steps returned.

    What a step returned is shortened to its line, unless --step or --json asks for it. Data that is too large for
    events is fetched from the object store. Exit code 0 when the plan (with --step: the step) succeeded, 1 when it
    didn't or has not ended.
    """
    from leadplan_cli.running import run

    raise typer.Exit(run(_show(plan_id, wait, step, as_json)))


async def _show(plan_id: str, wait: float | None, step: str | None, as_json: bool) -> int:
    from leadplan_cli.plan_result import fetch_result, result_json, result_lines
    from leadplan_cli.running import connected
    from leadplan_cli.terminal import Paint
    from leadplan_client import PlanClient
    from leadplan_contracts import OverallStatus

    async with connected("leadplan result") as nc:
        client = PlanClient(nc)
        ended = await client.result(plan_id, wait_seconds=wait)
        if step is not None:
            return await _show_step(client, ended, step, as_json)
        full = await fetch_result(client, ended)
    if as_json:
        typer.echo(result_json(full))
    else:
        typer.echo("\n".join(result_lines(full, Paint(sys.stdout))), color=True)
    return 0 if ended.overall_status is OverallStatus.SUCCEEDED else FAILED


async def _show_step(client: "PlanClient", ended: "LeadGenExecutionResult", step_id: str, as_json: bool) -> int:
    import difflib

    import msgspec

    from leadplan_contracts import LeadGenStepStatus
    from leadplan_contracts.wire import encode

    by_id = {one.step_id: one for one in ended.step_results}
    if step_id not in by_id:
        alike = difflib.get_close_matches(step_id, by_id, n=1)
        hint = f"did you mean {alike[0]}?" if alike else f"it has {', '.join(list(by_id)[:20])}"
        raise CommandError(f"plan {ended.plan_id} has no step {step_id!r}: {hint}", exit_code=BAD_USE)
    found = by_id[step_id]
    if found.status is not LeadGenStepStatus.SUCCEEDED:
        raise CommandError(f"step {step_id} {found.status.value}: {found.error_message or 'no reason given'}")
    data = encode(await client.step_data(found))
    typer.echo(data if as_json else msgspec.json.format(data, indent=2))
    return 0
