"""Plans on their way to a lane, or in one, when their executor dies: none is lost, and none runs twice."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.connection import flush
from leadplan_bus.topology import Retention, ensure_consumer, ensure_topology, queue_consumers
from leadplan_contracts import subjects
from leadplan_contracts.plan import PlanPriority
from leadplan_executor.core.lanes import FIRST_LANE, LANE_ROOM, Applicant
from leadplan_executor.lane_moves import LaneCounts, LaneMover
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.pulls import Delivery, PlanPull

Plan = dict[str, Any]

pytestmark = pytest.mark.skipif(
    "LEADPLAN_CRASH_POINTS" in os.environ,
    reason="loses its executors itself, at moments of its own",
)

# While no plan ends, an acknowledgement is that of a plan that has just been stored in its lane.
DIES_BEFORE_ACK = """
import os, signal
from leadplan_executor import pulls

async def die(self):
    os.kill(os.getpid(), signal.SIGKILL)

pulls.Delivery.ack = die
from leadplan_executor.service import run
raise SystemExit(run())
"""


class Held:
    """A tool that answers nothing until it is told to."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self._opened = asyncio.Event()

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.requests.append(request["planId"])
        await self._opened.wait()
        return {"success": True, "data": {}}

    def open(self) -> None:
        self._opened.set()


@pytest.fixture
def held() -> Held:
    return Held()


