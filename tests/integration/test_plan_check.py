"""What is said of a plan before it is submitted: the same as of one that is, and what looks odd."""

import json

import msgspec
import pytest

from leadplan_bus.connection import close, connect
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_contracts.wire import encode
from leadplan_executor import tool_directory
from leadplan_executor.plan_check import PlanCheck
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.tool_directory import ToolDirectory
from leadplan_responder import Responder, ToolContext
from leadplan_responder.serving import Serving


class GreetParams(msgspec.Struct):
    name: str
    times: int = 1


@pytest.fixture
async def greeter(nats_url):
    responder = Responder("greeter", version="1.0.0", description="Greets")

    @responder.tool("GREET", effects="none")
    async def greet(params: GreetParams, ctx: ToolContext) -> str:
        return f"Hello {params.name}"

    connection = await connect(nats_url, name="greeter")
    serving = Serving(responder, connection, grace_seconds=1)
    await serving.start()
    yield serving
    await serving.stop()
    await close(connection)


@pytest.fixture
def make_check(nc, monkeypatch):
    monkeypatch.setattr(tool_directory, "_PATIENTLY", {"longest": 1.0, "silence": 0.1})

    def make(unknown_tools="attempt"):
        directory = ToolDirectory(nc, 60, unknown_tools)
        return PlanCheck(nc, executor="checker", plan_log=PlanLog(nc, "checker"), directory=directory)

    return make


@pytest.fixture
async def validate(nc, make_check):
    """The report on a submission, as JSON."""
    await ensure_topology(nc.jetstream(), Retention())
    check = make_check()

    async def ask(message, check=check):
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        return json.loads(encode(await check.validate(body)))

    return ask


def greeting(step_id="a", **step):
    return {"id": step_id, "tool": "GREET", "params": {"name": "Ada"}, **step}


async def test_a_good_plan_has_nothing_to_say(greeter, validate, make_plan):
    expected = {"valid": True, "problems": [], "warnings": [], "planId": "p1"}
    assert await validate(make_plan("p1", [greeting()])) == expected


REJECTED = {
    "no_steps": [],
    "unknown_step": [{"id": "a", "dependsOn": ["nowhere"]}, {"id": "a b"}],
    "dependency_cycle": [{"id": "a", "dependsOn": ["b"]}, {"id": "b", "dependsOn": ["a"], "timeoutMs": "soon"}],
    "source_not_a_dependency": [{"id": "a"}, {"id": "b", "params": {"sourceStepId": "a"}}],
    "invalid_params": [greeting(), greeting("b", params={"name": "Ada", "times": "often"})],
    "more_problems": [greeting(f"s{number}", params={"times": "often"}) for number in range(2_000)],
}


@pytest.mark.parametrize("code", REJECTED)
async def test_the_problems_are_those_that_intake_lists(greeter, executor, feed, validate, make_plan, code):
    message = make_plan("p1", REJECTED[code])
    report = await validate(message)
    await feed.submit(message)
    assert report["problems"] == (await feed.rejection("p1"))["meta"]["errors"]
    assert code in {problem["code"] for problem in report["problems"]}
    assert (report["valid"], report["planId"]) == (False, "p1")


@pytest.mark.parametrize("body", [b"", b"\xff", b"null", b"[" * 5_000, b'{"plan": {"id": "_x"}, "user": {}}'])
async def test_what_is_no_plan_is_answered_all_the_same(validate, body):
    report = await validate(body)
    assert (report["valid"], report["warnings"], report.get("planId")) == (False, [], None)
    assert report["problems"]


async def test_a_plan_that_fits_into_a_message_and_not_into_an_event(nc, greeter, executor, feed, validate, make_plan):
    message = make_plan("p1", [greeting(params={"name": ""})])
    room = nc.max_payload - len(json.dumps(message)) - 100
    message["plan"]["steps"][0]["params"]["name"] = "x" * room
    report = await validate(message)
    await feed.submit(message)
    assert report["problems"] == (await feed.rejection("p1"))["meta"]["errors"]
    assert [(problem["path"], problem["code"]) for problem in report["problems"]] == [("plan", "plan_too_large")]


