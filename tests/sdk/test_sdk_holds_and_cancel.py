"""A held limit is answered with its time, and the test kit cancels as a plan would."""

import asyncio
from typing import Any

from leadplan_responder import Responder, ToolContext
from leadplan_responder.testing import call_tool


class Pause:
    """A limit that a provider holds for so many seconds."""

    seconds = 0.0

    def held_for(self) -> float:
        return self.seconds


async def test_while_a_limit_is_held_requests_are_told_when_to_come_back(serve: Any, caller: Any):
    pause = Pause()
    responder = Responder("limited", version="1.0.0", description="Calls a provider")

    @responder.tool("CALL", effects="none", limits=[Pause(), pause])
    async def call(params: dict, ctx: ToolContext) -> str:
        return "called"

    await serve(responder)
    pause.seconds = 12.3
    reply = await caller.ask("CALL")
    assert (reply["errorCode"], reply["retryable"], reply["retryAfterMs"]) == ("busy", True, 12_300)
    pause.seconds = 0.0
    assert (await caller.ask("CALL"))["data"] == "called"


async def test_the_test_kit_cancels_a_handler_as_a_plan_does():
    responder = Responder("slow", version="1.0.0", description="Waits")
    begun, cleaned_up, cancel = asyncio.Event(), asyncio.Event(), asyncio.Event()

    @responder.tool("WAIT", effects="none")
    async def wait(params: dict, ctx: ToolContext) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned_up.set()

    calling = asyncio.create_task(call_tool(responder, "WAIT", {}, cancel=cancel))
    await begun.wait()
    cancel.set()
    result = (await calling).result
    assert (result.success, result.error_code, result.retryable) == (False, "cancelled", False)
    assert cleaned_up.is_set()
