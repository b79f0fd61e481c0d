"""A real server, executors in this process or in their own, plain tools, and a recorder of events."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import connect, flush
from leadplan_bus.stored_messages import read_subject
from leadplan_contracts.subjects import PLAN_LOG_STREAM, PLAN_REJECTS_STREAM
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings

PERMANENT_CRASHES = bool(os.environ.get("LEADPLAN_CRASH_POINTS"))
if PERMANENT_CRASHES:
    # Executors in this process lose power again and again; how and when is the fault tests' business.
    sys.path.append(str(Path(__file__).parents[1] / "faults"))
    import fault_permanent_crashes

Reply = dict[str, Any] | bytes | None
Behaviour = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Under permanent crashes only tests with executors in this process count; those that can't pass say why."""
    if not PERMANENT_CRASHES:
        return
    others = [item for item in items if "start_executor" not in getattr(item, "fixturenames", ())]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]
    for item in items:
        if reason := fault_permanent_crashes.why_not(item.name):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often the power went."""
    if PERMANENT_CRASHES and (losses := fault_permanent_crashes.CrashingExecutors.losses):
        terminalreporter.write_line(f"executors lost: {losses}")


def plan_message(plan_id: str, steps: list[dict[str, Any]], **plan: Any) -> dict[str, Any]:
    """A submission; steps get an empty ``params`` and the tool ECHO unless they say otherwise."""
    return {
        "plan": {
            "id": plan_id,
            "title": "A test plan",
            "goal": {"description": "Find dentists in Leeds"},
            "context": {},
            "createdAt": "2026-11-23T09:15:02.417Z",
            "steps": [{"tool": "ECHO", "params": {}, **step} for step in steps],
            **plan,
        },
        "user": {"userId": "u_7", "accountId": "acct_3", "email": "owner@example.com"},
    }


class Feed:
    """Everything on ``plans.events.*`` since the test began; under permanent crashes as if there were none."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self._unharmed = fault_permanent_crashes.AsIfUnharmed() if PERMANENT_CRASHES else None
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.nc.subscribe("plans.events.*", cb=self._take)
        await flush(self.nc)

    async def _take(self, message: Msg) -> None:
        event, headers = json.loads(message.data), message.headers or {}
        if self._unharmed is None or self._unharmed.shows(event, headers):
            self.events.append(event)
            self.headers.append(headers)
            self._news.set()

    def of(self, plan_id: str, *types: str) -> list[dict[str, Any]]:
        return [one for one in self.events if one["planId"] == plan_id and (not types or one["type"] in types)]

    async def until(self, condition: Callable[[], Any], within: float = 15.0) -> None:
        try:
            async with asyncio.timeout(within):
                while not condition():
                    self._news.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._news.wait(), 0.02)  # some conditions look elsewhere
        except TimeoutError:
            seen = [(one["planId"], one["type"], one.get("step", {}).get("id")) for one in self.events]
            raise AssertionError(f"not seen within {within:g} s; events so far: {seen}") from None

    async def result(self, plan_id: str, within: float = 15.0) -> dict[str, Any]:
        """The plan's result, once it has one."""
        await self.until(lambda: self.of(plan_id, "PLAN_COMPLETED"), within)
        result: dict[str, Any] = self.of(plan_id, "PLAN_COMPLETED")[0]["result"]
        return result

    async def rejection(self, plan_id: str) -> dict[str, Any]:
        await self.until(lambda: self.of(plan_id, "PLAN_REJECTED"))
        return self.of(plan_id, "PLAN_REJECTED")[-1]

    async def log(self, plan_id: str) -> list[dict[str, Any]]:
        """The plan's stored log."""
        stored = await read_subject(self.nc, PLAN_LOG_STREAM, f"plans.log.{plan_id}")
        events = [json.loads(message.body) for message in stored]
        if PERMANENT_CRASHES:
            unharmed = fault_permanent_crashes.AsIfUnharmed()
            return [event for event in events if unharmed.shows(event)]
        return events

    async def rejects(self, plan_id: str) -> list[dict[str, Any]]:
        stored = await read_subject(self.nc, PLAN_REJECTS_STREAM, f"plans.rejected.{plan_id}")
        return [json.loads(message.body) for message in stored]

    async def submit(self, message: dict[str, Any] | bytes) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.nc.jetstream().publish("plans.execute", body)

    async def run(self, message: dict[str, Any], within: float = 15.0) -> dict[str, Any]:
        await self.submit(message)
        return await self.result(message["plan"]["id"], within)


