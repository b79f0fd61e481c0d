"""Seeing and steering plans: requests and replies of the endpoints of ``leadplan-executor`` (protocol section 1).

Every request is idempotent: sent again, because its answer was lost, it changes nothing and is answered alike. An error
is a micro error reply (``Nats-Service-Error``, ``Nats-Service-Error-Code``) whose body is a ``ControlProblem``.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from leadplan_contracts.errors import PlanProblem
from leadplan_contracts.events import LeadPlanEventType
from leadplan_contracts.plan import LeadToolIdentifier, SupervisorUserContext
from leadplan_contracts.results import LeadGenStepResult, OverallStatus
from leadplan_contracts.wire import PlanId, Sequence, StepId, Timestamp, WireModel

MAX_LIST_LIMIT = 500
DEFAULT_LIST_LIMIT = 50
_MAX_NAME = 256
_MAX_REASON = 4_000

RequestId = Annotated[
    str, Meta(min_length=1, max_length=128, description="Tells a repeated request from a second one; any text.")
]


class PlanState(StrEnum):
    """Where a plan stands, as the world sees it."""

    QUEUED = "queued"
    """It waits behind other plans, and no step of it has begun."""
    RUNNING = "running"
    WAITING = "waiting"
    """Nothing of it runs: it waits for an approval, or for the time of a repeat."""
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETED = "completed"
    REJECTED = "rejected"


class WaitReason(StrEnum):
    """What a plan or a step waits for."""

    APPROVAL = "approval"
    """A person: ``plans.approve``."""
    RETRY = "retry"
    """The time of a step's next attempt, ``until``."""
    UNPAUSE = "unpause"
    """A person: ``plans.resume``."""
    TOOL = "tool"
    """Nobody serves the step's tool: the next attempt comes ``until``."""


class ControlErrorCode(StrEnum):
    """``code`` of a ``ControlProblem``."""

    INVALID_REQUEST = "invalid_request"
    UNKNOWN_PLAN = "unknown_plan"
    UNKNOWN_STEP = "unknown_step"
    PLAN_REJECTED = "plan_rejected"
    """The submission was no valid plan, so there is nothing to steer."""
    NOT_BEGUN = "not_begun"
    """The plan still waits in the queue."""
    ALREADY_COMPLETED = "already_completed"
    NOT_COMPLETED = "not_completed"
    """Only a finished plan can be retried."""
    NOTHING_TO_RETRY = "nothing_to_retry"
    DEPENDENCY_NOT_MET = "dependency_not_met"
    """The step can't run again before one that it depends on has."""
    BEING_CANCELLED = "being_cancelled"
    NOT_WAITING = "not_waiting"
    """The step doesn't wait for an approval."""
    ALREADY_DECIDED = "already_decided"
    """The step was refused, or approved, before: the opposite of what is asked for."""
    UNAVAILABLE = "unavailable"
    """Nobody could carry the request out in time; send it again."""
    INTERNAL = "internal"


HTTP_LIKE_CODE: dict[ControlErrorCode, int] = {
    ControlErrorCode.INVALID_REQUEST: 400,
    ControlErrorCode.UNKNOWN_PLAN: 404,
    ControlErrorCode.UNKNOWN_STEP: 404,
    ControlErrorCode.INTERNAL: 500,
    ControlErrorCode.UNAVAILABLE: 503,
}
"""``Nats-Service-Error-Code`` of an error; those that aren't named here are conflicts with the plan's state, 409."""


class ControlProblem(WireModel, kw_only=True, frozen=True):
    """Why a request was not carried out, in one sentence that says what to do. ``problems`` where it was no request."""

    code: ControlErrorCode
    message: str
    plan_id: str | None = None
    problems: list[PlanProblem] | None = None


# --- steering


class _Steering(WireModel, kw_only=True, frozen=True):
    plan_id: PlanId
    by: Annotated[str, Meta(max_length=_MAX_NAME, description="Who asks; stands in the event.")] | None = None
    reason: Annotated[str, Meta(max_length=_MAX_REASON, description="Why; stands in the event.")] | None = None
    request_id: RequestId | None = None


class CancelRequest(_Steering, kw_only=True, frozen=True):
    """``plans.cancel``: stop new steps, stop running tools, end the plan as ``cancelled``."""


class PauseRequest(_Steering, kw_only=True, frozen=True):
    """``plans.pause``: running attempts finish, and nothing new starts until ``plans.resume``."""


class ResumeRequest(_Steering, kw_only=True, frozen=True):
    """``plans.resume``: go on after a pause."""


class RetryRequest(_Steering, kw_only=True, frozen=True):
    """``plans.retry``: a finished plan runs again from what failed or was skipped.

    With ``stepId`` that step and everything behind it runs again, whatever became of it before. Without ``requestId``
    a repeated request that comes while the plan runs again is answered with ``not_completed``.
    """

    step_id: StepId | None = None


