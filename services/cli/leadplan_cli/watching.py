"""Following a plan to its end on a display."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator

from nats.aio.client import Client

from leadplan_cli.displays import display_for
from leadplan_cli.errors import FAILED
from leadplan_cli.plan_lines import number_of
from leadplan_client import PlanClient
from leadplan_contracts import LeadPlanEventPayload, OverallStatus
from leadplan_contracts.events import PlanCompleted, PlanRejected

_PATIENCE_SECONDS = 3.0


async def watch(
    nc: Client, plan_id: str, *, as_json: bool, submission: int | None = None, known_sequence: int = 0
) -> LeadPlanEventPayload:
    """Show a plan's events until it ends; returns the last one. The arguments are those of ``PlanClient.follow``."""
    events = PlanClient(nc).follow(plan_id, submission=submission, known_sequence=known_sequence)
    last: LeadPlanEventPayload | None = None
    async with display_for(plan_id, as_json=as_json) as display, _hint_after_silence(plan_id) as hint:
        async for event in events:
            hint.cancel()
            display.show(event)
            last = event
    assert last is not None  # noqa: S101 - `follow` ends after an event only
    return last


def exit_code(last: LeadPlanEventPayload) -> int:
    """0 when the plan succeeded, 1 when it ended otherwise or was rejected."""
    succeeded = isinstance(last, PlanCompleted) and last.result.overall_status is OverallStatus.SUCCEEDED
    return 0 if succeeded else FAILED


def rejection_of(last: LeadPlanEventPayload) -> str | None:
    """One line on a submission that was rejected, None when it wasn't."""
    if not isinstance(last, PlanRejected):
        return None
    return f"plan {last.plan_id} was rejected with {number_of(len(last.meta.errors), 'problem')}"


@contextlib.asynccontextmanager
async def _hint_after_silence(plan_id: str) -> "AsyncIterator[asyncio.Task[None]]":
    async def hint() -> None:
        await asyncio.sleep(_PATIENCE_SECONDS)
        sys.stderr.write(
            f"leadplan: still waiting: nothing is known of plan {plan_id} (is the id right, does an executor run?)\n"
        )

    task = asyncio.create_task(hint(), name="hint")
    try:
        yield task
    finally:
        task.cancel()
