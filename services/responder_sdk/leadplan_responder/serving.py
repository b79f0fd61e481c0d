"""Serving a responder on NATS: requests in, replies out, concurrency, cancel and drain.

The hard parts stand here so that handlers stay plain functions: nothing piles up silently (a full tool answers
``busy``), every request gets an answer, and a stopping process answers what it can't finish.
"""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import DEFAULT_URL, close, connect, flush, listen, without_credentials
from leadplan_bus.errors import ConnectionLostError
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_bus.tokens import new_token
from leadplan_contracts import CancelNotice, LeadToolExecutionResult, ToolEffects, ToolRequest, subjects
from leadplan_contracts.wire import encode
from leadplan_responder.call import Call
from leadplan_responder.checkpoint import CheckpointBucket
from leadplan_responder.errors import ConfigurationError
from leadplan_responder.execution import CANCELLED, STOPPING, failure
from leadplan_responder.once_call import OnceCall
from leadplan_responder.responder import Responder, Tool
from leadplan_responder.result_memory import ResultMemory
from leadplan_responder.shared_holds import SharedHolds

log = logging.getLogger("leadplan.responder")

_SHORTEST_BUSY_MS = 50
_LONGEST_BUSY_MS = 5_000
_LAST_ANSWERS_SECONDS = 5.0
_SERVER_SECONDS = 2.0
_REPLICAS = {"1", "2", "3", "4", "5"}
_request_decoder = msgspec.json.Decoder(ToolRequest)
_cancel_decoder = msgspec.json.Decoder(CancelNotice)


@dataclass(frozen=True)
class ServingSettings:
    """Where and how a responder serves.

    Attributes:
        nats_url: ``NATS_URL``, one address or several separated by commas.
        grace_seconds: ``LEADPLAN_GRACE_MS`` / 1000: how long running handlers may go on after SIGTERM; default 10.
        replicas: ``LEADPLAN_REPLICAS``: on how many nodes of a cluster buckets that are created are kept; default 1.
    """

    nats_url: str = DEFAULT_URL
    grace_seconds: float = 10.0
    replicas: int = 1

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> "ServingSettings":
        """Read the settings.

        Raises:
            ConfigurationError: ``LEADPLAN_GRACE_MS`` is no whole number of milliseconds, or ``LEADPLAN_REPLICAS`` no
                number from 1 to 5.
        """
        grace = environ.get("LEADPLAN_GRACE_MS", "10000")
        if not grace.isdecimal():
            raise ConfigurationError(f"LEADPLAN_GRACE_MS must be a whole number of milliseconds, not {grace!r}")
        replicas = environ.get("LEADPLAN_REPLICAS", "1")
        if replicas not in _REPLICAS:
            raise ConfigurationError(f"LEADPLAN_REPLICAS must be a number from 1 to 5, not {replicas!r}")
        return cls(environ.get("NATS_URL") or DEFAULT_URL, int(grace) / 1000, int(replicas))


async def serve_until_signal(responder: Responder, settings: ServingSettings) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        leadplan_bus.errors.CannotConnectError: there is no server.
        leadplan_bus.errors.InvalidAddressError: ``NATS_URL`` can't be read.
        leadplan_bus.errors.ConnectionLostError: the connection was closed for good while we were serving.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    nc = await _connect_unless_stopped(responder, settings, stop)
    if nc is None:
        await run_stop_hooks(responder)
        return
    serving = Serving(responder, nc, settings.grace_seconds, replicas=settings.replicas)
    try:
        await serving.start()
        log.info("serving", extra={"tools": sorted(responder.tools), "nats": without_credentials(settings.nats_url)})
        await stop.wait()
        if nc.is_closed:
            raise ConnectionLostError(nc.last_error)
        log.info("stopping", extra={"in_flight": serving.in_flight})
    finally:
        await serving.stop()
        await close(nc)
    log.info("stopped")


async def _connect_unless_stopped(
    responder: Responder, settings: ServingSettings, stop: asyncio.Event
) -> Client | None:
    """The connection; None when SIGTERM or SIGINT came first."""
    connecting = asyncio.create_task(connect(settings.nats_url, name=responder.name, on_closed=stop.set))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not connecting.done():
        connecting.cancel()
        await asyncio.wait({connecting})
    if connecting.cancelled():
        return None
    try:
        return connecting.result()
    except BaseException:
        await run_stop_hooks(responder)
        raise


