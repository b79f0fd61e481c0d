"""Run a tool's handler without NATS, as its tests want to. Data is always in the result, however large it is.

call = await call_tool(responder(), "GREET", {"name": "Ada"})
assert call.data == {"greeting": "Hello Ada"}
"""

import asyncio
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import UNSET
from nats.aio.client import Client

from leadplan_bus.errors import ClaimCheckError
from leadplan_contracts import (
    DataRef,
    LeadGenStepResult,
    LeadGenStepStatus,
    LeadToolExecutionResult,
    SupervisorUserContext,
    ToolRequest,
)
from leadplan_contracts.wire import encode
from leadplan_responder.checkpoint import Item
from leadplan_responder.context import ToolContext
from leadplan_responder.execution import CANCELLED, Execution
from leadplan_responder.responder import Responder

TEST_USER = SupervisorUserContext(user_id="u_test", account_id="acct_test", email="owner@example.com")
TEST_PLAN: Mapping[str, Any] = {
    "id": "plan_test",
    "title": "A test",
    "goal": {"description": "Find dentists in Leeds"},
    "context": {},
    "createdAt": "2026-11-23T09:15:02.417Z",
    "steps": [],
}


@dataclass
class ToolCall:
    """What a handler answered and reported.

    Attributes:
        result: the reply as the executor would get it.
        progress: every ``ctx.progress`` call, as (fraction, message).
    """

    result: LeadToolExecutionResult
    progress: list[tuple[float | None, str | None]] = field(default_factory=list)

    @property
    def data(self) -> Any:
        """The decoded data; None when there is none."""
        return None if self.result.data is UNSET else msgspec.json.decode(self.result.data)


async def call_tool(
    responder: Responder,
    tool: str,
    params: Mapping[str, Any],
    *,
    prior_results: Mapping[str, Any] | None = None,
    user: SupervisorUserContext = TEST_USER,
    plan: Mapping[str, Any] = TEST_PLAN,
    step_id: str = "step",
    attempt: int = 1,
    round: int = 1,  # noqa: A002 - named as the request's field
    timeout_ms: int = 30_000,
    cancel: asyncio.Event | None = None,
    nats: Client | None = None,
    checkpoint: MutableMapping[str, Any] | None = None,
) -> ToolCall:
    """Run the handler of a tool as a request would.

    Args:
        responder: what serves the tool; its start and stop hooks aren't run.
        tool: the tool's name.
        params: as they stand in a plan.
        prior_results: the data of earlier steps by step id: JSON values, or whole ``LeadGenStepResult``.
        user: on whose behalf.
        plan: the plan as the tool sees it.
        step_id: the step's id.
        attempt: which attempt this is.
        round: which round of the plan; above 1 somebody had it run again.
        timeout_ms: the attempt's time, after which the handler is cancelled.
        cancel: set it to cancel the plan: the handler is cancelled and the result says ``cancelled``.
        nats: a connection, for tools that use NATS themselves.
        checkpoint: what earlier attempts kept: JSON values by item, read and written in place. Hand the same dict to a
            second call to play the next attempt; nothing is deleted from it.

    Raises:
        KeyError: the responder doesn't serve the tool.
    """
    plan_id = str(plan["id"])
    request = ToolRequest(
        plan_id=plan_id,
        step_id=step_id,
        tool=tool,
        params=dict(params),
        attempt=attempt,
        round=round if round > 1 else None,
        idempotency_key=f"{plan_id}:{step_id}",
        deadline="2100-01-01T00:00:00.000Z",
        timeout_ms=timeout_ms,
        user=user,
        plan=msgspec.Raw(encode(plan)),
        prior_results={name: _result(name, value) for name, value in (prior_results or {}).items()},
    )
    progress: list[tuple[float | None, str | None]] = []

    async def note_progress(fraction: float | None, message: str | None) -> None:
        progress.append((fraction, message))

    async def no_store(ref: DataRef) -> bytes:
        raise ClaimCheckError(f"a test has no object store for {ref.name!r}: pass the data itself")

    # A round trip over JSON, as a real request takes it.
    request = msgspec.json.decode(encode(request), type=ToolRequest)
    kept = _ItemsInMapping({} if checkpoint is None else checkpoint)
    context = ToolContext(request, send_progress=note_progress, fetch_data=no_store, checkpoint=kept, nats=nats)
    execution = Execution(responder.tools[tool], request, context)
    cancelling = asyncio.create_task(_cancel(execution, cancel)) if cancel is not None else None
    try:
        return ToolCall(await execution.result(), progress)
    finally:
        if cancelling is not None:
            cancelling.cancel()


class _ItemsInMapping:
    """The items of a checkpoint as JSON values in a test's own dict."""

    def __init__(self, items: MutableMapping[str, Any]) -> None:
        self._items = items

    async def read(self) -> list[bytes]:
        return [encode(Item(name, msgspec.Raw(encode(value)))) for name, value in self._items.items()]

    async def write(self, item: str, text: bytes) -> None:
        self._items[item] = msgspec.json.decode(text)["value"]


async def _cancel(execution: Execution, cancel: asyncio.Event) -> None:
    await cancel.wait()
    execution.interrupt(CANCELLED)


def _result(step_id: str, value: Any) -> LeadGenStepResult:
    if isinstance(value, LeadGenStepResult):
        return value
    return LeadGenStepResult(
        step_id=step_id, status=LeadGenStepStatus.SUCCEEDED, attempts=1, data=msgspec.Raw(encode(value))
    )
