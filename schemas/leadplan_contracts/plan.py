"""A plan as a Supervisor publishes it on ``plans.execute`` (protocol section 2)."""

from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from leadplan_contracts.recurrence import Recurrence
from leadplan_contracts.wire import TOOL_PATTERN, StepId, SubmittedPlanId, Timestamp, WireModel

LeadToolIdentifier = Annotated[str, Meta(pattern=TOOL_PATTERN, description="A tool; its subject is `tools.<TOOL>`.")]
LeadToolParams: TypeAlias = dict[str, Any]
LeadGenContext: TypeAlias = dict[str, Any]

DEFAULT_MAX_CONCURRENCY = 8
DEFAULT_TIMEOUT_MS = 30_000
MAX_STEPS = 10_000
_DAY_MS = 86_400_000
_MAX_DELAY_MS = 30 * _DAY_MS

Milliseconds = Annotated[int, Meta(ge=0, le=_MAX_DELAY_MS)]


class PlanPriority(StrEnum):
    """Which plans go first when there are more than executors can run at once."""

    URGENT = "urgent"
    NORMAL = "normal"
    LOW = "low"


class RetryPolicy(WireModel, kw_only=True, frozen=True):
    """How often and when a failed attempt of a step is repeated (protocol section 3, rule 3)."""

    max_retries: (
        Annotated[int, Meta(ge=0, le=1000, description="Repeats after the first attempt; default 2.")] | None
    ) = None
    base_delay_ms: Annotated[Milliseconds, Meta(description="Wait before the first repeat; default 1000.")] | None = (
        None
    )
    max_delay_ms: Annotated[Milliseconds, Meta(description="Longest wait; default 60000.")] | None = None
    jitter: Annotated[float, Meta(ge=0, le=1, description="Random share added to a wait; default 0.0.")] | None = None


class LeadGenPlanStep(WireModel, kw_only=True, frozen=True):
    """One step: a tool, its params, and the steps that must end before it starts."""

    id: StepId
    tool: LeadToolIdentifier
    params: LeadToolParams
    label: Annotated[str, Meta(max_length=1000)] | None = None
    depends_on: list[StepId] | None = None
    timeout_ms: Annotated[int, Meta(ge=1, le=_DAY_MS, description="Of one attempt; default 30000.")] | None = None
    deadline_ms: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=_MAX_DELAY_MS,
                description="It fails at most so long after its first attempt began, or after it began to wait for a "
                "person.",
            ),
        ]
        | None
    ) = None
    retry: RetryPolicy | None = None
    optional: Annotated[bool, Meta(description="Its dependants run although it failed.")] | None = None
    requires_approval: Annotated[bool, Meta(description="It waits for a person before its first attempt.")] | None = (
        None
    )
    at_most_once: Annotated[bool, Meta(description="An attempt whose outcome is unknown is never repeated.")] | None = (
        None
    )

    @property
    def dependencies(self) -> list[str]:
        """The ids in ``dependsOn``, an empty list when there are none."""
        return self.depends_on or []

    @property
    def attempt_timeout_ms(self) -> int:
        """Milliseconds that one attempt may take, the default included."""
        return DEFAULT_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms


class LeadGenGoal(WireModel, kw_only=True, frozen=True):
    """What the user wants, in words, and how many leads."""

    description: str
    target_count: Annotated[int, Meta(ge=1)] | None = None


class LeadGenPlan(WireModel, kw_only=True, frozen=True):
    """A plan: steps in an order that says which is picked first when several can run."""

    id: SubmittedPlanId
    title: str
    goal: LeadGenGoal
    created_at: Timestamp
    steps: Annotated[list[LeadGenPlanStep], Meta(min_length=1, max_length=MAX_STEPS)]
    context: LeadGenContext | None = None
    max_concurrency: Annotated[int, Meta(ge=1, le=MAX_STEPS, description="Steps at once; default 8.")] | None = None
    deadline_ms: (
        Annotated[int, Meta(ge=1, le=_MAX_DELAY_MS, description="The plan ends at most so long after its start.")]
        | None
    ) = None
    retry_budget: (
        Annotated[int, Meta(ge=0, le=1_000_000, description="Repeats of all steps together; default: no limit.")] | None
    ) = None
    priority: PlanPriority | None = None

    @property
    def concurrency(self) -> int:
        """How many steps may run at once, the default included."""
        return DEFAULT_MAX_CONCURRENCY if self.max_concurrency is None else self.max_concurrency


class SupervisorUserContext(WireModel, kw_only=True, frozen=True):
    """On whose behalf a plan runs. Events after the first carry it without the e-mail address."""

    user_id: Annotated[str, Meta(min_length=1, max_length=256)]
    account_id: Annotated[str, Meta(max_length=256)] | None = None
    email: Annotated[str, Meta(max_length=320)] | None = None


class PlanSubmission(WireModel, kw_only=True, frozen=True):
    """The message on ``plans.execute``."""

    plan: LeadGenPlan
    user: SupervisorUserContext
    recurrence: Recurrence | None = None
