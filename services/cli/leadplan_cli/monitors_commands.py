"""``leadplan monitors``: the recurring plans whose schedules the NATS server keeps."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from leadplan_client import FiredRun, Monitor

AccountOption = Annotated[
    str | None, typer.Option(help="Only monitors of this account (of this user, where there is no account).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="JSON lines on standard output and nothing else.")]


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    monitors = typer.Typer(name="monitors", no_args_is_help=True, rich_markup_mode=None)
    monitors.callback(
        epilog=examples(
            "leadplan monitors list",
            "leadplan monitors fire weekly-dentists",
            "leadplan monitors remove weekly-dentists",
        )
    )(_monitors)
    monitors.command(
        "list",
        epilog=examples(
            "leadplan monitors list --account acct_3",
            "leadplan monitors list --json | jq -r .id",
        ),
    )(connecting(list_monitors))
    monitors.command(
        "remove",
        epilog=examples(
            "leadplan monitors remove weekly-dentists",
            "leadplan monitors remove --all --account acct_3",
        ),
    )(connecting(remove))
    monitors.command(
        "fire",
        epilog=examples(
            "leadplan monitors fire weekly-dentists",
            "leadplan watch $(leadplan monitors fire weekly-dentists --json | jq -r .planId)",
        ),
    )(connecting(fire))
    app.add_typer(monitors)


def _monitors() -> None:
    """List, remove and start recurring plans.

    A plan's step MONITOR_SETUP sets a monitor up; setting it up again replaces it.
    """


def list_monitors(account: AccountOption = None, as_json: JsonOption = False) -> None:
    """Show every monitor, its last and its next run.

    The next run is shown for cron schedules; only the server knows it for an interval.
    """
    from leadplan_cli.monitor_lines import monitor_json, monitor_lines
    from leadplan_cli.running import run

    monitors = run(_list(account))
    if as_json:
        for monitor in monitors:
            typer.echo(monitor_json(monitor))
        return
    if not monitors:
        whose = f" of account {account}" if account is not None else ""
        typer.echo(f"There are no monitors{whose}. A plan's step MONITOR_SETUP sets one up.")
    for monitor in monitors:
        typer.echo("\n".join(monitor_lines(monitor)))


def remove(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of monitors.", metavar="ID")] = None,
    account: AccountOption = None,
    every: Annotated[bool, typer.Option("--all", help="All monitors of --account.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask before removing all.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove monitors: they fire no more.

    A run that goes on isn't stopped. One that waits behind it won't start. Exit code 1 if there is no such monitor.
    """
    from leadplan_cli.running import run

    if bool(ids) == every:
        raise CommandError("name the monitors to remove, or give --all and --account", exit_code=BAD_USE)
    if every and account is None:
        raise CommandError("--all removes the monitors of one account: give --account", exit_code=BAD_USE)
    if every:
        ids = [monitor.id for monitor in run(_list(account))]
        _ask(ids, account, yes)
    run(_remove(ids or [], account, as_json))


def fire(
    monitor_id: Annotated[str, typer.Argument(help="The monitor.", metavar="ID")],
    account: AccountOption = None,
    as_json: JsonOption = False,
) -> None:
    """Start one run of a monitor now.

    Its schedule stays as it is. The run is skipped or waits like any other where the one before goes on.
    """
    from leadplan_cli.running import run
    from leadplan_contracts.wire import encode

    fired = run(_fire(monitor_id, account))
    if as_json:
        typer.echo(encode(fired))
    else:
        typer.echo(f"monitor {monitor_id} fired; next: leadplan watch {fired.plan_id}")


def _ask(ids: list[str], account: str | None, yes: bool) -> None:
    if not ids or yes:
        return
    if not sys.stdin.isatty():
        raise CommandError("nobody is there to ask: give --yes to remove all without a question", exit_code=BAD_USE)
    typer.confirm(f"Remove {', '.join(ids)} of account {account}?", abort=True, err=True)


async def _list(account: str | None) -> "list[Monitor]":
    from leadplan_cli.running import connected
    from leadplan_client import MonitorClient

    async with connected("leadplan monitors") as nc:
        return await MonitorClient(nc).list(account=account)


async def _remove(ids: list[str], account: str | None, as_json: bool) -> None:
    from leadplan_cli.running import connected
    from leadplan_client import MonitorClient
    from leadplan_contracts.wire import encode

    async with connected("leadplan monitors") as nc:
        client = MonitorClient(nc)
        for monitor_id in ids:
            await client.remove(monitor_id, account=account)
            typer.echo(encode({"removed": monitor_id}) if as_json else f"removed monitor {monitor_id}")
    if not ids and not as_json:
        typer.echo("there was nothing to remove")


async def _fire(monitor_id: str, account: str | None) -> "FiredRun":
    from leadplan_cli.running import connected
    from leadplan_client import MonitorClient

    async with connected("leadplan monitors") as nc:
        return await MonitorClient(nc).fire(monitor_id, account=account)
