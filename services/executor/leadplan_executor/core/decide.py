"""Which events an input leads to."""

from typing import NamedTuple, assert_never

from msgspec.structs import replace

from leadplan_contracts import LeadGenStepResult, LeadGenStepStatus, LeadPlanEventPayload
from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.events import (
    ControlMeta,
    PlanCancelling,
    PlanCompleted,
    PlanPaused,
    PlanResumed,
    PlanResumedMeta,
    PlanRetried,
    PlanRetriedMeta,
    PlanStarted,
    PlanStartedMeta,
    PlanUnpaused,
    RetryMeta,
    StepApproved,
    StepDenied,
    StepEndMeta,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepWaiting,
)
from leadplan_contracts.times import format_time
from leadplan_executor.core.events import EventsToStore
from leadplan_executor.core.inputs import (
    Approve,
    AttemptEnded,
    Cancel,
    Deny,
    GivenUp,
    Input,
    Pause,
    PlanSubmitted,
    Proceed,
    Retry,
    TakenOver,
    Unpause,
)
from leadplan_executor.core.outcome import AttemptFailed, AttemptSucceeded, judge
from leadplan_executor.core.retry import retry_delay_ms
from leadplan_executor.core.state import PlanRun, StepRun
from leadplan_executor.core.summary import execution_result
from leadplan_executor.core.transitions import ENDED, RUNS, PlanPhase, StepPhase

_OUTCOME_UNKNOWN = "the executor died during the attempt and the step must not run twice: its outcome is unknown"
_DEPENDENCY_FAILED = "Skipped because a dependency failed"  # the words of protocol section 3, rule 2


def decide(run: PlanRun, happened: Input, now: int) -> list[LeadPlanEventPayload]:
    """The events to store, in this order; none where the input changes nothing. The state isn't changed.

    After an input's own events come its consequences: the shell asks for them with ``Proceed`` until there are none.
    A plan that is given up is asked with ``GivenUp`` again and again instead, until there are none.

    Args:
        run: the state.
        happened: what happened.
        now: milliseconds since 1970.
    """
    to_store = EventsToStore(run, now)
    match happened:
        case PlanSubmitted():
            _submitted(run, happened, to_store)
        case TakenOver():
            _taken_over(run, happened, to_store)
        case GivenUp(reason, code):
            _proceed(run, now, to_store, _Ending(code, reason))
        case Proceed():
            _proceed(run, now, to_store, _deadline_passed(run, now))
        case AttemptEnded():
            _attempt_ended(run, happened, now, to_store)
        case Approve() | Deny():
            _settle_approval(run, happened, to_store)
        case Cancel() | Pause() | Unpause():
            _steer(run, happened, to_store)
        case Retry():
            _retried(run, happened, to_store)
        case _:
            assert_never(happened)
    return to_store.events


def _submitted(run: PlanRun, happened: PlanSubmitted, to_store: EventsToStore) -> None:
    if run.phase is PlanPhase.UNSTARTED:
        meta = PlanStartedMeta(
            executor=happened.executor,
            submission=happened.submitted_as,
            message=happened.message if happened.message != happened.submitted_as else None,
            traceparent=happened.traceparent,
        )
        submission = happened.submission
        to_store.add(PlanStarted, user=submission.user, plan=submission.plan_json, meta=meta)


def _taken_over(run: PlanRun, happened: TakenOver, to_store: EventsToStore) -> None:
    if run.phase in RUNS:
        message = happened.message if happened.message != run.message else None
        meta = PlanResumedMeta(executor=happened.executor, reason=happened.reason, message=message)
        to_store.add(PlanResumed, meta=meta)


