"""The one place where tools are called: a request out, signs of life and one reply back (protocol section 5)."""

import asyncio
from collections.abc import Callable

import msgspec
import structlog
from msgspec import UNSET
from msgspec.structs import replace
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import OutboundBufferLimitError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import listen
from leadplan_bus.deadlines import Deadlines
from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.limits import encoded_size, fits
from leadplan_bus.prompt_client import EncodedHeaders
from leadplan_bus.tokens import new_token
from leadplan_contracts import (
    CancelNotice,
    LeadToolExecutionEnv,
    LeadToolExecutionResult,
    LeadToolParams,
    ToolProgress,
    ToolRequest,
    subjects,
)
from leadplan_contracts.wire import MAX_NESTING, encode, is_nested_too_deep
from leadplan_executor.core.signals import (
    BadReply,
    DataUnavailable,
    NoResponders,
    PayloadTooLarge,
    Replied,
    ServiceFailed,
    TimedOut,
    ToolLost,
    ToolSignal,
)

log = structlog.get_logger(__name__)

OnProgress = Callable[[ToolProgress], None]

_reply_decoder = msgspec.json.Decoder(LeadToolExecutionResult)
_progress_decoder = msgspec.json.Decoder(ToolProgress)
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _PendingCall:
    """A request that awaits its reply."""

    __slots__ = ("_heard_at", "_longest_silence", "_loop", "_on_progress", "_silence", "_timeout_ms", "signal")

    def __init__(self, on_progress: OnProgress, timeout_ms: int) -> None:
        self._loop = asyncio.get_running_loop()
        self.signal: asyncio.Future[ToolSignal] = self._loop.create_future()
        self._on_progress = on_progress
        self._timeout_ms = timeout_ms
        self._silence: asyncio.TimerHandle | None = None
        self._heard_at = 0.0
        self._longest_silence = subjects.SIGN_OF_LIFE_TIMEOUT_MS / 1000

    def take(self, message: Msg) -> None:
        headers = message.headers or {}
        if self.signal.done():
            return  # a second reply: the first one counts
        if headers.get(subjects.REPLY_KIND_HEADER) == subjects.REPLY_KIND_WORKING:
            self._take_sign_of_life(message.data)
        else:
            self._end(read_reply(message.data, headers))

    def _take_sign_of_life(self, body: bytes) -> None:
        self._heard_at = self._loop.time()
        if self._silence is None:
            self._await_the_next(self._longest_silence)
        if body:
            try:
                self._on_progress(_progress_decoder.decode(body))
            except _UNREADABLE as error:
                log.warning("unreadable progress was dropped", problem=str(error))

    def _await_the_next(self, seconds: float) -> None:
        self._silence = self._loop.call_later(seconds, self._look_for_silence)

    def _look_for_silence(self) -> None:
        """One timer for all signs of life: a flood of them costs no timer each."""
        left = self._heard_at + self._longest_silence - self._loop.time()
        if left > 0:
            self._await_the_next(left)
        else:
            self._end(ToolLost(subjects.SIGN_OF_LIFE_TIMEOUT_MS))

    def time_out(self) -> None:
        self._end(TimedOut(self._timeout_ms))

    def _end(self, signal: ToolSignal) -> None:
        if not self.signal.done():
            self.signal.set_result(signal)

    def close(self) -> None:
        if self._silence is not None:
            self._silence.cancel()


def read_reply(body: bytes, headers: dict[str, str]) -> ToolSignal:
    """What a message that ends a call says; whatever its form, it becomes a signal."""
    if headers.get(subjects.STATUS_HEADER) == "503" and not body:
        return NoResponders()
    if (code := headers.get(subjects.SERVICE_ERROR_CODE_HEADER)) is not None:
        text = headers.get(subjects.SERVICE_ERROR_HEADER, "")
        return ServiceFailed(int(code) if code.isascii() and code.isdecimal() and len(code) < 6 else 500, text)
    if is_nested_too_deep(body):
        return BadReply(f"nested deeper than {MAX_NESTING} levels")
    try:
        body.decode()
        reply = _reply_decoder.decode(body)
    except _UNREADABLE as error:
        return BadReply(str(error))
    if reply.data_ref is not None and reply.data_ref.bucket != subjects.PLAN_DATA_BUCKET:
        return BadReply(f"dataRef names bucket {reply.data_ref.bucket!r}, not {subjects.PLAN_DATA_BUCKET}")
    return Replied(reply)


