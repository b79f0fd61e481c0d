"""Many requests at once: they overlap up to max_in_flight, the rest is told to come back, and the figures are true."""

import asyncio
from typing import Any

from leadplan_responder import Responder, ToolContext, ToolError


class Gauge:
    """How many handlers run at once, and a gate that holds them there."""

    def __init__(self) -> None:
        self.now = self.most = self.started = 0
        self.gate = asyncio.Event()

    async def __aenter__(self) -> None:
        self.started += 1
        self.now += 1
        self.most = max(self.most, self.now)

    async def __aexit__(self, *_: object) -> None:
        self.now -= 1


def gated_responder(gauge: Gauge, *, max_in_flight: int) -> Responder:
    responder = Responder("gated", version="1.0.0", description="Holds its handlers at a gate")

    @responder.tool("HOLD", effects="none", max_in_flight=max_in_flight)
    async def hold(params: dict, ctx: ToolContext) -> dict[str, str]:
        """Wait for the gate."""
        async with gauge:
            await gauge.gate.wait()
        return {"step": ctx.step_id}

    return responder


async def test_fifty_requests_run_at_the_same_time(serve: Any, caller: Any):
    gauge = Gauge()
    responder = Responder("sleeper", version="1.0.0", description="Sleeps")

    @responder.tool("SLEEP", effects="none", max_in_flight=50)
    async def sleep(params: dict, ctx: ToolContext) -> dict[str, str]:
        async with gauge:
            await asyncio.sleep(0.1)
        return {"step": ctx.step_id}

    await serve(responder)
    asked = [await caller.start("SLEEP", stepId=f"s{number}") for number in range(50)]
    replies = [await one.reply() for one in asked]
    assert gauge.most == 50
    assert [reply["data"]["step"] for reply in replies] == [f"s{number}" for number in range(50)]


async def test_requests_above_the_limit_are_told_to_come_back_and_none_is_lost(
    serve: Any, caller: Any, eventually: Any
):
    gauge = Gauge()
    await serve(gated_responder(gauge, max_in_flight=5))
    asked = [await caller.start("HOLD", stepId=f"s{number}") for number in range(40)]
    await eventually(lambda: sum(bool(one.replies) for one in asked) == 35)
    assert gauge.now == 5
    gauge.gate.set()
    replies = [await one.reply() for one in asked]
    busy = [reply for reply in replies if not reply["success"]]
    assert (len(busy), gauge.started, gauge.most) == (35, 5, 5)
    for reply in busy:
        assert reply["errorCode"] == "busy"
        assert reply["retryable"] is True
        assert 50 <= reply["retryAfterMs"] <= 5000
        assert "HOLD is busy" in reply["errorMessage"]
    # A place comes free with each reply.
    assert (await caller.ask("HOLD"))["success"]


async def test_the_hint_of_a_busy_tool_follows_how_long_its_handlers_take(serve: Any, caller: Any, eventually: Any):
    gauge = Gauge()
    await serve(gated_responder(gauge, max_in_flight=1))
    first = await caller.start("HOLD")
    assert (await caller.ask("HOLD", stepId="s2"))["retryAfterMs"] == 50
    await asyncio.sleep(0.3)  # what is measured is time
    gauge.gate.set()
    await first.reply()
    gauge.gate.clear()
    second = await caller.start("HOLD")
    await eventually(lambda: gauge.started == 2)
    hints = [(await caller.ask("HOLD", stepId=f"s{number}"))["retryAfterMs"] for number in range(2, 22)]
    # Busy answers take no time and mustn't pull the hint down.
    assert len(set(hints)) == 1
    assert 150 <= hints[0] <= 5000
    gauge.gate.set()
    await second.reply()


async def test_each_tool_of_a_process_has_its_own_limit(serve: Any, caller: Any, eventually: Any):
    gauge = Gauge()
    responder = gated_responder(gauge, max_in_flight=1)

    @responder.tool("QUICK", effects="none")
    async def quick(params: dict, ctx: ToolContext) -> str:
        return ctx.tool

    serving = await serve(responder)
    held = await caller.start("HOLD")
    await eventually(lambda: serving.in_flight == 1)
    assert (await caller.ask("HOLD", stepId="another"))["errorCode"] == "busy"
    assert (await caller.ask("QUICK"))["data"] == "QUICK"
    gauge.gate.set()
    assert (await held.reply())["success"]


async def test_two_processes_share_the_requests(serve: Any, caller: Any, eventually: Any):
    gauges = [Gauge(), Gauge()]
    for gauge in gauges:
        await serve(gated_responder(gauge, max_in_flight=200))
    asked = [await caller.start("HOLD", stepId=f"s{number}") for number in range(100)]
    await eventually(lambda: sum(gauge.now for gauge in gauges) == 100)
    assert all(gauge.now > 10 for gauge in gauges)
    for gauge in gauges:
        gauge.gate.set()
    for one in asked:
        await one.reply()


async def test_stats_count_every_request_that_was_answered(serve: Any, caller: Any, eventually: Any):
    gauge = Gauge()
    gauge.gate.set()
    responder = gated_responder(gauge, max_in_flight=2)

    @responder.tool("FAIL", effects="none")
    async def fail(params: dict, ctx: ToolContext) -> None:
        raise ToolError("no credits left")

    await serve(responder)
    for _ in range(3):
        await caller.ask("HOLD")
    gauge.gate.clear()
    held = [await caller.start("HOLD"), await caller.start("HOLD", stepId="s2")]
    await eventually(lambda: gauge.now == 2)
    assert (await caller.ask("HOLD", stepId="another"))["errorCode"] == "busy"
    await caller.ask("FAIL")
    await (await caller.send("FAIL", b"garbage")).reply()
    stats = await caller.stats("gated")
    # Those that are held aren't answered yet.
    assert (stats["HOLD"]["num_requests"], stats["HOLD"]["num_errors"]) == (4, 1)
    assert "busy" in stats["HOLD"]["last_error"]
    assert (stats["FAIL"]["num_requests"], stats["FAIL"]["num_errors"]) == (2, 2)
    gauge.gate.set()
    for one in held:
        await one.reply()
    # The figures are written right after the reply is.
    hold = {}
    for _ in range(100):
        hold = (await caller.stats("gated"))["HOLD"]
        if hold["num_requests"] == 6:
            break
    assert (hold["num_requests"], hold["num_errors"]) == (6, 1)
    assert hold["average_processing_time"] == hold["processing_time"] // 6 > 0