class Decision(StrEnum):
    """What a person says to a step that waits for them."""

    APPROVE = "approve"
    DENY = "deny"


class ApproveRequest(_Steering, kw_only=True, frozen=True):
    """``plans.approve``: let a waiting step run, or refuse it, which fails it. Without ``stepId`` all that wait."""

    step_id: StepId | None = None
    decision: Decision | None = None

    @property
    def is_refusal(self) -> bool:
        """Whether the step is refused; absent means approved."""
        return self.decision is Decision.DENY


ControlRequest = CancelRequest | PauseRequest | ResumeRequest | RetryRequest | ApproveRequest


class ControlReply(WireModel, kw_only=True, frozen=True):
    """A request was carried out, and its event is stored.

    ``changed`` is false where everything was so already. ``sequence`` is that of the plan's last event then.
    """

    plan_id: PlanId
    changed: bool
    state: PlanState
    sequence: Sequence
    steps: Annotated[list[StepId], Meta(description="The steps concerned, of an approval or a retry.")] | None = None


# --- seeing


class StatusRequest(WireModel, kw_only=True, frozen=True):
    """``plans.status``. ``data`` false leaves out what tools returned."""

    plan_id: PlanId
    data: bool | None = None


class Waiting(WireModel, kw_only=True, frozen=True):
    """One thing that a plan waits for; ``until`` where time alone ends it."""

    reason: WaitReason
    step_id: StepId | None = None
    since: Timestamp | None = None
    until: Timestamp | None = None
    by: Annotated[str, Meta(description="Who paused the plan.")] | None = None
    message: Annotated[str, Meta(description="Of a repeat: how the last attempt failed. Of a pause: why.")] | None = (
        None
    )


class StepStatus(WireModel, kw_only=True, frozen=True):
    """A step and its result so far."""

    id: StepId
    tool: LeadToolIdentifier
    result: LeadGenStepResult
    label: str | None = None
    depends_on: list[StepId] | None = None
    waiting: Waiting | None = None


class PlanStatus(WireModel, kw_only=True, frozen=True):
    """How a plan stands, told from its log.

    ``steps`` are in plan order. What tools returned is left out where that was asked for, or where the answer would be
    too large (``dataOmitted``), and so are the last steps where even that isn't enough (``stepsOmitted``): the log has
    all of it.
    """

    plan_id: PlanId
    state: PlanState
    title: str | None = None
    goal: str | None = None
    overall_status: OverallStatus | None = None
    user: SupervisorUserContext | None = None
    executor: Annotated[str, Meta(description="The executor instance that had the plan last.")] | None = None
    sequence: Annotated[int, Meta(ge=0, description="Of the plan's last event; 0 where it has none.")] = 0
    submitted_at: Timestamp | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    deadline_at: Timestamp | None = None
    last_event_at: Timestamp | None = None
    round: Annotated[int, Meta(ge=1, description="1, and one more for each retry of the plan.")] = 1
    waiting: list[Waiting] | None = None
    step_counts: Annotated[dict[str, int], Meta(description="Steps by status.")] | None = None
    steps: list[StepStatus] | None = None
    problems: Annotated[list[PlanProblem], Meta(description="Why it was rejected.")] | None = None
    data_omitted: bool | None = None
    steps_omitted: int | None = None


class ListRequest(WireModel, kw_only=True, frozen=True):
    """``plans.list``: plans, those that changed last first. Filters are combined; a list means any of its values."""

    states: list[PlanState] | None = None
    overall_statuses: list[OverallStatus] | None = None
    account_id: Annotated[str, Meta(max_length=_MAX_NAME)] | None = None
    user_id: Annotated[str, Meta(max_length=_MAX_NAME)] | None = None
    text: Annotated[str, Meta(max_length=_MAX_NAME, description="In id, title or goal, in any case.")] | None = None
    changed_after: Timestamp | None = None
    limit: Annotated[int, Meta(ge=1, le=MAX_LIST_LIMIT)] | None = None
    cursor: Annotated[str, Meta(max_length=64, description="`next` of the page before.")] | None = None


class PlanSummary(WireModel, kw_only=True, frozen=True):
    """One plan of a list."""

    plan_id: PlanId
    state: PlanState
    changed_at: Timestamp
    title: str | None = None
    goal: str | None = None
    overall_status: OverallStatus | None = None
    user_id: str | None = None
    account_id: str | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    steps: Annotated[int, Meta(ge=0)] | None = None
    last_event: LeadPlanEventType | None = None


class PlanPage(WireModel, kw_only=True, frozen=True):
    """A page of a list. ``next`` is there where more may follow; a page may hold fewer than ``limit``, even none."""

    plans: list[PlanSummary]
    next: str | None = None


class ValidationReport(WireModel, kw_only=True, frozen=True):
    """``plans.validate``, whose request is a submission: what ``plans.execute`` would say to it, and what looks odd."""

    valid: bool
    problems: list[PlanProblem]
    warnings: list[PlanProblem]
    plan_id: str | None = None
