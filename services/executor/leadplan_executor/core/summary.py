"""A plan's result (protocol section 3, rules 5 and 6)."""

from leadplan_contracts import LeadGenExecutionResult, OverallStatus
from leadplan_contracts.times import format_time
from leadplan_executor.core.state import PlanRun
from leadplan_executor.core.transitions import PlanPhase, StepPhase


def overall_status(run: PlanRun) -> OverallStatus:
    """How the plan ended, given that every step has."""
    if run.phase is PlanPhase.CANCELLING:
        return OverallStatus.CANCELLED
    if any(step.phase is StepPhase.FAILED and not step.step.optional for step in run.steps):
        return OverallStatus.FAILED
    if any(step.phase is not StepPhase.SUCCEEDED for step in run.steps):
        return OverallStatus.PARTIAL
    return OverallStatus.SUCCEEDED


def execution_result(run: PlanRun, now: int) -> LeadGenExecutionResult:
    """The result of a plan whose last step ended; ``now`` in milliseconds since 1970."""
    return LeadGenExecutionResult(
        plan_id=run.plan_id,
        overall_status=overall_status(run),
        started_at=format_time(run.started_at),
        finished_at=format_time(now),
        step_results=[step.result for step in run.steps],
    )
