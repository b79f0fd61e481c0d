"""Events: what a plan's log holds and what the live feed carries (protocol section 4).

Each type is a model of its own in one closed union, told apart by ``type``. ``sequence`` counts within a plan;
live-only and rejection events have none.
"""

from enum import StrEnum
from typing import Annotated, TypeAlias, get_args

import msgspec
from msgspec import Meta, Raw, field

from leadplan_contracts.errors import PlanProblem
from leadplan_contracts.plan import LeadToolIdentifier, SupervisorUserContext
from leadplan_contracts.results import DataRef, LeadGenExecutionResult, LeadGenStepResult
from leadplan_contracts.wire import PlanId, Sequence, StepId, Timestamp, WireModel


class LeadPlanEventType(StrEnum):
    """Every event type of the contract."""

    PLAN_STARTED = "PLAN_STARTED"
    STEP_STARTED = "STEP_STARTED"
    STEP_RETRYING = "STEP_RETRYING"
    STEP_SUCCEEDED = "STEP_SUCCEEDED"
    STEP_FAILED = "STEP_FAILED"
    STEP_SKIPPED = "STEP_SKIPPED"
    STEP_WAITING = "STEP_WAITING"
    STEP_PROGRESS = "STEP_PROGRESS"
    STEP_APPROVED = "STEP_APPROVED"
    STEP_DENIED = "STEP_DENIED"
    PLAN_RESUMED = "PLAN_RESUMED"
    PLAN_PAUSED = "PLAN_PAUSED"
    PLAN_UNPAUSED = "PLAN_UNPAUSED"
    PLAN_CANCELLING = "PLAN_CANCELLING"
    PLAN_RETRIED = "PLAN_RETRIED"
    PLAN_COMPLETED = "PLAN_COMPLETED"
    PLAN_REJECTED = "PLAN_REJECTED"


class StepReference(WireModel, kw_only=True, frozen=True):
    """Which step an event is about."""

    id: StepId
    tool: LeadToolIdentifier
    label: str | None = None


QueueMessage = Annotated[
    int,
    Meta(ge=1, description="Stream sequence of the message in PLANS that an executor holds the plan by, if another."),
]


class NoMeta(WireModel, kw_only=True, frozen=True):
    """Nothing to add."""


class PlanStartedMeta(WireModel, kw_only=True, frozen=True):
    """Who runs the plan, and as which message of the work queue."""

    executor: str
    submission: Annotated[int, Meta(ge=1, description="Stream sequence of the plan's message in PLANS.")] | None = None
    message: QueueMessage | None = None
    traceparent: str | None = None


class PlanResumedMeta(WireModel, kw_only=True, frozen=True):
    """Who took the plan over, and why."""

    executor: str
    reason: str
    message: QueueMessage | None = None


class ControlMeta(WireModel, kw_only=True, frozen=True):
    """Who used a control endpoint, and why. ``requestId`` is the one that the request had."""

    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


class PlanRetriedMeta(ControlMeta, kw_only=True, frozen=True):
    """Who began the new round, which steps run again in it, and who runs it."""

    steps: list[StepId] = field(default_factory=list)
    executor: str | None = None
    message: QueueMessage | None = None


class RetryMeta(WireModel, kw_only=True, frozen=True):
    """When the next attempt comes."""

    delay_ms: Annotated[int, Meta(ge=0)]
    retry_at: Timestamp
    error_code: str


class StepEndMeta(WireModel, kw_only=True, frozen=True):
    """Why a step ended so; absent on success."""

    error_code: str | None = None


class ProgressMeta(WireModel, kw_only=True, frozen=True):
    """What the tool said of its progress."""

    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    message: str | None = None


class OriginalMessage(WireModel, kw_only=True, frozen=True):
    """The rejected message itself: as text where it is UTF-8, else as base64, or a claim check where it is large."""

    text: str | None = None
    base64: str | None = None
    data_ref: DataRef | None = None


class PlanRejectedMeta(WireModel, kw_only=True, frozen=True):
    """Every problem, and the message as it came."""

    errors: list[PlanProblem]
    original: OriginalMessage
    submission: Annotated[int, Meta(ge=1, description="Stream sequence of the message in PLANS.")] | None = None


class PlanEvent(WireModel, kw_only=True, frozen=True, tag_field="type"):
    """What every event has."""

    plan_id: PlanId
    sequence: Sequence | None = None
    time: Timestamp
    user: SupervisorUserContext | None = None


