"""What executor and responder say to each other on ``tools.<TOOL>`` (protocol section 5)."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType

from leadplan_contracts.plan import LeadToolIdentifier, LeadToolParams, SupervisorUserContext
from leadplan_contracts.results import DataRef, LeadGenStepResult
from leadplan_contracts.wire import PlanId, StepId, Timestamp, WireModel


class ToolEffects(StrEnum):
    """What repeating a request does to the outside world; announced in the endpoint's metadata."""

    NONE = "none"
    IDEMPOTENT = "idempotent"
    ONCE = "once"


class LeadToolExecutionEnv(WireModel, kw_only=True, frozen=True):
    """Everything that a tool learns of the step besides its params."""

    plan_id: PlanId
    step_id: StepId
    attempt: Annotated[int, Meta(ge=1)]
    idempotency_key: Annotated[str, Meta(description="`<planId>:<stepId>`, the same for every attempt of the step.")]
    round: Annotated[int, Meta(ge=1, description="Of a plan that was retried: 2, 3 … Absent means 1.")] | None = None
    deadline: Timestamp
    timeout_ms: Annotated[int, Meta(ge=1)]
    user: SupervisorUserContext
    plan: Annotated[Raw, Meta(description="The plan; without `steps` where its JSON is over 32 KiB.")]
    prior_results: Annotated[
        dict[str, LeadGenStepResult], Meta(description="Results of the steps that this one depends on, at any depth.")
    ]


class ToolRequest(LeadToolExecutionEnv, kw_only=True, frozen=True):
    """The request body on ``tools.<TOOL>``."""

    tool: LeadToolIdentifier
    params: LeadToolParams


class LeadToolExecutionResult(WireModel, kw_only=True, frozen=True):
    """A responder's final reply. ``retryable`` counts as true where it is absent."""

    success: bool
    data: Annotated[Raw, Meta(description="Any JSON.")] | UnsetType = UNSET
    data_ref: DataRef | None = None
    error_message: str | None = None
    error_code: str | None = None
    retryable: bool | None = None
    retry_after_ms: Annotated[int, Meta(ge=0)] | None = None


class ToolProgress(WireModel, kw_only=True, frozen=True):
    """The optional body of a sign of life (header ``Leadplan-Reply: working``)."""

    progress: Annotated[float, Meta(ge=0, le=1)] | None = None
    message: str | None = None


class CancelNotice(WireModel, kw_only=True, frozen=True):
    """Published on ``tools.<TOOL>.cancel``: stop the work for this key if you can."""

    plan_id: PlanId
    step_id: StepId
    idempotency_key: str
    round: Annotated[int, Meta(ge=1, description="The round whose work is to stop; absent means 1.")] | None = None
