"""A flood of one account doesn't keep another one waiting; urgent plans go first, those of low priority last."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.connection import flush
from leadplan_contracts import subjects
from leadplan_contracts.times import format_time
from leadplan_executor.core.lanes import TURN_EVERY

Plan = dict[str, Any]

pytestmark = pytest.mark.skipif(
    "LEADPLAN_CRASH_POINTS" in os.environ,
    reason="counts what is in lanes and at the tool at one moment: executors that are lost all the time hold less",
)


class Gate:
    """A tool whose requests wait until they are let through."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._open = False

    async def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        self.begun.append(request["planId"])
        if not self._open:
            held: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(held)
            await held
        return {"success": True, "data": {}}

    def let_one_through(self) -> None:
        self._waiting.pop(0).set_result(None)

    def open(self) -> None:
        self._open = True
        while self._waiting:
            self.let_one_through()

    def count(self, prefix: str) -> int:
        return sum(plan_id.startswith(prefix) for plan_id in self.begun)


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
async def gated(gate: Gate, serve_tool: Callable[..., Awaitable[Any]]) -> Any:
    return await serve_tool(behaviour=gate.answer)


def plans_of(make_plan: Callable[..., Plan], account: str, count: int, *, first: int = 0, **plan: Any) -> list[Plan]:
    made = [make_plan(f"{account}-{number}", [{"id": "s"}], **plan) for number in range(first, first + count)]
    for one in made:
        one["user"] = {"userId": "u_1", "accountId": account.partition("-")[0]}
    return made


async def submit(feed: Any, plans: list[Plan]) -> None:
    for one in plans:
        await feed.submit(one)


async def in_queue(nc: Client) -> dict[str, int]:
    """What lies in the stream, by subject."""
    question = json.dumps({"subjects_filter": ">"}).encode()
    reply = await nc.request(f"$JS.API.STREAM.INFO.{subjects.PLANS_STREAM}", question)
    found: dict[str, int] = json.loads(reply.data)["state"].get("subjects") or {}
    return found


async def in_lanes(nc: Client) -> dict[int, int]:
    """How many plans each lane has, those included that came from it and run."""
    counts: dict[int, int] = {}
    for subject, count in (await in_queue(nc)).items():
        if subject.startswith("plans.lane."):
            lane = int(subject.split(".")[2])
            counts[lane] = counts.get(lane, 0) + count
    return counts


async def lie_in_lanes(nc: Client, count: int) -> bool:
    """Whether so many plans are in lanes, and none is on its way there."""
    info = await nc.jetstream().consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
    lying = sum((await in_queue(nc)).values())
    return (
        sum((await in_lanes(nc)).values()) == count and info.num_pending == 0 and lying == info.num_ack_pending + count
    )


async def assert_each_ran_once(feed: Any, plans: list[Plan]) -> None:
    for one in plans:
        plan_id = one["plan"]["id"]
        assert (await feed.result(plan_id))["overallStatus"] == "succeeded"
        kinds = [event["type"] for event in await feed.log(plan_id)]
        assert kinds.count("PLAN_STARTED") == 1
        assert kinds.count("PLAN_COMPLETED") == 1


async def test_the_few_run_at_once_while_a_flood_waits(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=40)
    flood, few = plans_of(make_plan, "flood", 100), plans_of(make_plan, "few", 5)
    await submit(feed, flood)
    await eventually(lambda: gate.count("flood") == 30, what="all slots but the reserve taken")
    await submit(feed, few)
    await eventually(lambda: gate.count("few") == 5, what="the few begun")
    assert gate.count("flood") == 30
    gate.open()
    await assert_each_ran_once(feed, flood + few)
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def _is_empty(nc: Client) -> bool:
    return not await in_queue(nc)


