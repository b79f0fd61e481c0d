"""A NATS micro service (ADR-32) whose endpoints take many requests at once and whose figures are true.

nats-py's own ``micro`` handles one request at a time per endpoint, and leaves callers waiting when it stops.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from leadplan_bus.connection import listen, stop_receiving
from leadplan_bus.tokens import new_token
from leadplan_contracts.subjects import RESPONDER_QUEUE_GROUP

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = r"(0|[1-9][0-9]*)"
_PRE_RELEASE = r"(0|[1-9][0-9]*|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_PRE_RELEASE}(\.{_PRE_RELEASE})*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_TYPE_PREFIX = "io.nats.micro.v1."


class Endpoint:
    """One subject of a service, and what happened on it."""

    def __init__(self, name: str, subject: str, metadata: Mapping[str, str]) -> None:
        self.name = name
        self.subject = subject
        self.metadata = dict(metadata)
        self.requests = 0
        self.errors = 0
        self.last_error = ""
        self.processing_ns = 0
        self.subscription: Subscription | None = None

    def record(self, started_ns: int, error: str | None = None) -> int:
        """Count a request that has been answered; returns how many nanoseconds it took.

        Args:
            started_ns: ``time.monotonic_ns()`` when it came in.
            error: what went wrong, in words fit for callers; None when it went well.
        """
        took_ns = time.monotonic_ns() - started_ns
        self.requests += 1
        self.processing_ns += took_ns
        if error is not None:
            self.errors += 1
            self.last_error = error
        return took_ns

    @property
    def average_ns(self) -> int:
        """Mean time from request to answer, in nanoseconds; 0 before the first."""
        return self.processing_ns // self.requests if self.requests else 0

    def info(self) -> dict[str, Any]:
        """The endpoint's part of an INFO answer."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": RESPONDER_QUEUE_GROUP,
            "metadata": self.metadata,
        }

    def stats(self) -> dict[str, Any]:
        """The endpoint's part of a STATS answer; times in nanoseconds."""
        return {
            "name": self.name,
            "subject": self.subject,
            "queue_group": RESPONDER_QUEUE_GROUP,
            "num_requests": self.requests,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": self.processing_ns,
            "average_processing_time": self.average_ns,
            "data": {},  # readers such as nats-py's fail without it
        }


def check_identity(name: str, version: str) -> None:
    """Check what a service says of itself.

    Raises:
        ValueError: name or version isn't of the form that ADR-32 asks for.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"service name {name!r} may hold only letters, digits, - and _")
    if not _SEMVER.fullmatch(version):
        raise ValueError(f"service version {version!r} is no semantic version such as 1.0.0")


class MicroService:
    """Answers ``$SRV.PING``, ``$SRV.INFO`` and ``$SRV.STATS`` and hands requests to its endpoints' handlers.

    A handler is a plain function: it returns at once and answers later, from a task of its own.

    Raises:
        ValueError: name or version isn't of the form that ADR-32 asks for.
    """

    def __init__(self, nc: Client, *, name: str, version: str, description: str) -> None:
        check_identity(name, version)
        self.id = new_token()
        self.name = name
        self.endpoints: list[Endpoint] = []
        self._nc = nc
        self._identity = {"name": name, "id": self.id, "version": version, "metadata": {}}
        self._description = description
        self._started = datetime.now(UTC)
        self._control: list[Subscription] = []

    async def start(self) -> None:
        """Answer discovery from now on."""
        for verb, answer in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
            for subject in (f"$SRV.{verb}", f"$SRV.{verb}.{self.name}", f"$SRV.{verb}.{self.name}.{self.id}"):
                self._control.append(await self._nc.subscribe(subject, cb=self._answering(answer)))

    async def add_endpoint(
        self, name: str, subject: str, handler: Callable[[Msg, Endpoint], None], metadata: Mapping[str, str]
    ) -> Endpoint:
        """Take requests on a subject, shared with the other instances of the service."""
        endpoint = Endpoint(name, subject, metadata)

        def take(message: Msg) -> None:
            handler(message, endpoint)

        endpoint.subscription = await listen(self._nc, subject, take, queue=RESPONDER_QUEUE_GROUP)
        self.endpoints.append(endpoint)
        return endpoint

    async def stop_endpoints(self) -> None:
        """Take no new requests; those that the server has sent already still reach their handlers, until ``stop``.

        Raises:
            nats.errors.Error: the server can't be told, for the connection is down.
        """
        subscriptions = [endpoint.subscription for endpoint in self.endpoints if endpoint.subscription is not None]
        await stop_receiving(self._nc, *subscriptions)

    async def stop(self) -> None:
        """Stop answering discovery too, and drop requests that still come."""
        subscriptions, self._control = self._control, []
        for endpoint in self.endpoints:
            if endpoint.subscription is not None:
                subscriptions.append(endpoint.subscription)
                endpoint.subscription = None
        await asyncio.gather(*(subscription.unsubscribe() for subscription in subscriptions))

    def _ping(self) -> dict[str, Any]:
        return {"type": f"{_TYPE_PREFIX}ping_response", **self._identity}

    def _info(self) -> dict[str, Any]:
        return {
            "type": f"{_TYPE_PREFIX}info_response",
            **self._identity,
            "description": self._description,
            "endpoints": [endpoint.info() for endpoint in self.endpoints],
        }

    def _stats(self) -> dict[str, Any]:
        return {
            "type": f"{_TYPE_PREFIX}stats_response",
            **self._identity,
            "started": self._started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "endpoints": [endpoint.stats() for endpoint in self.endpoints],
        }

    def _answering(self, answer: Callable[[], dict[str, Any]]) -> Callable[[Msg], Any]:
        async def reply(message: Msg) -> None:
            if message.reply:
                await self._nc.publish(message.reply, json.dumps(answer()).encode())

        return reply
