"""A plan from any NATS client runs through plain responders, and its events can be followed."""

import asyncio

from leadplan_contracts.events import decode_event
from leadplan_contracts.wire import encode


async def test_two_steps_run_in_order_and_every_event_is_seen(executor, feed, serve_tool, make_plan):
    tool = await serve_tool()
    message = make_plan("p1", [{"id": "a", "params": {"n": 1}}, {"id": "b", "params": {"n": 2}, "dependsOn": ["a"]}])
    await feed.nc.publish("plans.execute", encode(message))

    result = await feed.result("p1")

    assert result["overallStatus"] == "succeeded"
    assert [(one["stepId"], one["status"], one["attempts"], one["data"]) for one in result["stepResults"]] == [
        ("a", "succeeded", 1, {"echo": {"n": 1}}),
        ("b", "succeeded", 1, {"echo": {"n": 2}}),
    ]
    assert [(one["sequence"], one["type"], one.get("step", {}).get("id")) for one in feed.of("p1")] == [
        (1, "PLAN_STARTED", None),
        (2, "STEP_STARTED", "a"),
        (3, "STEP_SUCCEEDED", "a"),
        (4, "STEP_STARTED", "b"),
        (5, "STEP_SUCCEEDED", "b"),
        (6, "PLAN_COMPLETED", None),
    ]
    assert await feed.log("p1") == feed.of("p1")
    assert [request["stepId"] for request in tool.requests] == ["a", "b"]


async def test_a_request_tells_the_tool_what_the_protocol_says(executor, feed, serve_tool, make_plan):
    tool = await serve_tool()
    await feed.run(
        make_plan(
            "p1", [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}, {"id": "other"}, {"id": "c", "dependsOn": ["b"]}]
        )
    )
    (request,) = tool.calls("c")
    assert request["idempotencyKey"] == "p1:c"
    assert request["attempt"] == 1
    assert request["timeoutMs"] == 30_000
    assert request["user"] == {"userId": "u_7", "accountId": "acct_3", "email": "owner@example.com"}
    assert request["plan"]["title"] == "A test plan"
    assert set(request["priorResults"]) == {"a", "b"}
    assert request["priorResults"]["a"]["status"] == "succeeded"
    headers = tool.headers[-1]
    assert headers["Idempotency-Key"] == "p1:c"
    assert headers["Leadplan-Attempt"] == "1"
    assert headers["traceparent"] == feed.headers[0]["traceparent"]


async def test_each_event_is_a_cloud_event_with_the_submitters_trace(executor, feed, serve_tool, make_plan):
    await serve_tool()
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    await feed.nc.publish("plans.execute", encode(make_plan("p1", [{"id": "a"}])), headers={"traceparent": trace})
    await feed.result("p1")
    for event, headers in zip(feed.events, feed.headers, strict=True):
        assert headers["ce-specversion"] == "1.0"
        assert headers["ce-id"] == f"p1:{event['sequence']}"
        assert headers["ce-type"] == f"io.leadplan.event.{event['type']}"
        assert headers["ce-time"] == event["time"]
        assert headers.get("ce-subject") == event.get("step", {}).get("id")
        assert headers["traceparent"] == trace


async def test_the_email_address_stands_in_the_first_event_only(executor, feed, serve_tool, make_plan):
    await serve_tool()
    await feed.run(make_plan("p1", [{"id": "a"}]))
    assert feed.events[0]["user"]["email"] == "owner@example.com"
    assert all(event["user"] == {"userId": "u_7", "accountId": "acct_3"} for event in feed.events[1:])


async def test_the_plan_stands_in_the_log_as_it_was_sent(executor, feed, serve_tool, make_plan):
    await serve_tool()
    message = make_plan("p1", [{"id": "a", "futureField": [1, 2]}], anotherField={"x": None})
    await feed.run(message)
    assert (await feed.log("p1"))[0]["plan"] == message["plan"]


async def test_every_stored_event_can_be_read_by_the_models(executor, feed, serve_tool, make_plan):
    await serve_tool()
    await feed.run(make_plan("p1", [{"id": "a"}]))
    for event in await feed.log("p1"):
        assert decode_event(encode(event)).plan_id == "p1"


async def test_many_plans_run_at_once(start_executor, feed, serve_tool, make_plan):
    release = asyncio.Event()

    async def wait(request):
        await release.wait()
        return {"success": True}

    await start_executor(max_plans=20, reserved_plans_percent=0)
    tool = await serve_tool(behaviour=wait)
    for number in range(30):
        await feed.submit(make_plan(f"p{number}", [{"id": "a"}]))
    await feed.until(lambda: tool.running == 20)
    assert len([event for event in feed.events if event["type"] == "PLAN_STARTED"]) == 20
    release.set()
    for number in range(30):
        assert (await feed.result(f"p{number}"))["overallStatus"] == "succeeded"


async def test_several_executors_share_the_queue(start_executor, feed, serve_tool, make_plan):
    executors = [await start_executor(max_plans=2) for _ in range(3)]

    async def slow(request):
        await asyncio.sleep(0.05)
        return {"success": True}

    await serve_tool(behaviour=slow)
    for number in range(30):
        await feed.submit(make_plan(f"p{number}", [{"id": "a"}]))
    for number in range(30):
        await feed.result(f"p{number}")
    started = [event["meta"]["executor"] for event in feed.events if event["type"] == "PLAN_STARTED"]
    assert len(started) == 30
    assert set(started) == {executor.id for executor in executors}


async def test_a_plan_sent_before_any_executor_runs_is_run_by_the_first(start_executor, feed, serve_tool, make_plan):
    first = await start_executor()
    await first.stop()
    await serve_tool()
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    await start_executor()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
