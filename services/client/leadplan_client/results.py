"""How a plan ended, read from the newest message of its log."""

import asyncio

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError, ServiceUnavailableError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_client.errors import (
    ConnectionLostError,
    NoAnswerError,
    PlanNotFinishedError,
    SubmissionRejectedError,
    UnknownPlanError,
    UnreadableEventError,
)
from leadplan_client.following import UNREADABLE, PlanFollower
from leadplan_client.submission import require_stream
from leadplan_contracts import LeadGenExecutionResult, LeadGenStepResult, LeadPlanEventPayload
from leadplan_contracts.events import PlanCompleted, PlanRejected, decode_event, event_type
from leadplan_contracts.subjects import (
    PLAN_LOG_STREAM,
    PLAN_REJECTS_STREAM,
    plan_log_subject,
    plan_rejected_subject,
)

_step_results_decoder = msgspec.json.Decoder(list[LeadGenStepResult])


class PlanResults:
    """Results of plans on one connection."""

    def __init__(self, nc: Client, claim_check: ClaimCheck, reads: asyncio.Semaphore) -> None:
        self._nc = nc
        self._js = nc.jetstream()
        self._claim_check = claim_check
        self._reads = reads

    async def result(self, plan_id: str, wait_seconds: float | None) -> LeadGenExecutionResult:
        """See ``PlanClient.result``."""
        if wait_seconds is not None:
            await self._wait_for_end(plan_id, wait_seconds)
        last = await self._last_event(plan_id, PLAN_LOG_STREAM, plan_log_subject(plan_id))
        if isinstance(last, PlanCompleted):
            return await self._in_full(last.result)
        if last is not None:
            raise PlanNotFinishedError(plan_id, event_type(last))
        rejection = await self._last_event(plan_id, PLAN_REJECTS_STREAM, plan_rejected_subject(plan_id))
        if isinstance(rejection, PlanRejected):
            raise SubmissionRejectedError(plan_id, rejection.meta.errors)
        raise UnknownPlanError(plan_id)

    async def _wait_for_end(self, plan_id: str, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                async for _ in PlanFollower(self._nc, plan_id, reads=self._reads).events():
                    pass
        except TimeoutError:
            return

    async def _last_event(self, plan_id: str, stream: str, subject: str) -> LeadPlanEventPayload | None:
        # Asked of the stream's leader, not by direct get: a replica could still lack the end.
        try:
            message: RawStreamMsg = await self._js.get_last_msg(stream, subject)
        except (NotFoundError, ServiceUnavailableError, NoRespondersError):
            await require_stream(self._js, stream)
            return None
        except NatsTimeoutError:
            raise NoAnswerError from None
        except ConnectionClosedError:
            raise ConnectionLostError from None
        try:
            return decode_event(message.data or b"")
        except UNREADABLE as error:
            raise UnreadableEventError(plan_id, message.seq or 0, str(error)) from error

    async def _in_full(self, result: LeadGenExecutionResult) -> LeadGenExecutionResult:
        if result.step_results_ref is None:
            return result
        step_results = _step_results_decoder.decode(await self._claim_check.get(result.step_results_ref))
        return msgspec.structs.replace(result, step_results=step_results, step_results_ref=None)
