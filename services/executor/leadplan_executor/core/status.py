"""How a plan stands, told from its state: what ``plans.status`` answers."""

from collections import Counter

from leadplan_contracts import LeadGenStepStatus
from leadplan_contracts.control import PlanState, PlanStatus, StepStatus, Waiting, WaitReason
from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.events import PlanPaused
from leadplan_contracts.times import format_time
from leadplan_executor.core.state import PlanRun, StepRun
from leadplan_executor.core.transitions import RUNS, PlanPhase, StepPhase
from leadplan_executor.core.waiting import is_waiting

_STATES = {
    PlanPhase.PAUSED: PlanState.PAUSED,
    PlanPhase.CANCELLING: PlanState.CANCELLING,
    PlanPhase.COMPLETED: PlanState.COMPLETED,
}


def plan_state(run: PlanRun) -> PlanState:
    """Where a plan that has begun stands."""
    return _STATES.get(run.phase) or (PlanState.WAITING if is_waiting(run) else PlanState.RUNNING)


def plan_status(run: PlanRun) -> PlanStatus:
    """How a plan that has begun stands, with every step and its result so far."""
    waiting = [_waiting_plan(run, run.paused)] if run.paused is not None else []
    steps = [_step_status(run, step) for step in run.steps]
    waiting += [step.waiting for step in steps if step.waiting is not None]
    counts = Counter(step.result.status for step in steps)
    return PlanStatus(
        plan_id=run.plan_id,
        state=plan_state(run),
        title=run.plan.title,
        goal=run.plan.goal.description,
        overall_status=run.outcome and run.outcome.overall_status,
        user=run.public_user,
        executor=run.executor,
        sequence=run.sequence,
        started_at=format_time(run.started_at),
        finished_at=run.outcome and run.outcome.finished_at,
        deadline_at=format_time(run.deadline_at) if run.deadline_at is not None else None,
        last_event_at=run.last_at,
        round=run.round,
        waiting=waiting or None,
        step_counts={status.value: counts[status] for status in LeadGenStepStatus if counts[status]},
        steps=steps,
    )


def _waiting_plan(run: PlanRun, paused: PlanPaused) -> Waiting:
    ends_at = format_time(run.deadline_at) if run.deadline_at is not None else None
    return Waiting(
        reason=WaitReason.UNPAUSE, since=paused.time, until=ends_at, by=paused.meta.by, message=paused.meta.reason
    )


def _step_status(run: PlanRun, step: StepRun) -> StepStatus:
    return StepStatus(
        id=step.step.id,
        tool=step.step.tool,
        label=step.step.label,
        depends_on=step.step.depends_on or None,
        result=step.result,
        waiting=_waiting_step(run, step) if run.phase in RUNS else None,
    )


def _waiting_step(run: PlanRun, step: StepRun) -> Waiting | None:
    match step.phase:
        case StepPhase.WAITING:
            deadlines = [at for at in (step.deadline_at, run.deadline_at) if at is not None]
            until = format_time(min(deadlines)) if deadlines else None
            return Waiting(reason=WaitReason.APPROVAL, step_id=step.step.id, since=step.changed_at, until=until)
        case StepPhase.RETRYING:
            unserved = step.result.error_code == StepErrorCode.NO_RESPONDERS
            return Waiting(
                reason=WaitReason.TOOL if unserved else WaitReason.RETRY,
                step_id=step.step.id,
                since=step.changed_at,
                until=format_time(step.retry_at),
                message=step.result.error_message,
            )
        case _:
            return None
