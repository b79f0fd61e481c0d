"""An executor that dies or is stopped in the middle of a plan: another one finishes it, and nothing stands twice."""

import asyncio
import os
import signal
import time
from collections import Counter

import pytest

FINAL = {"STEP_SUCCEEDED", "STEP_FAILED", "STEP_SKIPPED"}


def assert_sound_log(log):
    """The rules of protocol section 6 that can be read off a log."""
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    assert [event["type"] for event in log].count("PLAN_STARTED") == 1
    assert log[-1]["type"] == "PLAN_COMPLETED"
    finals = Counter(event["step"]["id"] for event in log if event["type"] in FINAL)
    assert set(finals.values()) == {1}
    starts = Counter(
        (event["step"]["id"], event["result"]["attempts"]) for event in log if event["type"] == "STEP_STARTED"
    )
    assert all(count == 1 for count in starts.values())


def chain(count):
    return [{"id": f"s{n}", "dependsOn": [f"s{n - 1}"] if n else []} for n in range(count)]


class Gate:
    """A tool that succeeds, but holds one step's first request until told."""

    def __init__(self, step_id):
        self.step_id = step_id
        self.reached = asyncio.Event()
        self.held = True

    async def __call__(self, request):
        if request["stepId"] == self.step_id and self.held:
            self.held = False
            self.reached.set()
            await asyncio.Event().wait()
        return {"success": True, "data": request["stepId"]}


@pytest.mark.parametrize("held_step", ["s0", "s3", "s5"])
async def test_sigkill_in_the_middle(executor_process, feed, serve_tool, make_plan, eventually, held_step):
    gate = Gate(held_step)
    tool = await serve_tool(behaviour=gate)
    first = executor_process()
    await eventually(lambda: first.serving)
    await feed.submit(make_plan("p1", chain(6)))
    await asyncio.wait_for(gate.reached.wait(), 10)
    first.kill()
    second = executor_process()
    await eventually(lambda: second.serving)

    result = await feed.result("p1")

    assert result["overallStatus"] == "succeeded"
    log = await feed.log("p1")
    assert_sound_log(log)
    assert [event["type"] for event in log].count("PLAN_RESUMED") == 1
    calls = Counter(request["stepId"] for request in tool.requests)
    assert calls.pop(held_step) == 2  # its outcome was unknown: asked again, with the same key
    assert set(calls.values()) == {1}
    assert {request["idempotencyKey"] for request in tool.calls(held_step)} == {f"p1:{held_step}"}
    assert {request["attempt"] for request in tool.calls(held_step)} == {1}


async def test_a_step_that_may_run_at_most_once_is_not_repeated_after_a_crash(
    executor_process, feed, serve_tool, make_plan, eventually
):
    gate = Gate("s1")
    tool = await serve_tool(behaviour=gate)
    first = executor_process()
    await eventually(lambda: first.serving)
    steps = chain(3)
    steps[1]["atMostOnce"] = True
    await feed.submit(make_plan("p1", steps))
    await asyncio.wait_for(gate.reached.wait(), 10)
    first.kill()
    second = executor_process()
    await eventually(lambda: second.serving)
    result = await feed.result("p1")
    assert [one["status"] for one in result["stepResults"]] == ["succeeded", "failed", "skipped"]
    assert result["stepResults"][1]["errorCode"] == "outcome_unknown"
    assert len(tool.calls("s1")) == 1
    assert_sound_log(await feed.log("p1"))


async def test_a_running_executor_takes_over_from_a_killed_one(
    executor_process, feed, serve_tool, make_plan, eventually
):
    async def slow(request):
        await asyncio.sleep(0.1)
        return {"success": True}

    await serve_tool(behaviour=slow)
    executors = [executor_process(), executor_process()]
    for one in executors:
        await eventually(lambda one=one: one.serving)
    for number in range(10):
        await feed.submit(make_plan(f"p{number}", chain(8)))
    await feed.until(lambda: len([1 for event in feed.events if event["type"] == "STEP_SUCCEEDED"]) > 20)
    executors[0].kill()
    for number in range(10):
        assert (await feed.result(f"p{number}"))["overallStatus"] == "succeeded"
        assert_sound_log(await feed.log(f"p{number}"))
    assert any(event["type"] == "PLAN_RESUMED" for event in feed.events)


async def test_an_executor_that_slept_through_its_lease_is_fenced_off(
    executor_process, feed, serve_tool, make_plan, eventually
):
    async def slow(request):
        await asyncio.sleep(0.1)
        return {"success": True}

    await serve_tool(behaviour=slow)
    sleeper = executor_process()
    await eventually(lambda: sleeper.serving)
    await feed.submit(make_plan("p1", chain(30)))
    await feed.until(lambda: len(feed.of("p1", "STEP_SUCCEEDED")) >= 3)
    os.kill(sleeper.process.pid, signal.SIGSTOP)
    other = executor_process()
    await eventually(lambda: other.serving)
    await feed.until(lambda: feed.of("p1", "PLAN_RESUMED"))
    os.kill(sleeper.process.pid, signal.SIGCONT)
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    assert_sound_log(await feed.log("p1"))
    await eventually(lambda: "letting go" in sleeper.log, what="the sleeper letting go")
    assert await sleeper.terminate() == 0


