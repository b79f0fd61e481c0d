"""A micro service that answers the control endpoints as a test says: the client's side is what is tested with it."""

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import close, connect, flush
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_contracts.control import HTTP_LIKE_CODE, ControlErrorCode, ControlProblem, ControlReply, PlanState
from leadplan_contracts.subjects import (
    CONTROL_ENDPOINTS,
    EXECUTOR_SERVICE_NAME,
    SERVICE_ERROR_CODE_HEADER,
    SERVICE_ERROR_HEADER,
    plan_control_subject,
)
from leadplan_contracts.wire import encode

Answer = Any
"""A wire model or JSON value; bytes as they are; a ``ControlProblem`` becomes an error; None is no answer."""
Answers = Callable[[dict[str, Any]], Answer | Awaitable[Answer]]


def problem(code: ControlErrorCode, message: str = "it is so", **more: Any) -> ControlProblem:
    return ControlProblem(code=code, message=message, **more)


def done(request: dict[str, Any], **more: Any) -> ControlReply:
    """What an executor says to a request that it has carried out."""
    reply = {"changed": True, "state": PlanState.RUNNING, "sequence": 7, **more}
    return ControlReply(plan_id=request["planId"], **reply)


CommandLine = Callable[..., tuple[int, str, str]]
"""Runs the command line: exit code, standard output, standard error."""


class ControlStub:
    """Serves every control endpoint: ``stub.answers["cancel"] = lambda request: …``; others confirm what they get."""

    def __init__(self, nc: Client) -> None:
        self.requests: list[tuple[str, Any]] = []
        self.answers: dict[str, Answers] = {}
        self._nc = nc
        self._service = MicroService(nc, name=EXECUTOR_SERVICE_NAME, version="0.1.0", description="Answers as told")
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        for name in CONTROL_ENDPOINTS:
            await self._service.add_endpoint(name, plan_control_subject(name), self._take, {})
        await self._service.start()
        await flush(self._nc)

    def _take(self, message: Msg, endpoint: Endpoint) -> None:
        task = asyncio.create_task(self._answer(message, endpoint.name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg, name: str) -> None:
        try:
            request = json.loads(message.data)
        except ValueError:
            request = message.data
        self.requests.append((name, request))
        answer = self.answers.get(name, done)(request)
        if isinstance(answer, Awaitable):
            answer = await answer
        if isinstance(answer, ControlProblem):
            code = HTTP_LIKE_CODE.get(answer.code, 409)
            headers = {SERVICE_ERROR_HEADER: answer.message, SERVICE_ERROR_CODE_HEADER: str(code)}
            await self._nc.publish(message.reply, encode(answer), headers=headers)
        elif answer is not None:
            await self._nc.publish(message.reply, answer if isinstance(answer, bytes) else encode(answer))


@contextlib.contextmanager
def served_in_a_thread(nats_url: str) -> Iterator[ControlStub]:
    """A stub with a loop of its own, for tests that run commands: each of those runs a loop, too."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stub")
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(timeout=10)

    connection = run(connect(nats_url, name="executor"))
    stub = ControlStub(connection)
    try:
        run(stub.start())
        yield stub
    finally:
        run(close(connection))
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
