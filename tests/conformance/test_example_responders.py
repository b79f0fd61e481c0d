"""The examples in JavaScript and in plain Python: processes of their own, a real server, a real executor."""

import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from leadplan_bus.connection import flush
from leadplan_cli.conformance.checks import Outcome, Probe, run_checks
from leadplan_client import PlanClient
from leadplan_client.errors import SubmissionRejectedError

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
NODE = EXAMPLES / "node-responder"
PYTHON = EXAMPLES / "plain-python-responder" / "site_check.py"


def node_program():
    """Node, with the package that the example needs; without them a test is skipped locally and fails in CI."""
    program = shutil.which("node")
    if program is not None and (NODE / "node_modules" / "nats").is_dir():
        return program
    lacking = "node" if program is None else "the npm package nats (npm install in examples/node-responder)"
    if os.environ.get("CI"):
        pytest.fail(f"{lacking} is missing in CI")
    return pytest.skip(f"{lacking} is not installed")


@pytest.fixture(params=["javascript", "python"])
def start_example(request, start_process):
    async def start(**environment):
        command = [node_program(), str(NODE / "responder.js")]
        if request.param == "python":
            command = [sys.executable, "-W", "error", str(PYTHON)]
        return await start_process(*command, **environment)

    return start


def submission(plan_id, *steps):
    plan = {
        "id": plan_id,
        "title": "Visit sites",
        "goal": {"description": "See which sites answer"},
        "createdAt": "2026-11-23T09:15:02.417Z",
        "steps": [{"tool": "SITE_CHECK", **step} for step in steps],
    }
    return json.dumps({"plan": plan, "user": {"userId": "u_7"}}).encode()


async def run_plan(nc, plan_id, *steps):
    """The events of a plan, live ones included."""
    events = []

    async def take(message):
        events.append(json.loads(message.data))

    subscription = await nc.subscribe(f"plans.events.{plan_id}", cb=take)
    client = PlanClient(nc)
    await client.submit_json(submission(plan_id, *steps))
    await client.result(plan_id, wait_seconds=20)
    await flush(nc)
    await subscription.drain()
    return events


def of_type(events, kind):
    return [event for event in events if event["type"] == kind]


async def test_a_plan_with_it_succeeds_and_shows_progress(executor, start_example, nc, site):
    site.seconds = 0.1  # executors pass on one report in 50 ms
    await start_example()
    urls = [site.url("/ok"), site.url("/missing")]
    events = await run_plan(nc, "p1", {"id": "a", "params": {"urls": urls}})
    (completed,) = of_type(events, "PLAN_COMPLETED")
    (step,) = completed["result"]["stepResults"]
    assert step["status"] == "succeeded"
    assert step["data"] == {
        "sites": [
            {"url": urls[0], "reachable": True, "status": 200, "title": "Dentists of Leeds"},
            {"url": urls[1], "reachable": False, "status": 404, **step["data"]["sites"][1]},
        ],
        "reachable": 1,
    }
    progress = [event["meta"] for event in of_type(events, "STEP_PROGRESS") if event["meta"].get("message")]
    assert progress == [
        {"progress": 0.5, "message": "1 of 2 sites"},
        {"progress": 1, "message": "2 of 2 sites"},
    ]


async def test_the_executor_waits_as_long_as_the_error_says(executor, start_example, nc, site):
    await start_example()
    step = {"id": "a", "params": {"urls": [site.url("/limited")]}, "retry": {"maxRetries": 1, "baseDelayMs": 1}}
    events = await run_plan(nc, "p1", step)
    (retrying,) = of_type(events, "STEP_RETRYING")
    assert retrying["meta"]["errorCode"] == "rate_limited"
    assert retrying["meta"]["delayMs"] == 1000  # what the site said, not the plan's 1 ms
    (completed,) = of_type(events, "PLAN_COMPLETED")
    assert (completed["result"]["overallStatus"], completed["result"]["stepResults"][0]["attempts"]) == ("succeeded", 2)


async def test_a_plan_with_wrong_params_is_rejected_by_the_announced_schema(start_executor, start_example, nc):
    await start_example()
    await start_executor()  # behind the example, so that its first look at what is announced sees it
    client = PlanClient(nc)
    await client.submit_json(submission("p1", {"id": "a", "params": {"urls": ["ftp://example.com"]}}))
    with pytest.raises(SubmissionRejectedError, match="does not match"):
        await client.result("p1", wait_seconds=10)