class StepEvent(PlanEvent, kw_only=True, frozen=True):
    """What every event about a step has."""

    step: StepReference


class PlanStarted(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_STARTED.value):
    """First event of a plan. ``plan`` is the plan's JSON as it was submitted, ``user`` is whole."""

    plan: Annotated[Raw, Meta(description="The plan as it was submitted (LeadGenPlan).")]
    meta: PlanStartedMeta


class StepStarted(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_STARTED.value):
    """An attempt begins; ``result.attempts`` counts it."""

    result: LeadGenStepResult
    meta: NoMeta = field(default_factory=NoMeta)


class StepRetrying(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_RETRYING.value):
    """An attempt failed and another will come at ``meta.retryAt``."""

    result: LeadGenStepResult
    meta: RetryMeta


class StepSucceeded(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_SUCCEEDED.value):
    """A step's final event: it has a result."""

    result: LeadGenStepResult
    meta: StepEndMeta = field(default_factory=StepEndMeta)


class StepFailed(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_FAILED.value):
    """A step's final event: no attempt will follow."""

    result: LeadGenStepResult
    meta: StepEndMeta


class StepSkipped(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_SKIPPED.value):
    """A step's final event: it never ran."""

    result: LeadGenStepResult
    meta: StepEndMeta


class StepWaiting(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_WAITING.value):
    """The step waits for an approval."""

    meta: NoMeta = field(default_factory=NoMeta)


class StepApproved(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_APPROVED.value):
    """A person let the step run."""

    meta: ControlMeta = field(default_factory=ControlMeta)


class StepDenied(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_DENIED.value):
    """A person refused the step; its failure follows."""

    meta: ControlMeta = field(default_factory=ControlMeta)


class StepProgress(StepEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.STEP_PROGRESS.value):
    """The tool reported progress: live only, never in the log."""

    meta: ProgressMeta


class PlanResumed(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_RESUMED.value):
    """Another executor, or the same one after a crash, took the plan over."""

    meta: PlanResumedMeta


class PlanPaused(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_PAUSED.value):
    """No new attempt starts until the plan is unpaused."""

    meta: ControlMeta = field(default_factory=ControlMeta)


class PlanUnpaused(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_UNPAUSED.value):
    """Attempts start again."""

    meta: ControlMeta = field(default_factory=ControlMeta)


class PlanCancelling(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_CANCELLING.value):
    """Running attempts are stopped, the rest is skipped."""

    meta: ControlMeta = field(default_factory=ControlMeta)


class PlanRetried(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_RETRIED.value):
    """A finished plan begins a new round: ``meta.steps`` run again, the others keep their results."""

    meta: PlanRetriedMeta = field(default_factory=PlanRetriedMeta)


class PlanCompleted(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_COMPLETED.value):
    """Last event, however the plan ended."""

    result: LeadGenExecutionResult
    meta: NoMeta = field(default_factory=NoMeta)


class PlanRejected(PlanEvent, kw_only=True, frozen=True, tag=LeadPlanEventType.PLAN_REJECTED.value):
    """The message was no valid plan. It lies in ``PLAN_REJECTS``, not in the plan's log."""

    meta: PlanRejectedMeta


LeadPlanEventPayload: TypeAlias = (
    PlanStarted
    | StepStarted
    | StepRetrying
    | StepSucceeded
    | StepFailed
    | StepSkipped
    | StepWaiting
    | StepApproved
    | StepDenied
    | StepProgress
    | PlanResumed
    | PlanPaused
    | PlanUnpaused
    | PlanCancelling
    | PlanRetried
    | PlanCompleted
    | PlanRejected
)

_decoder: msgspec.json.Decoder[LeadPlanEventPayload] = msgspec.json.Decoder(LeadPlanEventPayload)


_TYPES = {model: LeadPlanEventType(str(model.__struct_config__.tag)) for model in get_args(LeadPlanEventPayload)}


def event_type(event: LeadPlanEventPayload) -> LeadPlanEventType:
    """The event's type, as it stands in ``type``."""
    return _TYPES[type(event)]


def decode_event(body: bytes) -> LeadPlanEventPayload:
    """Read an event.

    Raises:
        msgspec.DecodeError: the body is no event of this contract (msgspec.ValidationError names the field).
    """
    return _decoder.decode(body)
