"""The wire contract of leadplan: plans, results, events and the tool protocol, as msgspec models.

Everything that travels over NATS is one of these models, encoded as camelCase JSON. A field that is absent and a
field that is null mean the same, and readers ignore keys that they don't know, so fields can be added.

JSON Schema files and an AsyncAPI document are generated from the models (``python -m leadplan_contracts.generate``).
"""

from leadplan_contracts.errors import ContractError, PlanProblem, PlanRejectedError
from leadplan_contracts.events import LeadPlanEventPayload, LeadPlanEventType
from leadplan_contracts.plan import (
    LeadGenContext,
    LeadGenGoal,
    LeadGenPlan,
    LeadGenPlanStep,
    LeadToolIdentifier,
    LeadToolParams,
    PlanPriority,
    PlanSubmission,
    RetryPolicy,
    SupervisorUserContext,
)
from leadplan_contracts.recurrence import OverlapPolicy, Recurrence
from leadplan_contracts.results import (
    DataRef,
    LeadGenExecutionResult,
    LeadGenStepResult,
    LeadGenStepStatus,
    OverallStatus,
)
from leadplan_contracts.tool_protocol import (
    CancelNotice,
    LeadToolExecutionEnv,
    LeadToolExecutionResult,
    ToolEffects,
    ToolProgress,
    ToolRequest,
)

__all__ = [
    "CancelNotice",
    "ContractError",
    "DataRef",
    "LeadGenContext",
    "LeadGenExecutionResult",
    "LeadGenGoal",
    "LeadGenPlan",
    "LeadGenPlanStep",
    "LeadGenStepResult",
    "LeadGenStepStatus",
    "LeadPlanEventPayload",
    "LeadPlanEventType",
    "LeadToolExecutionEnv",
    "LeadToolExecutionResult",
    "LeadToolIdentifier",
    "LeadToolParams",
    "OverallStatus",
    "OverlapPolicy",
    "PlanPriority",
    "PlanProblem",
    "PlanRejectedError",
    "PlanSubmission",
    "Recurrence",
    "RetryPolicy",
    "SupervisorUserContext",
    "ToolEffects",
    "ToolProgress",
    "ToolRequest",
]
