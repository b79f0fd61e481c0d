"""Steering plans whose executor has just died or stands still: a fleet of three real processes, asked by any client."""

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from leadplan_client import ControlRefusedError, PlanClient
from leadplan_contracts.control import ControlReply, PlanState

IN_TIME = 15.0
EXECUTORS = ("one", "two", "three")
SETTINGS = {"LEADPLAN_GRACE_MS": "0", "LEADPLAN_PARK_AFTER_MS": "100"}
TAKES_UP = ("PLAN_STARTED", "PLAN_RESUMED", "PLAN_RETRIED")


class Gate:
    """A tool whose step ``gated`` runs until it is let through, and whose step ``bad`` fails the first time."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def behave(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["stepId"] == "gated":
            await self.opened.wait()
        if request["stepId"] == "bad" and request.get("round", 1) == 1:
            return {"success": False, "errorMessage": "no luck", "errorCode": "unlucky", "retryable": False}
        return {"success": True, "data": {"step": request["stepId"]}}


@pytest.fixture
async def gate(serve_tool: Any) -> Any:
    gate = Gate()
    gate.tool = await serve_tool("ECHO", gate.behave)  # type: ignore[attr-defined]
    return gate


@pytest.fixture
async def fleet(executor_process: Any, feed: Any) -> dict[str, Any]:
    """Three processes by name."""
    started = {name: executor_process(LEADPLAN_EXECUTOR_NAME=name, **SETTINGS) for name in EXECUTORS}
    await feed.until(lambda: all(process.serving for process in started.values()))
    return started


@pytest.fixture
def client(nc: Client) -> PlanClient:
    return PlanClient(nc)


async def owners_of(feed: Any, plan_id: str) -> list[str]:
    """The executors that had the plan, one after the other, as the log tells."""
    return [event["meta"]["executor"] for event in await feed.log(plan_id) if event["type"] in TAKES_UP]


class Lost(NamedTuple):
    """How an owner is lost, and what becomes of it in the end."""

    strike: Callable[[Any], None]
    bring_back: Callable[[Any], None]


def freeze(process: Any) -> None:
    process.process.send_signal(signal.SIGSTOP)


def thaw(process: Any) -> None:
    process.process.send_signal(signal.SIGCONT)


WAYS = {
    "killed": Lost(lambda process: process.kill(), lambda _: None),
    "frozen": Lost(freeze, thaw),
}


@pytest.fixture(params=WAYS)
def lost(request: pytest.FixtureRequest, fleet: dict[str, Any]) -> Any:
    way = WAYS[request.param]
    yield way
    for process in fleet.values():
        if process.process.poll() is None:
            thaw(process)


async def strike_owner(feed: Any, fleet: dict[str, Any], plan_id: str, lost: Lost) -> Any:
    """The process that had the plan, and has it no more."""
    owner = (await owners_of(feed, plan_id))[-1]
    process = fleet[owner.rpartition("-")[0]]
    lost.strike(process)
    return process


def kinds(log: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in log if event["type"] not in ("PLAN_RESUMED", "STEP_STARTED")]


RUNNING = [{"id": "gated"}, {"id": "next", "dependsOn": ["gated"]}]


async def begun(feed: Any, gate: Any, make_plan: Any) -> None:
    """Plan p1 is under way, with its first step at its tool."""
    await feed.submit(make_plan("p1", RUNNING))
    await feed.until(lambda: gate.tool.calls("gated"))


async def in_time(asking: Any) -> Any:
    async with asyncio.timeout(IN_TIME):
        return await asking


def assert_one_effect(log: list[dict[str, Any]], kind: str, by: str) -> None:
    assert [event["meta"]["by"] for event in log if event["type"] == kind] == [by]


async def all_is_settled(nc: Client, within: float = 10.0) -> None:
    """Until no message of the queue is held and none waits: whoever came back holds nothing."""
    js, infos = nc.jetstream(), []
    try:
        async with asyncio.timeout(within):
            while not infos or any(info.num_ack_pending or info.num_pending for info in infos):
                infos = [await js.consumer_info("PLANS", name) for name in ("executors", "wakes")]
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"still held after {within:g} s: {infos}") from None


async def after_its_return(nc: Client, feed: Any, lost: Lost, process: Any) -> list[dict[str, Any]]:
    """The plan's log once the lost one is back, if it comes back, and has nothing in hand."""
    before = await feed.log("p1")
    lost.bring_back(process)
    if process.process.poll() is None:
        for owner in await owners_of(feed, "p1"):
            await until_it_holds_nothing(nc, owner)
    await all_is_settled(nc)
    after = await feed.log("p1")
    assert after == before, "whoever comes back adds nothing"
    holder = None
    for event in after:
        holder = event["meta"]["executor"] if event["type"] in TAKES_UP else holder
        assert await appender(nc, "p1", event["sequence"]) == holder
    return after


