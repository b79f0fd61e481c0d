"""Asking a NATS server, as an ordinary client, for what can be known of it.

What was tried on nats-server 2.15:

- ``$SYS.REQ.ACCOUNT.PING.CONNZ`` needs no system account. Every node of a cluster answers it, also those on which the
  account has no connection, with its name, version, feature flags and clock.
- ``$JS.API.INFO`` tells the API level, and what the account may store.
- How often a server writes to disk (``sync_interval``) isn't told to clients at all: only to the system account, and on
  the monitoring port (``/varz``). So that is read where an address of the port is given.
"""

import asyncio
import json
import time
import urllib.request
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig

from leadplan_bus.server_facts import (
    NANOSECONDS,
    TOOL_STREAMS,
    AccountFacts,
    ApiError,
    ConsumerFacts,
    ServerFacts,
    ServerNode,
    StreamFacts,
    SyncFacts,
)
from leadplan_bus.topology import STREAMS, Retention
from leadplan_contracts import subjects

_ANSWER_SECONDS = 2.0
_SILENCE_SECONDS = 0.25
_NOT_FOUND = 404
_UNKNOWN: Any = object()
_T = TypeVar("_T")


class ApiRefusedError(Exception):
    """JetStream answered with an error."""

    def __init__(self, error: ApiError) -> None:
        self.error = error
        super().__init__(f"{error.description} ({error.err_code or error.code})")


class _Refusal(msgspec.Struct):
    error: ApiError | None = None


async def ask_jetstream(nc: Client, request: str, answer: type[_T], *, timeout: float = _ANSWER_SECONDS) -> _T:
    """Ask JetStream's API, such as ``STREAM.INFO.PLANS``.

    nats-py's own calls drop fields that it doesn't know (``persist_mode`` of some versions among them).

    Raises:
        ApiRefusedError: it answered with an error.
        nats.errors.Error: no answer, or one that can't be read.
    """
    async with asyncio.timeout(timeout + 1):  # a publish into a connection that takes nothing waits as well
        reply = await nc.request(f"$JS.API.{request}", b"", timeout=timeout)
    try:
        refusal = msgspec.json.decode(reply.data, type=_Refusal)
        if refusal.error is not None:
            raise ApiRefusedError(refusal.error)
        return msgspec.json.decode(reply.data, type=answer)
    except msgspec.DecodeError as error:
        raise NatsError(f"nats: unreadable answer to {request}: {error}") from error


class StreamInfo(NamedTuple):
    """A stream: what it keeps and holds, and its whole configuration."""

    facts: StreamFacts
    config: StreamConfig


async def stream_info(nc: Client, name: str) -> StreamInfo | None:
    """A stream; None where there is none.

    Raises:
        ApiRefusedError: JetStream refused for another reason.
        nats.errors.Error: no answer.
    """
    try:
        answer: dict[str, Any] = await ask_jetstream(nc, f"STREAM.INFO.{name}", dict)
    except ApiRefusedError as refusal:
        if refusal.error.code == _NOT_FOUND:
            return None
        raise
    return StreamInfo(msgspec.convert(answer, StreamFacts), StreamConfig.from_response(answer["config"]))


async def consumer_facts(nc: Client, consumer: str = subjects.EXECUTORS_CONSUMER) -> ConsumerFacts | None:
    """The consumer that executors share; None where it or its stream is missing.

    Raises:
        ApiRefusedError: JetStream refused for another reason.
        nats.errors.Error: no answer.
    """
    request = f"CONSUMER.INFO.{subjects.PLANS_STREAM}.{consumer}"
    try:
        return await ask_jetstream(nc, request, ConsumerFacts)
    except ApiRefusedError as refusal:
        if refusal.error.code == _NOT_FOUND:
            return None
        raise


async def gather_server_facts(nc: Client, monitoring_url: str = "") -> ServerFacts:
    """Ask for everything; what isn't answered is left out.

    Args:
        nc: the connection.
        monitoring_url: address of a server's monitoring port, such as ``http://nats:8222``; empty for none.
    """
    names = (*(str(stream(Retention()).name) for stream in STREAMS), *TOOL_STREAMS)
    nodes, account, consumer, (sync, sync_problem), *streams = await asyncio.gather(
        _nodes(nc),
        _unless_silent(ask_jetstream(nc, "INFO", AccountFacts)),
        _unless_silent(consumer_facts(nc)),
        _sync(monitoring_url),
        *(_unless_silent(stream_info(nc, name), _UNKNOWN) for name in names),
    )
    return ServerFacts(
        clustered="cluster" in nc._server_info,
        max_payload=nc.max_payload,
        nodes=nodes,
        account=account,
        streams={
            name: stream.facts if stream else None
            for name, stream in zip(names, streams, strict=True)
            if stream is not _UNKNOWN
        },
        consumer=consumer,
        sync=sync,
        sync_problem=sync_problem,
    )


async def _unless_silent(question: Any, otherwise: Any = None) -> Any:
    try:
        return await question
    except (NatsError, TimeoutError, ApiRefusedError):
        return otherwise


async def _nodes(nc: Client) -> tuple[ServerNode, ...]:
    """The nodes that answer; in a cluster nobody says how many there are, so it waits until no more answers come."""
    found: list[ServerNode] = []
    inbox = nc.new_inbox()
    try:
        subscription = await nc.subscribe(inbox)
        try:
            began, monotonic = time.time(), time.monotonic()
            await nc.publish("$SYS.REQ.ACCOUNT.PING.CONNZ", b'{"limit": 1}', reply=inbox)
            wait = _ANSWER_SECONDS / 2
            while True:
                message = await subscription.next_msg(wait)
                if (node := _node(message.data, began, time.monotonic() - monotonic)) is not None:
                    found.append(node)
                if "cluster" not in nc._server_info:
                    break
                wait = _SILENCE_SECONDS
        finally:
            if not nc.is_closed:
                await subscription.unsubscribe()
    except NatsError:
        pass  # silence ends it
    return tuple(found)


class _NodeInfo(msgspec.Struct):
    name: str
    ver: str
    time: str
    feature_flags: dict[str, bool] = msgspec.field(default_factory=dict)


class _NodeAnswer(msgspec.Struct):
    server: _NodeInfo


def _node(body: bytes, asked_at: float, took: float) -> ServerNode | None:
    """What a node says of itself; it read its clock between our question and its answer."""
    try:
        info = msgspec.json.decode(body, type=_NodeAnswer).server
        clock = datetime.fromisoformat(info.time).timestamp()
    except (msgspec.DecodeError, ValueError):
        return None  # no responders, or a server that answers otherwise
    return ServerNode(
        name=info.name,
        version=info.ver,
        feature_flags=info.feature_flags,
        clock_ahead_seconds=clock - (asked_at + took / 2),
        clock_error_seconds=took / 2,
    )


async def _sync(monitoring_url: str) -> tuple[SyncFacts | None, str | None]:
    if not monitoring_url:
        return None, None
    try:
        varz = await asyncio.to_thread(_read_varz, monitoring_url)
        config = varz["jetstream"]["config"]
        always, interval = bool(config.get("sync_always")), config["sync_interval"] / NANOSECONDS
    except (OSError, ValueError, KeyError, TypeError) as error:
        return None, f"{type(error).__name__}: {error}"
    return SyncFacts(always=always, interval_seconds=interval), None


def _read_varz(monitoring_url: str) -> Any:
    # No proxy: the port is one of our own network.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{monitoring_url.rstrip('/')}/varz", timeout=_ANSWER_SECONDS) as answer:
        return json.load(answer)
