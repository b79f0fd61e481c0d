"""A request to a tool whose effects must happen once: its idempotency key is claimed before the handler runs.

What is promised: while the bucket's memory lasts, a handler that came to an end of its own isn't run again for the same
key, and two handlers never run for one key at the same moment, on however many replicas. What can't be promised by
anybody who doesn't share a transaction with the outside world: what a handler did that broke off. The key is in doubt
then, and the tool's choice (``in_doubt``) decides.
"""

from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts import LeadToolExecutionResult, ToolRequest
from leadplan_contracts.subjects import TOOL_RESULTS_BUCKET
from leadplan_responder.call import Call
from leadplan_responder.checkpoint import CheckpointBucket
from leadplan_responder.execution import failure
from leadplan_responder.responder import Tool
from leadplan_responder.result_memory import (
    Claim,
    Claimed,
    Doubtful,
    Elsewhere,
    MemoryUnavailableError,
    OtherParams,
    Remembered,
    ResultMemory,
)

_ELSEWHERE_MS = 500


class OnceCall(Call):
    """A call that runs its handler only if nobody did, or does, under the same idempotency key.

    Args:
        tool, request, reply_to, nc, claim_check, checkpoints: as for any call.
        memory: what was done under which key.
    """

    def __init__(
        self,
        tool: Tool,
        request: ToolRequest,
        reply_to: str,
        nc: Client,
        claim_check: ClaimCheck,
        checkpoints: CheckpointBucket,
        memory: ResultMemory,
    ) -> None:
        super().__init__(tool, request, reply_to, nc, claim_check, checkpoints)
        self._memory = memory
        self._unsettled: Claimed | None = None
        self._remembered = False

    async def handler_ended(self) -> None:
        """Wait until the handler is really over; one that went on after its reply leaves its key in doubt."""
        await super().handler_ended()
        if self._unsettled is not None:
            await self._memory.doubt(self._unsettled)

    def _ends_the_step(self, reply: LeadToolExecutionResult) -> bool:
        """A reply that is remembered does; while the key is in doubt, who settles it may need what was kept."""
        return self._remembered

    async def _reply(self) -> LeadToolExecutionResult:
        tool = self._tool
        try:
            claim = await self._memory.claim(self.request)
            in_doubt = isinstance(claim, Doubtful)
            if isinstance(claim, Doubtful) and (tool.runs_again_in_doubt or tool.resolve is not None):
                claim = await self._memory.take_over(claim)
        except MemoryUnavailableError as error:
            text = f"{tool.name} can't tell if it did this before: {error}"
            return failure(text, "memory_unavailable", retryable=True)
        if isinstance(claim, Claimed):
            return await self._run_claimed(claim, in_doubt=in_doubt)
        return self._without_running(claim)

    def _without_running(self, claim: Claim) -> LeadToolExecutionResult:
        name = self._tool.name
        match claim:
            case Remembered(reply=reply):
                return reply
            case OtherParams():
                text = f"idempotency key {self.request.idempotency_key!r} was used before with other params"
                return failure(text, "idempotency_key_reused", retryable=False)
            case Doubtful(key=key):
                text = (
                    f"an earlier attempt broke off, and nobody knows whether {name} did its work then. Find out; if it "
                    f"didn't, delete key {key} from the key-value bucket {TOOL_RESULTS_BUCKET} and run the step again"
                )
                return failure(text, "in_doubt", retryable=False)
            case Elsewhere() | Claimed():
                return failure(
                    f"{name} works on this step already", "busy", retryable=True, retry_after_ms=_ELSEWHERE_MS
                )

    async def _run_claimed(self, claimed: Claimed, *, in_doubt: bool) -> LeadToolExecutionResult:
        """Run the handler, and record how it ended before anybody is told."""
        self._unsettled = claimed
        reply = await self._run(in_doubt=in_doubt)
        execution = self._execution
        if execution is None or not execution.over:
            return reply  # it takes no notice of its cancellation: recorded once it has really ended
        self._unsettled = None
        if self._result_lost or not execution.outcome_known:
            await self._memory.doubt(claimed)
        elif reply.success or reply.retryable is False:
            await self._memory.remember(claimed, reply)
            self._remembered = True
        else:
            await self._memory.forget(claimed)
        return reply
