"""A finished plan runs again from what failed, and the log tells the whole story."""

import json


async def test_a_plan_of_fifty_steps_that_failed_at_the_thirtieth_goes_on_there(
    start_executor, feed, control, serve_tool, make_plan
):
    broken = True

    def behave(request):
        if broken and request["stepId"] == "s30":
            return {
                "success": False,
                "errorMessage": "no credits left",
                "errorCode": "quota_exceeded",
                "retryable": False,
            }
        return {"success": True, "data": request["stepId"]}

    tool = await serve_tool(behaviour=behave)
    for _ in range(3):
        await start_executor()
    steps = [{"id": f"s{n}", "dependsOn": [f"s{n - 1}"] if n > 1 else []} for n in range(1, 51)]
    assert (await feed.run(make_plan("p1", steps)))["overallStatus"] == "failed"
    assert len(tool.requests) == 30
    broken = False
    reply = await control.ask("retry", planId="p1", by="ann", reason="credits bought")
    assert reply["steps"] == [f"s{n}" for n in range(30, 51)]
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert [request["stepId"] for request in tool.requests[30:]] == [f"s{n}" for n in range(30, 51)]
    assert {request["idempotencyKey"] for request in tool.calls("s30")} == {"p1:s30"}
    assert list(tool.calls("s31")[0]["priorResults"]) == [f"s{n}" for n in range(1, 31)]

    log = await feed.log("p1")
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    story = [(event["type"], event.get("step", {}).get("id")) for event in log]
    first = [entry for n in range(1, 30) for entry in (("STEP_STARTED", f"s{n}"), ("STEP_SUCCEEDED", f"s{n}"))]
    second = [entry for n in range(30, 51) for entry in (("STEP_STARTED", f"s{n}"), ("STEP_SUCCEEDED", f"s{n}"))]
    assert story == [
        ("PLAN_STARTED", None),
        *first,
        ("STEP_STARTED", "s30"),
        ("STEP_FAILED", "s30"),
        *(("STEP_SKIPPED", f"s{n}") for n in range(31, 51)),
        ("PLAN_COMPLETED", None),
        ("PLAN_RETRIED", None),
        *second,
        ("PLAN_COMPLETED", None),
    ]
    retried = log[story.index(("PLAN_RETRIED", None))]
    assert (retried["meta"]["by"], retried["meta"]["reason"]) == ("ann", "credits bought")
    result = log[-1]["result"]
    assert result["overallStatus"] == "succeeded"
    assert [one["data"] for one in result["stepResults"]] == [f"s{n}" for n in range(1, 51)]


async def test_a_round_asks_for_approvals_again_and_counts_attempts_anew(
    executor, feed, control, serve_tool, make_plan
):
    def behave(request):
        return {"success": request.get("round") == 2 and request["attempt"] == 2, "errorMessage": "no luck"}

    tool = await serve_tool(behaviour=behave)
    step = {"id": "a", "requiresApproval": True, "retry": {"maxRetries": 1, "baseDelayMs": 10}}
    await feed.submit(make_plan("p1", [step]))
    await control.until("p1", "waiting")
    await control.ask("approve", planId="p1")
    assert (await feed.result("p1"))["overallStatus"] == "failed"
    assert (await control.ask("retry", planId="p1"))["changed"] is True
    await control.until("p1", "waiting")
    await control.ask("approve", planId="p1")
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert [(request.get("round"), request["attempt"]) for request in tool.requests] == [
        (None, 1), (None, 2), (2, 1), (2, 2),
    ]  # fmt: skip
    assert feed.of("p1", "PLAN_COMPLETED")[-1]["result"]["overallStatus"] == "succeeded"


async def test_a_cancelled_plan_can_be_retried(executor, feed, control, serve_tool, make_plan):
    await serve_tool()
    await feed.submit(make_plan("p1", [{"id": "ask", "requiresApproval": True}]))
    await control.until("p1", "waiting")
    await control.ask("cancel", planId="p1")
    assert (await feed.result("p1"))["overallStatus"] == "cancelled"
    await control.ask("retry", planId="p1")
    await control.until("p1", "waiting")
    await control.ask("approve", planId="p1", stepId="ask")
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    assert feed.of("p1", "PLAN_COMPLETED")[-1]["result"]["overallStatus"] == "succeeded"


async def test_the_same_plan_sent_again_after_a_retry_changes_nothing(executor, feed, control, serve_tool, make_plan):
    tool = await serve_tool(behaviour=lambda request: {"success": request.get("round") == 2, "retryable": False})
    plan = make_plan("p1", [{"id": "a"}])
    await feed.run(plan)
    await control.ask("retry", planId="p1")
    await feed.until(lambda: len(feed.of("p1", "PLAN_COMPLETED")) == 2)
    await feed.submit(json.dumps(plan).encode())
    await feed.run(make_plan("p2", [{"id": "a"}]))
    assert [request["planId"] for request in tool.requests] == ["p1", "p1", "p2"]
    assert not feed.of("p1", "PLAN_REJECTED")
