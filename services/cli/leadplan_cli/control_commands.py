"""``leadplan cancel``, ``pause``, ``resume``, ``retry``, ``approve`` and ``deny``: steering plans."""

# ruff: noqa: PLC0415 - each command imports what it needs when it runs

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from leadplan_cli.connection_options import connecting
from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.examples import examples

if TYPE_CHECKING:
    from nats.aio.client import Client

    from leadplan_client import PlanClient
    from leadplan_contracts import LeadPlanEventPayload
    from leadplan_contracts.control import ControlReply

PlanArgument = Annotated[str, typer.Argument(help="The plan's id.", metavar="PLAN")]
PlansArgument = Annotated[
    list[str], typer.Argument(help="Ids of plans; - reads them from standard input.", metavar="PLAN...")
]
ReasonOption = Annotated[str | None, typer.Option(help="Why; stands in the plan's log.", metavar="TEXT")]
ByOption = Annotated[
    str | None, typer.Option(help="Who asks; stands in the plan's log. Default: your user name.", metavar="NAME")
]
JsonOption = Annotated[bool, typer.Option("--json", help="The executor's reply as a line of JSON, and nothing else.")]

_AT_ONCE = 16
"""Requests under way at the same time, where many plans are named."""

_EXAMPLES = {
    "cancel": (
        'leadplan cancel plan_01HZX4 --reason "wrong town"',
        "leadplan list --state running --account acct_3 --ids | leadplan cancel -",
    ),
    "pause": (
        'leadplan pause plan_01HZX4 --reason "quota used up"',
        "leadplan list --state running --ids | leadplan pause -",
    ),
    "resume": ("leadplan resume plan_01HZX4", "leadplan list --state paused --ids | leadplan resume -"),
    "retry": (
        "leadplan retry plan_01HZX4 --watch",
        'leadplan retry plan_01HZX4 enrich --reason "new key"',
    ),
    "approve": ("leadplan approve plan_01HZX4 outreach", 'leadplan approve plan_01HZX4 --reason "list looks good"'),
    "deny": ('leadplan deny plan_01HZX4 outreach --reason "too many recipients"',),
}


