"""A plan's log as lines of text: when, which, what, which step, which attempt, who, and why."""

from typing import assert_never

import msgspec

from leadplan_cli.plan_lines import duration, number_of
from leadplan_cli.terminal import Paint, printable
from leadplan_contracts import LeadGenPlan, LeadGenStepResult, LeadPlanEventPayload, LeadPlanEventType, OverallStatus
from leadplan_contracts import events as ev
from leadplan_contracts.times import parse_time

_TYPE_WIDTH = max(map(len, LeadPlanEventType))
_STEP_WIDTH = 12
_STYLES = {
    LeadPlanEventType.STEP_SUCCEEDED: "green",
    LeadPlanEventType.STEP_FAILED: "red",
    LeadPlanEventType.PLAN_REJECTED: "red",
    LeadPlanEventType.STEP_RETRYING: "yellow",
    LeadPlanEventType.STEP_WAITING: "yellow",
    LeadPlanEventType.STEP_SKIPPED: "dim",
    LeadPlanEventType.STEP_PROGRESS: "dim",
}
_STATUS_STYLES = {OverallStatus.SUCCEEDED: "green", OverallStatus.FAILED: "red"}


def log_line(event: LeadPlanEventPayload, paint: Paint) -> str:
    """One event on one line; a rejection's problems are separated by semicolons."""
    kind = ev.event_type(event)
    step = event.step.id if isinstance(event, ev.StepEvent) else ""
    number = "" if event.sequence is None else str(event.sequence)
    columns = [
        paint(event.time, "dim"),
        f"{number:>4}",
        paint(f"{kind.value:<{_TYPE_WIDTH}}", _style(event, kind)),
        f"{step:<{_STEP_WIDTH}}",
        printable(said_of(event)),
    ]
    return "  ".join(columns).rstrip()


def _style(event: LeadPlanEventPayload, kind: LeadPlanEventType) -> str | None:
    if isinstance(event, ev.PlanCompleted):
        return _STATUS_STYLES.get(event.result.overall_status, "yellow")
    return _STYLES.get(kind)


def said_of(event: LeadPlanEventPayload) -> str:
    """What an event says beyond its type and its step."""
    match event:
        case ev.StepProgress():
            return _progress(event.meta)
        case ev.StepStarted() | ev.StepRetrying() | ev.StepSucceeded() | ev.StepFailed() | ev.StepSkipped():
            return _attempt(event)
        case ev.StepWaiting():
            return "for an approval"
        case ev.PlanRetried():
            again = f"{number_of(len(event.meta.steps), 'step')} again: {', '.join(event.meta.steps)}"
            return _joined(again if event.meta.steps else "", _who(event.meta))
        case ev.StepApproved() | ev.StepDenied() | ev.PlanPaused() | ev.PlanUnpaused() | ev.PlanCancelling():
            return _who(event.meta)
        case _:
            return _plan(event)


def _plan(event: ev.PlanStarted | ev.PlanResumed | ev.PlanCompleted | ev.PlanRejected) -> str:
    match event:
        case ev.PlanStarted():
            plan = msgspec.json.decode(event.plan, type=LeadGenPlan)
            return f"{plan.title} ({number_of(len(plan.steps), 'step')}), by {event.meta.executor}"
        case ev.PlanResumed():
            return f"by {event.meta.executor}: {event.meta.reason}"
        case ev.PlanCompleted():
            took = parse_time(event.result.finished_at) - parse_time(event.result.started_at)
            return f"{event.result.overall_status.value} after {duration(took)}"
        case ev.PlanRejected():
            problems = (f"{one.path or 'message'}: {one.message} [{one.code}]" for one in event.meta.errors)
            return "; ".join(problems)
        case _:
            assert_never(event)


def _attempt(
    event: ev.StepStarted | ev.StepRetrying | ev.StepSucceeded | ev.StepFailed | ev.StepSkipped,
) -> str:
    result = event.result
    attempt = f"attempt {result.attempts}"
    match event:
        case ev.StepStarted():
            return f"{attempt} of {event.step.tool}"
        case ev.StepRetrying():
            again = f"again in {duration(event.meta.delay_ms)}"
            return _joined(f"{attempt} failed", _error(event.meta.error_code, result), again)
        case ev.StepSucceeded():
            return _joined(attempt, _took(result))
        case ev.StepFailed():
            tries = number_of(result.attempts, "attempt")
            return _joined(f"after {tries}", _error(event.meta.error_code, result))
        case ev.StepSkipped():
            return _error(event.meta.error_code, result)
        case _:
            assert_never(event)


def _took(result: LeadGenStepResult) -> str:
    if result.started_at is None or result.finished_at is None:
        return ""
    return duration(parse_time(result.finished_at) - parse_time(result.started_at))


def _error(code: str | None, result: LeadGenStepResult) -> str:
    message = result.error_message or ""
    return f"[{code}] {message}".rstrip() if code else message


def _who(meta: ev.ControlMeta) -> str:
    return _joined(f"by {meta.by}" if meta.by else "", meta.reason or "")


def _progress(meta: ev.ProgressMeta) -> str:
    return _joined("" if meta.progress is None else f"{meta.progress:.0%}", meta.message or "")


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
