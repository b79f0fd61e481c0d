"""``PlanClient``: what a Supervisor or a UI does with plans over a NATS connection."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from msgspec import UNSET
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_client.control import PlanControl
from leadplan_client.control_requests import DEFAULT_CONTROL_SECONDS
from leadplan_client.following import DEFAULT_REREAD_SECONDS, READS_AT_ONCE, PlanFollower
from leadplan_client.plan_ids import checked_plan_id
from leadplan_client.results import PlanResults
from leadplan_client.submission import MESSAGE_ID_HEADER, publish_submission
from leadplan_contracts import (
    LeadGenExecutionResult,
    LeadGenPlan,
    LeadGenStepResult,
    LeadPlanEventPayload,
    PlanSubmission,
    SupervisorUserContext,
)
from leadplan_contracts.wire import encode


class PlanClient(PlanControl):
    """Submits plans, follows them, steers them and fetches their results.

        nc = await leadplan_bus.connection.connect(url, name="my-service")
        client = PlanClient(nc)
        submission = await client.submit(plan, user)
        async for event in client.follow(plan.id, submission=submission): ...
        result = await client.result(plan.id)

    Args:
        nc: an open connection; it stays the caller's to close.
        control_seconds: how long ``PlanControl``'s methods (``status``, ``cancel`` and so on) wait for an answer.
    """

    def __init__(self, nc: Client, *, control_seconds: float = DEFAULT_CONTROL_SECONDS) -> None:
        super().__init__(nc, control_seconds=control_seconds)
        self._nc = nc
        self._js = nc.jetstream()
        self._claim_check = ClaimCheck(self._js)
        self._reads = asyncio.Semaphore(READS_AT_ONCE)
        self._results = PlanResults(nc, self._claim_check, self._reads)

    async def submit(self, plan: LeadGenPlan, user: SupervisorUserContext, *, message_id: str | None = None) -> int:
        """Put a plan into the work queue (protocol section 1); when this returns, the plan is safe.

        Args:
            plan: the plan. Sending the same plan twice runs it once.
            user: on whose behalf it runs.
            message_id: ``Nats-Msg-Id``: within two minutes the server stores a message of the same id only once.

        Returns:
            The submission's sequence in stream ``PLANS``.

        Raises:
            SubmissionError: it isn't known to be stored; the subclass says why.
            StreamsMissingError: no executor ever ran on this server.
            leadplan_bus.errors.JetStreamDisabledError: the server has no JetStream.
        """
        return await self.submit_json(encode(PlanSubmission(plan=plan, user=user)), message_id=message_id)

    async def submit_json(self, body: bytes, *, message_id: str | None = None) -> int:
        """Like ``submit``, for a submission that is JSON already; nothing of it is checked or changed here."""
        headers = {MESSAGE_ID_HEADER: message_id} if message_id is not None else None
        return await publish_submission(self._nc, self._js, body, headers)

    def follow(
        self,
        plan_id: str,
        *,
        submission: int | None = None,
        known_sequence: int = 0,
        reread_seconds: float = DEFAULT_REREAD_SECONDS,
    ) -> AsyncIterator[LeadPlanEventPayload]:
        """A plan's events from the first one, without gaps, then live, until the plan ends.

        The last event is ``PLAN_COMPLETED``, or ``PLAN_REJECTED`` where the submission was rejected. Without
        ``submission`` a rejection ends it only while the plan has no log of its own: under the id of a running plan
        it is about somebody's second submission, and is passed on like any event. ``STEP_PROGRESS`` is passed on as
        it comes and isn't repeated. A plan that nobody has submitted yet is waited for.

        Args:
            plan_id: the plan.
            submission: what ``submit`` returned. Rejections of other submissions are then told from this one's.
            known_sequence: an event that is known to be stored, such as ``ControlReply.sequence`` of a retry: the
                plan's end before it isn't taken for its end.
            reread_seconds: the log is read again after so long a silence, and after a reconnect.

        Raises:
            InvalidPlanIdError: at once.
            ClientError: while iterating: ``StreamsMissingError``, ``EventsLostError``, ``UnreadableEventError`` or
                ``ConnectionLostError``.
            leadplan_bus.errors.JetStreamDisabledError: while iterating: the server has no JetStream.
        """
        return PlanFollower(
            self._nc,
            checked_plan_id(plan_id),
            submission=submission,
            known_sequence=known_sequence,
            reread_seconds=reread_seconds,
            reads=self._reads,
        ).events()

    async def result(self, plan_id: str, *, wait_seconds: float | None = None) -> LeadGenExecutionResult:
        """A finished plan's result, with ``step_results`` in full.

        Args:
            plan_id: the plan.
            wait_seconds: wait so long for the plan to end; None asks how it stands now.

        Raises:
            InvalidPlanIdError: the text is no plan id.
            UnknownPlanError: nothing is stored under this id.
            PlanNotFinishedError: it still runs.
            SubmissionRejectedError: it never ran.
            NoAnswerError: the server didn't answer in time.
            StreamsMissingError: no executor ever ran on this server.
            leadplan_bus.errors.ClaimCheckError: the step results lay in the object store and are gone.
        """
        return await self._results.result(checked_plan_id(plan_id), wait_seconds)

    async def step_data(self, result: LeadGenStepResult) -> Any:
        """The decoded data of a step's result, fetched from the object store where it lies there; None if none.

        Raises:
            leadplan_bus.errors.ClaimCheckError: it has aged out or is damaged.
        """
        if result.data_ref is not None:
            return msgspec.json.decode(await self._claim_check.get(result.data_ref))
        return None if result.data is UNSET else msgspec.json.decode(result.data)