async def until_it_holds_nothing(nc: Client, executor: str, within: float = 10.0) -> None:
    """Until an executor answers, and says that it doesn't hold the plan."""
    directive = json.dumps({"endpoint": "cancel", "request": {"planId": "p1"}}).encode()
    answer = b""
    async with asyncio.timeout(within):
        while answer != b"{}":
            answer = (await nc.request(f"plans.owner.{executor}", directive, timeout=within)).data


async def appender(nc: Client, plan_id: str, number: int) -> str:
    """Who stored an event of a plan."""
    js = nc.jetstream()
    sequence = 0
    for _ in range(number):
        message = await js.get_msg("PLAN_LOG", seq=sequence + 1, subject=f"plans.log.{plan_id}", next=True)
        sequence = message.seq or 0
    return (message.headers or {})["Leadplan-Executor"]


async def test_a_plan_is_cancelled_whose_owner_was_just_lost(lost, fleet, gate, feed, client, nc, make_plan):
    notices: list[bytes] = []

    async def hear(message: Any) -> None:
        notices.append(message.data)

    await nc.subscribe("tools.ECHO.cancel", cb=hear)
    await begun(feed, gate, make_plan)
    process = await strike_owner(feed, fleet, "p1", lost)
    reply = await in_time(client.cancel("p1", by="ann"))
    assert reply.state in (PlanState.CANCELLING, PlanState.COMPLETED)
    assert (await feed.result("p1"))["overallStatus"] == "cancelled"
    await feed.until(lambda: notices)
    log = await after_its_return(nc, feed, lost, process)
    assert_one_effect(log, "PLAN_CANCELLING", "ann")
    assert kinds(log) == ["PLAN_STARTED", "PLAN_CANCELLING", "STEP_FAILED", "STEP_SKIPPED", "PLAN_COMPLETED"]


async def test_a_plan_is_paused_and_goes_on_though_each_owner_is_lost(lost, fleet, gate, feed, client, nc, make_plan):
    await begun(feed, gate, make_plan)
    process = await strike_owner(feed, fleet, "p1", lost)
    reply = await in_time(client.pause("p1", by="ann"))
    assert reply.state is PlanState.PAUSED
    gate.opened.set()
    await feed.until(lambda: feed.of("p1", "STEP_SUCCEEDED"))
    assert (await in_time(client.status("p1"))).state is PlanState.PAUSED
    assert not gate.tool.calls("next")
    reply = await in_time(client.resume("p1", by="ben"))
    assert reply.state is PlanState.RUNNING or reply.sequence > 0
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    log = await after_its_return(nc, feed, lost, process)
    assert_one_effect(log, "PLAN_PAUSED", "ann")
    assert_one_effect(log, "PLAN_UNPAUSED", "ben")
    assert kinds(log) == [
        "PLAN_STARTED", "PLAN_PAUSED", "STEP_SUCCEEDED", "PLAN_UNPAUSED", "STEP_SUCCEEDED", "PLAN_COMPLETED",
    ]  # fmt: skip


@pytest.mark.parametrize("decision", ["approve", "deny"])
async def test_a_step_is_decided_upon_though_the_owner_was_just_lost(
    decision, lost, fleet, gate, feed, client, nc, make_plan
):
    # One step runs meanwhile, so that the plan has an owner.
    await feed.submit(make_plan("p1", [{"id": "gated"}, {"id": "ask", "requiresApproval": True}]))
    await feed.until(lambda: gate.tool.calls("gated") and feed.of("p1", "STEP_WAITING"))
    process = await strike_owner(feed, fleet, "p1", lost)
    asking = client.approve("p1", "ask", by="ann") if decision == "approve" else client.deny("p1", "ask", by="ann")
    assert (await in_time(asking)).steps == ["ask"]
    gate.opened.set()
    result = await feed.result("p1")
    assert [one["status"] for one in result["stepResults"]] == [
        "succeeded", "succeeded" if decision == "approve" else "failed",
    ]  # fmt: skip
    log = await after_its_return(nc, feed, lost, process)
    assert_one_effect(log, "STEP_APPROVED" if decision == "approve" else "STEP_DENIED", "ann")
    assert len(gate.tool.calls("ask")) == (decision == "approve")