def _attempt_ended(run: PlanRun, happened: AttemptEnded, now: int, to_store: EventsToStore) -> None:
    if run.phase not in RUNS:
        return
    step = run.steps[happened.step]
    if step.phase is not StepPhase.RUNNING or step.attempts != happened.attempt:
        return  # too late: the step's story went on without this reply
    outcome = judge(happened.signal, step.step)
    if isinstance(outcome, AttemptSucceeded):
        result = replace(
            step.result,
            status=LeadGenStepStatus.SUCCEEDED,
            finished_at=format_time(now),
            data=outcome.data,
            data_ref=outcome.data_ref,
        )
        to_store.add(StepSucceeded, step=step.reference, result=result)
        return
    delay_ms = retry_delay_ms(step.step.retry, step.attempts, outcome, happened.random)
    if delay_ms is None or not _another_attempt_comes(run, step, now + delay_ms):
        _fail(step, outcome.code, outcome.message, now, to_store)
    elif run.plan.retry_budget is not None and run.repeats >= run.plan.retry_budget:
        spent = f" (the plan's retryBudget of {run.plan.retry_budget} is used up)"
        _fail(step, outcome.code, outcome.message + spent, now, to_store)
    else:
        _retry(step, outcome, delay_ms, now, to_store)


def _another_attempt_comes(run: PlanRun, step: StepRun, at: int) -> bool:
    """Whether plan and step will still be running then, as far as is known now."""
    in_time = all(deadline is None or at < deadline for deadline in (run.deadline_at, step.deadline_at))
    return run.phase is not PlanPhase.CANCELLING and in_time


def _retry(step: StepRun, failed: AttemptFailed, delay_ms: int, now: int, to_store: EventsToStore) -> None:
    result = replace(step.result, error_message=failed.message, error_code=failed.code)
    meta = RetryMeta(delay_ms=delay_ms, retry_at=format_time(now + delay_ms), error_code=failed.code)
    to_store.add(StepRetrying, step=step.reference, result=result, meta=meta)


class _Ending(NamedTuple):
    """Why everything that runs or could run fails now."""

    code: str
    message: str


def _deadline_passed(run: PlanRun, now: int) -> _Ending | None:
    if run.deadline_at is None or now < run.deadline_at:
        return None
    return _Ending(StepErrorCode.DEADLINE_EXCEEDED, f"the plan's deadline of {run.plan.deadline_ms} ms passed")


def _proceed(run: PlanRun, now: int, to_store: EventsToStore, ending: _Ending | None) -> None:
    """What the state itself leads to, without anything new having happened but time, or the plan being given up."""
    if run.phase not in RUNS:
        return
    if run.in_doubt or run.denied:
        _fail_settled(run, now, to_store)
    if run.step_deadlines and run.phase is not PlanPhase.CANCELLING and ending is None:
        _fail_overdue(run, now, to_store)
    if to_store.events:
        return  # what else there is to do depends on these failures
    if run.phase is PlanPhase.CANCELLING:
        _end_all_cancelled(run, now, to_store)
    elif ending is not None:
        _skip_spoiled(run, now, to_store)
        _fail_all_startable(run, ending, now, to_store)
    else:
        _skip_spoiled(run, now, to_store)
        for index in run.to_ask:
            to_store.add(StepWaiting, step=run.steps[index].reference)
        if run.phase is PlanPhase.ACTIVE:
            _start_attempts(run, now, to_store)
    if run.unfinished == 0:
        to_store.add(PlanCompleted, result=execution_result(run, now))


def _fail_settled(run: PlanRun, now: int, to_store: EventsToStore) -> None:
    """Steps whose failure is certain, whatever else ends the plan."""
    for index in run.in_doubt:
        _fail(run.steps[index], StepErrorCode.OUTCOME_UNKNOWN, _OUTCOME_UNKNOWN, now, to_store)
    for index in run.denied:
        _fail(run.steps[index], StepErrorCode.DENIED, "a person refused this step", now, to_store)


def _fail_overdue(run: PlanRun, now: int, to_store: EventsToStore) -> None:
    failed = {event.step.id for event in to_store.events if isinstance(event, StepFailed)}
    for at, index in run.step_deadlines:
        if at > now:
            return
        step = run.steps[index]
        if step.step.id not in failed:
            message = f"the step's deadline of {step.step.deadline_ms} ms passed"
            _fail(step, StepErrorCode.DEADLINE_EXCEEDED, message, now, to_store)


def _start_attempts(run: PlanRun, now: int, to_store: EventsToStore) -> None:
    """Retries whose time has come keep the place that they hold; free places go to ready steps in plan order."""
    for index in run.retrying:
        if run.steps[index].retry_at <= now:
            _start_attempt(run.steps[index], now, to_store)
    for index in run.ready[: max(0, run.plan.concurrency - run.occupied)]:
        _start_attempt(run.steps[index], now, to_store)


