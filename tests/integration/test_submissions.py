"""What isn't run: bad plans, bytes that are no plan, and plans that were sent before (protocol section 2)."""

import json
import os

import msgspec
import pytest

from leadplan_responder import Responder, ToolContext
from leadplan_responder.serving import Serving


class GreetParams(msgspec.Struct):
    name: str
    times: int = 1


@pytest.fixture
async def greeter(nc):
    responder = Responder("greeter", version="1.0.0", description="Greets")

    @responder.tool("GREET", effects="none")
    async def greet(params: GreetParams, ctx: ToolContext) -> str:
        return f"Hello {params.name}"

    serving = Serving(responder, nc, grace_seconds=1)
    await serving.start()
    yield responder
    await serving.stop()


BAD_PLANS = {
    "unknown_step": [{"id": "a", "dependsOn": ["nowhere"]}],
    "dependency_cycle": [{"id": "a", "dependsOn": ["b"]}, {"id": "b", "dependsOn": ["a"]}],
    "duplicate_step_id": [{"id": "a"}, {"id": "a"}],
    "bad_id": [{"id": "a b"}],
    "no_steps": [],
    "too_many_steps": [{"id": f"s{number}"} for number in range(10_001)],
    "source_not_a_dependency": [{"id": "a"}, {"id": "b", "params": {"sourceStepId": "a"}}],
    "missing_field": [{"id": "a", "tool": None}],
    "invalid_field": [{"id": "a", "timeoutMs": "soon"}],
}


@pytest.mark.parametrize("code", BAD_PLANS)
async def test_a_bad_plan_is_kept_with_its_reason_and_told(executor, feed, make_plan, code):
    message = make_plan("p1", BAD_PLANS[code])
    await feed.submit(message)
    event = await feed.rejection("p1")
    assert code in {problem["code"] for problem in event["meta"]["errors"]}
    assert all(problem["message"] for problem in event["meta"]["errors"])
    assert await feed.rejects("p1") == [event]
    assert await feed.log("p1") == []
    if "text" in event["meta"]["original"]:
        assert json.loads(event["meta"]["original"]["text"]) == message
    else:
        assert event["meta"]["original"]["dataRef"]["size"] == len(json.dumps(message))


async def test_all_problems_are_listed_at_once(executor, feed, make_plan):
    steps = [
        {"id": "a", "dependsOn": ["nowhere", "b"], "timeoutMs": -1},
        {"id": "b", "dependsOn": ["a"], "params": {"sourceStepId": "c"}},
        {"id": "b", "tool": "lower case"},
    ]
    await feed.submit(make_plan("p1", steps, title=None))
    event = await feed.rejection("p1")
    assert {(problem["path"], problem["code"]) for problem in event["meta"]["errors"]} == {
        ("plan.title", "missing_field"),
        ("plan.steps[0].timeoutMs", "invalid_field"),
        ("plan.steps[0].dependsOn[0]", "unknown_step"),
        ("plan.steps[0].dependsOn", "dependency_cycle"),
        ("plan.steps[1].params.sourceStepId", "source_not_a_dependency"),
        ("plan.steps[2].tool", "invalid_field"),
        ("plan.steps[2].id", "duplicate_step_id"),
    }


async def test_params_that_no_announced_schema_takes_are_rejected(greeter, executor, feed, make_plan):
    steps = [{"id": "a", "tool": "GREET", "params": {"times": "often"}}, {"id": "b", "tool": "GREET", "params": {}}]
    await feed.submit(make_plan("p1", steps))
    event = await feed.rejection("p1")
    assert {(problem["path"], problem["code"]) for problem in event["meta"]["errors"]} == {
        ("plan.steps[0].params", "invalid_params"),
        ("plan.steps[0].params.times", "invalid_params"),
        ("plan.steps[1].params", "invalid_params"),
    }
    result = await feed.run(make_plan("p2", [{"id": "a", "tool": "GREET", "params": {"name": "Ada"}}]))
    assert result["stepResults"][0]["data"] == "Hello Ada"


