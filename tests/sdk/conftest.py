"""A responder served on a real server, and a caller that speaks the tool protocol as any executor would."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import close, connect
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_responder import Responder
from leadplan_responder.serving import Serving


class Asked:
    """A request under way: the signs of life so far, and its replies (there should be one)."""

    def __init__(self) -> None:
        self.signs: list[dict[str, Any] | None] = []
        self.replies: list[dict[str, Any]] = []
        self.after_the_reply: list[Msg] = []
        self._answered = asyncio.Event()

    async def take(self, message: Msg) -> None:
        headers = message.headers or {}
        if self.replies:
            self.after_the_reply.append(message)
        elif headers.get("Leadplan-Reply") == "working":
            self.signs.append(json.loads(message.data) if message.data else None)
        else:
            assert headers.get("Status") != "503", "nobody serves the tool"
            self.replies.append(json.loads(message.data))
            self._answered.set()

    async def reply(self, within: float = 10.0) -> dict[str, Any]:
        async with asyncio.timeout(within):
            await self._answered.wait()
        return self.replies[0]


class Caller:
    """Sends requests of the tool protocol (section 5), or anything else."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc

    @staticmethod
    def request(tool: str, params: Any = None, **fields: Any) -> dict[str, Any]:
        step_id = fields.pop("stepId", "s1")
        return {
            "planId": "p1",
            "stepId": step_id,
            "tool": tool,
            "params": {} if params is None else params,
            "attempt": 1,
            "idempotencyKey": f"p1:{step_id}",
            "deadline": "2100-01-01T00:00:00.000Z",
            "timeoutMs": 30_000,
            "user": {"userId": "u_7"},
            "plan": {"id": "p1", "title": "A plan"},
            "priorResults": {},
            **fields,
        }

    async def send(self, tool: str, body: bytes) -> Asked:
        asked = Asked()
        inbox = self.nc.new_inbox()
        await self.nc.subscribe(inbox, cb=asked.take)
        await self.nc.publish(f"tools.{tool}", body, reply=inbox)
        return asked

    async def start(self, tool: str, params: Any = None, **fields: Any) -> Asked:
        return await self.send(tool, json.dumps(self.request(tool, params, **fields)).encode())

    async def ask(self, tool: str, params: Any = None, **fields: Any) -> dict[str, Any]:
        return await (await self.start(tool, params, **fields)).reply()

    async def cancel(self, tool: str, step_id: str) -> None:
        notice = {"planId": "p1", "stepId": step_id, "idempotencyKey": f"p1:{step_id}"}
        await self.nc.publish(f"tools.{tool}.cancel", json.dumps(notice).encode())

    async def stats(self, service: str) -> dict[str, dict[str, Any]]:
        answer = json.loads((await self.nc.request(f"$SRV.STATS.{service}", timeout=5)).data)
        return {endpoint["name"]: endpoint for endpoint in answer["endpoints"]}


@pytest.fixture
def caller(nc: Client) -> Caller:
    return Caller(nc)


@pytest.fixture
async def with_streams(nc: Client) -> None:
    await ensure_topology(nc.jetstream(), Retention())


Serve = Callable[..., Awaitable[Serving]]


@pytest.fixture
async def serve(nats_url: str) -> AsyncIterator[Serve]:
    """Serve a responder on a connection of its own, until the test ends."""
    served: list[tuple[Serving, Client]] = []

    async def start(responder: Responder, *, grace_seconds: float = 0.0) -> Serving:
        connection = await connect(nats_url, name=responder.name)
        serving = Serving(responder, connection, grace_seconds)
        served.append((serving, connection))
        await serving.start()
        return serving

    yield start
    for serving, connection in served:
        await serving.stop()
        await close(connection)
