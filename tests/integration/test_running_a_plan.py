"""Protocol section 3 over a real server: retries, skipping, optional steps, concurrency."""

import asyncio

from leadplan_contracts.times import parse_time

FAST = {"baseDelayMs": 10}


def failing(*step_ids, times=1000):
    """A tool that fails so many attempts of these steps."""

    def behave(request):
        if request["stepId"] in step_ids and request["attempt"] <= times:
            return {"success": False, "errorMessage": "no luck", "errorCode": "unlucky"}
        return {"success": True, "data": request["attempt"]}

    return behave


def status_of(result):
    return {one["stepId"]: one["status"] for one in result["stepResults"]}


async def test_a_tool_that_fails_once_is_retried(executor, feed, serve_tool, make_plan):
    tool = await serve_tool(behaviour=failing("a", times=1))
    result = await feed.run(make_plan("p1", [{"id": "a", "retry": FAST}]))
    assert result["overallStatus"] == "succeeded"
    (step,) = result["stepResults"]
    assert (step["attempts"], step["data"], "errorMessage" in step) == (2, 2, False)
    assert {request["idempotencyKey"] for request in tool.requests} == {"p1:a"}
    assert [event["type"] for event in feed.of("p1")] == [
        "PLAN_STARTED",
        "STEP_STARTED",
        "STEP_RETRYING",
        "STEP_STARTED",
        "STEP_SUCCEEDED",
        "PLAN_COMPLETED",
    ]


async def test_a_tool_that_always_fails_is_tried_three_times_and_its_dependants_are_skipped(
    executor, feed, serve_tool, make_plan
):
    tool = await serve_tool(behaviour=failing("bad"))
    plan = make_plan(
        "p1",
        [
            {"id": "bad"},
            {"id": "behind", "dependsOn": ["bad"]},
            {"id": "far_behind", "dependsOn": ["behind"]},
            {"id": "other"},
            {"id": "after_other", "dependsOn": ["other"]},
        ],
    )
    result = await feed.run(plan)
    assert result["overallStatus"] == "failed"
    assert status_of(result) == {
        "bad": "failed",
        "behind": "skipped",
        "far_behind": "skipped",
        "other": "succeeded",
        "after_other": "succeeded",
    }
    bad, behind, far_behind = result["stepResults"][:3]
    assert (bad["attempts"], bad["errorMessage"], bad["errorCode"]) == (3, "no luck", "unlucky")
    for skipped in (behind, far_behind):
        assert skipped["errorMessage"] == "Skipped because a dependency failed"
        assert skipped["attempts"] == 0
    assert len(tool.calls("bad")) == 3
    retrying = feed.of("p1", "STEP_RETRYING")
    assert [event["meta"]["delayMs"] for event in retrying] == [1000, 2000]
    # The waits were waited: each next attempt begins no earlier than announced.
    starts = [event for event in feed.of("p1", "STEP_STARTED") if event["step"]["id"] == "bad"]
    for announced, started in zip(retrying, starts[1:], strict=True):
        assert parse_time(started["time"]) >= parse_time(announced["meta"]["retryAt"])


async def test_an_optional_step_that_fails_lets_its_dependants_run(executor, feed, serve_tool, make_plan):
    await serve_tool(behaviour=failing("bad"))
    plan = make_plan(
        "p1", [{"id": "bad", "optional": True, "retry": {"maxRetries": 0}}, {"id": "b", "dependsOn": ["bad"]}]
    )
    result = await feed.run(plan)
    assert result["overallStatus"] == "partial"
    assert status_of(result) == {"bad": "failed", "b": "succeeded"}


async def test_a_failure_that_is_not_retryable_is_final(executor, feed, serve_tool, make_plan):
    reply = {"success": False, "errorMessage": "bad key", "errorCode": "unauthorized", "retryable": False}
    tool = await serve_tool(behaviour=lambda request: reply)
    result = await feed.run(make_plan("p1", [{"id": "a"}]))
    assert result["stepResults"][0]["attempts"] == 1
    assert len(tool.requests) == 1
    assert feed.of("p1", "STEP_FAILED")[0]["meta"] == {"errorCode": "unauthorized"}


async def test_a_wait_that_the_tool_asks_for_is_kept(executor, feed, serve_tool, make_plan):
    def behave(request):
        if request["attempt"] == 1:
            return {"success": False, "errorMessage": "too fast", "retryAfterMs": 300}
        return {"success": True}

    await serve_tool(behaviour=behave)
    await feed.run(make_plan("p1", [{"id": "a", "retry": FAST}]))
    assert feed.of("p1", "STEP_RETRYING")[0]["meta"]["delayMs"] == 300


async def test_independent_steps_overlap_up_to_the_limit(executor, feed, serve_tool, make_plan):
    async def slow(request):
        await asyncio.sleep(0.05)
        return {"success": True}

    tool = await serve_tool(behaviour=slow)
    await feed.run(make_plan("p1", [{"id": f"s{number}"} for number in range(9)], maxConcurrency=3))
    assert tool.most_at_once == 3
    assert [request["stepId"] for request in tool.requests] == [f"s{number}" for number in range(9)]


async def test_the_default_limit_is_eight(executor, feed, serve_tool, make_plan):
    async def slow(request):
        await asyncio.sleep(0.05)
        return {"success": True}

    tool = await serve_tool(behaviour=slow)
    await feed.run(make_plan("p1", [{"id": f"s{number}"} for number in range(20)]))
    assert tool.most_at_once == 8


async def test_one_at_a_time_runs_strictly_in_plan_order(executor, feed, serve_tool, make_plan):
    async def behave(request):
        await asyncio.sleep(0.01)
        if request["stepId"] == "b" and request["attempt"] == 1:
            return {"success": False, "errorMessage": "again"}
        return {"success": True}

    tool = await serve_tool(behaviour=behave)
    steps = [{"id": "a"}, {"id": "b", "retry": FAST}, {"id": "c"}, {"id": "d"}]
    await feed.run(make_plan("p1", steps, maxConcurrency=1))
    assert tool.most_at_once == 1
    assert [request["stepId"] for request in tool.requests] == ["a", "b", "b", "c", "d"]
    order = [(event["type"], event["step"]["id"]) for event in feed.of("p1") if "step" in event]
    assert order.index(("STEP_STARTED", "c")) > order.index(("STEP_SUCCEEDED", "b"))


async def test_a_plan_that_runs_out_of_time_fails_and_its_tool_is_told(executor, feed, nc, serve_tool, make_plan):
    cancelled = []

    async def note(message):
        cancelled.append(message.data)

    await nc.subscribe("tools.ECHO.cancel", cb=note)

    async def never(request):
        await asyncio.Event().wait()

    await serve_tool(behaviour=never)
    plan = make_plan("p1", [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}], deadlineMs=200)
    result = await feed.run(plan)
    assert result["overallStatus"] == "failed"
    assert [one.get("errorCode") for one in result["stepResults"]] == ["deadline_exceeded", "dependency_failed"]
    await feed.until(lambda: cancelled)
    assert cancelled == [b'{"planId":"p1","stepId":"a","idempotencyKey":"p1:a"}']


async def test_a_step_that_needs_approval_says_so_and_waits(executor, feed, serve_tool, make_plan):
    tool = await serve_tool()
    plan = make_plan("p1", [{"id": "a"}, {"id": "b", "requiresApproval": True}], deadlineMs=1500)
    result = await feed.run(plan)
    assert [event["step"]["id"] for event in feed.of("p1", "STEP_WAITING")] == ["b"]
    assert status_of(result) == {"a": "succeeded", "b": "failed"}
    assert tool.calls("b") == []
