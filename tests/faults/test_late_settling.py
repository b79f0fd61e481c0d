"""What an executor sends when it lets go of a plan may arrive when somebody else has the plan: nothing is lost by that.

Here the late one is the executor's own connection: what it says to the queue is held back, as a network that has gone
silent does, and arrives when the plan has changed hands.
"""

import asyncio
import json
from typing import Any

import pytest
from fault_control import Answer, Asker
from fault_crash_points import SupervisedExecutor
from fault_crash_shapes import Shape, plan_step
from fault_crash_tools import LedgerTools
from fault_followers import Follower
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from leadplan_bus.connection import close, connect, flush
from leadplan_contracts import RetryPolicy, subjects
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings

SETTINGS: dict[str, Any] = {"lease_ms": 500, "grace_ms": 0, "server_checks": "off", "park_after_ms": 50}
REPEATS = Shape(
    "repeats",
    lambda: [
        plan_step(
            "a",
            params={"fail_attempts": 1, "hold": True},
            retry=RetryPolicy(max_retries=1, base_delay_ms=200),
        )
    ],
)
WAITS = Shape(
    "waits",
    lambda: [plan_step("a", requires_approval=True), plan_step("b", requires_approval=True, deadline_ms=2_500)],
)


class LateExecutor:
    """An executor whose first timer, and whose words to the queue since then, arrive only when they are let through."""

    def __init__(self, nc: Client) -> None:
        self.late: list[tuple[Any, ...]] = []
        self._nc = nc
        self._publish = nc.publish
        nc.publish = self._hold_back  # type: ignore[method-assign]
        self.executor = Executor(nc, ExecutorSettings(**SETTINGS, executor_name="late"))

    async def _hold_back(self, subject: str, *rest: Any, **more: Any) -> None:
        if (self.late and subject.startswith("$JS.ACK.")) or (not self.late and subject.startswith("plans.timer.")):
            self.late.append((subject, rest, more))
        else:
            await self._publish(subject, *rest, **more)

    async def let_through(self) -> None:
        """All of it arrives."""
        self._nc.publish = self._publish  # type: ignore[method-assign]
        for subject, rest, more in self.late:
            await self._publish(subject, *rest, **more)
        await flush(self._nc)

    async def take_no_more(self) -> None:
        """Hold what it has, and serve nothing else."""
        await asyncio.gather(self.executor._plans.stop(), self.executor._wakes.stop(), self.executor._control.stop())

    async def stop(self) -> None:
        await self.executor.stop()
        await close(self._nc)


@pytest.fixture
async def tools(nc: Client) -> Any:
    tools = LedgerTools(nc)
    await tools.start()
    yield tools
    await tools.stop()


@pytest.fixture
async def feed(nats_url: str) -> Any:
    follower = Follower("follower")
    await follower.start(nats_url)
    yield follower
    await follower.stop()


async def until(condition: Any, within: float = 15.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # noqa: ASYNC110 - some conditions look elsewhere
            await asyncio.sleep(0.005)


def kinds(feed: Follower) -> list[str]:
    return [json.loads(body)["type"] for _, body in sorted(feed.seen["p1"].items())]


async def test_an_acknowledgement_that_comes_late_loses_no_plan(nats_url: str, nc: Client, tools: Any, feed: Any):
    """A plan was let go of, taken over meanwhile, and goes on; then timer and acknowledgement of the first come."""
    late = LateExecutor(await connect(nats_url, name="late"))
    await late.executor.start()
    await nc.jetstream().publish(subjects.PLANS_EXECUTE, REPEATS.submission("p1"))
    await until(lambda: late.late)
    await late.take_no_more()
    other = SupervisedExecutor(nats_url, nc, lambda _: False, {**SETTINGS, "executor_name": "other"})
    await other.start()
    try:
        await until(lambda: kinds(feed)[-2:] == ["PLAN_RESUMED", "STEP_STARTED"])
        await late.let_through()
        await until_off_the_queue(nc)
        await other.lose_power()
        tools.held["p1"].set()
        await until(lambda: "PLAN_COMPLETED" in kinds(feed))
    finally:
        await other.stop()
        await late.stop()


async def test_a_timer_that_comes_late_takes_the_place_of_no_other(nats_url: str, nc: Client, tools: Any, feed: Any):
    """Somebody took the plan up and parked it anew before the first one's timer arrived: the plan still wakes."""
    late = LateExecutor(await connect(nats_url, name="late"))
    await late.executor.start()
    await nc.jetstream().publish(subjects.PLANS_EXECUTE, WAITS.submission("p1"))
    await until(lambda: late.late)
    await late.take_no_more()
    other = SupervisedExecutor(nats_url, nc, lambda _: False, {**SETTINGS, "executor_name": "other"})
    await other.start()
    try:
        assert (await Asker(nc, 1.0).ask("approve", "p1", "r1", stepId="a")).answer is Answer.CHANGED
        await until(lambda: "STEP_SUCCEEDED" in kinds(feed))
        timer = await settled_timer(nc)
        await late.let_through()
        assert (await settled_timer(nc)).seq == timer.seq
        await until(lambda: "PLAN_COMPLETED" in kinds(feed))
    finally:
        await other.stop()
        await late.stop()


async def until_off_the_queue(nc: Client, within: float = 10.0) -> None:
    """Until the plan's submission has been acknowledged, by whomever."""
    async with asyncio.timeout(within):
        while True:
            try:
                await nc.jetstream().get_msg(subjects.PLANS_STREAM, 1)
            except NotFoundError:
                return
            await asyncio.sleep(0.005)


async def settled_timer(nc: Client, within: float = 10.0) -> Any:
    """The plan's timer, once nobody holds the plan."""
    js = nc.jetstream()
    async with asyncio.timeout(within):
        while True:
            info = await js.consumer_info(subjects.PLANS_STREAM, subjects.WAKES_CONSUMER)
            if not info.num_ack_pending and not info.num_pending:
                return await js.get_last_msg(subjects.PLANS_STREAM, subjects.plan_timer_subject("p1"))
            await asyncio.sleep(0.01)
