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

Reply = dict[str, Any] | bytes | None
Behaviour = Callable[[dict[str, Any]], Reply | Awaitable[Reply]]


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
    """Everything on ``plans.events.*`` since the test began."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.events: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._news = asyncio.Event()

    async def start(self) -> None:
        await self.nc.subscribe("plans.events.*", cb=self._take)
        await flush(self.nc)

    async def _take(self, message: Msg) -> None:
        self.events.append(json.loads(message.data))
        self.headers.append(message.headers or {})
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
        return [json.loads(message.body) for message in stored]

    async def rejects(self, plan_id: str) -> list[dict[str, Any]]:
        stored = await read_subject(self.nc, PLAN_REJECTS_STREAM, f"plans.rejected.{plan_id}")
        return [json.loads(message.body) for message in stored]

    async def submit(self, message: dict[str, Any] | bytes) -> None:
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.nc.jetstream().publish("plans.execute", body)

    async def run(self, message: dict[str, Any], within: float = 15.0) -> dict[str, Any]:
        await self.submit(message)
        return await self.result(message["plan"]["id"], within)


class PlainTool:
    """A responder without the SDK: a subscriber in a queue group, requests side by side, and a ledger of calls."""

    def __init__(self, nc: Client, behaviour: Behaviour) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.running = 0
        self.most_at_once = 0
        self._nc = nc
        self._behaviour = behaviour
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        request = json.loads(message.data)
        self.requests.append(request)
        self.headers.append(message.headers or {})
        self.running += 1
        self.most_at_once = max(self.most_at_once, self.running)
        try:
            request["_reply_to"] = message.reply
            reply = self._behaviour(request)
            if isinstance(reply, Awaitable):
                reply = await reply
        finally:
            self.running -= 1
        if reply is not None:
            body = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            await self._nc.publish(message.reply, body)

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
def serve_tool(nc: Client) -> Callable[..., Awaitable[PlainTool]]:
    """Serve a tool from this process; without a behaviour it echoes its params."""

    async def serve(name: str = "ECHO", behaviour: Behaviour = echo) -> PlainTool:
        tool = PlainTool(nc, behaviour)
        await nc.subscribe(f"tools.{name}", "q", cb=tool.take)
        await flush(nc)
        return tool

    return serve


@pytest.fixture
async def start_executor(nats_url: str) -> AsyncIterator[Callable[..., Awaitable[Executor]]]:
    """Start executors in this process, each on a connection of its own; settings by field name."""
    started: list[tuple[Executor, Client]] = []

    async def start(**settings: Any) -> Executor:
        client = await connect(nats_url, name="executor")
        executor = Executor(client, ExecutorSettings(**{"lease_ms": 1000, "grace_ms": 1000, **settings}))
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