async def test_size_and_params_are_complained_of_together(nc, greeter, validate, make_plan):
    message = make_plan("p1", [greeting(params={})])
    message["plan"]["context"] = {"text": "x" * (nc.max_payload - len(json.dumps(message)) - 100)}
    codes = [problem["code"] for problem in (await validate(message))["problems"]]
    assert codes == ["plan_too_large", "invalid_params"]


async def test_a_tool_that_nobody_announces(greeter, validate, make_check, make_plan):
    message = make_plan("p1", [greeting(), greeting("b", tool="GREETS"), {"id": "c", "tool": "ECHO"}])
    report = await validate(message)
    assert (report["valid"], report["problems"]) == (True, [])
    warned = [(one["path"], one["code"]) for one in report["warnings"]]
    assert warned == [("plan.steps[1].tool", "unknown_tool"), ("plan.steps[2].tool", "unknown_tool")]
    assert report["warnings"][0]["message"].startswith("nobody announces GREETS; did you mean GREET? Unless")
    assert report["warnings"][1]["message"].startswith("nobody announces ECHO. Unless")
    strict = await validate(message, make_check("reject"))
    assert (strict["valid"], strict["warnings"]) == (False, [])
    assert [(one["path"], one["code"]) for one in strict["problems"]] == warned


async def test_a_plan_that_was_submitted_before(greeter, executor, feed, validate, make_plan):
    message = make_plan("p1", [greeting()])
    await feed.run(message)
    report = await validate({"user": message["user"], "plan": message["plan"]})
    assert (report["valid"], report["problems"]) == (True, [])
    assert [(one["path"], one["code"]) for one in report["warnings"]] == [("plan.id", "already_submitted")]
    assert (await feed.log("p1"))[0]["time"] in report["warnings"][0]["message"]


@pytest.mark.parametrize("other", [{"title": "Another"}, {"user": {"userId": "u_8"}}])
async def test_an_id_that_another_plan_has(greeter, executor, feed, validate, make_plan, other):
    message = make_plan("p1", [greeting()])
    await feed.run(message)
    changed = {"plan": {**message["plan"], "title": other.get("title", message["plan"]["title"])}}
    changed["user"] = other.get("user", message["user"])
    report = await validate(changed)
    assert (report["valid"], report["warnings"]) == (False, [])
    await feed.submit(changed)
    assert report["problems"] == (await feed.rejection("p1"))["meta"]["errors"]
    assert report["problems"][0]["code"] == "duplicate_plan_id"


async def test_oddities_are_told_beside_problems(greeter, validate, make_plan):
    steps = [greeting(requiresApproval=True), greeting("A", params={})]
    report = await validate(make_plan("p1", steps))
    assert [one["code"] for one in report["problems"]] == ["invalid_params"]
    assert [one["code"] for one in report["warnings"]] == ["approval_without_deadline", "similar_step_ids"]


async def test_an_answer_always_fits_into_a_message(greeter, validate, make_plan):
    steps = [greeting(f"s{number}", params={"times": "often"}, requiresApproval=True) for number in range(4_000)]
    report = await validate(make_plan("p1", steps))
    assert [report[part][-1]["code"] for part in ("problems", "warnings")] == ["more_problems", "more_warnings"]
    assert len(json.dumps(report)) < 512 * 1024


async def test_an_executor_that_rejects_unknown_tools(greeter, start_executor, feed, make_plan, serve_tool):
    await start_executor(unknown_tools="reject")
    await serve_tool("ECHO")  # announces nothing
    await feed.submit(make_plan("p1", [greeting(), {"id": "b"}, greeting("c", tool="GREETS")]))
    errors = (await feed.rejection("p1"))["meta"]["errors"]
    assert [(one["path"], one["code"]) for one in errors] == [
        ("plan.steps[1].tool", "unknown_tool"),
        ("plan.steps[2].tool", "unknown_tool"),
    ]
    assert errors[1]["message"] == "nobody serves GREETS; did you mean GREET?"
    assert (await feed.run(make_plan("p2", [greeting()])))["overallStatus"] == "succeeded"


async def test_an_executor_that_attempts_unknown_tools(executor, feed, make_plan):
    result = await feed.run(make_plan("p1", [{"id": "a", "tool": "NOBODYS", "retry": {"maxRetries": 0}}]))
    assert result["stepResults"][0]["errorCode"] == "no_responders"
