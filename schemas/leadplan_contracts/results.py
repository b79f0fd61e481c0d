"""Results of steps and plans (protocol section 3)."""

from enum import StrEnum
from typing import Annotated

from msgspec import UNSET, Meta, Raw, UnsetType

from leadplan_contracts.wire import PlanId, StepId, Timestamp, WireModel


class LeadGenStepStatus(StrEnum):
    """Where a step stands, as the world sees it."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


class OverallStatus(StrEnum):
    """How a plan ended (protocol section 3, rule 5)."""

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    CANCELLED = "cancelled"


class DataRef(WireModel, kw_only=True, frozen=True):
    """A claim check: where data lies that is too large for messages (protocol section 4)."""

    bucket: str
    name: str
    size: Annotated[int, Meta(ge=0, description="Bytes.")]
    digest: Annotated[
        str, Meta(description="`SHA-256=` and the digest in URL-safe base64, as the object store has it.")
    ]


class LeadGenStepResult(WireModel, kw_only=True, frozen=True):
    """What is known of a step. ``data`` stays undecoded JSON: decode it with the type that you expect."""

    step_id: StepId
    status: LeadGenStepStatus
    attempts: Annotated[int, Meta(ge=0)]
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    data: Annotated[Raw, Meta(description="What the tool returned, any JSON.")] | UnsetType = UNSET
    data_ref: DataRef | None = None
    error_message: str | None = None
    error_code: str | None = None


class LeadGenExecutionResult(WireModel, kw_only=True, frozen=True):
    """A plan's result: ``step_results`` in plan order.

    Where the list is too large for a message, it is empty and ``step_results_ref`` says where its JSON lies.
    """

    plan_id: PlanId
    overall_status: OverallStatus
    started_at: Timestamp
    finished_at: Timestamp
    step_results: list[LeadGenStepResult]
    step_results_ref: DataRef | None = None
