"""Measure how long a few plans of one account take while another account's flood is in the queue.

    python benchmarks/fairness.py --flood 2000 --few 20

The few are run on an idle system first. Then the flood is submitted, and the same few behind it. A plan is a chain of
steps whose tool takes a while, as a web API would; a tool that answers at once measures the processor and no queue.
"""

import argparse
import asyncio
import contextlib
import json
import time
from statistics import median

from bench_processes import executor_process, nats_server, python_process, tell
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenGoal, LeadGenPlan, LeadGenPlanStep, SupervisorUserContext
from leadplan_contracts.plan import PlanPriority

_CREATED_AT = "2026-11-23T09:15:02.417Z"
_LIMIT_SECONDS = 900
_SUBMITTED_AT_ONCE = 100

# A plain subscriber: what the SDK does for a step would be measured as well.
_TOOL = """
import asyncio, sys
from nats.aio.client import Client

async def main():
    nc, tasks = Client(), set()
    await nc.connect("{url}")
    async def answer(message):
        await asyncio.sleep({seconds})
        await nc.publish(message.reply, b'{{"success": true, "data": {{}}}}')
    async def take(message):
        task = asyncio.create_task(answer(message))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await nc.subscribe("tools.BENCH_WAITS", "q", cb=take)
    await nc.flush()
    print("serving", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Run:
    """Plans that were submitted, and when each ended."""

    def __init__(self, nc: Client, steps: int) -> None:
        self.submitted_at: dict[str, float] = {}
        self.ended_at: dict[str, float] = {}
        self._nc = nc
        self._client = PlanClient(nc)
        self._steps = steps
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Note the end of every plan."""
        await self._nc.subscribe("plans.events.*", cb=self._note)
        await flush(self._nc)

    async def _note(self, message: Msg) -> None:
        if b'"PLAN_COMPLETED"' in message.data:
            self.ended_at[json.loads(message.data)["planId"]] = time.monotonic()
            self._news.set()

    async def submit(self, account: str, count: int, priority: PlanPriority | None = None) -> list[str]:
        """Submit plans of an account, and return their ids once all are stored."""
        plan_ids = [f"{account}-{len(self.submitted_at) + number}" for number in range(count)]
        user = SupervisorUserContext(user_id="bench", account_id=account)
        for first in range(0, count, _SUBMITTED_AT_ONCE):
            some = plan_ids[first : first + _SUBMITTED_AT_ONCE]
            self.submitted_at.update(dict.fromkeys(some, time.monotonic()))
            await asyncio.gather(*(self._client.submit(self._plan(plan_id, priority), user) for plan_id in some))
        return plan_ids

    def _plan(self, plan_id: str, priority: PlanPriority | None) -> LeadGenPlan:
        steps = [
            LeadGenPlanStep(id=f"s{n}", tool="BENCH_WAITS", params={}, depends_on=[f"s{n - 1}"] if n else None)
            for n in range(self._steps)
        ]
        goal = LeadGenGoal(description="measure")
        return LeadGenPlan(id=plan_id, title=plan_id, goal=goal, created_at=_CREATED_AT, steps=steps, priority=priority)

    async def ended(self, plan_ids: list[str]) -> list[float]:
        """How many seconds each took, once all have ended."""
        async with asyncio.timeout(_LIMIT_SECONDS):
            while not all(plan_id in self.ended_at for plan_id in plan_ids):
                self._news.clear()
                await self._news.wait()
        return [self.ended_at[plan_id] - self.submitted_at[plan_id] for plan_id in plan_ids]


def _figures(seconds: list[float]) -> str:
    return f"median {median(seconds):6.2f} s, last {max(seconds):6.2f} s of {len(seconds)}"


async def _measure(nc: Client, arguments: argparse.Namespace) -> None:
    run = Run(nc, arguments.steps)
    await run.listen()
    await run.ended(await run.submit("warm", 20))
    tell(
        f"the few, on an idle system                {_figures(await run.ended(await run.submit('few', arguments.few)))}"
    )
    begun = time.monotonic()
    flood = await run.submit("flood", arguments.flood)
    tell(f"the flood of {arguments.flood} is submitted after            {time.monotonic() - begun:6.2f} s")
    few = await run.submit("few", arguments.few)
    urgent = await run.submit("flood", 1, PlanPriority.URGENT)
    tell(f"the few, behind the flood                 {_figures(await run.ended(few))}")
    done = sum(plan_id in run.ended_at for plan_id in flood)
    tell(f"plans of the flood that had ended by then {done:6d}")
    tell(f"an urgent plan of the flood's account     {_figures(await run.ended(urgent))}")
    tell(f"the flood                                 {_figures(await run.ended(flood))}")
    tell(f"plans a second, all together              {len(flood + few) / (time.monotonic() - begun):6.0f}")


async def main() -> None:
    """Start everything, and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flood", type=int, default=2_000, help="plans of the one account")
    parser.add_argument("--few", type=int, default=20, help="plans of the other one")
    parser.add_argument("--steps", type=int, default=3, help="steps a plan, one after the other")
    parser.add_argument("--tool-ms", type=int, default=1_000, help="how long the tool takes for a step")
    parser.add_argument("--executors", type=int, default=1, help="processes")
    parser.add_argument("--max-plans", type=int, default=512, help="slots of each executor")
    arguments = parser.parse_args()
    async with nats_server() as (url, nc):
        with contextlib.ExitStack() as stack:
            tool = _TOOL.format(url=url, seconds=arguments.tool_ms / 1000)
            stack.enter_context(python_process(tool, url, "serving"))
            executors = [
                stack.enter_context(executor_process(url, LEADPLAN_MAX_PLANS=str(arguments.max_plans)))
                for _ in range(arguments.executors)
            ]
            await _measure(nc, arguments)
            used = [f"{executor.cpu_seconds:.1f} s" for executor in executors]
            tell(f"processor time of the executors           {', '.join(used)}")


if __name__ == "__main__":
    asyncio.run(main())