async def run_stop_hooks(responder: Responder) -> None:
    """Run them all, in order; one that fails is logged."""
    for hook in responder.on_stop:
        try:
            await hook()
        except Exception:
            log.exception("a stop hook failed")


class _ServedTool:
    """A tool's requests that are under way."""

    def __init__(self, tool: Tool) -> None:
        self.tool = tool
        self.calls: set[Call] = set()
        self._typical_ns = 0

    @property
    def full(self) -> bool:
        return len(self.calls) >= self.tool.max_in_flight

    def note_duration(self, nanoseconds: int) -> None:
        self._typical_ns = (7 * self._typical_ns + nanoseconds) // 8 if self._typical_ns else nanoseconds

    def held(self) -> LeadToolExecutionResult | None:
        """What to answer while a provider has asked for a pause; None when none has."""
        held_ms = self.tool.held_for_ms()
        if held_ms <= 0:
            return None
        text = f"{self.tool.name} waits for a limit of the service that it calls"
        return failure(text, "busy", retryable=True, retry_after_ms=held_ms)

    def busy(self) -> LeadToolExecutionResult:
        # A slot comes free after about a handler's time divided by the slots; half a handler's time spreads the rest.
        wait_ms = min(max(self._typical_ns // 1_000_000 // 2, _SHORTEST_BUSY_MS), _LONGEST_BUSY_MS)
        text = f"{self.tool.name} is busy with {len(self.calls)} requests"
        return failure(text, "busy", retryable=True, retry_after_ms=wait_ms)


class _Joined(NamedTuple):
    """A repeated request, and the call whose reply it shares."""

    call: Call


_Accepted: TypeAlias = Call | _Joined | LeadToolExecutionResult


class Serving:
    """A responder on a connection, from start to stop.

    Args:
        responder: what to serve.
        nc: the connection; it stays open when serving stops.
        grace_seconds: how long running handlers may go on after ``stop``.
        replicas: on how many nodes of a cluster buckets are kept that are created here.
    """

    def __init__(self, responder: Responder, nc: Client, grace_seconds: float = 10.0, *, replicas: int = 1) -> None:
        self._responder = responder
        self._nc = nc
        self._grace_seconds = grace_seconds
        self._service = MicroService(
            nc, name=responder.name, version=responder.version, description=responder.description
        )
        self._claim_check = ClaimCheck(nc.jetstream())
        self._served = {name: _ServedTool(tool) for name, tool in responder.tools.items()}
        self._checkpoints = CheckpointBucket(nc, replicas=replicas)
        self._memory = ResultMemory(nc, service=responder.name, instance=self._service.id, replicas=replicas)
        all_limits = [limit for tool in responder.tools.values() for limit in tool.limits]
        self._shared_holds = SharedHolds(nc, all_limits, instance=self._service.id)
        self._answers: set[asyncio.Task[None]] = set()
        self._cancel_notices: list[Subscription] = []
        self._stopping = False

    @property
    def in_flight(self) -> int:
        """Handlers that run now."""
        return sum(len(served.calls) for served in self._served.values())

    async def start(self) -> None:
        """Run the start hooks, take requests and answer discovery."""
        if any(tool.effects is ToolEffects.ONCE for tool in self._responder.tools.values()):
            await self._memory.open()
        for hook in self._responder.on_start:
            await hook()
        await self._shared_holds.start()
        for served in self._served.values():
            tool = served.tool
            metadata = {
                subjects.TOOL_METADATA: tool.name,
                subjects.PARAMS_SCHEMA_METADATA: tool.params_schema(),
                subjects.EFFECTS_METADATA: tool.effects.value,
                "description": tool.description,
            }
            cancel_subject = subjects.tool_cancel_subject(tool.name)
            on_cancel = partial(self._on_cancel, served)
            self._cancel_notices.append(await listen(self._nc, cancel_subject, on_cancel))
            await self._service.add_endpoint(
                tool.name, subjects.tool_subject(tool.name), self._taking(served), metadata
            )
        await self._service.start()
        await flush(self._nc)

    async def stop(self) -> None:
        """Take no new work, let handlers finish within the grace time, answer for the rest, run the stop hooks.

        It goes on to its end whatever the connection does; a second call does nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        await self._while_connected(self._service.stop_endpoints)
        if self._answers:
            await asyncio.wait(self._answers, timeout=self._grace_seconds)
        for call in self._calls():
            call.interrupt(STOPPING)
        if self._answers:
            await asyncio.wait(self._answers, timeout=_LAST_ANSWERS_SECONDS)
        for task in self._answers:  # their handlers take no notice of being cancelled
            task.cancel()
        for subscription in self._cancel_notices:
            await self._while_connected(subscription.unsubscribe)
        self._shared_holds.stop_telling()
        await self._while_connected(self._shared_holds.stop_listening)
        await self._while_connected(self._service.stop)
        await self._while_connected(lambda: flush(self._nc))
        await run_stop_hooks(self._responder)

    async def _while_connected(self, action: Callable[[], Awaitable[None]]) -> None:
        if not self._nc.is_connected:
            return  # nothing reaches the server: it would only be waited for
        try:
            async with asyncio.timeout(_SERVER_SECONDS):
                await action()
        except (NatsError, TimeoutError) as error:
            log.warning("stopping goes on without the NATS server: %r", error)

    def _calls(self) -> list[Call]:
        return [call for served in self._served.values() for call in served.calls]

    def _taking(self, served: _ServedTool) -> Callable[[Msg, Endpoint], None]:
        def take(message: Msg, endpoint: Endpoint) -> None:
            if not message.reply:
                log.warning("a request without a reply subject was dropped", extra={"tool": served.tool.name})
                return
            started_ns = time.monotonic_ns()
            # At once, and listened to as cancel notices are: one that comes right behind its request finds its call.
            accepted = self._accept(message, served)
            answering = self._answer(message, accepted, served, endpoint, started_ns)
            self._spawn(answering, f"answer {served.tool.name}")

        return take

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)

    async def _answer(
        self, message: Msg, accepted: _Accepted, served: _ServedTool, endpoint: Endpoint, started_ns: int
    ) -> None:
        """Whatever happens, the caller gets an answer, unless the connection is gone."""
        match accepted:
            case Call():
                result = await self._result_of(accepted, served)
                accepted.reply.set_result(result)
            case _Joined(call=call):
                result = await asyncio.shield(call.reply)
            case LeadToolExecutionResult():
                result = accepted
        try:
            await self._nc.publish(message.reply, encode(result))
        except NatsError as error:
            log.error("a reply couldn't be sent: %r", error, extra={"tool": served.tool.name})
        duration_ns = endpoint.record(started_ns, None if result.success else result.error_message)
        if isinstance(accepted, Call):
            served.note_duration(duration_ns)
            await accepted.handler_ended()  # until then it takes up a place
            served.calls.discard(accepted)
            await accepted.forget_checkpoint()

    def _accept(self, message: Msg, served: _ServedTool) -> _Accepted:
        """The call that now runs, the one under way that the request joins, or what is to be answered at once."""
        try:
            request = _request_decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return failure(f"this is no request of the tool protocol: {error}", "bad_request", retryable=False)
        if self._stopping:
            return served.busy()
        for running in served.calls:
            if running.join(request, message.reply):
                return _Joined(running)
        if served.full:
            return served.busy()
        if (held := served.held()) is not None:
            return held
        tool, reply_to = served.tool, message.reply
        call = (
            OnceCall(tool, request, reply_to, self._nc, self._claim_check, self._checkpoints, self._memory)
            if tool.effects is ToolEffects.ONCE
            else Call(tool, request, reply_to, self._nc, self._claim_check, self._checkpoints)
        )
        served.calls.add(call)
        return call

    async def _result_of(self, call: Call, served: _ServedTool) -> LeadToolExecutionResult:
        try:
            return await call.result()
        except Exception:
            error_id = new_token()
            log.exception("answering a request failed", extra={"tool": served.tool.name, "error_id": error_id})
            text = f"{served.tool.name} failed unexpectedly (error id {error_id})"
            return failure(text, "internal_error", retryable=True)

    def _on_cancel(self, served: _ServedTool, message: Msg) -> None:
        try:
            notice = _cancel_decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            log.warning("an unreadable cancel notice was dropped", extra={"subject": message.subject})
            return
        for call in served.calls:
            same = call.request.idempotency_key == notice.idempotency_key
            # A notice that comes late must not stop what was begun again since.
            if same and (call.request.round or 1) <= (notice.round or 1):
                call.interrupt(CANCELLED)
