"""A cancelled plan reaches its handlers: however early the notice comes, and whatever they are doing."""

import asyncio
import threading
from typing import Any

import pytest

from leadplan_responder import Responder, ToolContext
from leadplan_responder.testing import call_tool


class Waiter:
    """A tool that never ends by itself."""

    def __init__(self, effects: Any = "none") -> None:
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.responder = Responder("waiter", version="1.0.0", description="Waits")

        @self.responder.tool("WAIT", effects=effects, max_in_flight=100)
        async def wait(params: dict, ctx: ToolContext) -> str:
            self.began.append(ctx.step_id)
            if ctx.round > 1:
                return "done"
            try:
                await asyncio.Event().wait()
            finally:
                self.cancelled.append(ctx.step_id)
            return "never"


async def ask_and_cancel_at_once(caller: Any, step_id: str) -> Any:
    """Both reach the server, and so the responder, in one piece."""
    asked = await caller.start("WAIT", stepId=step_id)
    await caller.cancel("WAIT", step_id)
    return asked


@pytest.mark.parametrize("effects", ["none", "once"])
async def test_a_notice_right_behind_its_request_is_not_lost(serve: Any, caller: Any, effects: str):
    waiter = Waiter(effects)
    await serve(waiter.responder)
    asked = [await ask_and_cancel_at_once(caller, f"s{number}") for number in range(50)]
    assert {(await one.reply())["errorCode"] for one in asked} == {"cancelled"}
    assert waiter.began == waiter.cancelled


async def test_where_the_handler_never_began_nothing_is_in_doubt(serve: Any, caller: Any):
    waiter = Waiter("once")
    await serve(waiter.responder)
    asked = await ask_and_cancel_at_once(caller, "s1")
    assert (await asked.reply())["errorCode"] == "cancelled"
    assert waiter.began == []
    assert (await caller.ask("WAIT", round=2))["data"] == "done"


async def test_an_attempt_without_time_left_leaves_nothing_in_doubt(
    serve: Any, caller: Any, monkeypatch: pytest.MonkeyPatch
):
    waiter = Waiter("once")
    await serve(waiter.responder)
    with monkeypatch.context() as patch:
        patch.setattr("leadplan_responder.context.ToolContext.seconds_left", lambda self: 0.0)
        assert (await caller.ask("WAIT"))["errorCode"] == "timeout"
    assert waiter.began == []
    assert (await caller.ask("WAIT", round=2))["data"] == "done"


def threaded() -> tuple[Responder, threading.Event, threading.Event]:
    """A tool whose work blocks in a thread, and what tells that the thread has begun and has ended."""
    responder = Responder("threaded", version="1.0.0", description="Blocks")
    begun, ended = threading.Event(), threading.Event()

    def count_files(cancelled: threading.Event) -> int:
        begun.set()
        cancelled.wait(30)
        ended.set()
        return 7

    @responder.tool("COUNT", effects="none")
    async def count(params: dict, ctx: ToolContext) -> int:
        assert not ctx.cancelled.is_set()
        return await asyncio.to_thread(count_files, ctx.cancelled)

    return responder, begun, ended


async def test_code_in_a_thread_is_told_of_a_cancelled_plan(serve: Any, caller: Any, eventually: Any):
    responder, begun, ended = threaded()
    await serve(responder)
    asked = await caller.start("COUNT")
    await eventually(begun.is_set)
    await caller.cancel("COUNT", "s1")
    assert (await asked.reply())["errorCode"] == "cancelled"
    await eventually(ended.is_set)


async def test_code_in_a_thread_is_told_of_the_deadline(eventually: Any):
    responder, _, ended = threaded()
    assert (await call_tool(responder, "COUNT", {}, timeout_ms=200)).result.error_code == "timeout"
    await eventually(ended.is_set)


async def test_a_handler_that_finishes_although_it_was_cancelled_has_finished(serve: Any, caller: Any):
    responder = Responder("tidy", version="1.0.0", description="Finishes what it began")
    begun = asyncio.Event()

    @responder.tool("PAY", effects="once")
    async def pay(params: dict, ctx: ToolContext) -> str:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "was paid already"
        return "never"

    await serve(responder)
    asked = await caller.start("PAY")
    await begun.wait()
    await caller.cancel("PAY", "s1")
    assert await asked.reply() == {"success": True, "data": "was paid already"}
    assert (await caller.ask("PAY", round=2))["data"] == "was paid already"


async def test_a_notice_of_an_earlier_round_stops_nothing_of_a_later_one(serve: Any, caller: Any):
    responder = Responder("waiter", version="1.0.0", description="Waits")
    began, go_on = asyncio.Event(), asyncio.Event()

    @responder.tool("WAIT", effects="none")
    async def wait(params: dict, ctx: ToolContext) -> str:
        began.set()
        await go_on.wait()
        return "done"

    await serve(responder)
    asked = await caller.start("WAIT", stepId="s1", round=2)
    await asyncio.wait_for(began.wait(), 10)
    await caller.cancel("WAIT", "s1")
    asked_too = await caller.start("WAIT", stepId="s2")  # it comes behind the notice
    go_on.set()
    assert (await asked.reply())["data"] == "done"
    assert (await asked_too.reply())["data"] == "done"