def add_to(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (cancel, pause, resume, retry, approve, deny):
        name = command.__name__
        app.command(name, epilog=examples(*_EXAMPLES[name]))(connecting(command))


def cancel(plans: PlansArgument, reason: ReasonOption = None, by: ByOption = None, as_json: JsonOption = False) -> None:
    """Stop plans: running tools stop, nothing new starts.

    A cancelled plan ends with outcome `cancelled`, and `leadplan retry` can run what is missing. Exit code 1 if one
    of the plans can't be cancelled; the others are.
    """
    _steer_each("cancel", plans, by, reason, as_json)


def pause(plans: PlansArgument, reason: ReasonOption = None, by: ByOption = None, as_json: JsonOption = False) -> None:
    """Let running steps finish, and start no others.

    A plan stays paused for as long as needed, until `leadplan resume`. Exit code 1 if one of the plans can't be
    paused; the others are.
    """
    _steer_each("pause", plans, by, reason, as_json)


def resume(plans: PlansArgument, reason: ReasonOption = None, by: ByOption = None, as_json: JsonOption = False) -> None:
    """Let paused plans go on.

    Exit code 1 if one of the plans can't go on; the others do.
    """
    _steer_each("resume", plans, by, reason, as_json)


def retry(
    plan: PlanArgument,
    step: Annotated[
        str | None, typer.Argument(help="Run this step and all behind it again, even if it succeeded.", metavar="STEP")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the plan to its end.")] = False,
    reason: ReasonOption = None,
    by: ByOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The executor's reply as JSON; with --watch the events as JSON lines.")
    ] = False,
) -> None:
    """Run a finished plan again from what failed.

    Steps that failed or were skipped run again; steps that succeeded keep their results. With --watch the exit code
    is 0 when the plan succeeds this time and 1 when it doesn't.
    """
    from leadplan_cli.running import run

    last = run(_retry(plan, step, by or _who_asks(), reason, watch, as_json))
    if last is not None:
        from leadplan_cli.watching import exit_code

        raise typer.Exit(exit_code(last))


StepArgument = Annotated[
    str | None, typer.Argument(help="The step that waits; default: all that wait for an approval.", metavar="STEP")
]


def approve(
    plan: PlanArgument,
    step: StepArgument = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a step run that waits for an approval.

    `leadplan status PLAN` shows which steps wait, `leadplan list --state waiting` which plans do.
    """
    _decide("approve", plan, step, by, reason, as_json)


def deny(
    plan: PlanArgument,
    step: StepArgument = None,
    reason: ReasonOption = None,
    by: ByOption = None,
    as_json: JsonOption = False,
) -> None:
    """Refuse a step that waits for an approval.

    The step fails, and so what depends on it is skipped.
    """
    _decide("deny", plan, step, by, reason, as_json)


def _steer_each(action: str, plans: list[str], by: str | None, reason: str | None, as_json: bool) -> None:
    from leadplan_cli.running import run
    from leadplan_client.plan_ids import checked_plan_id

    # All are looked at before anything is done: a slip in the last one must not leave half of it done.
    ids = [checked_plan_id(plan) for plan in _with_those_of_standard_input(plans)]
    failed = run(_ask_for_each(action, ids, by or _who_asks(), reason, as_json))
    if failed:
        raise typer.Exit(1)


def _with_those_of_standard_input(plans: list[str]) -> list[str]:
    if plans.count("-") > 1:
        raise CommandError("standard input can be read once: give - once", exit_code=BAD_USE)
    if "-" not in plans:
        return plans
    if sys.stdin.isatty():
        sys.stderr.write("leadplan: reading ids of plans, one a line; end with Ctrl-D\n")
    position = plans.index("-")
    return [*plans[:position], *sys.stdin.read().split(), *plans[position + 1 :]]


async def _ask_for_each(action: str, ids: list[str], by: str | None, reason: str | None, as_json: bool) -> int:
    """Ask for each plan, some at the same time, and tell in their order; returns how many were refused."""
    import asyncio

    from leadplan_cli.error_hints import with_hint
    from leadplan_cli.running import connected
    from leadplan_client import ControlRefusedError, UnknownPlanError

    failed = 0
    async with connected(f"leadplan {action}") as nc:
        client = _client(nc)
        call = {"cancel": client.cancel, "pause": client.pause, "resume": client.resume}[action]
        gate = asyncio.Semaphore(_AT_ONCE)

        async def ask(plan_id: str) -> "ControlReply":
            async with gate:
                return await call(plan_id, by=by, reason=reason)

        asked = [asyncio.create_task(ask(plan_id), name=f"{action} {plan_id}") for plan_id in dict.fromkeys(ids)]
        try:
            for reply in asked:
                try:
                    _show(action, await reply, as_json)
                except (ControlRefusedError, UnknownPlanError) as error:
                    failed += 1
                    sys.stderr.write(f"leadplan: {with_hint(error)}\n")
        finally:
            for reply in asked:
                reply.cancel()
            await asyncio.gather(*asked, return_exceptions=True)
    return failed


async def _retry(
    plan_id: str, step: str | None, by: str | None, reason: str | None, watching: bool, as_json: bool
) -> "LeadPlanEventPayload | None":
    from leadplan_cli.running import connected
    from leadplan_cli.watching import watch

    async with connected("leadplan retry") as nc:
        reply = await _client(nc).retry(plan_id, step_id=step, by=by, reason=reason)
        if not watching:
            _show("retry", reply, as_json)
            return None
        return await watch(nc, plan_id, as_json=as_json, known_sequence=reply.sequence)


def _decide(action: str, plan: str, step: str | None, by: str | None, reason: str | None, as_json: bool) -> None:
    from leadplan_cli.running import connected, run

    async def decide() -> "ControlReply":
        async with connected(f"leadplan {action}") as nc:
            client = _client(nc)
            call = client.approve if action == "approve" else client.deny
            return await call(plan, step, by=by or _who_asks(), reason=reason)

    _show(action, run(decide()), as_json)


def _who_asks() -> str | None:
    """The name of this machine's user, None where there is none."""
    import getpass

    try:
        return getpass.getuser() or None
    except (KeyError, OSError, ImportError):
        return None


def _client(nc: "Client") -> "PlanClient":
    from leadplan_client import PlanClient

    return PlanClient(nc)


def _show(action: str, reply: "ControlReply", as_json: bool) -> None:
    from leadplan_cli.control_lines import reply_line
    from leadplan_contracts.wire import encode

    typer.echo(encode(reply) if as_json else reply_line(action, reply))