class Control:
    """The control endpoints, asked as any client would: JSON in, JSON out. Under permanent crashes again and again."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._patient = fault_permanent_crashes.PatientClient(nc) if PERMANENT_CRASHES else None

    async def ask(self, endpoint: str, request: Any = None, **fields: Any) -> dict[str, Any]:
        """The reply, or the problem with the micro error's code as ``status``."""
        if self._patient is not None and not isinstance(request, bytes):
            answer = await self._patient.ask(endpoint, dict(request or fields))
        else:
            body = request if isinstance(request, bytes) else json.dumps(request or fields).encode()
            answer = await self._nc.request(f"plans.{endpoint}", body, timeout=15)
        reply: dict[str, Any] = json.loads(answer.data)
        if (status := (answer.headers or {}).get("Nats-Service-Error-Code")) is not None:
            assert answer.headers["Nats-Service-Error"].startswith(reply["code"])
            reply["status"] = int(status)
        return reply

    async def state(self, plan_id: str) -> str:
        reply = await self.ask("status", planId=plan_id)
        return str(reply.get("state", reply.get("code")))

    async def until(self, plan_id: str, state: str) -> dict[str, Any]:
        """The status, once the plan is in this state."""
        reply: dict[str, Any] = {}

        async def is_in_state() -> bool:
            nonlocal reply
            reply = await self.ask("status", planId=plan_id)
            return reply.get("state") == state

        await eventually(is_in_state)
        return reply

    async def nobody_holds(self) -> None:
        """Wait until no message of the queue is held, and none waits."""

        async def is_empty() -> bool:
            return not await self.held()

        await eventually(is_empty)

    async def no_timers(self) -> None:
        """Wait until no plan has a timer."""

        async def there_are_none() -> bool:
            info = await self._nc.jetstream().stream_info("PLANS", subjects_filter="plans.timer.>")
            return not info.state.subjects

        await eventually(there_are_none)

    async def held(self) -> int:
        """How many messages of the queue are held or wait."""
        infos = [await self._nc.jetstream().consumer_info("PLANS", name) for name in ("executors", "wakes")]
        return sum((info.num_ack_pending or 0) + (info.num_pending or 0) for info in infos)


async def eventually(condition: Callable[[], Awaitable[bool]], within: float = 20.0) -> None:
    """Wait for something that nothing tells of but asking."""
    try:
        async with asyncio.timeout(within):
            while not await condition():  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not so after {within:g} s: {condition.__qualname__}") from None


class PlainTool:
    """A responder without the SDK: a subscriber in a queue group, requests side by side, and a ledger of calls.

    Under permanent crashes it knows requests that are sent again, and answers and lists them once.
    """

    def __init__(self, nc: Client, behaviour: Behaviour) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = 0
        self.most_at_once = 0
        self._nc = nc
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers = fault_permanent_crashes.RememberedAnswers() if PERMANENT_CRASHES else None

    async def take(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        request = {**json.loads(message.data), "_reply_to": message.reply}
        if self._answers is None or self._answers.is_new(request):
            self.requests.append(request)
            self.headers.append(message.headers or {})
        if self._answers is None:
            reply = await self._work(request)
        else:
            reply = await self._answers.answer(request, self._work)
        if reply is not None:
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            await self._nc.publish(message.reply, body)

    async def _work(self, request: dict[str, Any]) -> Reply:
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            reply = self._behaviour(request)
            return await reply if isinstance(reply, Awaitable) else reply
        finally:
            self.running -= 1

    def calls(self, step_id: str) -> list[dict[str, Any]]:
        return [request for request in self.requests if request["stepId"] == step_id]


def echo(request: dict[str, Any]) -> Reply:
    return {"success": True, "data": {"echo": request["params"]}}


@pytest.fixture
def make_plan() -> Callable[..., dict[str, Any]]:
    return plan_message


@pytest.fixture
async def feed(nc: Client) -> Feed:
    feed = Feed(nc)
    await feed.start()
    return feed


@pytest.fixture
def control(nc: Client) -> Control:
    return Control(nc)


@pytest.fixture
def serve_tool(nc: Client) -> Callable[..., Awaitable[PlainTool]]:
    """Serve a tool from this process; without a behaviour it echoes its params."""

    async def serve(name: str = "ECHO", behaviour: Behaviour = echo) -> PlainTool:
        tool = PlainTool(nc, behaviour)
        await nc.subscribe(f"tools.{name}", "q", cb=tool.take)
        await flush(nc)
        return tool

    return serve


_LEASE = {"lease_ms": 1000, "grace_ms": 1000}


@pytest.fixture
async def start_executor(nats_url: str) -> AsyncIterator[Callable[..., Awaitable[Any]]]:
    """Start executors in this process, each on a connection of its own; settings by field name."""
    if PERMANENT_CRASHES:
        crashing = fault_permanent_crashes.CrashingExecutors(nats_url)
        yield lambda **settings: crashing.start({**_LEASE, **settings})
        await crashing.stop()
        return
    started: list[tuple[Executor, Client]] = []

    async def start(**settings: Any) -> Executor:
        client = await connect(nats_url, name="executor")
        executor = Executor(client, ExecutorSettings(**{**_LEASE, **settings}))
        started.append((executor, client))
        await executor.start()
        return executor

    yield start
    for executor, client in started:
        await executor.stop()
        if not client.is_closed:
            await client.close()


@pytest.fixture
async def executor(start_executor: Callable[..., Awaitable[Executor]]) -> Executor:
    return await start_executor()


class ExecutorProcess:
    """A real executor process."""

    def __init__(self, nats_url: str, log: Path, **settings: str) -> None:
        environment = {**os.environ, "NATS_URL": nats_url, **settings}
        code = "from leadplan_executor.service import run; raise SystemExit(run())"
        self._log = log
        with log.open("ab") as stderr:
            self.process = subprocess.Popen([sys.executable, "-c", code], env=environment, stderr=stderr)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def terminate(self) -> int:
        self.process.terminate()
        return await asyncio.to_thread(self.process.wait, 20)  # tools in this process go on meanwhile

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def serving(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the executor ended with {self.process.returncode}: {self.log}")
        return '"serving"' in self.log


@pytest.fixture
def executor_process(nats_url: str, tmp_path: Path) -> Iterator[Callable[..., ExecutorProcess]]:
    started: list[ExecutorProcess] = []

    def start(**settings: str) -> ExecutorProcess:
        log = tmp_path / f"executor-{len(started)}.log"
        process = ExecutorProcess(nats_url, log, **{"LEADPLAN_LEASE_MS": "1000", **settings})
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.kill()
