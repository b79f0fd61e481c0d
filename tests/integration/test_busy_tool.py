"""More steps at once than a tool takes: the rest waits, all succeed, and waiting counts as no attempt."""

import asyncio
from typing import Any

import pytest

from leadplan_responder import Responder, ToolContext
from leadplan_responder.serving import Serving


@pytest.mark.parametrize("max_in_flight", [5, 50])
async def test_fifty_steps_at_once(executor: Any, feed: Any, nc: Any, make_plan: Any, max_in_flight: int):
    responder = Responder("slow", version="1.0.0", description="Takes its time")
    running, most = 0, 0

    @responder.tool("SLOW", effects="none", max_in_flight=max_in_flight)
    async def slow(params: dict, ctx: ToolContext) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.2)
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