@pytest.fixture
def dying_executor(nats_url: str, tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(**settings: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "NATS_URL": nats_url, "LEADPLAN_LEASE_MS": "1000", **settings}
        with (tmp_path / "dying.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, "-c", DIES_BEFORE_ACK], env=environment, stderr=log)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def plans_of(make_plan: Callable[..., Plan], count: int) -> list[Plan]:
    return [make_plan(f"p-{number}", [{"id": "s"}]) for number in range(count)]


async def messages(nc: Client) -> int:
    return (await nc.jetstream().stream_info(subjects.PLANS_STREAM)).state.messages


async def assert_each_began_once(feed: Any, plans: list[Plan], within: float = 30.0) -> None:
    for one in plans:
        plan_id = one["plan"]["id"]
        assert (await feed.result(plan_id, within))["overallStatus"] == "succeeded"
        kinds = [event["type"] for event in await feed.log(plan_id)]
        assert kinds.count("PLAN_STARTED") == 1
        assert kinds.count("PLAN_COMPLETED") == 1


async def test_an_executor_that_dies_between_storing_and_acknowledging_loses_and_doubles_nothing(
    feed: Any,
    held: Held,
    serve_tool: Any,
    dying_executor: Any,
    start_executor: Any,
    make_plan: Any,
    nc: Client,
    eventually: Any,
) -> None:
    await serve_tool(behaviour=held.answer)
    await ensure_topology(nc.jetstream(), Retention())
    plans = plans_of(make_plan, 30)
    for one in plans:
        await feed.submit(one)
    dying = dying_executor(LEADPLAN_MAX_PLANS="4")
    assert await asyncio.to_thread(dying.wait, 30) != 0
    assert await messages(nc) > len(plans)  # at least one is there twice
    begun = set(held.requests)
    held.open()
    await start_executor(max_plans=8)
    await assert_each_began_once(feed, plans)
    # What was with a tool when its executor died is asked again; nothing else is.
    asked_twice = {plan_id for plan_id in held.requests if held.requests.count(plan_id) > 1}
    assert asked_twice <= begun
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def _is_empty(nc: Client) -> bool:
    return await messages(nc) == 0


async def test_a_flood_that_comes_back_from_a_dead_executor_leaves_the_reserve_alone(
    feed: Any,
    held: Held,
    serve_tool: Any,
    dying_executor: Any,
    start_executor: Any,
    make_plan: Any,
    nc: Client,
    eventually: Any,
) -> None:
    await serve_tool(behaviour=held.answer)
    await ensure_topology(nc.jetstream(), Retention())
    flood = plans_of(make_plan, 60)
    for one in flood:
        await feed.submit(one)
    dying = dying_executor(LEADPLAN_MAX_PLANS="4")
    assert await asyncio.to_thread(dying.wait, 30) != 0
    await start_executor(max_plans=20)
    await eventually(lambda: len(set(held.requests)) >= 15, what="all slots but the reserve taken")
    await eventually(lambda: _is_sorted(nc), what="nothing left unsorted")
    few = make_plan("few", [{"id": "s"}])
    few["user"]["accountId"] = "another"
    await feed.submit(few)
    await eventually(lambda: "few" in held.requests, what="the plan of the other account begun")
    held.open()
    await assert_each_began_once(feed, [*flood, few])
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def _is_sorted(nc: Client) -> bool:
    """Whether all is in lanes but the three plans that had begun."""
    js = nc.jetstream()
    info = await js.consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
    return info.num_pending == 0 and (info.num_ack_pending or 0) <= 3


async def test_another_executor_empties_the_lanes_of_one_that_was_killed(
    feed: Any,
    held: Held,
    serve_tool: Any,
    executor_process: Any,
    start_executor: Any,
    make_plan: Any,
    nc: Client,
    eventually: Any,
) -> None:
    await serve_tool(behaviour=held.answer)
    first = executor_process(LEADPLAN_MAX_PLANS="12")
    await eventually(lambda: first.serving, within=30)
    plans = plans_of(make_plan, 100)
    for one in plans:
        await feed.submit(one)
    await eventually(lambda: len(held.requests) == 9, what="all slots but the reserve taken")
    await eventually(lambda: _has_pending(nc, 0), what="nothing left unsorted")
    first.kill()
    begun = set(held.requests)
    held.open()
    await start_executor(max_plans=4)
    await assert_each_began_once(feed, plans)
    asked_twice = {plan_id for plan_id in held.requests if held.requests.count(plan_id) > 1}
    assert asked_twice <= begun
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def test_an_executor_that_stood_still_harms_nothing_when_it_goes_on(
    feed: Any,
    held: Held,
    serve_tool: Any,
    executor_process: Any,
    start_executor: Any,
    make_plan: Any,
    nc: Client,
    eventually: Any,
) -> None:
    await serve_tool(behaviour=held.answer)
    frozen = executor_process(LEADPLAN_MAX_PLANS="12")
    await eventually(lambda: frozen.serving, within=30)
    plans = plans_of(make_plan, 60)
    for one in plans[:40]:
        await feed.submit(one)
    await eventually(lambda: len(held.requests) == 9, what="all slots but the reserve taken")
    frozen.process.send_signal(signal.SIGSTOP)
    for one in plans[40:]:  # its open requests are answered with some of these
        await feed.submit(one)
    await start_executor(max_plans=40)
    await feed.until(lambda: len({event["planId"] for event in feed.events if event["type"] == "PLAN_RESUMED"}) == 9)
    frozen.process.send_signal(signal.SIGCONT)
    held.open()
    await assert_each_began_once(feed, plans)
    await eventually(lambda: _is_empty(nc), within=20, what="an empty queue")


async def _has_pending(nc: Client, count: int) -> bool:
    info = await nc.jetstream().consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
    return bool(info.num_pending == count)


@pytest.fixture
async def pulled(nc: Client) -> AsyncIterator[Callable[[], Any]]:
    """Makes deliveries, as an executor gets them."""
    js = nc.jetstream()
    await ensure_topology(js, Retention())
    for consumer in queue_consumers(30.0, 1_000):
        await ensure_consumer(js, consumer)
    came: asyncio.Queue[Delivery] = asyncio.Queue()
    pull = PlanPull(
        nc,
        subjects.EXECUTORS_CONSUMER,
        came.put_nowait,
        on_ended=lambda _: None,
        lease_seconds=lambda: 30.0,
        on_trouble=lambda: None,
    )
    await pull.start()

    async def next_delivery() -> Delivery:
        await pull.ask(1)
        async with asyncio.timeout(10):
            return await came.get()

    yield next_delivery
    await pull.stop()


ACCOUNT = Applicant("ab12", PlanPriority.NORMAL, movable=True)


async def test_a_move_that_took_longer_than_the_lease_leaves_the_message_alone(
    nc: Client, feed: Any, make_plan: Any, pulled: Any
) -> None:
    await feed.submit(plans_of(make_plan, 1)[0])
    mover = LaneMover(nc, PlanLog(nc, "test"), PlanIndex(nc), lambda: 0.0)
    assert await mover.move(await pulled(), ACCOUNT) is None
    await flush(nc)
    assert await messages(nc) == 2


async def test_moves_side_by_side_are_counted(nc: Client, feed: Any, make_plan: Any, pulled: Any) -> None:
    room = LANE_ROOM[FIRST_LANE]
    mover = LaneMover(nc, PlanLog(nc, "test"), PlanIndex(nc), lambda: 30.0)
    for one in plans_of(make_plan, room + 8):
        await feed.submit(one)
    deliveries = [await pulled() for _ in range(room + 8)]
    lanes = await asyncio.gather(*(mover.move(delivery, ACCOUNT) for delivery in deliveries))
    assert lanes.count(FIRST_LANE) == room
    assert lanes.count(FIRST_LANE + 1) == 8
    await flush(nc)
    counts = await LaneCounts(nc).of(ACCOUNT.account)
    assert counts == [0, room, 8, 0, 0]
    assert await LaneCounts(nc).of("another") == [0, 0, 0, 0, 0]


async def test_a_moved_message_keeps_what_counts_and_nothing_else(nc: Client, make_plan: Any, pulled: Any) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    body = json.dumps(plans_of(make_plan, 1)[0]).encode()
    given = {"traceparent": trace, "Nats-TTL": "1h", "Leadplan-Submission": "77", "X-Own": "x", "Nats-Msg-Id": "mine"}
    sent = await nc.jetstream().publish(subjects.PLANS_EXECUTE, body, headers=given)
    lane = await LaneMover(nc, PlanLog(nc, "test"), PlanIndex(nc), lambda: 30.0).move(await pulled(), ACCOUNT)
    assert lane == FIRST_LANE
    moved = await nc.jetstream().get_last_msg(subjects.PLANS_STREAM, subjects.plan_lane_subject(lane, ACCOUNT.account))
    assert moved.data == body
    assert moved.headers == {
        "traceparent": trace,
        "Nats-TTL": "1h",
        "Leadplan-Submission": str(sent.seq),
        "Nats-Msg-Id": f"lane:{sent.seq}",
    }


async def test_a_copy_takes_over_a_plan_whose_message_was_taken_off_the_queue_too_late(
    feed: Any,
    held: Held,
    serve_tool: Any,
    executor_process: Any,
    start_executor: Any,
    make_plan: Any,
    nc: Client,
    eventually: Any,
) -> None:
    """An executor stood still in a move; another one began the plan, and lost its message to the late
    acknowledgement."""
    await serve_tool(behaviour=held.answer)
    second = executor_process()
    await eventually(lambda: second.serving, within=30)
    [plan] = plans_of(make_plan, 1)
    js = nc.jetstream()
    sent = await js.publish(subjects.PLANS_EXECUTE, json.dumps(plan).encode())
    await eventually(lambda: held.requests == ["p-0"], what="the plan begun")
    await js.delete_msg(subjects.PLANS_STREAM, sent.seq)
    second.kill()
    await _publish_copy(nc, plan, sent.seq)
    await start_executor()
    await feed.until(lambda: feed.of("p-0", "PLAN_RESUMED"))
    held.open()
    await assert_each_began_once(feed, [plan])
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def test_a_copy_of_a_plan_that_somebody_holds_is_dropped(
    feed: Any, held: Held, serve_tool: Any, executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await serve_tool(behaviour=held.answer)
    [plan] = plans_of(make_plan, 1)
    sent = await nc.jetstream().publish(subjects.PLANS_EXECUTE, json.dumps(plan).encode())
    await eventually(lambda: held.requests == ["p-0"], what="the plan begun")
    await _publish_copy(nc, plan, sent.seq)
    await eventually(lambda: _has_messages(nc, 1), what="the copy gone")
    held.open()
    await assert_each_began_once(feed, [plan])
    assert held.requests == ["p-0"]
    assert not feed.of("p-0", "PLAN_RESUMED")


async def _publish_copy(nc: Client, plan: Plan, sequence: int) -> None:
    headers = {subjects.SUBMISSION_HEADER: str(sequence)}
    lane = subjects.plan_lane_subject(FIRST_LANE, "ab12")
    await nc.jetstream().publish(lane, json.dumps(plan).encode(), headers=headers)


async def _has_messages(nc: Client, count: int) -> bool:
    return await messages(nc) == count
