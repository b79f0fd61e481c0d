"""The names that others import from the contract: a change of this list is a change of the contract."""

import leadplan_contracts


def test_the_public_names_are_these():
    assert leadplan_contracts.__all__ == [
        "CancelNotice", "ContractError", "DataRef", "LeadGenContext", "LeadGenExecutionResult", "LeadGenGoal",
        "LeadGenPlan", "LeadGenPlanStep", "LeadGenStepResult", "LeadGenStepStatus", "LeadPlanEventPayload",
        "LeadPlanEventType", "LeadToolExecutionEnv", "LeadToolExecutionResult", "LeadToolIdentifier", "LeadToolParams",
        "OverallStatus", "OverlapPolicy", "PlanPriority", "PlanProblem", "PlanRejectedError", "PlanSubmission",
            "Recurrence",
        "RetryPolicy", "SupervisorUserContext", "ToolEffects", "ToolProgress", "ToolRequest",
    ]  # fmt: skip


def test_they_are_sorted_and_there():
    assert leadplan_contracts.__all__ == sorted(leadplan_contracts.__all__)
    assert [name for name in leadplan_contracts.__all__ if not hasattr(leadplan_contracts, name)] == []
