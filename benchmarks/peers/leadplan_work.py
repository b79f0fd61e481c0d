"""The six steps on leadplan: the tool in a process of its own, beside the executor.

python leadplan_work.py tool
python leadplan_work.py load --latency-seconds 3 ...    # NATS_URL names the server
"""

import asyncio
import os
import sys
import time
from itertools import count
from typing import Any

import msgspec
import uvloop
from load import STEPS, Figures, Options, Window, check, figures, one_after_the_other, options_of_command_line, tell
from nats.aio.client import Client
from nats.js import JetStreamContext

from leadplan_bus.connection import connect
from leadplan_responder import Responder, ToolContext

_LOOK_SECONDS = 0.005
_LIMIT_SECONDS = 60.0


class Value(msgspec.Struct):
    """What a step returns."""

    value: int


class StepParams(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Where a step takes its number from; 0 where there is no step before it."""

    source_step_id: str | None = None


def responder() -> Responder:
    """The tool's process."""
    tools = Responder("benchmark", version="1.0.0", description="Adds one")

    @tools.tool("ADD_ONE", effects="none", max_in_flight=256)
    async def add_one(params: StepParams, ctx: ToolContext) -> Value:
        """One step."""
        if params.source_step_id is None:
            return Value(1)
        return Value((await ctx.prior_data(params.source_step_id, Value)).value + 1)

    return tools


def _plan(plan_id: str) -> bytes:
    steps: list[dict[str, Any]] = [{"id": "s1", "tool": "ADD_ONE", "params": {}}]
    for number in range(2, STEPS + 1):
        before = f"s{number - 1}"
        step = {"id": f"s{number}", "tool": "ADD_ONE", "params": {"sourceStepId": before}, "dependsOn": [before]}
        steps.append(step)
    plan = {"id": plan_id, "title": "Add up", "goal": {"description": "Add one, six times"}, "steps": steps}
    plan["createdAt"] = "2026-11-23T09:15:02.417Z"
    return msgspec.json.encode({"plan": plan, "user": {"userId": "u_7"}})


def _result(event: dict[str, Any]) -> object:
    """What the last step of a completed plan returned."""
    return event["result"]["stepResults"][-1]["data"]["value"]


class _Load:
    def __init__(self, nc: Client, options: Options) -> None:
        self._nc = nc
        self._js: JetStreamContext = nc.jetstream()
        self._options = options
        self._numbers = count()

    async def run_one(self) -> object:
        """Submit a plan, and follow its events until its result."""
        plan_id = f"one-{next(self._numbers)}"
        events = await self._nc.subscribe(f"plans.events.{plan_id}")
        await self._js.publish("plans.execute", _plan(plan_id))
        while b'"PLAN_COMPLETED"' not in (message := await events.next_msg(_LIMIT_SECONDS)).data:
            pass
        await events.unsubscribe()
        return _result(msgspec.json.decode(message.data))

    async def saturate(self, window: Window) -> None:
        """Keep so many plans in flight; a plan has finished when the work queue lets go of it."""
        sent, finished = 0, 0
        limit = time.perf_counter() + self._options.saturation_seconds + _LIMIT_SECONDS
        while not window.over:
            if time.perf_counter() > limit:
                raise RuntimeError("plans don't finish")
            left = (await self._js.stream_info("PLANS")).state.messages
            window.add(sent - left - finished)
            finished = sent - left
            room = window.in_flight - left
            if room > 0:
                plans = [_plan(f"many-{next(self._numbers)}") for _ in range(room)]
                await asyncio.gather(*(self._js.publish("plans.execute", plan) for plan in plans))
                sent += room
            await asyncio.sleep(_LOOK_SECONDS)
        while (await self._js.stream_info("PLANS")).state.messages:  # noqa: ASYNC110 - only asking tells that it is empty
            await asyncio.sleep(_LOOK_SECONDS)
        last = await self._js.get_last_msg("PLAN_LOG", f"plans.log.many-{next(self._numbers) - 1}")
        check(_result(msgspec.json.decode(last.data or b"{}")))

    async def measure(self) -> Figures:
        """All of a round."""
        latencies = await one_after_the_other(self.run_one, self._options.latency_seconds)
        windows = [Window(in_flight, self._options.saturation_seconds) for in_flight in self._options.in_flight]
        for window in windows:
            await self.saturate(window)
        return figures(latencies, windows)


async def _load() -> Figures:
    nc = await connect(os.environ["NATS_URL"], name="load")
    return await _Load(nc, options_of_command_line()).measure()


if __name__ == "__main__":
    if sys.argv[1] == "tool":
        responder().run()
    else:
        uvloop.install()
        tell(asyncio.run(_load()))