async def test_sigterm_lets_a_running_attempt_finish_and_hands_the_plan_back(
    executor_process, feed, serve_tool, make_plan, eventually
):
    begun = asyncio.Event()

    async def slow(request):
        begun.set()
        await asyncio.sleep(0.5)
        return {"success": True}

    tool = await serve_tool(behaviour=slow)
    first = executor_process(LEADPLAN_LEASE_MS="60000")
    await eventually(lambda: first.serving)
    await feed.submit(make_plan("p1", chain(2)))
    await asyncio.wait_for(begun.wait(), 10)
    assert await first.terminate() == 0
    assert [event["step"]["id"] for event in feed.of("p1", "STEP_SUCCEEDED")] == ["s0"]
    second = executor_process(LEADPLAN_LEASE_MS="60000")
    # With a lease of a minute, only a plan that was handed back goes on at once.
    assert (await feed.result("p1", within=10))["overallStatus"] == "succeeded"
    assert [len(tool.calls(step)) for step in ("s0", "s1")] == [1, 1]
    assert_sound_log(await feed.log("p1"))
    assert await second.terminate() == 0


async def test_sigterm_does_not_wait_for_an_attempt_longer_than_the_grace_time(
    executor_process, feed, serve_tool, make_plan, eventually
):
    gate = Gate("s0")
    await serve_tool(behaviour=gate)
    first = executor_process(LEADPLAN_LEASE_MS="60000", LEADPLAN_GRACE_MS="200")
    await eventually(lambda: first.serving)
    await feed.submit(make_plan("p1", chain(2)))
    await asyncio.wait_for(gate.reached.wait(), 10)
    assert await first.terminate() == 0
    executor_process(LEADPLAN_LEASE_MS="60000")
    assert (await feed.result("p1", within=10))["overallStatus"] == "succeeded"
    assert_sound_log(await feed.log("p1"))


async def test_a_retry_that_waits_is_handed_back_and_still_waits_its_time(start_executor, feed, serve_tool, make_plan):
    def behave(request):
        return {"success": request["attempt"] == 2, "errorMessage": "not yet"}

    await serve_tool(behaviour=behave)
    first = await start_executor()
    await feed.submit(make_plan("p1", [{"id": "a", "retry": {"baseDelayMs": 700}}]))
    await feed.until(lambda: feed.of("p1", "STEP_RETRYING"))
    await first.stop()
    await start_executor()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    (retrying,) = feed.of("p1", "STEP_RETRYING")
    assert feed.of("p1", "STEP_STARTED")[1]["time"] >= retrying["meta"]["retryAt"]
    assert_sound_log(await feed.log("p1"))


async def test_a_tool_is_told_when_the_deadline_passed_while_nobody_had_the_plan(
    start_executor, feed, nc, serve_tool, make_plan, eventually
):
    notices = []

    async def note(message):
        notices.append(message.data)

    await nc.subscribe("tools.ECHO.cancel", cb=note)
    tool = await serve_tool(behaviour=Gate("a"))
    executor = await start_executor(grace_ms=0)
    await feed.submit(make_plan("p1", [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}], deadlineMs=500))
    await eventually(lambda: tool.requests)
    asked_at = time.monotonic()
    await executor.stop()
    await eventually(lambda: time.monotonic() - asked_at > 0.5)
    await start_executor()

    result = await feed.result("p1")

    assert [one["errorCode"] for one in result["stepResults"]] == ["deadline_exceeded", "dependency_failed"]
    assert len(tool.requests) == 1
    await feed.until(lambda: notices)
    assert notices == [b'{"planId":"p1","stepId":"a","idempotencyKey":"p1:a"}']
    assert_sound_log(await feed.log("p1"))


async def test_the_server_is_killed_and_comes_back(nats_server, executor, feed, serve_tool, make_plan):
    async def slow(request):
        await asyncio.sleep(0.05)
        return {"success": True}

    await serve_tool(behaviour=slow)
    await feed.submit(make_plan("p1", [dict(step, retry={"maxRetries": 20}) for step in chain(20)]))
    await feed.until(lambda: len(feed.of("p1", "STEP_SUCCEEDED")) >= 3)
    nats_server.kill()
    nats_server.start()
    await feed.until(lambda: feed.of("p1", "PLAN_COMPLETED"), within=40)
    log = await feed.log("p1")
    assert_sound_log(log)
    assert log[-1]["result"]["overallStatus"] == "succeeded"
