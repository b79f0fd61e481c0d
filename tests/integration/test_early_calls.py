"""Tools that only read are called while the event that begins their attempt is being stored; no other tool is."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.connection import close, connect, flush
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import StepStarted
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings
from leadplan_responder import Responder, ToolContext
from leadplan_responder.serving import Serving


class Gate:
    """Holds up the append of each STEP_STARTED until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()
        self.refuses = False


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    append = PlanLog.append

    async def append_behind_gate(self: PlanLog, event: LeadPlanEventPayload, **details: Any) -> int:
        if isinstance(event, StepStarted):
            gate.reached.set()
            await gate.opened.wait()
            if gate.refuses:
                raise FenceLostError(event.plan_id, "another")
        return await append(self, event, **details)

    monkeypatch.setattr(PlanLog, "append", append_behind_gate)
    return gate


@pytest.fixture
async def executor_nc(nats_url: str) -> AsyncIterator[Client]:
    """The connection of an executor that serves."""
    client = await connect(nats_url, name="executor")
    executor = Executor(client, ExecutorSettings())
    await executor.start()
    yield client
    await executor.stop()
    await close(client)


class Tool:
    """Instances of one tool; each call is noted, and reports progress."""

    def __init__(self, nc: Client) -> None:
        self.calls = 0
        self.called = asyncio.Event()
        self._nc = nc
        self._serving: list[Serving] = []

    async def serve(self, effects: Any) -> None:
        responder = Responder(f"reader-{len(self._serving)}", version="1.0.0", description="Reads")

        async def resolve(params: dict[str, Any], ctx: ToolContext) -> dict[str, Any] | None:
            return None

        more = {"in_doubt": resolve} if effects == "once" else {}

        @responder.tool("READ", effects=effects, **more)
        async def read(params: dict[str, Any], ctx: ToolContext) -> dict[str, int]:
            self.calls += 1
            self.called.set()
            await ctx.progress(0.5, "half")
            return {"read": 1}

        serving = Serving(responder, self._nc)
        await serving.start()
        self._serving.append(serving)

    async def stop(self) -> None:
        for serving in self._serving:
            await serving.stop()


@pytest.fixture
async def tool(nc: Client) -> AsyncIterator[Tool]:
    tool = Tool(nc)
    yield tool
    await tool.stop()


async def stored(feed: Any, plan_id: str) -> list[str]:
    return [event["type"] for event in await feed.log(plan_id)]


async def test_a_tool_that_only_reads_is_called_meanwhile(
    gate: Gate, tool: Tool, executor_nc: Client, feed: Any, make_plan: Any
):
    await tool.serve("none")
    await feed.submit(make_plan("p1", [{"id": "a", "tool": "READ"}, {"id": "b", "tool": "READ", "dependsOn": ["a"]}]))
    async with asyncio.timeout(10):
        await tool.called.wait()
    assert await stored(feed, "p1") == ["PLAN_STARTED"]
    gate.opened.set()
    result = await feed.result("p1")
    assert result["overallStatus"] == "succeeded"
    assert tool.calls == 2
    seen = [event["type"] for event in feed.of("p1")]
    assert seen.index("STEP_STARTED") < seen.index("STEP_PROGRESS")
    assert [one for one in seen if one != "STEP_PROGRESS"] == await stored(feed, "p1")


NOT_EARLY: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "idempotent": (["idempotent"], {}),
    "once": (["once"], {}),
    "instances that don't agree": (["none", "idempotent"], {}),
    "at most once": (["none"], {"atMostOnce": True}),
    "deadline of the step": (["none"], {"deadlineMs": 60_000}),
}


@pytest.mark.parametrize("case", NOT_EARLY)
async def test_no_other_tool_is(
    case: str, gate: Gate, tool: Tool, executor_nc: Client, nc: Client, feed: Any, make_plan: Any
):
    effects, fields = NOT_EARLY[case]
    for each in effects:
        await tool.serve(each)
    await feed.submit(make_plan("p1", [{"id": "a", "tool": "READ", **fields}]))
    await reached_and_delivered(gate, executor_nc, nc)
    assert tool.calls == 0
    gate.opened.set()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"


async def test_nor_is_one_that_announces_nothing(
    gate: Gate, executor_nc: Client, nc: Client, feed: Any, make_plan: Any, serve_tool: Any
):
    plain = await serve_tool("READ")
    await feed.submit(make_plan("p1", [{"id": "a", "tool": "READ"}]))
    await reached_and_delivered(gate, executor_nc, nc)
    assert plain.requests == []
    gate.opened.set()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"


async def test_nothing_follows_from_a_call_whose_attempt_is_refused(
    gate: Gate, tool: Tool, executor_nc: Client, nc: Client, feed: Any, make_plan: Any
):
    gate.refuses = True
    await tool.serve("none")
    await feed.submit(make_plan("p1", [{"id": "a", "tool": "READ"}]))
    async with asyncio.timeout(10):
        await tool.called.wait()
    await flush(nc)
    await flush(executor_nc)
    gate.opened.set()
    await reached_and_delivered(gate, executor_nc, nc)
    assert await stored(feed, "p1") == ["PLAN_STARTED"]
    assert [event["type"] for event in feed.of("p1")] == ["PLAN_STARTED"]


async def reached_and_delivered(gate: Gate, executor_nc: Client, nc: Client) -> None:
    """Whatever the executor sent beside the append has reached who listens."""
    async with asyncio.timeout(10):
        await gate.reached.wait()
    await flush(executor_nc)
    await flush(nc)
