"""An executor that takes a plan over sends the attempt under way again: it shares the handler that runs already."""

import asyncio
import time
from typing import Any

import pytest

from leadplan_responder import Responder, ToolContext


class Slow:
    """A tool that waits at a gate, and which can report how far it is."""

    def __init__(self, **declared: Any) -> None:
        self.runs: list[tuple[str, int, int]] = []
        self.contexts: list[ToolContext] = []
        self.gate = asyncio.Event()
        self.responder = Responder("slow", version="1.0.0", description="Takes its time")

        @self.responder.tool("WORK", **{"effects": "none", **declared})
        async def work(params: dict, ctx: ToolContext) -> int:
            self.runs.append((ctx.step_id, ctx.attempt, ctx.round))
            self.contexts.append(ctx)
            await self.gate.wait()
            return len(self.runs)


@pytest.mark.parametrize("effects", ["none", "idempotent"])
async def test_the_same_attempt_again_shares_the_run_its_progress_and_its_reply(
    serve: Any, caller: Any, eventually: Any, effects: str
):
    slow = Slow(effects=effects, max_in_flight=1)
    serving = await serve(slow.responder)
    first = await caller.start("WORK")
    await eventually(lambda: slow.runs)
    second, third = await caller.start("WORK"), await caller.start("WORK")
    # That they have joined shows in what they hear.
    async with asyncio.timeout(10):
        while not (second.signs and third.signs):
            await slow.contexts[0].progress(0.5, "half")
            await asyncio.sleep(0.01)
    assert (first.signs[0], second.signs[0]) == ({"progress": 0.5, "message": "half"},) * 2
    assert serving.in_flight == 1
    assert (await caller.ask("WORK", stepId="other"))["errorCode"] == "busy", "they take up one place"
    slow.gate.set()
    assert [await one.reply() for one in (first, second, third)] == [{"success": True, "data": 1}] * 3
    assert slow.runs == [("s1", 1, 1)]
    stats = await caller.stats("slow")
    assert stats["WORK"]["num_requests"] == 4
    assert [one.after_the_reply for one in (first, second, third)] == [[], [], []]


@pytest.mark.parametrize(
    "other", [{"attempt": 2}, {"round": 2}, {"params": {"other": 1}}, {"idempotencyKey": "p1:s2"}], ids=str
)
async def test_any_other_request_has_a_run_of_its_own(serve: Any, caller: Any, eventually: Any, other: dict[str, Any]):
    slow = Slow()
    await serve(slow.responder)
    first = await caller.start("WORK")
    second = await caller.start("WORK", **other)
    await eventually(lambda: len(slow.runs) == 2)
    slow.gate.set()
    assert [(await one.reply())["success"] for one in (first, second)] == [True, True]


async def test_what_was_answered_is_run_again(serve: Any, caller: Any):
    slow = Slow()
    slow.gate.set()
    await serve(slow.responder)
    assert [(await caller.ask("WORK"))["data"] for _ in range(3)] == [1, 2, 3]


async def test_the_later_deadline_counts_for_both(serve: Any, caller: Any, eventually: Any):
    slow = Slow()
    await serve(slow.responder)
    began = time.monotonic()
    first = await caller.start("WORK", timeoutMs=500)
    second = await caller.start("WORK", timeoutMs=30_000)
    await eventually(lambda: time.monotonic() > began + 0.7)
    assert slow.contexts[0].seconds_left() > 5
    slow.gate.set()
    assert [(await one.reply())["data"] for one in (first, second)] == [1, 1]


async def test_an_earlier_deadline_changes_nothing(serve: Any, caller: Any, eventually: Any):
    slow = Slow()
    await serve(slow.responder)
    first = await caller.start("WORK")
    second = await caller.start("WORK", timeoutMs=1)
    await eventually(lambda: slow.runs)
    slow.gate.set()
    assert [(await one.reply())["data"] for one in (first, second)] == [1, 1]


async def test_a_cancelled_plan_ends_the_run_and_answers_both(serve: Any, caller: Any, eventually: Any):
    slow = Slow()
    await serve(slow.responder)
    asked = [await caller.start("WORK"), await caller.start("WORK")]
    await eventually(lambda: slow.runs)
    await caller.cancel("WORK", "s1")
    assert [(await one.reply())["errorCode"] for one in asked] == ["cancelled"] * 2
    assert len(slow.runs) == 1
    slow.gate.set()
    assert (await caller.ask("WORK"))["data"] == 2


async def test_a_handler_that_is_being_stopped_takes_nobody_in(serve: Any, caller: Any, eventually: Any):
    responder = Responder("tidy", version="1.0.0", description="Cleans up")
    runs: list[int] = []
    cleaning, cleaned = asyncio.Event(), asyncio.Event()

    @responder.tool("WORK", effects="none")
    async def work(params: dict, ctx: ToolContext) -> str:
        runs.append(len(runs))
        if len(runs) == 2:
            return "done anew"
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            await cleaned.wait()
        return "never"

    await serve(responder)
    first = await caller.start("WORK", timeoutMs=50)
    await cleaning.wait()
    assert (await caller.ask("WORK"))["data"] == "done anew"
    cleaned.set()
    assert (await first.reply())["errorCode"] == "timeout"


async def test_a_stopping_responder_answers_both(serve: Any, caller: Any, eventually: Any):
    slow = Slow()
    serving = await serve(slow.responder)
    asked = [await caller.start("WORK"), await caller.start("WORK")]
    await eventually(lambda: slow.runs)
    await serving.stop()
    assert [(await one.reply())["errorCode"] for one in asked] == ["stopping"] * 2


async def test_where_effects_are_once_the_second_is_told_to_wait(serve: Any, caller: Any, eventually: Any):
    slow = Slow(effects="once")
    await serve(slow.responder)
    first = await caller.start("WORK")
    await eventually(lambda: slow.runs)
    assert (await caller.ask("WORK"))["errorCode"] == "busy"
    slow.gate.set()
    assert await first.reply() == await caller.ask("WORK") == {"success": True, "data": 1}
