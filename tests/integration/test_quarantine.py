"""A suspected plan runs in a process of its own: what it does there is seen, and harms nobody."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from leadplan_bus.connection import close, connect
from leadplan_executor import quarantine
from leadplan_executor.core import takeovers
from leadplan_executor.core.takeovers import LOST_BEFORE_ALONE, Holder, TakeOvers
from leadplan_executor.plan_execution import RunLimits
from leadplan_executor.pulls import Delivery
from leadplan_executor.quarantine import Order, QuarantineSettings
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.start_up import prepare_server

POISONED = [sys.executable, str(Path(__file__).parents[1] / "poison_executor.py"), "quarantined"]
LEASE = {"lease_ms": 500}


def cells(parent=None):
    """Process ids of the processes for suspects, of one parent or of any."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent_id = stat.read_text().rpartition(")")[2].split()[:2]
            command = stat.with_name("cmdline").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if "quarantined" in command and state != "Z" and parent in (None, int(parent_id)):
            found.append(int(stat.parent.name))
    return found


def is_there(process_id):
    return process_id in cells()


@pytest.fixture(autouse=True)
def no_long_waits(monkeypatch):
    monkeypatch.setattr(takeovers, "_FIRST_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(quarantine, "_START_AGAIN_SECONDS", 0.05)


@pytest.fixture
async def run_executor(nats_url):
    """Start an executor in this process; it is stopped at the end."""
    started = []

    async def start(**settings):
        client = await connect(nats_url, name="executor")
        executor = Executor(client, ExecutorSettings(**{**LEASE, "grace_ms": 0, **settings}))
        started.append((executor, client))
        await executor.start()
        return executor

    yield start
    for executor, client in started:
        if not client.is_closed:
            await executor.stop()
            await close(client)


@pytest.fixture
async def suspected(nc, make_plan):
    """Submit plans that were delivered once, to nobody, and are suspected: whoever takes them runs them alone."""
    await prepare_server(nc, ExecutorSettings(**LEASE))
    js = nc.jetstream()
    subscription = await js.pull_subscribe_bind("executors", stream="PLANS")
    book = await js.key_value("PLAN_TAKEOVERS")

    async def submit(**steps_of):
        """Plan ids, with ``_`` for ``-``, and their steps; returns the messages' sequences."""
        for plan_id, steps in steps_of.items():
            await js.publish("plans.execute", json.dumps(make_plan(plan_id.replace("_", "-"), steps)).encode())
        messages = await subscription.fetch(len(steps_of))
        assert len(messages) == len(steps_of)
        for message in messages:
            entry = msgspec.json.encode(TakeOvers(lost=LOST_BEFORE_ALONE))
            await book.put(str(message.metadata.sequence.stream), entry)
            await message.nak()
        return [message.metadata.sequence.stream for message in messages]

    submit.book = book
    return submit


@pytest.fixture
def entry_of(suspected):
    async def read(sequence):
        return msgspec.json.decode((await suspected.book.get(str(sequence))).value, type=TakeOvers)

    return read


@pytest.fixture
def settled(monkeypatch):
    """How executors in this process settle deliveries, as (what, sequence)."""
    seen = []
    for what in ("ack", "hand_back"):
        original = getattr(Delivery, what)

        async def settle(self, *arguments, _what=what, _original=original):
            seen.append((_what, self.stream_sequence))
            await _original(self, *arguments)

        monkeypatch.setattr(Delivery, what, settle)
    return seen


class Gate:
    """A tool that answers only once it may."""

    def __init__(self):
        self.asked = []
        self.open = asyncio.Event()

    async def __call__(self, request):
        self.asked.append(request["planId"])
        await self.open.wait()
        return {"success": True}


def executors(events):
    return [one["meta"]["executor"] for one in events if one["type"] in ("PLAN_STARTED", "PLAN_RESUMED")]


async def test_the_innocent_are_cleared_one_after_the_other(
    suspected, run_executor, feed, serve_tool, entry_of, monkeypatch
):
    monkeypatch.setattr(quarantine, "PLACES", 1)
    monkeypatch.setattr("leadplan_executor.plan_guard._ROOM_AGAIN_SECONDS", 0.1)
    most = []

    async def count(request):
        most.append(len(cells(os.getpid())))
        await asyncio.sleep(0.3)
        return {"success": True}

    await serve_tool(behaviour=count)
    steps = [{"id": "a"}, {"id": "b", "dependsOn": ["a"]}, {"id": "c", "dependsOn": ["b"]}]
    sequences = await suspected(p0=steps, p1=steps)
    await run_executor()
    for number, sequence in enumerate(sequences):
        assert (await feed.result(f"p{number}"))["overallStatus"] == "succeeded"
        first, *rest = executors(feed.of(f"p{number}"))
        assert "-alone-" in first
        assert not any("-alone-" in name for name in rest)
        entry = await entry_of(sequence)
        assert (entry.lost, entry.problems, entry.plan_id) == (0, (), f"p{number}")
    assert max(most) == 1


async def test_the_guilty_end_with_the_reason_however_they_crash(
    suspected, run_executor, feed, serve_tool, make_plan, monkeypatch
):
    """One computes for ever, one dies where its log is read, one dies where its message is read."""
    monkeypatch.setattr(quarantine, "COMMAND", POISONED)
    await serve_tool()
    steps = [{"id": "a"}]
    await suspected(loop_at_reply=steps, kill_at_log=steps, segfault_at_message=steps)
    await run_executor(stall_limit_ms=500, max_takeovers=3)
    others = [feed.run(make_plan(f"other{number}", [{"id": "a"}])) for number in range(5)]
    assert {one["overallStatus"] for one in await asyncio.gather(*others)} == {"succeeded"}

    (step,) = (await feed.result("loop-at-reply", 40))["stepResults"]
    assert (step["status"], step["errorCode"]) == ("failed", "poison_plan")
    assert "its process was ended by SIGPROF" in step["errorMessage"]
    for plan_id, how in (("kill-at-log", "SIGKILL"), ("_unreadable", "SIGSEGV")):
        (problem,) = (await feed.rejection(plan_id))["meta"]["errors"]
        assert problem["code"] == "poison_plan"
        assert f"its process was ended by {how}" in problem["message"]
    assert len(await feed.log("loop-at-reply")) < 12


async def test_a_process_that_doesnt_start_says_nothing_of_the_plan(
    suspected, run_executor, feed, serve_tool, entry_of, monkeypatch, settled, eventually
):
    await serve_tool()
    works = quarantine.COMMAND
    (sequence,) = await suspected(p1=[{"id": "a"}])
    for broken in (["false"], ["/nowhere/python"]):
        monkeypatch.setattr(quarantine, "COMMAND", broken)
        before = len(settled)
        executor = await run_executor(max_takeovers=3)
        await eventually(lambda before=before: len(settled) > before + 4)
        await executor.stop()
        entry = await entry_of(sequence)
        assert (entry.lost, entry.problems, entry.holder) == (LOST_BEFORE_ALONE, (), None)
    monkeypatch.setattr(quarantine, "COMMAND", works)
    await run_executor(max_takeovers=3)
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"


async def test_a_signal_to_the_process_and_a_stop_of_its_executor_hand_the_plan_back(
    suspected, run_executor, feed, serve_tool, entry_of, eventually, settled
):
    gate = Gate()
    await serve_tool(behaviour=gate)
    retry = {"maxRetries": 9, "baseDelayMs": 1}
    (sequence,) = await suspected(p1=[{"id": "a", "timeoutMs": 500, "retry": retry}])
    executor = await run_executor()
    await eventually(lambda: len(gate.asked) == 1)
    (cell,) = cells(os.getpid())
    os.kill(cell, signal.SIGTERM)
    await eventually(lambda: not is_there(cell))
    entry = await entry_of(sequence)
    assert (entry.lost, entry.problems) == (LOST_BEFORE_ALONE, ())

    await eventually(lambda: cells(os.getpid()) and len(gate.asked) > 1)
    await executor.stop()
    assert cells(os.getpid()) == []
    entry = await entry_of(sequence)
    assert (entry.lost, entry.problems, entry.holder) == (LOST_BEFORE_ALONE, (), None)
    assert settled == [("hand_back", sequence)] * 2
    gate.open.set()
    await run_executor()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"


@pytest.mark.parametrize("then", ["asked", "crashed"])
async def test_a_suspect_that_another_executor_has_taken_is_let_go_of(
    suspected, run_executor, feed, serve_tool, entry_of, eventually, settled, then
):
    """Handing it back would take it from that one; so would renewing the lease. A crash isn't counted any more."""
    gate = Gate()
    await serve_tool(behaviour=gate)
    (sequence,) = await suspected(p1=[{"id": "a"}])
    executor = await run_executor()
    await eventually(lambda: gate.asked == ["p1"])
    (cell,) = cells(os.getpid())
    await executor._submissions.let_go_of_lost_plans()
    assert is_there(cell)  # it is ours

    another = TakeOvers(lost=LOST_BEFORE_ALONE, holder=Holder(executor="another", service="nobody"))
    await suspected.book.put(str(sequence), msgspec.json.encode(another))
    if then == "asked":
        await executor._submissions.let_go_of_lost_plans()
    else:
        os.kill(cell, signal.SIGKILL)
    await eventually(lambda: not is_there(cell))
    await eventually(lambda: executor._held == {})
    assert settled == []
    gate.open.set()
    assert (await feed.result("p1"))["overallStatus"] == "succeeded"  # once the lease has run out
    assert (await entry_of(sequence)).problems == ()


async def test_while_its_parent_stands_still_a_suspect_is_fenced_like_anybody_else(
    suspected, executor_process, run_executor, feed, serve_tool, eventually
):
    """A frozen executor loses two suspects: one that goes on meanwhile, and one that just waits for its tool."""
    gate = Gate()
    turns = asyncio.Semaphore(0)

    async def next_turn(request):
        await turns.acquire()
        return {"success": True}

    await serve_tool("WAITS", gate)
    tool = await serve_tool("GOES_ON", next_turn)
    step = {"id": "a", "tool": "WAITS"}
    await suspected(goes_on=[{"id": "once", "tool": "GOES_ON", "atMostOnce": True}, step], waits=[step])
    frozen = executor_process(LEADPLAN_LEASE_MS="500")
    await eventually(lambda: len(gate.asked) == 2 and len(tool.requests) == 1, within=20)
    old = cells(frozen.process.pid)
    assert len(old) == 2

    frozen.process.send_signal(signal.SIGSTOP)
    await run_executor()
    await feed.until(lambda: all(len(executors(feed.of(name))) == 2 for name in ("goes-on", "waits")), 20)
    turns.release()  # the answer comes to the old process: its append must be refused
    await eventually(lambda: len([one for one in old if is_there(one)]) == 1)
    frozen.process.send_signal(signal.SIGCONT)
    await eventually(lambda: not any(map(is_there, old)))
    gate.open.set()
    for name in ("goes-on", "waits"):
        await feed.result(name)
    assert await frozen.terminate() == 0
    assert "Traceback" not in frozen.log
    by = {name: executors(feed.of(name)) for name in ("goes-on", "waits")}
    assert all(not one.startswith(by[name][0].partition("-alone-")[0]) for name in by for one in by[name][1:])
    assert len(tool.requests) == 1  # at most once
    (step, _) = feed.of("goes-on", "PLAN_COMPLETED")[0]["result"]["stepResults"]
    assert step["errorCode"] == "outcome_unknown"


def test_the_process_ends_with_its_parent():
    settings = QuarantineSettings("nobody", RunLimits(1_000, 1_000, 1_000), 20_000, "INFO")
    order = Order(
        settings, "nats://127.0.0.1:9", "plans.execute", "", {}, 1, 2, None
    )  # there is no server: it waits for one
    with subprocess.Popen(quarantine.COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as cell:
        cell.stdin.write(msgspec.json.encode(order) + b"\n")
        cell.stdin.close()
        assert cell.wait(10) == 1
        assert cell.stdout.read() == b""


WATCHED = """
import asyncio, time
from leadplan_executor.watchdog import end_when_stuck

async def main():
    watchdog = asyncio.create_task(end_when_stuck(0.2))
    for _ in range(20):  # busy, but it looks around
        end = time.process_time() + 0.02
        while time.process_time() < end: pass
        await asyncio.sleep(0)
    time.sleep(0.5)  # waits, as for a slow machine
    print("now it computes", flush=True)
    while True: pass

asyncio.run(main())
"""


def test_a_process_that_computes_for_ever_ends_itself_and_says_where():
    run = subprocess.run([sys.executable, "-c", WATCHED], capture_output=True, text=True, timeout=30, check=False)
    assert (run.returncode, run.stdout) == (-signal.SIGPROF, "now it computes\n")
    assert "in main" in run.stderr
