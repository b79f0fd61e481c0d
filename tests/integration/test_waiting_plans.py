"""Plans that only wait: nobody holds them, they outlive every executor, and their time wakes them."""

import asyncio

from leadplan_contracts.times import parse_time

FAST = {"baseDelayMs": 10, "maxDelayMs": 20}


async def test_hundreds_of_waiting_plans_outlive_their_executor_and_each_goes_on(
    start_executor, feed, control, serve_tool, nc, make_plan
):
    tool = await serve_tool()
    first = await start_executor(max_plans=50)
    for number in range(300):
        steps = [{"id": "ask", "requiresApproval": True}, {"id": "b", "dependsOn": ["ask"]}]
        await feed.submit(make_plan(f"p{number}", steps))
    await feed.until(lambda: sum(one["type"] == "STEP_WAITING" for one in feed.events) == 300, 60)
    await control.nobody_holds()
    await first.stop()
    await start_executor(max_plans=50)
    assert await control.held() == 0
    assert (await control.ask("approve", planId="p217"))["changed"] is True
    assert (await feed.result("p217"))["overallStatus"] == "succeeded"
    assert {request["planId"] for request in tool.requests} == {"p217"}
    events = [event["type"] for event in await feed.log("p217")]
    assert events[:4] == ["PLAN_STARTED", "STEP_WAITING", "PLAN_RESUMED", "STEP_APPROVED"]


async def test_a_long_wait_for_a_repeat_is_spent_by_nobody(start_executor, feed, control, serve_tool, make_plan):
    def behave(request):
        return {"success": request["attempt"] == 2, "errorMessage": "not yet", "retryAfterMs": 1500}

    tool = await serve_tool(behaviour=behave)
    first = await start_executor(park_after_ms=500)
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    await feed.until(lambda: feed.of("p1", "STEP_RETRYING"))
    await control.nobody_holds()
    await first.stop()
    await start_executor(park_after_ms=500)
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    assert len(tool.requests) == 2
    retrying, started = (feed.of("p1", kind)[-1] for kind in ("STEP_RETRYING", "STEP_STARTED"))
    assert parse_time(started["time"]) >= parse_time(retrying["meta"]["retryAt"])
    (resumed,) = feed.of("p1", "PLAN_RESUMED")
    assert resumed["meta"]["reason"] == "its time had come"


async def test_a_deadline_holds_while_nobody_holds_the_plan(start_executor, feed, control, serve_tool, make_plan):
    tool = await serve_tool()
    first = await start_executor()
    steps = [
        {"id": "ask", "requiresApproval": True, "deadlineMs": 1500},
        {"id": "b", "dependsOn": ["ask"]},
        {"id": "c"},
    ]
    await feed.submit(make_plan("p1", steps))
    await feed.until(lambda: feed.of("p1", "STEP_SUCCEEDED"))
    await control.nobody_holds()
    await first.stop()
    await start_executor()
    result = await feed.result("p1")
    assert [(one["status"], one.get("errorCode")) for one in result["stepResults"]] == [
        ("failed", "deadline_exceeded"),
        ("skipped", "dependency_failed"),
        ("succeeded", None),
    ]
    assert [request["stepId"] for request in tool.requests] == ["c"]


async def test_a_step_deadline_ends_a_running_attempt_and_its_tool_is_told(executor, feed, serve_tool, nc, make_plan):
    notices = []

    async def hear(message):
        notices.append(message.data)

    await nc.subscribe("tools.ECHO.cancel", cb=hear)

    async def never(_):
        await asyncio.Event().wait()

    tool = await serve_tool(behaviour=never)
    unserved = {"id": "b", "tool": "X", "deadlineMs": 600, "retry": {"maxRetries": 50, "baseDelayMs": 100}}
    result = await feed.run(make_plan("p1", [{"id": "a", "deadlineMs": 400, "timeoutMs": 60000}, unserved]))
    assert [(one["status"], one["errorCode"]) for one in result["stepResults"]] == [
        ("failed", "deadline_exceeded"),
        ("failed", "no_responders"),  # a repeat behind its deadline isn't waited for
    ]
    (request,) = tool.requests
    started = feed.of("p1", "STEP_STARTED")[0]
    assert parse_time(request["deadline"]) <= parse_time(started["time"]) + 400
    await feed.until(lambda: notices)


async def test_a_retry_budget_is_for_all_steps_together(executor, feed, serve_tool, make_plan):
    tool = await serve_tool(behaviour=lambda _: {"success": False, "errorMessage": "no luck"})
    steps = [{"id": name, "retry": {"maxRetries": 5, **FAST}} for name in ("a", "b", "c")]
    result = await feed.run(make_plan("p1", steps, retryBudget=4))
    assert len(tool.requests) == 3 + 4
    assert [one["errorCode"] for one in result["stepResults"]] == ["tool_error"] * 3
    assert all("retryBudget of 4 is used up" in one["errorMessage"] for one in result["stepResults"])


async def test_a_waiting_plan_is_ended_before_its_log_ages_out(
    start_executor, feed, control, serve_tool, nc, make_plan
):
    await serve_tool()
    await start_executor(plans_max_age_s=60, plan_log_max_age_s=60, rejects_max_age_s=60, data_max_age_s=60)
    # What an executor with a shorter age would set: nine tenths of it after the start.
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}]))
    await control.until("p1", "waiting")
    await control.nobody_holds()
    timer = await nc.jetstream().get_last_msg("PLANS", "plans.timer.p1")
    started = parse_time(feed.of("p1", "PLAN_STARTED")[0]["time"])
    assert parse_time(timer.headers["Nats-Schedule"].removeprefix("@at ")) == started + 54_000


async def test_a_plan_older_than_it_may_wait_is_ended_when_taken_up(
    start_executor, feed, control, serve_tool, nc, make_plan
):
    await serve_tool()
    first = await start_executor()
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}]))
    await control.until("p1", "waiting")
    await control.nobody_holds()
    await first.stop()
    aged = await start_executor(plans_max_age_s=60, plan_log_max_age_s=60)
    runs = aged._submissions._handler.runs
    runs._limits = runs._limits._replace(longest_wait_ms=0)  # as if those seconds had gone by
    await control.ask("approve", planId="p1")
    result = await feed.result("p1")
    (step,) = result["stepResults"]
    assert (step["status"], step["errorCode"]) == ("failed", "deadline_exceeded")
    assert "its log is about to age out" in step["errorMessage"]