async def test_more_problems_than_fit_into_a_message_are_cut_with_a_note(greeter, executor, feed, make_plan):
    steps = [{"id": f"s{number}", "tool": "GREET", "params": {"times": "often"}} for number in range(2_000)]
    await feed.submit(make_plan("p1", steps))
    problems = (await feed.rejection("p1"))["meta"]["errors"]
    assert {problem["code"] for problem in problems} == {"invalid_params", "more_problems"}
    assert problems[-1]["message"].startswith("and ")


async def test_random_bytes_stop_nothing_and_are_kept(executor, feed, serve_tool, make_plan):
    await serve_tool()
    junk = [b"", b"\x00", b"null", b"[]", b"{}", b"{" * 5000, b"\xff\xfe", os.urandom(1000), b'{"plan":{"id":7}}']
    for body in junk:
        await feed.submit(body)
    assert (await feed.run(make_plan("p1", [{"id": "a"}])))["overallStatus"] == "succeeded"
    await feed.until(lambda: len(feed.of("_unreadable")) == len(junk))
    assert len(await feed.rejects("_unreadable")) == len(junk)


async def test_an_id_that_is_no_token_is_rejected_as_unreadable(executor, feed, make_plan):
    for bad in ("a.b", "a b", "*", ">", "", "_reserved", "x" * 129, "id\n"):
        await feed.submit(make_plan(bad, [{"id": "a"}]))
    await feed.until(lambda: len(feed.of("_unreadable")) == 8)


async def test_the_same_plan_sent_twice_runs_once(executor, feed, serve_tool, make_plan, nc, eventually):
    tool = await serve_tool()
    message = make_plan("p1", [{"id": "a"}])
    await feed.run(message)
    await feed.submit(message)
    await feed.submit(dict(reversed(message.items())))  # other order of keys, same content

    async def queue_is_empty():
        return (await nc.jetstream().stream_info("PLANS")).state.messages == 0

    await eventually(queue_is_empty)
    assert len(tool.requests) == 1
    assert len(await feed.log("p1")) == 4
    assert feed.of("p1", "PLAN_REJECTED") == []


async def test_the_same_plan_sent_while_it_runs_runs_once(start_executor, feed, serve_tool, make_plan):
    await start_executor()
    await start_executor()
    tool = await serve_tool()
    message = make_plan("p1", [{"id": f"s{number}"} for number in range(5)])
    for _ in range(10):
        await feed.submit(message)
    await feed.result("p1")
    await feed.run(make_plan("p2", [{"id": "z"}]))
    assert len([request for request in tool.requests if request["planId"] == "p1"]) == 5


async def test_other_content_under_the_same_id_is_rejected_and_changes_nothing(executor, feed, serve_tool, make_plan):
    await serve_tool()
    await feed.run(make_plan("p1", [{"id": "a"}]))
    before = await feed.log("p1")
    await feed.submit(make_plan("p1", [{"id": "a"}], title="Another title"))
    event = await feed.rejection("p1")
    assert [problem["code"] for problem in event["meta"]["errors"]] == ["duplicate_plan_id"]
    assert await feed.log("p1") == before


async def test_a_plan_whose_first_event_would_not_fit_is_rejected(executor, feed, nc, make_plan):
    message = make_plan("p1", [{"id": "a"}])
    room = nc.max_payload - len(json.dumps(message)) - 20
    message["plan"]["context"] = {"filler": "x" * room}
    await feed.submit(message)
    event = await feed.rejection("p1")
    assert [problem["code"] for problem in event["meta"]["errors"]] == ["plan_too_large"]


async def test_each_firing_of_a_schedule_is_a_run_of_its_own(executor, feed, nc, serve_tool, make_plan):
    await serve_tool()
    headers = {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "plans.execute", "Nats-TTL": "never"}
    body = json.dumps(make_plan("weekly", [{"id": "a"}])).encode()
    await nc.jetstream().publish("plans.schedule.m1", body, headers=headers)
    await feed.until(lambda: len([1 for event in feed.events if event["type"] == "PLAN_COMPLETED"]) >= 2)
    ids = {event["planId"] for event in feed.events}
    assert len(ids) >= 2
    assert all(one.startswith("weekly-") and one.removeprefix("weekly-").isdecimal() for one in ids)
