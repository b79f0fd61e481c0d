"""A tool that is busy, or told to wait by a provider, is waited for: no attempt is counted, and no work is lost."""

import asyncio
from typing import Any

import pytest

from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.limits import Limits
from leadplan_responder.serving import Serving


@pytest.mark.parametrize("max_in_flight", [5, 50])
async def test_fifty_steps_at_once(executor: Any, feed: Any, nc: Any, make_plan: Any, max_in_flight: int):
    responder = Responder("slow", version="1.0.0", description="Takes its time")
    running, most = 0, 0
    full = asyncio.Event()

    @responder.tool("SLOW", effects="none", max_in_flight=max_in_flight)
    async def slow(params: dict, ctx: ToolContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == max_in_flight:
            full.set()
        await full.wait()
        await asyncio.sleep(0.02)  # others come while this one takes up a place
        running -= 1

    serving = Serving(responder, nc)
    await serving.start()
    steps = [{"id": f"s{number}", "tool": "SLOW"} for number in range(50)]
    result = await feed.run(make_plan("p1", steps, maxConcurrency=50), within=30)
    await serving.stop()
    assert result["overallStatus"] == "succeeded"
    assert {step["attempts"] for step in result["stepResults"]} == {1}
    assert most == max_in_flight
    assert feed.of("p1", "STEP_RETRYING") == []


async def test_a_429_in_the_middle_costs_no_attempt_and_no_work(executor: Any, feed: Any, nc: Any, make_plan: Any):
    responder = Responder("searcher", version="1.0.0", description="Searches domains")
    limit = Limits().credential("Acme", key="k", at_once=1)
    searched: list[str] = []

    @responder.tool("SEARCH", effects="none", limits=[limit])
    async def search(params: dict, ctx: ToolContext) -> dict[str, int]:
        done = await ctx.checkpoint.load(int)
        for number in range(6):
            domain = f"d{number}.example"
            if domain in done:
                continue
            async with limit:
                searched.append(domain)
                if domain == "d3.example" and searched.count(domain) < 4:
                    raise ToolError("Acme limits requests", code="rate_limited", retry_after=0.05)
            done[domain] = number
            await ctx.checkpoint.keep(domain, number)
        return done

    serving = Serving(responder, nc)
    await serving.start()
    result = await feed.run(make_plan("p1", [{"id": "s1", "tool": "SEARCH", "retry": {"maxRetries": 0}}]))
    await serving.stop()
    (step,) = result["stepResults"]
    assert (step["status"], step["attempts"]) == ("succeeded", 1), step
    assert step["data"] == {f"d{number}.example": number for number in range(6)}
    assert searched == [f"d{number}.example" for number in (0, 1, 2, 3, 3, 3, 3, 4, 5)]


async def test_one_that_stays_busy_fails_with_what_it_said_last(
    start_executor: Any, feed: Any, serve_tool: Any, make_plan: Any
):
    await start_executor(busy_limit_ms=100)
    reply = {"success": False, "errorCode": "busy", "errorMessage": "Acme limits requests", "retryAfterMs": 40}
    tool = await serve_tool("SEARCH", lambda request: reply)
    result = await feed.run(make_plan("p1", [{"id": "s1", "tool": "SEARCH", "retry": {"maxRetries": 0}}]))
    (step,) = result["stepResults"]
    assert (step["status"], step["errorCode"], step["attempts"]) == ("failed", "busy", 1)
    assert step["errorMessage"].startswith("SEARCH stayed busy for ")
    assert step["errorMessage"].endswith(" ms: Acme limits requests")
    assert len(tool.requests) > 1
    assert {request["attempt"] for request in tool.requests} == {1}
