"""What becomes of a plan's message: rejected, begun, taken over, or recognised as sent before (protocol section 2)."""

import asyncio
import base64
import re
import secrets
from collections.abc import Callable, Iterable
from typing import assert_never

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.tokens import new_token
from leadplan_contracts import PlanProblem, PlanRejectedError, Recurrence, subjects
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.events import OriginalMessage, PlanRejected, PlanRejectedMeta, PlanStarted
from leadplan_contracts.recurrence import RecurringRun
from leadplan_contracts.validation import ReadSubmission, as_many_as_fit, read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_executor.clock import now_ms
from leadplan_executor.core import Input, PlanRun, PlanSubmitted, TakenOver, decide, evolve
from leadplan_executor.core.errors import CoreError
from leadplan_executor.core.events import emit_plan_event
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.errors import FenceLostError, crash_of
from leadplan_executor.plan_execution import Ending, PlanExecution
from leadplan_executor.plan_log import PlanLog, StoredEvent, event_headers
from leadplan_executor.run_admission import ASK_AGAIN_SECONDS, Refuse, Refused, RunAdmission, Start, Wait
from leadplan_executor.tool_calls import ToolCaller
from leadplan_executor.tool_directory import ToolDirectory

log = structlog.get_logger(__name__)

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_INLINE_ORIGINAL_BYTES = 64 * 1024
_TAKE_OVER_TRIES = 20
_STORE_AGAIN_SECONDS = 1.0
_EVENTS_AT_A_TIME = 1_000


