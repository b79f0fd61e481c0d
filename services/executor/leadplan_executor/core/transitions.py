"""Every transition of plans and steps, as tables. No other place assigns a phase; a missing row is an error."""

from enum import StrEnum

from leadplan_contracts import LeadGenStepStatus, LeadPlanEventType
from leadplan_executor.core.errors import IllegalTransitionError


class StepPhase(StrEnum):
    """Where a step stands."""

    PENDING = "pending"
    WAITING = "waiting"
    """Waits for a person's approval."""
    APPROVED = "approved"
    DENIED = "denied"
    RUNNING = "running"
    """An attempt is with the tool."""
    RETRYING = "retrying"
    """The next attempt waits for its time."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class PlanPhase(StrEnum):
    """Where a plan stands."""

    UNSTARTED = "unstarted"
    ACTIVE = "active"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"


_E = LeadPlanEventType
_S = StepPhase
_P = PlanPhase

STEP_TRANSITIONS: dict[tuple[StepPhase, LeadPlanEventType], StepPhase] = {
    (_S.PENDING, _E.STEP_STARTED): _S.RUNNING,
    (_S.PENDING, _E.STEP_WAITING): _S.WAITING,
    (_S.PENDING, _E.STEP_SKIPPED): _S.SKIPPED,
    (_S.PENDING, _E.STEP_FAILED): _S.FAILED,
    (_S.WAITING, _E.STEP_APPROVED): _S.APPROVED,
    (_S.WAITING, _E.STEP_DENIED): _S.DENIED,
    (_S.WAITING, _E.STEP_SKIPPED): _S.SKIPPED,
    (_S.WAITING, _E.STEP_FAILED): _S.FAILED,
    (_S.APPROVED, _E.STEP_STARTED): _S.RUNNING,
    (_S.APPROVED, _E.STEP_SKIPPED): _S.SKIPPED,
    (_S.APPROVED, _E.STEP_FAILED): _S.FAILED,
    (_S.DENIED, _E.STEP_FAILED): _S.FAILED,
    (_S.RUNNING, _E.STEP_SUCCEEDED): _S.SUCCEEDED,
    (_S.RUNNING, _E.STEP_RETRYING): _S.RETRYING,
    (_S.RUNNING, _E.STEP_FAILED): _S.FAILED,
    (_S.RETRYING, _E.STEP_STARTED): _S.RUNNING,
    (_S.RETRYING, _E.STEP_FAILED): _S.FAILED,
    (_S.SUCCEEDED, _E.PLAN_RETRIED): _S.PENDING,
    (_S.FAILED, _E.PLAN_RETRIED): _S.PENDING,
    (_S.SKIPPED, _E.PLAN_RETRIED): _S.PENDING,
}

PLAN_TRANSITIONS: dict[tuple[PlanPhase, LeadPlanEventType], PlanPhase] = {
    (_P.UNSTARTED, _E.PLAN_STARTED): _P.ACTIVE,
    (_P.ACTIVE, _E.PLAN_RESUMED): _P.ACTIVE,
    (_P.ACTIVE, _E.PLAN_PAUSED): _P.PAUSED,
    (_P.ACTIVE, _E.PLAN_CANCELLING): _P.CANCELLING,
    (_P.ACTIVE, _E.PLAN_COMPLETED): _P.COMPLETED,
    (_P.PAUSED, _E.PLAN_RESUMED): _P.PAUSED,
    (_P.PAUSED, _E.PLAN_UNPAUSED): _P.ACTIVE,
    (_P.PAUSED, _E.PLAN_CANCELLING): _P.CANCELLING,
    (_P.PAUSED, _E.PLAN_COMPLETED): _P.COMPLETED,
    (_P.CANCELLING, _E.PLAN_RESUMED): _P.CANCELLING,
    (_P.CANCELLING, _E.PLAN_COMPLETED): _P.COMPLETED,
    (_P.COMPLETED, _E.PLAN_RETRIED): _P.ACTIVE,
}

ENDED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.SKIPPED})
"""Phases that a step leaves only where its plan is retried."""

RUNS = frozenset({PlanPhase.ACTIVE, PlanPhase.PAUSED, PlanPhase.CANCELLING})
"""Phases in which a plan's steps can change."""

STATUS_OF_PHASE: dict[StepPhase, LeadGenStepStatus] = {
    _S.PENDING: LeadGenStepStatus.PENDING,
    _S.WAITING: LeadGenStepStatus.PENDING,
    _S.APPROVED: LeadGenStepStatus.PENDING,
    _S.DENIED: LeadGenStepStatus.PENDING,
    _S.RUNNING: LeadGenStepStatus.RUNNING,
    _S.RETRYING: LeadGenStepStatus.RUNNING,
    _S.SUCCEEDED: LeadGenStepStatus.SUCCEEDED,
    _S.FAILED: LeadGenStepStatus.FAILED,
    _S.SKIPPED: LeadGenStepStatus.SKIPPED,
}


def next_step_phase(phase: StepPhase, event: LeadPlanEventType, plan_id: str, step_id: str) -> StepPhase:
    """The phase that a step is in after an event.

    Raises:
        IllegalTransitionError: the event can't follow this phase.
    """
    try:
        return STEP_TRANSITIONS[phase, event]
    except KeyError:
        raise IllegalTransitionError(phase, event, plan_id, step_id) from None


def next_plan_phase(phase: PlanPhase, event: LeadPlanEventType, plan_id: str) -> PlanPhase:
    """The phase that a plan is in after an event about the plan itself.

    Raises:
        IllegalTransitionError: the event can't follow this phase.
    """
    try:
        return PLAN_TRANSITIONS[phase, event]
    except KeyError:
        raise IllegalTransitionError(phase, event, plan_id) from None
