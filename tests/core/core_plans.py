"""Plans, tool replies and events to test the core with."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from msgspec import Raw

from leadplan_contracts import (
    LeadGenExecutionResult,
    LeadGenGoal,
    LeadGenPlan,
    LeadGenPlanStep,
    LeadGenStepResult,
    LeadGenStepStatus,
    LeadPlanEventPayload,
    LeadPlanEventType,
    LeadToolExecutionResult,
    OverallStatus,
    PlanSubmission,
    RetryPolicy,
    SupervisorUserContext,
)
from leadplan_contracts import events as e
from leadplan_contracts.times import format_time, parse_time
from leadplan_contracts.validation import ReadSubmission, read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_executor.core import PlanRun, PlanSubmitted, decide, evolve
from leadplan_executor.core.signals import Replied, ToolSignal

START_TEXT = "2026-11-23T09:15:00.000Z"
START = parse_time(START_TEXT)
PLAN_ID = "plan_01HZX4"
USER = SupervisorUserContext(user_id="u_7", account_id="acct_3", email="owner@example.com")
NO_RETRY = RetryPolicy(max_retries=0)


def step(step_id: str, *after: str, **fields: Any) -> LeadGenPlanStep:
    """A step behind others; ``fields`` in Python's names."""
    fields.setdefault("tool", "ECHO")
    fields.setdefault("params", {})
    return LeadGenPlanStep(id=step_id, depends_on=list(after) or None, **fields)


def plan(*steps: LeadGenPlanStep, **fields: Any) -> LeadGenPlan:
    goal = LeadGenGoal(description="Find dentists in Leeds")
    return LeadGenPlan(id=PLAN_ID, title="t", goal=goal, created_at=START_TEXT, steps=list(steps), **fields)


def submission(of: LeadGenPlan) -> ReadSubmission:
    """The plan as the executor reads it from the work queue."""
    return read_plan_submission(encode(PlanSubmission(plan=of, user=USER)))


MESSAGE = 17
"""Of the work queue: the one that plans are submitted as."""


def submitted(of: LeadGenPlan, *, executor: str = "executor-1", message: int = MESSAGE) -> PlanSubmitted:
    return PlanSubmitted(
        submission(of), message=message, executor=executor, traceparent="00-1-2-03", submitted_as=MESSAGE
    )


def started(of: LeadGenPlan, now: int = START) -> PlanRun:
    """The plan right after PLAN_STARTED."""
    run = PlanRun(of.id)
    for event in decide(run, submitted(of), now):
        evolve(run, event)
    return run


class Attempt(NamedTuple):
    """What a tool makes of one attempt, and how long it takes."""

    signal: ToolSignal
    duration_ms: int = 100


Tools: TypeAlias = Callable[[str, int], Attempt]
"""What the tool of a step does at its nth attempt."""


def ok(data: bytes = b'{"found":1}', duration_ms: int = 100) -> Attempt:
    return Attempt(Replied(LeadToolExecutionResult(success=True, data=Raw(data))), duration_ms)


def failed(message: str = "quota used up", duration_ms: int = 100, **fields: Any) -> Attempt:
    reply = LeadToolExecutionResult(success=False, error_message=message, **fields)
    return Attempt(Replied(reply), duration_ms)


def scripted(script: Mapping[str, Sequence[Attempt]]) -> Tools:
    """Tools that do what stands there, the last of it again and again; other steps' tools succeed."""

    def run_tool(step_id: str, attempt: int) -> Attempt:
        attempts = script.get(step_id, [ok()])
        return attempts[min(attempt, len(attempts)) - 1]

    return run_tool


_STATUS_AFTER = {
    "STEP_STARTED": LeadGenStepStatus.RUNNING,
    "STEP_RETRYING": LeadGenStepStatus.RUNNING,
    "STEP_SUCCEEDED": LeadGenStepStatus.SUCCEEDED,
    "STEP_FAILED": LeadGenStepStatus.FAILED,
    "STEP_SKIPPED": LeadGenStepStatus.SKIPPED,
}
_MODELS = {str(model.__struct_config__.tag): model for model in LeadPlanEventPayload.__args__}


def event_of_kind(kind: LeadPlanEventType, run: PlanRun, now: int = START, **changed: Any) -> LeadPlanEventPayload:
    """The plan's next event, of any kind, whether or not it fits; a step event is about the plan's first step."""
    fields: dict[str, Any] = {"plan_id": run.plan_id, "sequence": run.sequence + 1, "time": format_time(now)}
    if kind.startswith("STEP_"):
        first = run.steps[0].step if run.steps else step("a")
        fields["step"] = e.StepReference(id=first.id, tool=first.tool)
        fields["meta"] = _step_meta(kind, now)
        if kind in _STATUS_AFTER:
            attempts = (run.steps[0].attempts if run.steps else 0) + (kind == "STEP_STARTED")
            fields["result"] = LeadGenStepResult(step_id=first.id, status=_STATUS_AFTER[kind], attempts=attempts)
    else:
        fields |= _plan_fields(kind, run, now)
    return _MODELS[kind](**fields | changed)


def _step_meta(kind: str, now: int) -> Any:
    if kind == "STEP_RETRYING":
        return e.RetryMeta(delay_ms=1000, retry_at=format_time(now + 1000), error_code="timeout")
    if kind in ("STEP_FAILED", "STEP_SKIPPED", "STEP_SUCCEEDED"):
        return e.StepEndMeta()
    if kind == "STEP_PROGRESS":
        return e.ProgressMeta(progress=0.4)
    return e.ControlMeta() if kind in ("STEP_APPROVED", "STEP_DENIED") else e.NoMeta()


def _plan_fields(kind: str, run: PlanRun, now: int) -> dict[str, Any]:
    if kind == "PLAN_STARTED":
        plan_json = Raw(encode(plan(step("a"), step("b", "a"))))
        return {"plan": plan_json, "user": USER, "meta": e.PlanStartedMeta(executor="executor-1")}
    if kind == "PLAN_RESUMED":
        return {"meta": e.PlanResumedMeta(executor="executor-2", reason="crash")}
    if kind == "PLAN_REJECTED":
        return {"meta": e.PlanRejectedMeta(errors=[], original=e.OriginalMessage(text="?"))}
    if kind == "PLAN_COMPLETED":
        time = format_time(now)
        result = LeadGenExecutionResult(
            plan_id=run.plan_id,
            overall_status=OverallStatus.SUCCEEDED,
            started_at=time,
            finished_at=time,
            step_results=[],
        )
        return {"result": result}
    if kind == "PLAN_RETRIED":
        return {"meta": e.PlanRetriedMeta(steps=["a"], executor="executor-2")}
    return {}
