"""Plans whose handling crashes end after a few tries, with the reason, and stop nobody else."""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from nats.js.errors import NotFoundError

from leadplan_executor.core import takeovers
from leadplan_executor.core.takeovers import LOST_BEFORE_ALONE, Course, Holder, TakeOvers
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.start_up import prepare_server
from leadplan_executor.takeover_book import TakeOverBook
from leadplan_executor.tool_calls import ToolCaller

LAUNCHER = Path(__file__).parents[1] / "poison_executor.py"
FINAL = {"STEP_SUCCEEDED", "STEP_FAILED", "STEP_SKIPPED"}


def assert_sound_log(log):
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    assert [event["type"] for event in log].count("PLAN_STARTED") == 1
    assert [event["type"] for event in log].count("PLAN_COMPLETED") == 1
    assert log[-1]["type"] == "PLAN_COMPLETED"
    finals = Counter(event["step"]["id"] for event in log if event["type"] in FINAL)
    assert set(finals.values()) == {1}


class Supervised:
    """Executors that are started again whenever they end, as a supervisor of processes does."""

    def __init__(self, nats_url, log, **settings):
        environment = {"NATS_URL": nats_url, "LEADPLAN_LEASE_MS": "600", "LEADPLAN_LOG_LEVEL": "INFO"}
        self._environment = {**os.environ, **environment, **settings}
        self._log = log
        self._running = []
        self.ends = []
        self._task = None

    def start(self, count):
        self._running = [self._spawn() for _ in range(count)]
        self._task = asyncio.create_task(self._restart())

    def _spawn(self):
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, str(LAUNCHER), "executor"], env=self._environment, stderr=log, stdout=log
            )

    async def _restart(self):
        while True:
            for place, process in enumerate(self._running):
                if process.poll() is not None:
                    self.ends.append(process.returncode)
                    self._running[place] = self._spawn()
            await asyncio.sleep(0.02)

    async def stop(self):
        """Stop them as an operator does; their exit codes."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for process in self._running:
            process.terminate()
        return [await asyncio.to_thread(process.wait, 20) for process in self._running]

    def kill(self):
        for process in self._running:
            if process.poll() is None:
                process.kill()
                process.wait()

    @property
    def log(self):
        return self._log.read_text()


@pytest.fixture
async def supervised(nats_url, tmp_path):
    made = []

    def make(count, **settings):
        fleet = Supervised(nats_url, tmp_path / "executors.log", **settings)
        made.append(fleet)
        fleet.start(count)
        return fleet

    yield make
    for fleet in made:
        fleet._task.cancel()
        fleet.kill()


async def slow(request):
    await asyncio.sleep(0.5)
    return {"success": True, "data": request["stepId"]}


async def settled_plans(feed, names, within):
    def ends():
        return {one["planId"]: one for one in feed.events if one["type"] in ("PLAN_COMPLETED", "PLAN_REJECTED")}

    await feed.until(lambda: set(names) <= ends().keys(), within)
    return ends()


async def queue_is_there(nc):
    try:
        await nc.jetstream().consumer_info("PLANS", "executors")
    except NotFoundError:
        return False
    return True


async def queue_is_empty(nc):
    return (await nc.jetstream().stream_info("PLANS")).state.messages == 0


async def test_a_dozen_innocent_plans_beside_two_that_kill(supervised, feed, nc, serve_tool, make_plan, eventually):
    await serve_tool(behaviour=slow)
    await serve_tool("QUICK")
    innocent = [f"p{number}" for number in range(12)]
    guilty = ["segfault-at-reply", "kill-at-message"]
    fleet = supervised(2)
    await eventually(lambda: queue_is_there(nc))
    for name in [*innocent[:6], *guilty, *innocent[6:]]:
        await feed.submit(make_plan(name, [{"id": "a"}, {"id": "b", "tool": "QUICK", "dependsOn": ["a"]}]))

    # The other one's id was never read: whoever did died of it.
    ends = await settled_plans(feed, [*innocent, "segfault-at-reply", "_unreadable"], 60)

    assert {ends[name]["result"]["overallStatus"] for name in innocent} == {"succeeded"}
    for name in innocent:
        assert_sound_log(await feed.log(name))
    told = ends["segfault-at-reply"]["result"]
    assert told["overallStatus"] == "failed"
    assert [(one["status"], one["errorCode"]) for one in told["stepResults"]] == [
        ("failed", "poison_plan"),
        ("skipped", "dependency_failed"),
    ]
    assert "its process was ended by SIGSEGV" in told["stepResults"][0]["errorMessage"]
    assert_sound_log(await feed.log("segfault-at-reply"))
    (problem,) = ends["_unreadable"]["meta"]["errors"]
    assert problem["code"] == "poison_plan"
    assert "SIGKILL" in problem["message"]
    assert json.loads(ends["_unreadable"]["meta"]["original"]["text"])["plan"]["id"] == "kill-at-message"
    assert len(fleet.ends) <= len(guilty) * LOST_BEFORE_ALONE
    await eventually(lambda: queue_is_empty(nc))
    assert (await feed.run(make_plan("afterwards", [{"id": "a"}])))["overallStatus"] == "succeeded"
    assert await fleet.stop() == [0, 0]


# --- one executor that is given plans which raise, or a log that no executor wrote


def executor_settings(**settings):
    return {"lease_ms": 500, "max_takeovers": 3, **settings}


@pytest.fixture
def no_long_waits(monkeypatch):
    monkeypatch.setattr(takeovers, "_FIRST_DELAY_SECONDS", 0.05)


@pytest.fixture
def clumsy(monkeypatch):
    """Handling a reply to these plans raises."""
    guilty = set()
    call = ToolCaller.run_lead_tool

    async def raising(self, tool, params, env, **rest):
        signal = await call(self, tool, params, env, **rest)
        if env.plan_id in guilty:
            raise ZeroDivisionError("what owner@example.com sent can't be divided")
        return signal

    monkeypatch.setattr(ToolCaller, "run_lead_tool", raising)
    return guilty


async def test_handling_that_raises_ends_the_plan_after_so_many_tries(
    start_executor, feed, nc, serve_tool, make_plan, clumsy, eventually, no_long_waits
):
    tool = await serve_tool()
    await start_executor(**executor_settings())
    clumsy.add("p1")
    others = [feed.run(make_plan(f"other{number}", [{"id": "a"}])) for number in range(5)]
    result, *rest = await asyncio.gather(feed.run(make_plan("p1", [{"id": "a"}, {"id": "b"}])), *others)
    assert {one["overallStatus"] for one in rest} == {"succeeded"}
    assert result["overallStatus"] == "failed"
    assert {one["errorCode"] for one in result["stepResults"]} == {"poison_plan"}
    message = result["stepResults"][0]["errorMessage"]
    assert "failed 3 times" in message
    assert "ZeroDivisionError at test_poison.py" in message
    assert "owner@example.com" not in message
    assert len(tool.calls("a")) - 5 <= 3
    assert_sound_log(await feed.log("p1"))
    await eventually(lambda: queue_is_empty(nc))


async def test_an_attempt_that_must_not_be_repeated_is_not_by_poison_either(
    start_executor, feed, serve_tool, make_plan, clumsy, no_long_waits
):
    tool = await serve_tool()
    await start_executor(**executor_settings(max_takeovers=1))
    clumsy.add("p1")
    result = await feed.run(make_plan("p1", [{"id": "a", "atMostOnce": True}, {"id": "b", "dependsOn": ["a"]}]))
    assert [(one["status"], one["errorCode"]) for one in result["stepResults"]] == [
        ("failed", "outcome_unknown"),
        ("skipped", "dependency_failed"),
    ]
    assert len(tool.requests) == 1


INTRUDERS = {
    "garbage": b"\xff\xfe no event",
    "empty": b"",
    "an event of a future version": json.dumps(
        {"type": "STEP_DELEGATED", "planId": "p1", "sequence": 3, "time": "2031-01-01T00:00:00.000Z"}
    ).encode(),
    "an event that can't follow": json.dumps(
        {"type": "PLAN_UNPAUSED", "planId": "p1", "sequence": 3, "time": "2026-11-23T09:15:02.417Z", "meta": {}}
    ).encode(),
    "a gap": json.dumps(
        {"type": "PLAN_CANCELLING", "planId": "p1", "sequence": 99, "time": "2026-11-23T09:15:02.417Z", "meta": {}}
    ).encode(),
}


async def test_what_somebody_else_writes_into_a_log_ends_its_plan_and_no_other(
    start_executor, feed, nc, serve_tool, make_plan, eventually, no_long_waits
):
    go_on = asyncio.Event()

    async def held(request):
        await go_on.wait()
        return {"success": True}

    tool = await serve_tool("HELD", held)
    await serve_tool()
    await start_executor(**executor_settings(max_takeovers=2))
    messages = {
        f"p{number}": make_plan(f"p{number}", [{"id": "a", "tool": "HELD"}]) for number in range(len(INTRUDERS))
    }
    for message in messages.values():
        await feed.submit(message)
    await eventually(lambda: {request["planId"] for request in tool.requests} == set(messages))
    for plan_id, intruder in zip(messages, INTRUDERS.values(), strict=True):
        await nc.jetstream().publish(f"plans.log.{plan_id}", intruder.replace(b"p1", plan_id.encode()))
    go_on.set()
    await eventually(lambda: queue_is_empty(nc), within=20)
    for plan_id, message in messages.items():
        (event,) = await feed.rejects(plan_id)
        (problem,) = event["meta"]["errors"]
        assert problem["code"] == "poison_plan"
        assert "log can't be read" in problem["message"]
        assert json.loads(event["meta"]["original"]["text"]) == message
    assert (await feed.run(make_plan("other", [{"id": "a"}])))["overallStatus"] == "succeeded"


async def test_a_hand_back_on_purpose_never_counts(start_executor, feed, nc, serve_tool, make_plan):
    """Five executors are stopped one after the other while the same step waits for its repeat."""
    asked = []

    def once_in_vain(request):
        asked.append(request["attempt"])
        return {"success": len(asked) > 1, "retryAfterMs": 1500}

    await serve_tool(behaviour=once_in_vain)
    executor = await start_executor(max_takeovers=1)
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    await feed.until(lambda: feed.of("p1", "STEP_RETRYING"))
    for number in range(5):
        await executor.stop()
        executor = await start_executor(max_takeovers=2)
        await feed.until(
            lambda number=number: len(feed.of("p1", "PLAN_RESUMED")) > number or feed.of("p1", "PLAN_COMPLETED")
        )
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"
    bucket = await nc.jetstream().key_value("PLAN_TAKEOVERS")
    entry = msgspec.json.decode((await bucket.get("1")).value, type=TakeOvers)
    assert (entry.lost, entry.problems) == (1, ())


async def test_a_first_delivery_writes_nothing_into_the_book(executor, feed, nc, serve_tool, make_plan):
    await serve_tool()
    await feed.run(make_plan("p1", [{"id": "a"}]))
    assert (await nc.jetstream().stream_info("KV_PLAN_TAKEOVERS")).state.messages == 0


async def test_an_entry_that_cant_be_read_is_replaced(nc):
    await prepare_server(nc, ExecutorSettings())
    bucket = await nc.jetstream().key_value("PLAN_TAKEOVERS")
    book = TakeOverBook(nc, Holder(executor="me", service="s"), 5)
    for garbage in (b"\xff garbage", b"", b"[]", b'{"lost":"many"}'):
        await bucket.put("7", garbage)
        entry = await book.look(7)
        assert (entry.taken.course, entry.taken.entry.lost) == (Course.RUN, 1)
        assert await book.store(entry, entry.taken.entry)
        assert (await book.look(7)).taken.entry.holder == Holder(executor="me", service="s")
