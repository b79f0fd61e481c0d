"""``leadplan status``: how one plan stands."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_contracts.control import PlanStatus


def add_to(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command(
        "status",
        epilog=examples(
            "leadplan status plan_01HZX4",
            "leadplan status plan_01HZX4 --json | jq -r .state",
            "leadplan status plan_01HZX4 --json | jq '.steps[] | select(.id == \"save\").result.data'",
        ),
    )(connecting(status))


def status(
    plan: Annotated[str, typer.Argument(help="The plan's id.", metavar="PLAN")],
    every_step: Annotated[bool, typer.Option("--all", help="Show every step of a plan that has very many.")] = False,
    data: Annotated[bool, typer.Option("--data/--no-data", help="With --json: what the tools returned.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="The executor's answer as a line of JSON, and nothing else.")
    ] = False,
) -> None:
    """Show how a plan stands: what it waits for, what failed and why.

    It ends with the commands that make sense next. `leadplan watch PLAN` follows a plan. Exit code 0 whatever the
    state is, 1 when there is no such plan or no executor answers.
    """
    from leadplan_cli.running import run
    from leadplan_contracts.wire import encode

    found = run(_status(plan, data=data and as_json))
    if as_json:
        import msgspec

        # What tools returned is as they wrote it, line breaks included.
        typer.echo(msgspec.json.format(encode(found), indent=-1))
        if data and found.data_omitted:
            typer.echo(f"leadplan: the data is too large for this answer: leadplan result {plan} --json", err=True)
        return
    from leadplan_cli.relative_times import now_ms
    from leadplan_cli.status_table import status_picture
    from leadplan_cli.text_tables import print_renderable

    print_renderable(status_picture(found, now_ms(), every_step=every_step))


async def _status(plan_id: str, *, data: bool) -> "PlanStatus":
    from leadplan_cli.running import connected
    from leadplan_client import PlanClient

    async with connected("leadplan status") as nc:
        return await PlanClient(nc).status(plan_id, data=data)