async def test_steps_beyond_its_bound_wait_without_counting_as_attempts(executor, start_example, nc, site):
    await start_example(MAX_IN_FLIGHT="1")
    steps = [{"id": f"s{number}", "params": {"urls": [site.url("/ok")]}} for number in range(4)]
    (completed,) = of_type(await run_plan(nc, "p1", *steps), "PLAN_COMPLETED")
    assert [step["attempts"] for step in completed["result"]["stepResults"]] == [1, 1, 1, 1]


async def test_above_its_bound_it_is_busy(start_example, probe, site):
    await start_example(MAX_IN_FLIGHT="1")
    asking = await probe("SITE_CHECK", {"urls": [site.url("/ok")]})
    slow = await asking.begin(asking.request({"urls": [site.url("/slow")]}))
    assert await slow.wait_for_any(5)
    refused = await (await asking.begin(asking.request())).answer(5)
    assert refused.is_busy
    assert refused.reply.retry_after_ms == 250
    site.released.set()
    assert (await slow.answer(5)).reply.success


async def test_a_cancel_notice_ends_the_work(start_example, probe, site):
    await start_example()
    asking = await probe("SITE_CHECK", {"urls": [site.url("/ok")]})
    request = asking.request({"urls": [site.url("/slow")]})
    other = await asking.begin(asking.request({"urls": [site.url("/slow")]}))
    cancelled = await asking.begin(request)
    assert await cancelled.wait_for_any(5)
    await asking.cancel(request)
    reply = (await cancelled.answer(5)).reply
    assert (reply.success, reply.error_code, reply.retryable) == (False, "cancelled", False)
    assert other.finals == []
    site.released.set()
    assert (await other.answer(5)).reply.success


async def test_it_answers_at_the_deadline(start_example, probe, site):
    await start_example()
    asking = await probe("SITE_CHECK", {"urls": [site.url("/ok")]})
    late = await asking.begin(asking.request({"urls": [site.url("/slow")]}, timeoutMs=100))
    reply = (await late.answer(5)).reply
    assert (reply.success, reply.error_code, reply.retryable) == (False, "timeout", True)


@pytest.mark.parametrize(("grace_ms", "finishes"), [("10000", True), ("100", False)])
async def test_sigterm_leaves_no_caller_waiting(start_example, probe, site, eventually, grace_ms, finishes):
    process = await start_example(GRACE_MS=grace_ms)
    asking = await probe("SITE_CHECK", {"urls": [site.url("/ok")]})
    calls = [await asking.begin(asking.request({"urls": [site.url("/slow")]})) for _ in range(5)]
    await eventually(lambda: site.visits["/slow"] == 5, what="all five at work")
    process.terminate()
    if finishes:
        await eventually(lambda: nobody_takes_requests(asking), what="no more requests taken")
        site.released.set()
    replies = [(await call.answer(5)).reply for call in calls]
    expected = (True, None) if finishes else (False, "stopping")
    assert [(reply.success, reply.error_code) for reply in replies] == [expected] * 5
    site.released.set()
    assert await process.ended() == 0, process.log


async def nobody_takes_requests(asking):
    exchange = await asking.begin(asking.request())
    await exchange.wait_for_any(5)
    return exchange.received[0].says_nobody_listens


@pytest.mark.parametrize(
    ("prior", "code"),
    [
        ({"data": {"places": [{"name": "A"}, {"website": None}]}}, None),
        ({"dataRef": {"bucket": "PLAN_DATA", "name": "x", "size": 300_000, "digest": "SHA-256=x"}}, "source_too_large"),
        ({"data": []}, "unreadable_source"),
    ],
)
async def test_it_reads_a_prior_step(start_example, probe, site, prior, code):
    await start_example()
    asking = await probe("SITE_CHECK", {"urls": [site.url("/ok")]})
    result = {"stepId": "search", "status": "succeeded", "attempts": 1, **prior}
    answer = await asking.ask(asking.request({"sourceStepId": "search"}, priorResults={"search": result}))
    assert (answer.reply.success, answer.reply.error_code) == (code is None, code)


async def test_it_passes_every_check(start_example, nc, site):
    await start_example()
    given = Probe(nc, "SITE_CHECK", {"urls": [site.url("/ok")]}, error_params={"urls": []}, timeout_ms=10_000)
    results = await run_checks(given)
    assert [result for result in results if result.outcome is not Outcome.OK] == []