def _start_attempt(step: StepRun, now: int, to_store: EventsToStore) -> None:
    result = LeadGenStepResult(
        step_id=step.step.id,
        status=LeadGenStepStatus.RUNNING,
        started_at=step.result.started_at or format_time(now),
        attempts=step.attempts + 1,
    )
    to_store.add(StepStarted, step=step.reference, result=result)


def _skip_spoiled(run: PlanRun, now: int, to_store: EventsToStore) -> None:
    for index in run.to_skip:
        _skip(run.steps[index], StepErrorCode.DEPENDENCY_FAILED, _DEPENDENCY_FAILED, now, to_store)


def _fail_all_startable(run: PlanRun, ending: _Ending, now: int, to_store: EventsToStore) -> None:
    """What runs or could run fails, and what stands behind it is skipped as ever."""
    for step in run.steps:
        blocked = step.open_dependencies > 0 or step.spoiled
        if step.phase not in ENDED and not blocked:
            _fail(step, ending.code, ending.message, now, to_store)


def _end_all_cancelled(run: PlanRun, now: int, to_store: EventsToStore) -> None:
    """What runs comes first, so that its tools hear of it at once however many steps there are."""
    unfinished = [step for step in run.steps if step.phase not in ENDED]
    begun = (StepPhase.RUNNING, StepPhase.RETRYING)
    for step in unfinished:
        if step.phase in begun:
            _fail(step, StepErrorCode.CANCELLED, "the plan was cancelled", now, to_store)
    for step in unfinished:
        if step.phase not in begun:
            _skip(step, StepErrorCode.CANCELLED, "Skipped because the plan was cancelled", now, to_store)


def _fail(step: StepRun, code: str, message: str, now: int, to_store: EventsToStore) -> None:
    result = replace(
        step.result,
        status=LeadGenStepStatus.FAILED,
        finished_at=format_time(now),
        error_message=message,
        error_code=code,
    )
    to_store.add(StepFailed, step=step.reference, result=result, meta=StepEndMeta(error_code=code))


def _skip(step: StepRun, code: str, message: str, now: int, to_store: EventsToStore) -> None:
    result = replace(
        step.result,
        status=LeadGenStepStatus.SKIPPED,
        finished_at=format_time(now),
        error_message=message,
        error_code=code,
    )
    to_store.add(StepSkipped, step=step.reference, result=result, meta=StepEndMeta(error_code=code))


def _settle_approval(run: PlanRun, happened: Approve | Deny, to_store: EventsToStore) -> None:
    if run.phase not in RUNS:
        return
    step = run.steps[happened.step]
    if step.phase is StepPhase.WAITING:
        kind = StepApproved if isinstance(happened, Approve) else StepDenied
        to_store.add(kind, step=step.reference, meta=_who_and_why(happened))


def _steer(run: PlanRun, happened: Cancel | Pause | Unpause, to_store: EventsToStore) -> None:
    meta = _who_and_why(happened)
    match happened, run.phase:
        case Cancel(), PlanPhase.ACTIVE | PlanPhase.PAUSED:
            to_store.add(PlanCancelling, meta=meta)
        case Pause(), PlanPhase.ACTIVE:
            to_store.add(PlanPaused, meta=meta)
        case Unpause(), PlanPhase.PAUSED:
            to_store.add(PlanUnpaused, meta=meta)
        case _:
            pass  # it is so already, or the plan is over


def _who_and_why(happened: Approve | Deny | Cancel | Pause | Unpause) -> ControlMeta:
    return ControlMeta(by=happened.by, reason=happened.reason, request_id=happened.request_id)


def _retried(run: PlanRun, happened: Retry, to_store: EventsToStore) -> None:
    if run.phase is PlanPhase.COMPLETED and happened.steps:
        meta = PlanRetriedMeta(
            by=happened.by,
            reason=happened.reason,
            request_id=happened.request_id,
            steps=[run.steps[index].step.id for index in happened.steps],
            executor=happened.executor,
            message=happened.message if happened.message != run.message else None,
        )
        to_store.add(PlanRetried, meta=meta)