async def test_a_retried_plan_runs_to_its_end_though_both_owners_are_lost(
    lost, fleet, gate, feed, client, nc, make_plan
):
    """The one that ran it to its end, and the one that runs it again."""
    steps = [{"id": "good"}, {"id": "bad", "dependsOn": ["good"]}, {"id": "gated", "dependsOn": ["bad"]}]
    assert (await feed.run(make_plan("p1", steps)))["overallStatus"] == "failed"
    first = await strike_owner(feed, fleet, "p1", lost)
    reply = await in_time(client.retry("p1", by="ann"))
    assert reply.steps == ["bad", "gated"]
    await feed.until(lambda: gate.tool.calls("gated"))
    lost.bring_back(first)
    second = await strike_owner(feed, fleet, "p1", lost)
    with pytest.raises(ControlRefusedError, match="hasn't ended"):
        await in_time(client.retry("p1", by="ben"))
    gate.opened.set()
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    log = await after_its_return(nc, feed, lost, second)
    assert_one_effect(log, "PLAN_RETRIED", "ann")
    assert log[-1]["result"]["overallStatus"] == "succeeded"
    assert len(gate.tool.calls("good")) == 1


async def test_the_state_is_told_though_the_owner_was_just_lost(lost, fleet, gate, feed, client, nc, make_plan):
    await begun(feed, gate, make_plan)
    process = await strike_owner(feed, fleet, "p1", lost)
    status = await in_time(client.status("p1"))
    assert status.state is PlanState.RUNNING
    assert [step.result.status for step in status.steps or ()] == ["running", "pending"]
    page = [plan async for plan in client.list_plans()]
    assert [(plan.plan_id, plan.state) for plan in page] == [("p1", PlanState.RUNNING)]
    gate.opened.set()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    await after_its_return(nc, feed, lost, process)


async def test_many_ask_at_once_when_the_owner_was_just_lost(lost, fleet, gate, feed, nc, make_plan):
    await begun(feed, gate, make_plan)
    process = await strike_owner(feed, fleet, "p1", lost)
    clients = [PlanClient(nc) for _ in range(6)]
    asking = [client.pause("p1", by=f"person {number}") for number, client in enumerate(clients)]
    replies: list[ControlReply] = await in_time(asyncio.gather(*asking))
    assert {reply.state for reply in replies} == {PlanState.PAUSED}
    assert (await in_time(clients[0].resume("p1"))).changed
    gate.opened.set()
    await feed.result("p1")
    log = await after_its_return(nc, feed, lost, process)
    assert [event["type"] for event in log].count("PLAN_PAUSED") == 1


async def waiting_and_let_go(feed: Any, nc: Client, make_plan: Any, **step: Any) -> None:
    """Plan p1 waits for a person, and nobody holds it."""
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True, **step}]))
    await feed.until(lambda: feed.of("p1", "STEP_WAITING"))
    await all_is_settled(nc)


async def test_a_plan_that_waits_wakes_in_time_though_who_let_go_of_it_is_lost(lost, fleet, feed, nc, make_plan):
    await waiting_and_let_go(feed, nc, make_plan, deadlineMs=1_500)
    process = await strike_owner(feed, fleet, "p1", lost)
    result = await feed.result("p1")
    assert [one["errorCode"] for one in result["stepResults"]] == ["deadline_exceeded"]
    await after_its_return(nc, feed, lost, process)


async def test_a_plan_that_waits_is_cancelled_though_who_let_go_of_it_is_lost(lost, fleet, feed, client, nc, make_plan):
    await waiting_and_let_go(feed, nc, make_plan)
    process = await strike_owner(feed, fleet, "p1", lost)
    assert (await nc.jetstream().get_last_msg("PLANS", "plans.timer.p1")).seq
    assert (await in_time(client.cancel("p1"))).changed
    assert (await feed.result("p1"))["overallStatus"] == "cancelled"
    await after_its_return(nc, feed, lost, process)
    with pytest.raises(NotFoundError):  # nothing will wake a plan that has ended
        await nc.jetstream().get_last_msg("PLANS", "plans.timer.p1")


async def test_a_request_that_comes_again_late_undoes_nothing(fleet, gate, feed, control, make_plan):
    """Its answer was lost, and other people have asked for other things since."""
    await begun(feed, gate, make_plan)
    assert (await control.ask("pause", planId="p1", requestId="r1"))["changed"] is True
    assert (await control.ask("resume", planId="p1", requestId="r1"))["changed"] is True
    again = await control.ask("pause", planId="p1", requestId="r1")
    assert (again["changed"], again["state"]) == (False, "running")
    gate.opened.set()
    await feed.result("p1")
    assert (await control.ask("pause", planId="p1", requestId="r1"))["changed"] is False
    assert (await control.ask("pause", planId="p1", requestId="r2"))["code"] == "already_completed"
    assert kinds(await feed.log("p1")).count("PLAN_PAUSED") == 1
