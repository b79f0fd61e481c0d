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
from leadplan_responder.execution import Execution, Interruption, failure
from leadplan_responder.responder import Tool

log = logging.getLogger("leadplan.responder")

_WORKING = {subjects.REPLY_KIND_HEADER: subjects.REPLY_KIND_WORKING}
_FIRST_SIGN_SECONDS = 2.0
_SIGN_SECONDS = 5.0


class Call:
    """A request on its way to its reply.

    Args:
        tool: what to run.
        request: the request.
        reply_to: the subject that hears signs of life and the reply.
        nc: the connection.
        claim_check: where large data goes and comes from.
        checkpoints: where finished work of the step is kept.
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
        self._tool = tool
        self._reply_to = reply_to
        self._nc = nc
        self._claim_check = claim_check
        self._answered = False
        self._result_lost = False
        self._over_for_good = False
        self._interruption: Interruption | None = None
        self._execution: Execution | None = None
        self._checkpoints = checkpoints
        self._context = ToolContext(
            request,
            send_progress=self._send_progress,
            fetch_data=claim_check.get,
            checkpoint=checkpoints.items_of(request),
            nats=nc,
        )

    def interrupt(self, why: Interruption) -> None:
        """Cancel the handler and answer with this reason."""
        self._interruption = self._interruption or why
        if self._execution is not None:
            self._execution.interrupt(why)

    async def result(self) -> LeadToolExecutionResult:
        """The reply to send, once the handler has come to one; no sign of life is sent after it."""
        signs = asyncio.create_task(self._send_signs_of_life(), name=f"signs of life {self.request.idempotency_key}")
        try:
            reply = await self._reply()
            self._over_for_good = self._ends_the_step(reply)
            return reply
        finally:
            # Both, for nats-py takes some cancellations for itself.
            self._answered = True
            signs.cancel()

    async def handler_ended(self) -> None:
        """Wait until the handler is really over, which may be after its reply if it ignores its cancellation."""
        if self._execution is not None:
            await self._execution.ended()

    async def forget_checkpoint(self) -> None:
        """Once the handler is over: delete what the step kept, where no attempt follows that could load it."""
        if self._over_for_good and self._context.checkpoint.used:
            await self._checkpoints.delete(self.request.idempotency_key)

    def _ends_the_step(self, reply: LeadToolExecutionResult) -> bool:
        """Whether no attempt of the step follows this reply."""
        return reply.success or reply.retryable is False

    async def _reply(self) -> LeadToolExecutionResult:
        return await self._run(in_doubt=False)

    async def _run(self, *, in_doubt: bool) -> LeadToolExecutionResult:
        self._execution = Execution(self._tool, self.request, self._context, in_doubt=in_doubt)
        if self._interruption is not None:
            self._execution.interrupt(self._interruption)
        return await self._as_it_fits(await self._execution.result())

    async def _as_it_fits(self, result: LeadToolExecutionResult) -> LeadToolExecutionResult:
        """Large data goes to the object store; what is left always fits, for messages of failures are cut."""
        if result.data is UNSET:
            return result
        data = bytes(result.data)
        if len(data) <= subjects.MAX_INLINE_DATA_BYTES and fits(self._nc, encode(result), None):
            return result
        name = f"{self.request.plan_id}/{self.request.step_id}/{new_token()}"
        try:
            return replace(result, data=UNSET, data_ref=await self._claim_check.put(name, data))
        except ClaimCheckError as error:
            self._result_lost = True
            return failure(f"the result couldn't be stored: {error}", "claim_check_failed", retryable=True)

    async def _send_progress(self, fraction: float | None, message: str | None) -> None:
        await self._send_sign_of_life(encode(ToolProgress(progress=fraction, message=message)))

    async def _send_signs_of_life(self) -> None:
        pause = _FIRST_SIGN_SECONDS
        while True:
            await asyncio.sleep(pause)
            if self._answered:
                return
            await self._send_sign_of_life(b"")
            pause = _SIGN_SECONDS

    async def _send_sign_of_life(self, body: bytes) -> None:
        if self._answered or not fits(self._nc, body, _WORKING):
            return
        try:
            await self._nc.publish(self._reply_to, body, headers=dict(_WORKING))
        except NatsError as error:
            log.debug("a sign of life couldn't be sent: %r", error)