async def test_twenty_behind_a_flood_are_done_when_most_of_it_still_waits(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    flood, few = plans_of(make_plan, "flood", 500), plans_of(make_plan, "few", 20)
    await start_executor(max_plans=64)
    await submit(feed, flood + few)
    await eventually(lambda: lie_in_lanes(nc, 464), what="all plans run or moved to lanes")
    # Lane 2 holds what lane 1 has no room for, and so on. Those that run are in the counts of lanes too.
    counts = await in_lanes(nc)
    assert counts.keys() == {1, 2, 3}
    assert abs(counts[2] - 256) <= 8  # counted at most every fifth of a second
    gate.open()
    for one in few:
        await feed.result(one["plan"]["id"])
    last_of_few = max(feed.events.index(feed.of(one["plan"]["id"], "PLAN_COMPLETED")[0]) for one in few)
    before = [event["planId"] for event in feed.events[:last_of_few] if event["type"] == "PLAN_COMPLETED"]
    # Those that ran when the few came, the first ones of the flood, and some that were begun in the meantime.
    assert sum(plan_id.startswith("flood") for plan_id in before) <= 200
    await assert_each_ran_once(feed, flood + few)


async def test_an_urgent_plan_goes_first(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=4)
    flood = plans_of(make_plan, "flood", 30)
    urgent = plans_of(make_plan, "flood-urgent", 4, priority="urgent")
    await submit(feed, flood)
    await eventually(lambda: len(gate.begun) == 3, what="all slots but the reserve taken")
    await submit(feed, urgent[:1])
    await eventually(lambda: gate.count("flood-urgent") == 1, what="the first urgent plan in the reserve")
    await submit(feed, urgent[1:])
    await eventually(lambda: lie_in_lanes(nc, 30), what="all plans run or moved to lanes")
    assert (await in_lanes(nc))[0] == 3
    for begun in range(5, 8):
        gate.let_one_through()
        await eventually(lambda begun=begun: len(gate.begun) == begun, what="the next plan begun")
    # One of each lane may have been on its way before.
    assert gate.count("flood-urgent") >= 3
    gate.open()
    await assert_each_ran_once(feed, flood + urgent)


async def test_plans_of_low_priority_go_last(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=1)
    first = plans_of(make_plan, "other", 1)
    low = plans_of(make_plan, "acct-low", 12, priority="low")
    normal = plans_of(make_plan, "acct-normal", 12)
    await submit(feed, first)
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    await submit(feed, low + normal)
    await eventually(lambda: lie_in_lanes(nc, 24), what="all plans in lanes")
    assert await in_lanes(nc) == {1: 12, 4: 12}
    gate.open()
    await assert_each_ran_once(feed, low + normal)
    last_normal = max(gate.begun.index(one["plan"]["id"]) for one in normal)
    earlier = sum(plan_id.startswith("acct-low") for plan_id in gate.begun[:last_normal])
    assert earlier <= len(normal) // (TURN_EVERY - 1) + 2


async def test_while_there_is_room_nothing_is_moved(
    feed: Any, serve_tool: Any, start_executor: Any, make_plan: Any, nc: Client
) -> None:
    await serve_tool()
    await start_executor(max_plans=16)
    plans = plans_of(make_plan, "acct", 36)
    for first in range(0, len(plans), 12):
        some = plans[first : first + 12]
        await submit(feed, some)
        await assert_each_ran_once(feed, some)
    assert (await nc.jetstream().stream_info(subjects.PLANS_STREAM)).state.last_seq == len(plans)


async def test_what_one_executor_has_no_slot_for_another_one_runs(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=4)
    plans = plans_of(make_plan, "flood", 20)
    await submit(feed, plans)
    await eventually(lambda: len(gate.begun) == 3, what="all slots but the reserve taken")
    await eventually(lambda: lie_in_lanes(nc, 17), what="the others in lanes")
    await start_executor(max_plans=8)
    await eventually(lambda: len(gate.begun) == 9, what="the slots of the other executor taken")
    gate.open()
    await assert_each_ran_once(feed, plans)
    assert len(gate.begun) == len(plans)


async def test_a_plan_that_waits_is_known_to_be_queued(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=1)
    await submit(feed, plans_of(make_plan, "acct", 2))
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    await eventually(lambda: lie_in_lanes(nc, 1), what="the other plan in a lane")
    [waiting] = {"acct-0", "acct-1"} - set(gate.begun)
    status = json.loads((await nc.request("plans.status", json.dumps({"planId": waiting}).encode())).data)
    assert status["state"] == "queued"
    assert status["title"] == "A test plan"
    gate.open()
    await feed.result(waiting)
    started = feed.of(waiting, "PLAN_STARTED")[0]["meta"]
    assert started["submission"] < started["message"]


async def test_the_trace_of_a_plan_goes_with_it(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await start_executor(max_plans=1)
    first, second = plans_of(make_plan, "acct", 2)
    await feed.submit(first)
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    await nc.jetstream().publish("plans.execute", json.dumps(second).encode(), headers={"traceparent": trace})
    await eventually(lambda: lie_in_lanes(nc, 1), what="the other plan in a lane")
    gate.open()
    await feed.result("acct-1")
    started = feed.events.index(feed.of("acct-1", "PLAN_STARTED")[0])
    assert feed.headers[started]["traceparent"] == trace


async def test_a_run_that_a_schedule_fired_stays_what_it_is(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=1)
    await submit(feed, plans_of(make_plan, "acct", 10))
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    await eventually(lambda: lie_in_lanes(nc, 9), what="the others in a lane")
    [fired] = plans_of(make_plan, "fired", 1)
    headers = {
        subjects.SCHEDULE_HEADER: f"@at {format_time(int(time.time() * 1000))}",
        subjects.SCHEDULE_TARGET_HEADER: subjects.PLANS_EXECUTE,
    }
    await nc.jetstream().publish("plans.schedule.fired", json.dumps(fired).encode(), headers=headers)
    await eventually(lambda: _lies_in_queue(nc, 2), what="the schedule fired")
    gate.let_one_through()
    await eventually(lambda: len(gate.begun) == 2, what="the next plan begun")
    gate.let_one_through()
    await eventually(lambda: gate.count("fired"), what="the fired plan begun")
    [plan_id] = [one for one in gate.begun if one.startswith("fired")]
    [started] = feed.of(plan_id, "PLAN_STARTED")
    assert plan_id == f"fired-0-{started['meta']['submission']}"
    assert "message" not in started["meta"]
    gate.open()
    await feed.result(plan_id)


async def _lies_in_queue(nc: Client, count: int) -> bool:
    return (await in_queue(nc)).get(subjects.PLANS_EXECUTE, 0) == count


HOSTILE = [
    b"",
    b"\xff\xfe\x00",
    b"[" * 50_000,
    b'{"plan": ' + b'{"a":' * 5_000 + b"1" + b"}" * 5_000 + b"}",
    json.dumps({"plan": {"priority": 7}, "user": {"userId": ["x"]}}).encode(),
    json.dumps({"plan": None, "user": None}).encode(),
    b'{"user": {"userId": "\\ud800", "accountId": "plans.lane.0.>"}, "plan": {"priority": "urgent"}}',
    json.dumps({"user": {"userId": "u" * 100_000}, "plan": {}}).encode(),
]


async def test_bodies_that_nobody_can_read_are_rejected_from_lanes_too(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    await start_executor(max_plans=1)
    [first, last] = plans_of(make_plan, "acct", 2)
    last["user"]["accountId"] = "*.> plans.lane.0.x \u2603"
    await feed.submit(first)
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    too_large_to_move = b"x" * (nc.max_payload - 100)
    js = nc.jetstream()
    sent = {(await js.publish(subjects.PLANS_EXECUTE, body)).seq for body in (*HOSTILE, too_large_to_move)}
    await feed.submit(last)
    await eventually(lambda: lie_in_lanes(nc, len(HOSTILE) + 1), what="all in lanes, or in hand")
    gate.open()
    await feed.result("acct-1")
    await eventually(lambda: len(feed.of("_unreadable", "PLAN_REJECTED")) == len(HOSTILE) + 1, what="all rejected")
    assert {event["meta"]["submission"] for event in feed.of("_unreadable", "PLAN_REJECTED")} == sent
    await eventually(lambda: _is_empty(nc), what="an empty queue")


async def test_plans_in_hand_go_back_when_an_executor_stops(
    feed: Any, gate: Gate, gated: Any, start_executor: Any, make_plan: Any, nc: Client, eventually: Any
) -> None:
    stopping = await start_executor(max_plans=1)
    plans = plans_of(make_plan, "acct", 6)
    await submit(feed, plans)
    await eventually(lambda: len(gate.begun) == 1, what="the only slot taken")
    await eventually(lambda: lie_in_lanes(nc, 5), what="the others in a lane")
    stopped = asyncio.create_task(stopping.stop())
    await start_executor(max_plans=8)
    await eventually(lambda: len(gate.begun) == 6, what="the others begun elsewhere")
    gate.open()
    await stopped
    await flush(nc)
    await assert_each_ran_once(feed, plans)
