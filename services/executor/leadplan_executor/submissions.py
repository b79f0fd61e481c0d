"""What becomes of a plan's message: rejected, begun, taken over, or recognised as sent before (protocol section 2)."""

import re
import secrets
from typing import assert_never

import structlog
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from leadplan_contracts import PlanProblem, PlanRejectedError, Recurrence, subjects
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.events import PlanStarted
from leadplan_contracts.recurrence import RecurringRun
from leadplan_contracts.validation import ReadSubmission, read_plan_submission
from leadplan_executor.core import GivenUp, PlanRun, PlanSubmitted, TakenOver
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_check import PlanCheck, duplicate_plan_problem, is_same_plan
from leadplan_executor.plan_log import FoldedLog, PlanLog
from leadplan_executor.plan_runs import PlanRuns
from leadplan_executor.rejections import Rejections
from leadplan_executor.run_admission import ASK_AGAIN_SECONDS, Refuse, Refused, RunAdmission, Start, Wait

log = structlog.get_logger(__name__)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TAKE_OVER_TRIES = 20
_STORE_AGAIN_SECONDS = 1.0


class SubmissionHandler:
    """Settles submissions from the work queue, each to its end.

    Args:
        nc: the connection.
        executor: this instance's id.
        plan_log: logs of plans.
        runs: executes plans.
        check: says whether a plan can begin.
        rejections: keeps what is no valid plan.
    """

    def __init__(
        self,
        nc: Client,
        *,
        executor: str,
        plan_log: PlanLog,
        runs: PlanRuns,
        check: PlanCheck,
        rejections: Rejections,
    ) -> None:
        self._js = nc.jetstream()
        self._executor = executor
        self._plan_log = plan_log
        self._runs = runs
        self._check = check
        self._rejections = rejections
        self._run_admission = RunAdmission(nc, plan_log)

    async def read(self, delivery: PlanDelivery) -> ReadSubmission | None:
        """The submission; None where it was none: its delivery is settled then.

        Raises:
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        # Each firing of a schedule is a run of its own, and a redelivery of a firing is not (protocol section 2).
        fired = subjects.SCHEDULER_HEADER in delivery.headers
        try:
            submission = read_plan_submission(
                delivery.body, plan_id_suffix=f"-{delivery.submitted_as}" if fired else ""
            )
        except PlanRejectedError as error:
            await self._rejections.reject(delivery, error.plan_id, error.problems)
            return None
        return submission if fired else submission._replace(recurrence=None)

    async def handle(self, delivery: PlanDelivery, submission: ReadSubmission) -> None:
        """Settle one delivery: it is acknowledged, rejected, handed back or parked.

        Raises:
            FenceLostError: another executor has the plan; the delivery isn't settled.
            nats.errors.Error: the server didn't answer; likewise.
            leadplan_executor.core.errors.CoreError, msgspec.DecodeError: the plan's log holds what no executor writes.
        """
        if delivery.delivered > 1 or not await self._begin(delivery, submission):
            await self._continue(delivery, submission, None)

    async def give_up(self, delivery: PlanDelivery, submission: ReadSubmission, ending: GivenUp) -> None:
        """End a delivery's plan; one that never began is rejected.

        Raises:
            As ``handle``.
        """
        await self._continue(delivery, submission, ending)

    async def _begin(self, delivery: PlanDelivery, submission: ReadSubmission) -> bool:
        """Run a plan that has no log yet; False when it turns out to have one."""
        run = PlanRun(submission.plan.id)
        first = PlanSubmitted(
            submission, delivery.stream_sequence, self._executor, _traceparent(delivery), delivery.submitted_as
        )
        if problems := await self._check.find_problems(first):
            if await self._plan_log.last_event(run.plan_id) is not None:
                return False  # it passed the check before, and runs or has run
            await self._rejections.reject(delivery, run.plan_id, problems)
            return True
        recurrence = submission.recurrence
        if recurrence is not None and not await self._may_begin(delivery, recurrence, run.plan_id):
            return True
        try:
            await self._runs.execute(delivery, run, 0, (first,))
        except FenceLostError:
            if run.sequence:
                raise
            return False
        return True

    async def _may_begin(self, delivery: PlanDelivery, recurrence: Recurrence, plan_id: str) -> bool:
        """Whether this run of a recurring plan begins now; else its delivery is settled."""
        firing = RecurringRun(plan_id=plan_id, submission=delivery.stream_sequence)
        admission = await self._run_admission.admit(recurrence, firing)
        match admission:
            case Start():
                return True
            case Wait():
                # Neither a slot nor the lease is kept for it.
                await delivery.hand_back(ASK_AGAIN_SECONDS)
            case Refuse(problem):
                await self._rejections.reject(delivery, plan_id, [problem])
            case Refused():
                await delivery.ack()
            case _:
                assert_never(admission)
        return False

    async def _continue(self, delivery: PlanDelivery, submission: ReadSubmission, ending: GivenUp | None) -> None:
        """Deal with a plan that may have a log: take it over, or see that there is nothing left to do.

        Args:
            delivery: its delivery.
            submission: the same, read.
            ending: why the plan is to be ended; None to go on with it.
        """
        for _ in range(_TAKE_OVER_TRIES):
            folded = await self._plan_log.fold(submission.plan.id)
            if folded is None:
                if ending is not None:
                    problem = PlanProblem(path="", code=RejectionCode.POISON_PLAN, message=ending.reason)
                    await self._rejections.reject(delivery, submission.plan.id, [problem])
                    return
                if await self._begin(delivery, submission):
                    return
                continue
            run = folded.run
            if run.message != delivery.stream_sequence and not await self._is_orphaned_by_move(run, delivery):
                await self._settle_double(delivery, submission, folded)
                return
            sequence = run.sequence
            reason = f"{run.executor} no longer held it (delivery {delivery.delivered})"
            first = TakenOver(self._executor, reason, delivery.stream_sequence)
            try:
                if ending is not None:
                    await self._runs.give_up(delivery, run, folded.last_stored, first, ending)
                else:
                    await self._runs.take_over(delivery, run, folded.last_stored, first)
            except FenceLostError:
                if run.sequence != sequence:
                    raise
                # The executor before us appended once more in the meantime: read again and take over behind that.
            else:
                return
        log.warning("couldn't take the plan over, handing it back", plan_id=submission.plan.id)
        await delivery.hand_back(_STORE_AGAIN_SECONDS)

    async def _is_orphaned_by_move(self, run: PlanRun, delivery: PlanDelivery) -> bool:
        """Whether a plan's message is gone, and what it was moved to is all that is left to hold the plan.

        That is so where an executor stood still in the middle of a move, another one was given the plan and began it,
        and the acknowledgement of the first one came in the end: it can't tell whose delivery it is.
        """
        moved = delivery.submitted_as != delivery.stream_sequence
        if not moved or run.message != delivery.submitted_as or run.completed:
            return False
        try:
            await self._js.get_msg(subjects.PLANS_STREAM, seq=run.message)
        except NotFoundError:
            return True
        return False

    async def _settle_double(self, delivery: PlanDelivery, submission: ReadSubmission, folded: FoldedLog) -> None:
        """The same plan sent twice runs once; other content under the same id is rejected.

        So does one that was taken up by another message since: that one holds it.
        """
        started, plan_id = folded.started, submission.plan.id
        if isinstance(started, PlanStarted) and is_same_plan(started, submission):
            log.info("plan was sent before, nothing to do", plan_id=plan_id, submission=delivery.submitted_as)
            await delivery.ack()
            return
        await self._rejections.reject(delivery, plan_id, [duplicate_plan_problem(plan_id)])


def _traceparent(delivery: PlanDelivery) -> str:
    """The submitter's trace, or a new one where the header is missing or invalid (W3C Trace Context)."""
    given = delivery.headers.get(subjects.TRACEPARENT_HEADER, "")
    return given if _TRACEPARENT.fullmatch(given) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