class SubmissionHandler:
    """Settles deliveries from the work queue, each to its end.

    Args:
        nc: the connection.
        executor: this instance's id.
        plan_log: logs of plans.
        tools: calls tools.
        directory: knows the schemas of params.
        claim_check: takes what is too large for a message.
        busy_limit_ms: how long one attempt may be answered ``busy``.
        on_plan_read: called with a plan's id once its message was read.
    """

    def __init__(
        self,
        nc: Client,
        *,
        executor: str,
        plan_log: PlanLog,
        tools: ToolCaller,
        directory: ToolDirectory,
        claim_check: ClaimCheck,
        busy_limit_ms: int,
        on_plan_read: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._nc = nc
        self._js = nc.jetstream()
        self._executor = executor
        self._plan_log = plan_log
        self._tools = tools
        self._directory = directory
        self._claim_check = claim_check
        self._busy_limit_ms = busy_limit_ms
        self._on_plan_read = on_plan_read
        self._run_admission = RunAdmission(nc)
        self._executions: set[PlanExecution] = set()
        self._draining = False

    @property
    def got_further(self) -> bool:
        """Whether something came of a plan that is held."""
        return any(execution.got_further for execution in self._executions)

    def drain(self) -> None:
        """Start no attempt and no plan any more; hand plans back as their attempts end."""
        self._draining = True
        for execution in list(self._executions):
            execution.drain()

    def abandon(self) -> None:
        """Hand back what is still held, now."""
        for execution in list(self._executions):
            execution.abandon()

    async def let_go_of_lost_plans(self) -> None:
        """End the executions of plans that another executor has taken over.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        await asyncio.gather(*(execution.let_go_if_lost() for execution in self._executions))

    async def handle(self, delivery: PlanDelivery) -> None:
        """Settle one delivery: it is acknowledged, handed back, or let go of because another executor has the plan.

        Raises:
            nats.errors.Error: the server didn't answer; the delivery isn't settled.
            leadplan_executor.core.errors.CoreError: the plan's log holds what no executor writes.
            msgspec.DecodeError: likewise.
        """
        if (submission := await self._read(delivery)) is None:
            return
        try:
            if delivery.delivered == 1 and await self._begin(delivery, submission):
                return
            await self._continue(delivery, submission, None)
        except FenceLostError as error:
            log.info("plan is run by another executor, letting go", plan_id=submission.plan.id, by=error.by)

    async def give_up(self, delivery: PlanDelivery, reason: str) -> None:
        """End a delivery's plan because handling it crashed again and again.

        A plan that has begun ends in the ordinary way, with ``poison_plan`` for what hadn't ended. One that never did,
        or whose log can't be read, is rejected with that code.

        Raises:
            nats.errors.Error: the server didn't answer; the delivery isn't settled.
        """
        if (submission := await self._read(delivery)) is None:
            return
        plan_id = submission.plan.id
        log.error("plan is given up", plan_id=plan_id, message=delivery.stream_sequence, reason=reason)
        try:
            await self._continue(delivery, submission, reason)
        except FenceLostError as error:
            log.info("plan is run by another executor, letting go", plan_id=plan_id, by=error.by)
        except (CoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            await self.reject_unread(delivery, plan_id, f"{reason}. Its log can't be read: {crash_of(error)}")

    async def reject_unread(self, delivery: PlanDelivery, plan_id: str | None, reason: str) -> None:
        """Reject a message, for handling it crashed again and again; it isn't looked into.

        Raises:
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        problem = PlanProblem(path="", code=RejectionCode.POISON_PLAN, message=reason)
        await self._reject(delivery, plan_id, [problem])

    async def _read(self, delivery: PlanDelivery) -> ReadSubmission | None:
        """The submission; None where it was none: its delivery is settled then."""
        # Each firing of a schedule is a run of its own, and a redelivery of a firing is not (protocol section 2).
        fired = subjects.SCHEDULER_HEADER in delivery.headers
        try:
            submission = read_plan_submission(
                delivery.body, plan_id_suffix=f"-{delivery.stream_sequence}" if fired else ""
            )
        except PlanRejectedError as error:
            await self._reject(delivery, error.plan_id, error.problems)
            return None
        self._on_plan_read(submission.plan.id)
        return submission if fired else submission._replace(recurrence=None)

    async def _begin(self, delivery: PlanDelivery, submission: ReadSubmission) -> bool:
        """Run a plan that has no log yet; False when it turns out to have one."""
        problems = await self._directory.find_param_problems(submission.plan)
        run = PlanRun(submission.plan.id)
        first = PlanSubmitted(submission, delivery.stream_sequence, self._executor, _traceparent(delivery))
        (started,) = decide(run, first, now_ms())
        if not self._plan_log.fits(started, first.traceparent):
            message = f"the plan and its envelope are larger than the server's limit of {self._nc.max_payload} bytes"
            problems = [PlanProblem(path="plan", code=RejectionCode.PLAN_TOO_LARGE, message=message)]
        if problems:
            await self._reject(delivery, run.plan_id, problems)
            return True
        recurrence = submission.recurrence
        if recurrence is not None and not await self._may_begin(delivery, recurrence, run.plan_id):
            return True
        try:
            await self._execute(delivery, run, 0, first)
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
                await self._reject(delivery, plan_id, [problem])
            case Refused():
                await delivery.ack()
            case _:
                assert_never(admission)
        return False

    async def _continue(self, delivery: PlanDelivery, submission: ReadSubmission, ending: str | None) -> None:
        """Deal with a plan that may have a log: take it over, or see that there is nothing left to do.

        Args:
            delivery: its delivery.
            submission: the same, read.
            ending: why the plan is to be ended; None to go on with it.
        """
        for _ in range(_TAKE_OVER_TRIES):
            stored = await self._plan_log.read(submission.plan.id)
            if not stored:
                if ending is not None:
                    await self.reject_unread(delivery, submission.plan.id, ending)
                    return
                if await self._begin(delivery, submission):
                    return
                continue
            run = await _fold(submission.plan.id, stored)
            if run.submission != delivery.stream_sequence:
                await self._settle_double(delivery, submission, stored)
                return
            sequence = run.sequence
            reason = f"{run.executor} no longer held it (delivery {delivery.delivered})"
            first = TakenOver(self._executor, reason)
            try:
                await self._execute(delivery, run, stored[-1].stream_sequence, first, ending)
            except FenceLostError:
                if run.sequence != sequence:
                    raise
                # The executor before us appended once more in the meantime: read again and take over behind that.
            else:
                return
        log.warning("couldn't take the plan over, handing it back", plan_id=submission.plan.id)
        await delivery.hand_back(_STORE_AGAIN_SECONDS)

    async def _execute(
        self, delivery: PlanDelivery, run: PlanRun, last_stored: int, first: Input, ending: str | None = None
    ) -> None:
        if self._draining:
            await delivery.hand_back()
            return
        execution = PlanExecution(
            run,
            last_stored,
            nc=self._nc,
            plan_log=self._plan_log,
            tools=self._tools,
            claim_check=self._claim_check,
            busy_limit_ms=self._busy_limit_ms,
        )
        if ending is not None:
            await execution.give_up(first, ending)
            await delivery.ack()
            return
        self._executions.add(execution)
        try:
            result = await execution.execute_lead_generation_plan(first)
        finally:
            self._executions.discard(execution)
        if result is Ending.COMPLETED:
            await delivery.ack()
        else:
            await delivery.hand_back()

    async def _settle_double(
        self, delivery: PlanDelivery, submission: ReadSubmission, stored: list[StoredEvent]
    ) -> None:
        """The same plan sent twice runs once; other content under the same id is rejected."""
        started = stored[0].event
        plan_id = submission.plan.id
        if isinstance(started, PlanStarted) and _same_content(started, submission):
            log.info("plan was sent before, nothing to do", plan_id=plan_id, submission=delivery.stream_sequence)
            await delivery.ack()
            return
        message = f"a plan with id {plan_id!r} and other content was submitted before; it is left as it is"
        problem = PlanProblem(path="plan.id", code=RejectionCode.DUPLICATE_PLAN_ID, message=message)
        await self._reject(delivery, plan_id, [problem])

    async def _reject(self, delivery: PlanDelivery, plan_id: str | None, problems: list[PlanProblem]) -> None:
        """Keep the message with its reasons, then take it off the queue: nothing is lost."""
        plan_id = plan_id or subjects.UNREADABLE_PLAN_ID
        meta = PlanRejectedMeta(
            errors=as_many_as_fit(problems),
            original=await self._original(delivery.body),
            submission=delivery.stream_sequence,
        )
        event = emit_plan_event(PlanRejected, plan_id=plan_id, now=now_ms(), meta=meta)
        # A redelivery of the same message is recognised by this id and not stored again.
        message_id = f"{subjects.PLANS_STREAM}:{delivery.stream_sequence}"
        headers = {**event_headers(event, f"{plan_id}:{message_id}", None), "Nats-Msg-Id": message_id}
        while True:
            try:
                await self._js.publish(subjects.plan_rejected_subject(plan_id), encode(event), headers=dict(headers))
                break
            except ConnectionClosedError:
                raise
            except NatsError as error:
                log.warning("rejection can't be stored, trying again", plan_id=plan_id, problem=repr(error))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)
        log.info("plan rejected", plan_id=plan_id, codes=sorted({problem.code for problem in problems}))
        await delivery.ack()

    async def _original(self, body: bytes) -> OriginalMessage:
        if len(body) > _INLINE_ORIGINAL_BYTES:
            return OriginalMessage(data_ref=await self._claim_check.put(f"rejected/{new_token()}", body))
        try:
            return OriginalMessage(text=body.decode())
        except UnicodeDecodeError:
            return OriginalMessage(base64=base64.b64encode(body).decode())


async def _fold(plan_id: str, stored: Iterable[StoredEvent]) -> PlanRun:
    """The state that a log gives; other plans have their turn while a long one is folded."""
    run = PlanRun(plan_id)
    for count, (_, event) in enumerate(stored, 1):
        evolve(run, event)
        if count % _EVENTS_AT_A_TIME == 0:
            await asyncio.sleep(0)
    return run


def _same_content(started: PlanStarted, submission: ReadSubmission) -> bool:
    same_plan = msgspec.json.decode(started.plan) == msgspec.json.decode(submission.plan_json)
    return same_plan and started.user == submission.user


def _traceparent(delivery: PlanDelivery) -> str:
    """The submitter's trace, or a new one where the header is missing or invalid (W3C Trace Context)."""
    given = delivery.headers.get(subjects.TRACEPARENT_HEADER, "")
    return given if _TRACEPARENT.fullmatch(given) else f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"
