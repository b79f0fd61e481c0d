"""Steering plans: each request in each state a plan can be in, asked of a fleet of three executors."""

import asyncio

import pytest

FAST = {"baseDelayMs": 10, "maxDelayMs": 20}


@pytest.fixture
async def fleet(start_executor):
    return [await start_executor() for _ in range(3)]


class Gate:
    """A tool whose steps run until they are let through; ``bad`` steps fail as long as they are bad."""

    def __init__(self):
        self.bad = set()
        self._open = {}

    def open(self, step_id):
        self._open.setdefault(step_id, asyncio.Event()).set()

    async def behave(self, request):
        step_id = request["stepId"]
        if step_id.startswith("gated"):
            await self._open.setdefault(step_id, asyncio.Event()).wait()
        if step_id in self.bad:
            return {"success": False, "errorMessage": "no luck", "errorCode": "unlucky", "retryable": False}
        return {"success": True, "data": {"step": step_id}}


@pytest.fixture
async def gate(serve_tool):
    gate = Gate()
    gate.tool = await serve_tool("ECHO", gate.behave)
    return gate


def kinds(events):
    return [event["type"] for event in events]


def statuses(reply):
    return {step["id"]: step["result"]["status"] for step in reply["steps"]}


async def test_a_plan_is_paused_finishes_what_runs_and_goes_on(fleet, gate, feed, control, make_plan):
    await feed.submit(make_plan("p1", [{"id": "gated"}, {"id": "next", "dependsOn": ["gated"]}]))
    await feed.until(lambda: gate.tool.calls("gated"))
    assert await control.ask("pause", planId="p1", by="ann", reason="wait for the budget") == {
        "planId": "p1", "changed": True, "state": "paused", "sequence": 3,
    }  # fmt: skip
    assert (await control.ask("pause", planId="p1"))["changed"] is False
    gate.open("gated")
    await feed.until(lambda: feed.of("p1", "STEP_SUCCEEDED"))
    status = await control.ask("status", planId="p1")
    assert (status["state"], statuses(status)) == ("paused", {"gated": "succeeded", "next": "pending"})
    (waiting,) = status["waiting"]
    assert (waiting["reason"], waiting["by"], waiting["message"]) == ("unpause", "ann", "wait for the budget")
    assert (await control.ask("resume", planId="p1", by="ben"))["changed"] is True
    result = await feed.result("p1")
    assert result["overallStatus"] == "succeeded"
    log = await feed.log("p1")
    paused, unpaused = (next(one for one in log if one["type"] == kind) for kind in ("PLAN_PAUSED", "PLAN_UNPAUSED"))
    assert paused["meta"]["by"] == "ann"
    assert unpaused["meta"]["by"] == "ben"
    assert (await control.ask("resume", planId="p1"))["code"] == "already_completed"


async def test_a_paused_plan_without_running_steps_is_let_go_and_taken_up_again(
    fleet, gate, feed, control, nc, make_plan
):
    await feed.submit(make_plan("p1", [{"id": "gated"}, {"id": "next", "dependsOn": ["gated"]}]))
    await feed.until(lambda: gate.tool.calls("gated"))
    await control.ask("pause", planId="p1")
    gate.open("gated")
    await control.nobody_holds()
    assert (await control.ask("resume", planId="p1"))["state"] == "running"
    await feed.result("p1")
    assert "PLAN_RESUMED" in kinds(await feed.log("p1"))
    assert len(gate.tool.calls("gated")) == 1


async def test_a_step_waits_for_a_person_and_runs_once_approved(fleet, gate, feed, control, nc, make_plan):
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}, {"id": "b", "dependsOn": ["ask"]}]))
    status = await control.until("p1", "waiting")
    assert [(one["reason"], one["stepId"]) for one in status["waiting"]] == [("approval", "ask")]
    await control.nobody_holds()
    reply = await control.ask("approve", planId="p1", stepId="ask", by="ann", reason="go")
    assert (reply["changed"], reply["steps"]) == (True, ["ask"])
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    assert (await control.ask("approve", planId="p1", stepId="ask"))["changed"] is False
    assert (await control.ask("approve", planId="p1", stepId="ask", decision="deny"))["code"] == "already_decided"
    approved = next(one for one in await feed.log("p1") if one["type"] == "STEP_APPROVED")
    assert (approved["meta"]["by"], approved["meta"]["reason"]) == ("ann", "go")
    await control.no_timers()


async def test_a_refused_step_fails_and_what_is_behind_it_is_skipped(fleet, gate, feed, control, nc, make_plan):
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}, {"id": "b", "dependsOn": ["ask"]}]))
    await control.until("p1", "waiting")
    assert (await control.ask("approve", planId="p1", decision="deny", by="ann"))["steps"] == ["ask"]
    result = await feed.result("p1")
    assert [(one["status"], one.get("errorCode")) for one in result["stepResults"]] == [
        ("failed", "denied"),
        ("skipped", "dependency_failed"),
    ]
    assert gate.tool.requests == []


