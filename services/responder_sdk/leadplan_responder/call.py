"""One request being worked on: signs of life while it runs, and a reply that fits into a message."""

import asyncio
import logging

from msgspec import UNSET
from msgspec.structs import replace
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.limits import fits
from leadplan_bus.tokens import new_token
from leadplan_contracts import LeadToolExecutionResult, ToolProgress, ToolRequest, subjects
from leadplan_contracts.wire import encode
from leadplan_responder.checkpoint import CheckpointBucket
from leadplan_responder.context import ToolContext
from leadplan_responder.execution import EarlierRuns, Execution, Interruption, failure
from leadplan_responder.responder import Tool

log = logging.getLogger("leadplan.responder")

_WORKING = {subjects.REPLY_KIND_HEADER: subjects.REPLY_KIND_WORKING}
_FIRST_SIGN_SECONDS = 2.0
_SIGN_SECONDS = 5.0
_MOST_AROUND_DATA = 1024
"""Bytes of a reply with data but for the data, and many more."""


class Call:
    """A request on its way to its reply.

    Args:
        tool: what to run.
        request: the request.
        reply_to: the subject that hears signs of life and the reply.
        nc: the connection.
        claim_check: where large data goes and comes from.
        checkpoints: where finished work of the step is kept.

    Attributes:
        request: the request.
        reply: what it was answered, once whoever sends the reply has it.
    """

    def __init__(
        self,
        tool: Tool,
        request: ToolRequest,
        reply_to: str,
        nc: Client,
        claim_check: ClaimCheck,
        checkpoints: CheckpointBucket,
    ) -> None:
        self.request = request
        self.reply: asyncio.Future[LeadToolExecutionResult] = asyncio.get_running_loop().create_future()
        self._tool = tool
        self._reply_to = [reply_to]
        self._nc = nc
        self._claim_check = claim_check
        self._answered = False
        self._result_lost = False
        self._succeeded = False
        self._interruption: Interruption | None = None
        self._execution: Execution | None = None
        self._next_sign: asyncio.TimerHandle
        self._sign: asyncio.Task[None] | None = None
        self._checkpoints = checkpoints
        self._context = ToolContext(
            request,
            send_progress=self._send_progress,
            fetch_data=claim_check.get,
            checkpoint=checkpoints.items_of(request),
            nats=nc,
        )

    def join(self, request: ToolRequest, reply_to: str) -> bool:
        """Let a repeated request share this call: its signs of life, its reply, and the later of both deadlines.

        An executor that takes a plan over sends the attempt under way once more: running the handler beside itself
        would do its work, and pay for it, twice.

        Args:
            request: one that came in later.
            reply_to: its reply subject, for signs of life; whoever calls this sends it the reply.

        Returns:
            Whether it does: not where it is another request, or where this one's handler is being stopped.
        """
        ending = self._answered or self._interruption is not None
        if ending or (self._execution is not None and self._execution.ending) or not _is_same(self.request, request):
            return False
        self._reply_to.append(reply_to)
        self._context.put_off_end(request.timeout_ms)
        return True

    def interrupt(self, why: Interruption) -> None:
        """Cancel the handler and answer with this reason."""
        self._interruption = self._interruption or why
        if self._execution is not None:
            self._execution.interrupt(why)

    async def result(self) -> LeadToolExecutionResult:
        """The reply to send, once the handler has come to one; no sign of life is sent after it."""
        self._await_sign_of_life(_FIRST_SIGN_SECONDS)
        try:
            reply = await self._reply()
            self._succeeded = reply.success
            return reply
        finally:
            self._answered = True
            self._next_sign.cancel()

    async def handler_ended(self) -> None:
        """Wait until the handler is really over, which may be after its reply if it ignores its cancellation."""
        if self._execution is not None:
            await self._execution.ended()

    async def forget_checkpoint(self) -> None:
        """Once the handler is over: delete what the step kept, if it succeeded.

        Whatever failed or was cancelled may be retried with its plan, days later, and needn't repeat that work.
        """
        if self._succeeded and self._context.checkpoint.used:
            await self._checkpoints.delete(self.request.idempotency_key)

    async def _reply(self) -> LeadToolExecutionResult:
        return await self._run(EarlierRuns.NONE)

    async def _run(self, earlier: EarlierRuns) -> LeadToolExecutionResult:
        self._execution = Execution(self._tool, self.request, self._context, earlier=earlier)
        if self._interruption is not None:
            self._execution.interrupt(self._interruption)
        return await self._as_it_fits(await self._execution.result())

    async def _as_it_fits(self, result: LeadToolExecutionResult) -> LeadToolExecutionResult:
        """Large data goes to the object store; what is left always fits, for messages of failures are cut."""
        if result.data is UNSET:
            return result
        data = memoryview(result.data)
        if len(data) <= subjects.MAX_INLINE_DATA_BYTES and len(data) + _MOST_AROUND_DATA <= self._nc.max_payload:
            return result
        name = f"{self.request.plan_id}/{self.request.step_id}/{new_token()}"
        try:
            return replace(result, data=UNSET, data_ref=await self._claim_check.put(name, bytes(data)))
        except ClaimCheckError as error:
            self._result_lost = True
            return failure(f"the result couldn't be stored: {error}", "claim_check_failed", retryable=True)

    async def _send_progress(self, fraction: float | None, message: str | None) -> None:
        await self._send_sign_of_life(encode(ToolProgress(progress=fraction, message=message)))

    def _await_sign_of_life(self, seconds: float) -> None:
        """By a timer, for most calls end before the first one: a task for each would cost more than the rest."""
        self._next_sign = asyncio.get_running_loop().call_later(seconds, self._give_sign_of_life)

    def _give_sign_of_life(self) -> None:
        name = f"sign of life {self.request.idempotency_key}"
        self._sign = asyncio.create_task(self._send_sign_of_life(b""), name=name)
        self._await_sign_of_life(_SIGN_SECONDS)

    async def _send_sign_of_life(self, body: bytes) -> None:
        if self._answered or not fits(self._nc, body, _WORKING):
            return
        try:
            for subject in tuple(self._reply_to):
                await self._nc.publish(subject, body, headers=dict(_WORKING))
        except NatsError as error:
            log.debug("a sign of life couldn't be sent: %r", error)


def _is_same(one: ToolRequest, other: ToolRequest) -> bool:
    """Whether two requests are the same attempt of the same step in the same round."""
    return (
        one.idempotency_key == other.idempotency_key
        and one.attempt == other.attempt
        and one.round == other.round
        and one.params == other.params
    )