def tool_request(tool: str, params: LeadToolParams, env: LeadToolExecutionEnv) -> ToolRequest:
    """The body of a request."""
    # Field by field, for a dict of all of them on the way costs as much as the rest of it.
    return ToolRequest(
        tool=tool,
        params=params,
        plan_id=env.plan_id,
        step_id=env.step_id,
        attempt=env.attempt,
        idempotency_key=env.idempotency_key,
        round=env.round,
        deadline=env.deadline,
        timeout_ms=env.timeout_ms,
        user=env.user,
        plan=env.plan,
        prior_results=env.prior_results,
    )


class ToolCaller:
    """Calls tools over NATS.

    Args:
        nc: the connection.
        claim_check: where data above 256 KiB goes.
    """

    def __init__(self, nc: Client, claim_check: ClaimCheck) -> None:
        self._nc = nc
        self._claim_check = claim_check
        self._inbox = nc.new_inbox()
        self._pending: dict[str, _PendingCall] = {}
        self._deadlines: Deadlines[_PendingCall] = Deadlines(_PendingCall.time_out)
        self._calls = 0

    async def start(self) -> None:
        """Listen for replies: one subscription for all calls."""
        await listen(self._nc, f"{self._inbox}.*", self._on_reply)

    async def run_lead_tool(
        self,
        tool: str,
        params: LeadToolParams,
        env: LeadToolExecutionEnv,
        *,
        traceparent: str | None,
        on_progress: OnProgress,
    ) -> ToolSignal:
        """Call a tool once and wait for what comes of it; large data is in the object store by then.

        Args:
            tool: its identifier.
            params: the step's params.
            env: everything else that the tool learns of the step.
            traceparent: the trace that the plan belongs to.
            on_progress: called for each sign of life that has a body.
        """
        body = encode(tool_request(tool, params, env))
        headers = {subjects.IDEMPOTENCY_KEY_HEADER: env.idempotency_key, subjects.ATTEMPT_HEADER: str(env.attempt)}
        if traceparent is not None:
            headers[subjects.TRACEPARENT_HEADER] = traceparent
        encoded = EncodedHeaders(headers)
        if not fits(self._nc, body, encoded):
            size, limit = encoded_size(body, headers), self._nc.max_payload
            return PayloadTooLarge(f"the request to {tool} has {size} bytes; the server takes {limit}")
        self._calls += 1
        token = str(self._calls)  # the inbox is this connection's own
        call = self._pending[token] = _PendingCall(on_progress, env.timeout_ms)
        self._deadlines.add(call, env.timeout_ms / 1000)
        try:
            await self._nc.publish(subjects.tool_subject(tool), body, reply=f"{self._inbox}.{token}", headers=encoded)
            signal = await call.signal
        except OutboundBufferLimitError:
            return NoResponders()  # not sent: the connection is down and its buffer is full
        finally:
            call.close()
            self._deadlines.discard(call)
            del self._pending[token]
        return await self._with_claim_check(signal, env)

    async def cancel(self, tool: str, notice: CancelNotice) -> None:
        """Tell the tool's responders that the work for this key is no longer wanted."""
        await self._nc.publish(subjects.tool_cancel_subject(tool), encode(notice))

    async def _with_claim_check(self, signal: ToolSignal, env: LeadToolExecutionEnv) -> ToolSignal:
        """Large data goes to the object store before anything is recorded of it."""
        if not isinstance(signal, Replied) or signal.reply.data is UNSET:
            return signal
        data = memoryview(signal.reply.data)
        if len(data) <= subjects.MAX_INLINE_DATA_BYTES:
            return signal
        try:
            ref = await self._claim_check.put(f"{env.plan_id}/{env.step_id}/{new_token()}", bytes(data))
        except ClaimCheckError as error:
            return DataUnavailable(str(error))
        return Replied(replace(signal.reply, data=UNSET, data_ref=ref))

    def _on_reply(self, message: Msg) -> None:
        call = self._pending.get(message.subject.rpartition(".")[2])
        if call is not None:
            call.take(message)