async def test_a_running_plan_is_cancelled_and_its_tools_are_told(fleet, gate, feed, control, nc, make_plan):
    notices = []

    async def hear(message):
        notices.append(message.data)

    await nc.subscribe("tools.ECHO.cancel", cb=hear)
    await feed.submit(make_plan("p1", [{"id": "gated"}, {"id": "b", "dependsOn": ["gated"]}]))
    await feed.until(lambda: gate.tool.calls("gated"))
    assert (await control.ask("cancel", planId="p1", by="ann", reason="wrong city"))["changed"] is True
    result = await feed.result("p1")
    assert (result["overallStatus"], [one["errorCode"] for one in result["stepResults"]]) == (
        "cancelled", ["cancelled", "cancelled"],
    )  # fmt: skip
    await feed.until(lambda: notices)
    assert (await control.ask("cancel", planId="p1"))["changed"] is False
    assert (await control.ask("pause", planId="p1"))["code"] == "already_completed"


async def test_a_waiting_plan_is_cancelled(fleet, gate, feed, control, nc, make_plan):
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}]))
    await control.until("p1", "waiting")
    await control.nobody_holds()
    assert (await control.ask("cancel", planId="p1"))["state"] == "cancelling"
    assert (await feed.result("p1"))["overallStatus"] == "cancelled"


async def test_a_failed_plan_is_retried_from_what_failed(fleet, gate, feed, control, make_plan):
    gate.bad = {"b"}
    steps = [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}, {"id": "c", "dependsOn": ["b"]}]
    assert (await feed.run(make_plan("p1", steps)))["overallStatus"] == "failed"
    gate.bad = set()
    reply = await control.ask("retry", planId="p1", by="ann", requestId="r1")
    assert (reply["changed"], reply["steps"], reply["state"]) == (True, ["b", "c"], "running")
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert (await control.ask("retry", planId="p1", requestId="r1"))["changed"] is False
    assert (await control.ask("retry", planId="p1"))["code"] == "nothing_to_retry"
    assert [len(gate.tool.calls(step)) for step in "abc"] == [1, 2, 1]
    assert [request.get("round") for request in gate.tool.calls("b")] == [None, 2]
    status = await control.ask("status", planId="p1")
    assert (status["overallStatus"], status["round"]) == ("succeeded", 2)
    assert status["steps"][0]["result"]["data"] == {"step": "a"}
    assert kinds(await feed.log("p1"))[-7:] == [
        "PLAN_COMPLETED",
        "PLAN_RETRIED",
        "STEP_STARTED",
        "STEP_SUCCEEDED",
        "STEP_STARTED",
        "STEP_SUCCEEDED",
        "PLAN_COMPLETED",
    ]


async def test_one_step_is_run_again_with_everything_behind_it(fleet, gate, feed, control, make_plan):
    steps = [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}, {"id": "c", "dependsOn": ["b"]}, {"id": "d"}]
    await feed.run(make_plan("p1", steps))
    assert (await control.ask("retry", planId="p1", stepId="b"))["steps"] == ["b", "c"]
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert [len(gate.tool.calls(step)) for step in "abcd"] == [1, 2, 2, 1]
    assert (await control.ask("retry", planId="p1", stepId="x"))["code"] == "unknown_step"


async def test_two_people_retry_at_once_and_one_round_begins(fleet, gate, feed, control, make_plan):
    gate.bad = {"gated"}
    gate.open("gated")
    await feed.run(make_plan("p1", [{"id": "gated"}]))
    gate.bad = set()
    replies = await asyncio.gather(*(control.ask("retry", planId="p1") for _ in range(6)))
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert sum(reply.get("changed", False) for reply in replies) == 1, replies
    assert {reply["code"] for reply in replies if "code" in reply} <= {"not_completed", "nothing_to_retry"}
    assert kinds(await feed.log("p1")).count("PLAN_RETRIED") == 1


async def test_what_nobody_submitted_is_unknown_and_what_was_refused_is_rejected(fleet, feed, control, make_plan):
    for endpoint in ("status", "cancel", "pause", "resume", "retry", "approve"):
        reply = await control.ask(endpoint, planId="nobody")
        assert (reply["status"], reply["code"]) == (404, "unknown_plan"), endpoint
    await feed.submit(make_plan("p1", []))
    await feed.rejection("p1")
    for endpoint in ("cancel", "pause", "resume", "retry", "approve"):
        assert (await control.ask(endpoint, planId="p1"))["code"] == "plan_rejected", endpoint
    status = await control.ask("status", planId="p1")
    assert (status["state"], status["problems"][0]["code"]) == ("rejected", "no_steps")


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b'{"planId": "a b"}', b'{"planId": 7}', b"\xff", b"[" * 5000]
)
async def test_what_is_no_request_is_refused_with_the_reason(fleet, control, body):
    for endpoint in ("status", "cancel", "retry", "approve"):
        reply = await control.ask(endpoint, body)
        assert (reply["status"], reply["code"]) == (400, "invalid_request"), endpoint
        assert reply["message"].startswith("no valid request: ")


async def test_requests_of_many_at_once_are_all_answered(fleet, gate, feed, control, make_plan):
    for number in range(30):
        await feed.submit(make_plan(f"p{number}", [{"id": "ask", "requiresApproval": True}]))
    await asyncio.gather(*(control.until(f"p{number}", "waiting") for number in range(30)))
    asked = [control.ask("approve", planId=f"p{number}", stepId="ask") for number in range(30) for _ in range(2)]
    replies = await asyncio.gather(*asked)
    assert not any("code" in reply for reply in replies), replies
    assert sum(reply.get("changed", False) for reply in replies) == 30
    await feed.until(lambda: len({one["planId"] for one in feed.events if one["type"] == "PLAN_COMPLETED"}) == 30)
    assert len(gate.tool.requests) == 30
