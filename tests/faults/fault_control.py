"""Asking the control endpoints under faults, and noting what was asked and what was answered."""

import asyncio
import json
import time
from enum import Enum
from typing import Any, NamedTuple

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_contracts import subjects

IN_TIME_SECONDS = 15.0
"""So long a client waits in all, as ``docs/control.md`` says."""
_PAUSE_SECONDS = 0.05


class Answer(Enum):
    """What a client was told."""

    CHANGED = "changed"
    UNCHANGED = "so already"
    REFUSED = "refused"
    NONE = "no answer, or that nobody could in time"


class Asked(NamedTuple):
    """A request that was made, however often it was sent.

    Attributes:
        endpoint: the last token of its subject.
        plan_id, request_id: its own.
        answer: what the client was told.
        reply: the body of that; empty where there was none.
        sent: how often it was sent.
        at: when the answer came, nanoseconds since 1970.
        seconds: from the first time until then.
    """

    endpoint: str
    plan_id: str
    request_id: str
    answer: Answer
    reply: dict[str, Any]
    sent: int
    at: int
    seconds: float


class Asker:
    """A client that sends a request again until it is answered, as ``docs/control.md`` asks of clients.

    Args:
        nc: its connection.
        patience: so long an answer is waited for before the request is sent again.
    """

    def __init__(self, nc: Client, patience: float) -> None:
        self._nc = nc
        self._patience = patience

    async def ask(
        self, endpoint: str, plan_id: str, request_id: str, *, within: float = IN_TIME_SECONDS, **fields: Any
    ) -> Asked:
        """Ask until there is an answer, or the time is over."""
        body = json.dumps({"planId": plan_id, "requestId": request_id, **fields}).encode()
        begun, sent = time.monotonic(), 0
        inbox = self._nc.new_inbox()
        answers = await self._nc.subscribe(inbox)
        try:
            while (left := begun + within - time.monotonic()) > 0:
                try:
                    await self._nc.publish(subjects.plan_control_subject(endpoint), body, reply=inbox)
                    sent += 1
                    message = await answers.next_msg(min(self._patience, left))
                except (NatsTimeoutError, TimeoutError):
                    continue
                except NatsError:
                    await asyncio.sleep(_PAUSE_SECONDS)
                    continue
                reply: dict[str, Any] = json.loads(message.data or b"{}")
                if (answer := _read(reply)) is not Answer.NONE:
                    seconds = time.monotonic() - begun
                    return Asked(endpoint, plan_id, request_id, answer, reply, sent, time.time_ns(), seconds)
                await asyncio.sleep(_PAUSE_SECONDS)
        finally:
            if not self._nc.is_closed:
                await answers.unsubscribe()
        seconds = time.monotonic() - begun
        return Asked(endpoint, plan_id, request_id, Answer.NONE, {}, sent, time.time_ns(), seconds)

    async def status(self, plan_id: str) -> dict[str, Any]:
        """How a plan stands; empty where nobody says."""
        body = json.dumps({"planId": plan_id, "data": False}).encode()
        try:
            message = await self._nc.request(subjects.plan_control_subject("status"), body, timeout=self._patience)
        except (NatsError, TimeoutError):
            return {}
        status: dict[str, Any] = json.loads(message.data or b"{}")
        return status


def _read(reply: dict[str, Any]) -> Answer:
    """What an answer says; nothing where nobody listened, nobody could, or the server was away meanwhile."""
    if not reply or reply.get("code") in ("unavailable", "internal"):
        return Answer.NONE
    if "code" in reply:
        return Answer.REFUSED
    return Answer.CHANGED if reply["changed"] else Answer.UNCHANGED
