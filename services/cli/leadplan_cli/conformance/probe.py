"""Asks a running responder as an executor would, and keeps all that came back."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.tokens import new_token
from leadplan_cli.conformance.announcements import Announcement, read_announcements
from leadplan_cli.conformance.exchanges import Answer, Exchange
from leadplan_contracts import CancelNotice, subjects
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import encode

_DEFAULT_BUSY_MS = 1_000
_SHORTEST_BUSY_MS = 10


class NobodyListensError(Exception):
    """There is no responder to check.

    Attributes:
        tool: the tool's name.
    """

    def __init__(self, tool: str) -> None:
        self.tool = tool
        super().__init__(f"nobody listens on {subjects.tool_subject(tool)}: start the responder, check the tool's name")


@dataclass
class Probe:
    """A responder that is being checked, and what is known of it so far.

    Attributes:
        nc: a connection to the responder's server.
        tool: the tool's name.
        params: params that the tool does well with.
        error_params: params that make it report an error, or None.
        prior_data: data of prior steps by step id, for tools that read them.
        timeout_ms: what each request gives the responder.
        at_once: how many requests are sent at the same moment.
        exchanges: every request so far.
        announcements: what the tool's instances announce, read by ``start``.
        first_answer: how the first valid request was answered.
        first_seconds: how long that took.
    """

    nc: Client
    tool: str
    params: dict[str, Any]
    error_params: dict[str, Any] | None = None
    prior_data: Mapping[str, Any] = field(default_factory=dict)
    timeout_ms: int = 30_000
    at_once: int = 20
    exchanges: list[Exchange] = field(default_factory=list)
    announcements: list[Announcement] = field(default_factory=list)
    first_answer: Answer = field(default_factory=lambda: Answer(None, "it wasn't asked yet"))
    first_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.run_id = f"conformance-{new_token()}"
        self._inbox = self.nc.new_inbox()
        self._by_token: dict[str, Exchange] = {}

    async def start(self) -> None:
        """Listen for replies, read what is announced, and send a first valid request.

        Raises:
            NobodyListensError: nobody has subscribed to the tool's subject.
        """
        self._replies = await self.nc.subscribe(f"{self._inbox}.*", cb=self._take)
        self.announcements = await read_announcements(self.nc, self.tool)
        exchange = await self.send(encode(self.request()))
        await exchange.wait_for_any(self.seconds)
        if exchange.received and exchange.received[0].says_nobody_listens:
            raise NobodyListensError(self.tool)
        self.first_answer = await exchange.answer(self.seconds)
        if self.first_answer.is_busy:
            self.first_answer = await self.ask(self.request())
        self.first_seconds = time.monotonic() - exchange.sent_at

    async def stop(self) -> None:
        """Listen no more."""
        if not self.nc.is_closed:
            await self._replies.unsubscribe()

    @property
    def seconds(self) -> float:
        """How long a request may take."""
        return self.timeout_ms / 1000

    @property
    def effects(self) -> set[Any]:
        """What the instances announce as ``effects``."""
        return {one.effects for one in self.announcements if isinstance(one.effects, str)}

    def request(self, params: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """A request with a key of its own; ``changes`` replace its fields."""
        step_id = f"s{len(self.exchanges)}-{new_token()}"
        timeout_ms = changes.get("timeoutMs", self.timeout_ms)
        params = self.params if params is None else params
        now = format_time(time.time_ns() // 1_000_000)
        prior_steps = [{"id": one, "tool": "CONFORMANCE", "params": {}} for one in self.prior_data]
        step = {"id": step_id, "tool": self.tool, "params": params, "dependsOn": list(self.prior_data)}
        return {
            "planId": self.run_id,
            "stepId": step_id,
            "tool": self.tool,
            "params": params,
            "attempt": 1,
            "idempotencyKey": f"{self.run_id}:{step_id}",
            "deadline": format_time(time.time_ns() // 1_000_000 + timeout_ms),
            "timeoutMs": timeout_ms,
            "user": {"userId": "conformance"},
            "plan": {
                "id": self.run_id,
                "title": "Conformance",
                "goal": {"description": "Check a responder"},
                "createdAt": now,
                "steps": [*prior_steps, step],
            },
            "priorResults": {
                one: {"stepId": one, "status": "succeeded", "attempts": 1, "data": data}
                for one, data in self.prior_data.items()
            },
            **changes,
        }

    async def send(self, body: bytes, *, key: str = "", attempt: int = 1) -> Exchange:
        """Send a body, whatever it is, and don't wait."""
        exchange = Exchange()
        token = new_token()
        self._by_token[token] = exchange
        self.exchanges.append(exchange)
        headers = {subjects.IDEMPOTENCY_KEY_HEADER: key or token, subjects.ATTEMPT_HEADER: str(attempt)}
        await self.nc.publish(subjects.tool_subject(self.tool), body, reply=f"{self._inbox}.{token}", headers=headers)
        return exchange

    async def begin(self, request: dict[str, Any]) -> Exchange:
        """Send a request and don't wait."""
        return await self.send(encode(request), key=request["idempotencyKey"], attempt=request["attempt"])

    async def ask(self, request: dict[str, Any]) -> Answer:
        """Send a request and wait for its reply; a busy responder is asked again, as an executor does."""
        give_up_at = time.monotonic() + 2 * self.seconds
        while True:
            answer = await (await self.begin(request)).answer(self.seconds)
            if not answer.is_busy or answer.reply is None or time.monotonic() > give_up_at:
                return answer
            wait_ms = answer.reply.retry_after_ms
            wait_ms = _DEFAULT_BUSY_MS if wait_ms is None else max(wait_ms, _SHORTEST_BUSY_MS)
            await asyncio.sleep(min(wait_ms / 1000, self.seconds))

    async def cancel(self, request: dict[str, Any]) -> None:
        """Say that the work for this request is no longer wanted."""
        notice = CancelNotice(
            plan_id=request["planId"], step_id=request["stepId"], idempotency_key=request["idempotencyKey"]
        )
        await self.nc.publish(subjects.tool_cancel_subject(self.tool), encode(notice))

    def is_own(self, reply_to: str) -> bool:
        """Whether a request with this reply subject is one of ours."""
        return reply_to.startswith(f"{self._inbox}.")

    def exchange_of(self, reply_to: str) -> Exchange:
        """The exchange of one of our requests."""
        return self._by_token[reply_to.rpartition(".")[2]]

    async def _take(self, message: Msg) -> None:
        exchange = self._by_token.get(message.subject.rpartition(".")[2])
        if exchange is not None:
            exchange.take(message)
