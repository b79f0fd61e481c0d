"""The table of protocol section 5: what the executor makes of everything that a tool can answer."""

import asyncio
import json

import pytest
from msgspec import Raw

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts import (
    DataRef,
    LeadGenStepResult,
    LeadGenStepStatus,
    LeadToolExecutionEnv,
    SupervisorUserContext,
)
from leadplan_executor.tool_calls import tool_request

ONCE = {"maxRetries": 0}
TWICE = {"maxRetries": 1, "baseDelayMs": 1}


async def run_one(feed, make_plan, **step):
    result = await feed.run(make_plan("p1", [{"id": "a", "retry": TWICE, **step}]))
    return result["stepResults"][0]


async def test_nobody_listens(executor, feed, make_plan):
    step = await run_one(feed, make_plan)
    assert (step["errorCode"], step["attempts"]) == ("no_responders", 2)


async def test_no_reply_in_time(executor, feed, serve_tool, make_plan):
    tool = await serve_tool(behaviour=lambda request: None)
    step = await run_one(feed, make_plan, timeoutMs=50)
    assert (step["errorCode"], step["attempts"]) == ("timeout", 2)
    assert len(tool.requests) == 2


async def test_no_reply_in_time_is_not_repeated_when_at_most_once(executor, feed, serve_tool, make_plan):
    tool = await serve_tool(behaviour=lambda request: None)
    step = await run_one(feed, make_plan, timeoutMs=50, atMostOnce=True)
    assert (step["errorCode"], step["attempts"]) == ("timeout", 1)
    assert len(tool.requests) == 1


async def test_a_tool_that_goes_silent_is_lost(executor, feed, nc, serve_tool, make_plan, monkeypatch):
    monkeypatch.setattr("leadplan_contracts.subjects.SIGN_OF_LIFE_TIMEOUT_MS", 100)

    async def one_sign(request):
        await nc.publish(request["_reply_to"], b"", headers={"Leadplan-Reply": "working"})

    await serve_tool(behaviour=one_sign)
    step = await run_one(feed, make_plan)
    assert (step["errorCode"], step["attempts"]) == ("tool_lost", 2)


NO_REPLIES = {
    "empty": b"",
    "text": b"hello",
    "array": b"[]",
    "no success": b"{}",
    "success is text": b'{"success":"yes"}',
    "no utf-8": b"\xff",
    "cut off": b"[" * 100_000,
    "too deep": b'{"success":true,"data":' + b"[" * 500 + b"]" * 500 + b"}",
    "data is no utf-8": b'{"success":true,"data":"\xff"}',
    "data is no JSON": b'{"success":true,"data":NaN}',
    "other bucket": b'{"success":true,"dataRef":{"bucket":"OTHER","name":"x","size":1,"digest":"d"}}',
}


@pytest.mark.parametrize("kind", NO_REPLIES)
async def test_a_reply_that_is_none(executor, feed, serve_tool, make_plan, kind):
    await serve_tool(behaviour=lambda request: NO_REPLIES[kind])
    step = await run_one(feed, make_plan)
    assert (step["errorCode"], step["attempts"]) == ("bad_reply", 2)


@pytest.mark.parametrize(("code", "attempts"), [("400", 1), ("404", 1), ("408", 2), ("429", 2), ("500", 2), ("x", 2)])
async def test_a_micro_error_reply(executor, feed, nc, serve_tool, make_plan, code, attempts):
    async def micro_error(request):
        headers = {"Nats-Service-Error": "out of order", "Nats-Service-Error-Code": code}
        await nc.publish(request["_reply_to"], b"", headers=headers)

    await serve_tool(behaviour=micro_error)
    step = await run_one(feed, make_plan)
    assert (step["errorCode"], step["attempts"]) == ("service_error", attempts)
    assert "out of order" in step["errorMessage"]


async def test_a_request_over_the_limit_is_not_sent_and_not_repeated(executor, feed, nc, serve_tool, make_plan):
    big = "x" * 250_000
    tool = await serve_tool(behaviour=lambda request: {"success": True, "data": big})
    before = [{"id": f"s{number}"} for number in range(5)]
    last = {"id": "last", "dependsOn": [step["id"] for step in before]}
    result = await feed.run(make_plan("p1", [*before, last]))
    failed = result["stepResults"] or (await fetched_results(nc, result))
    assert failed[-1]["errorCode"] == "payload_too_large"
    assert failed[-1]["attempts"] == 1
    assert tool.calls("last") == []


async def fetched_results(nc, result):
    ref = result["stepResultsRef"]
    body = await ClaimCheck(nc.jetstream()).get(DataRef(**ref))
    return json.loads(body)


async def test_large_data_goes_through_the_claim_check(executor, feed, nc, serve_tool, make_plan):
    text = "x" * 300_000
    await serve_tool(behaviour=lambda request: {"success": True, "data": text})
    result = await feed.run(make_plan("p1", [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}]))
    ref = result["stepResults"][0]["dataRef"]
    assert "data" not in result["stepResults"][0]
    assert (ref["bucket"], ref["size"]) == ("PLAN_DATA", 300_002)
    assert json.loads(await ClaimCheck(nc.jetstream()).get(DataRef(**ref))) == text
    assert feed.of("p1", "STEP_SUCCEEDED")[0]["result"]["dataRef"] == ref


