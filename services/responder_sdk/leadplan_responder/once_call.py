"""A request to a tool whose effects must happen once: its idempotency key is claimed before the handler runs.

What is promised: while the bucket's memory lasts, a handler that came to an end of its own isn't run again for the same
key, and two handlers never run for one key at the same moment, on however many replicas. What can't be promised by
anybody who doesn't share a transaction with the outside world: what a handler did that broke off. The key is in doubt
then, and the tool's choice (``in_doubt``) decides.

The one exception: a handler that failed for good is run again in a later round of the plan, when a person has asked for
that. What it may have done before it failed, ``resolve`` finds out first.
"""

from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts import LeadToolExecutionResult, ToolRequest
from leadplan_contracts.subjects import TOOL_RESULTS_BUCKET
from leadplan_responder.call import Call
from leadplan_responder.checkpoint import CheckpointBucket
from leadplan_responder.execution import EarlierRuns, failure
from leadplan_responder.responder import Tool
from leadplan_responder.result_memory import (
    Claim,
    Claimed,
    Doubtful,
    Elsewhere,
    FailedBefore,
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

    def join(self, request: ToolRequest, reply_to: str) -> bool:
        """Never: who comes second is answered by what stands under the key."""
        return False

    async def handler_ended(self) -> None:
        """Wait until the handler is really over; one that went on after its reply leaves its key in doubt."""
        await super().handler_ended()
        if self._unsettled is not None:
            await self._memory.doubt(self._unsettled)

    async def _reply(self) -> LeadToolExecutionResult:
        try:
            claim = await self._memory.claim(self.request)
            earlier = EarlierRuns.NONE
            # Each time round somebody else was faster, and the record is another one.
            while isinstance(claim, FailedBefore) or (isinstance(claim, Doubtful) and self._settles_doubt):
                earlier = EarlierRuns.IN_DOUBT if isinstance(claim, Doubtful) else EarlierRuns.FAILED
                claim = await self._memory.take_over(claim, self.request)
        except MemoryUnavailableError as error:
            text = f"{self._tool.name} can't tell if it did this before: {error}"
            return failure(text, "memory_unavailable", retryable=True)
        if isinstance(claim, Claimed):
            return await self._run_claimed(claim, earlier)
        return self._without_running(claim)

    @property
    def _settles_doubt(self) -> bool:
        return self._tool.runs_again_in_doubt or self._tool.resolve is not None

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
            case Elsewhere() | Claimed() | FailedBefore():
                return failure(
                    f"{name} works on this step already", "busy", retryable=True, retry_after_ms=_ELSEWHERE_MS
                )

    async def _run_claimed(self, claimed: Claimed, earlier: EarlierRuns) -> LeadToolExecutionResult:
        """Run the handler, and record how it ended before anybody is told."""
        self._unsettled = claimed
        reply = await self._run(earlier)
        execution = self._execution
        if execution is None or not execution.over:
            return reply  # it takes no notice of its cancellation: recorded once it has really ended
        self._unsettled = None
        if not execution.began:
            await self._memory.put_back(claimed)
        elif self._result_lost or not execution.outcome_known:
            await self._memory.doubt(claimed)
        elif reply.success or reply.retryable is False:
            await self._memory.remember(claimed, reply)
        else:
            await self._memory.put_back(claimed)
        return reply