async def test_a_result_too_large_for_a_message_is_stored_beside_the_log(executor, feed, nc, serve_tool, make_plan):
    await serve_tool(behaviour=lambda request: {"success": True, "data": "x" * 200_000})
    result = await feed.run(make_plan("p1", [{"id": f"s{number}"} for number in range(6)]))
    assert result["overallStatus"] == "succeeded"
    assert result["stepResults"] == []
    assert [step["stepId"] for step in await fetched_results(nc, result)] == [f"s{number}" for number in range(6)]


async def test_a_busy_tool_is_asked_again_and_no_attempt_is_counted(executor, feed, serve_tool, make_plan):
    asked = 0

    def behave(request):
        nonlocal asked
        asked += 1
        if asked < 10:
            return {"success": False, "errorCode": "busy", "retryAfterMs": 10}
        return {"success": True}

    await serve_tool(behaviour=behave)
    step = await run_one(feed, make_plan)
    assert (step["status"], step["attempts"], asked) == ("succeeded", 1, 10)
    assert len(feed.of("p1", "STEP_STARTED")) == 1


async def test_a_tool_that_stays_busy_too_long_fails_the_attempt(start_executor, feed, serve_tool, make_plan):
    await start_executor(busy_limit_ms=100)
    await serve_tool(behaviour=lambda request: {"success": False, "errorCode": "busy", "retryAfterMs": 30})
    step = await run_one(feed, make_plan)
    assert (step["errorCode"], step["attempts"]) == ("busy", 2)


async def test_progress_is_seen_live_and_not_stored(executor, feed, nc, serve_tool, make_plan):
    async def behave(request):
        body = json.dumps({"progress": 0.4, "message": "12 of 30 domains"}).encode()
        await nc.publish(request["_reply_to"], body, headers={"Leadplan-Reply": "working"})
        await nc.publish(request["_reply_to"], b"garbage", headers={"Leadplan-Reply": "working"})
        await asyncio.sleep(0.05)
        return {"success": True}

    await serve_tool(behaviour=behave)
    await feed.run(make_plan("p1", [{"id": "a"}]))
    (progress,) = feed.of("p1", "STEP_PROGRESS")
    assert progress["meta"] == {"progress": 0.4, "message": "12 of 30 domains"}
    assert progress["step"]["id"] == "a"
    assert "sequence" not in progress
    assert all(event["type"] != "STEP_PROGRESS" for event in await feed.log("p1"))


async def test_the_last_of_many_progress_reports_is_never_lost(executor, feed, nc, serve_tool, make_plan):
    async def behave(request):
        for number in range(1, 101):
            body = json.dumps({"progress": number / 100}).encode()
            await nc.publish(request["_reply_to"], body, headers={"Leadplan-Reply": "working"})
        return {"success": True}

    await serve_tool(behaviour=behave)
    await feed.run(make_plan("p1", [{"id": "a"}]))
    await feed.until(lambda: feed.of("p1", "STEP_PROGRESS"))
    reported = [event["meta"]["progress"] for event in feed.of("p1", "STEP_PROGRESS")]
    assert reported[-1] == 1.0
    assert len(reported) < 20


async def test_a_second_and_a_late_reply_change_nothing(executor, feed, nc, serve_tool, make_plan):
    async def twice(request):
        reply = json.dumps({"success": True, "data": request["attempt"]}).encode()
        if request["stepId"] == "late" and request["attempt"] == 1:
            await asyncio.sleep(0.15)
        await nc.publish(request["_reply_to"], reply)
        await nc.publish(request["_reply_to"], b'{"success":false}')

    await serve_tool(behaviour=twice)
    steps = [{"id": "a"}, {"id": "late", "timeoutMs": 80, "retry": TWICE}, {"id": "b", "dependsOn": ["a", "late"]}]
    result = await feed.run(make_plan("p1", steps))
    assert [(one["status"], one.get("data")) for one in result["stepResults"]] == [
        ("succeeded", 1),
        ("succeeded", 2),
        ("succeeded", 1),
    ]


async def test_very_long_messages_and_codes_are_cut(executor, feed, serve_tool, make_plan):
    reply = {"success": False, "errorMessage": "x" * 900_000, "errorCode": "y" * 900, "retryable": False}
    await serve_tool(behaviour=lambda request: reply)
    step = await run_one(feed, make_plan)
    assert len(step["errorMessage"]) == 4_000
    assert len(step["errorCode"]) == 64


async def test_nulls_mean_absent(executor, feed, serve_tool, make_plan):
    reply = {"success": True, "data": None, "errorMessage": None, "errorCode": None, "retryable": None}
    await serve_tool(behaviour=lambda request: {**reply, "retryAfterMs": None, "dataRef": None, "extra": 1})
    assert (await run_one(feed, make_plan))["status"] == "succeeded"


def test_a_request_carries_all_that_there_is_to_say_of_the_step():
    env = LeadToolExecutionEnv(
        plan_id="p1",
        step_id="a",
        attempt=2,
        idempotency_key="p1:a",
        round=3,
        deadline="2026-11-23T09:15:02.417Z",
        timeout_ms=1_000,
        user=SupervisorUserContext(user_id="u_7"),
        plan=Raw(b'{"id":"p1"}'),
        prior_results={"b": LeadGenStepResult(step_id="b", status=LeadGenStepStatus.SUCCEEDED, attempts=1)},
    )
    request = tool_request("ECHO", {"n": 1}, env)
    said = {name: getattr(env, name) for name in env.__struct_fields__}
    assert None not in said.values()
    assert {name: getattr(request, name) for name in request.__struct_fields__} == {
        **said,
        "tool": "ECHO",
        "params": {"n": 1},
    }
