"""One line of text an event, for logs, pipes and terminals that can't redraw."""

from leadplan_cli.plan_view import PlanView, StepEventPayload, StepState, StepView
from leadplan_contracts import LeadPlanEventPayload, PlanProblem
from leadplan_contracts import events as ev
from leadplan_contracts.times import parse_time

_STEP_WIDTH = 10


def duration(milliseconds: int) -> str:
    """``340 ms`` as ``0.3 s``, above a minute ``2 min 05 s``, above an hour ``1 h 02 min``."""
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number_of(count: int, what: str) -> str:
    """``1 attempt``, ``2 attempts``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def counted(counts: dict[StepState, int]) -> str:
    """``4 succeeded, 1 failed``."""
    return ", ".join(f"{number} {state.value}" for state, number in counts.items())


def event_line(view: PlanView, event: LeadPlanEventPayload) -> str:
    """The line for an event that ``view`` has folded already; a rejection's line is followed by one a problem."""
    at = max(parse_time(event.time) - view.started_ms, 0) if view.started_ms is not None else 0
    return f"{at / 1000:8.2f} s  {_text(view, event)}"


def _text(view: PlanView, event: LeadPlanEventPayload) -> str:
    match event:
        case ev.PlanStarted():
            return f"plan {view.plan_id} started: {view.title} ({number_of(len(view.steps), 'step')})"
        case ev.PlanCompleted():
            took = duration(view.elapsed_ms(0))
            return f"plan {event.result.overall_status.value} after {took}: {counted(view.counts())}"
        case ev.PlanRejected():
            lines = [f"plan {view.plan_id}: a submission was rejected", *problem_lines(event.meta.errors)]
            return "\n".join(lines)
        case ev.PlanResumed() | ev.PlanPaused() | ev.PlanCancelling() | ev.PlanRetried():
            return f"plan {view.state_note}"
        case ev.PlanUnpaused():
            return "plan goes on"
        case _:
            return f"{event.step.id:<{_STEP_WIDTH}} {_step_text(view.steps[event.step.id], event)}"


def _step_text(step: StepView, event: StepEventPayload) -> str:
    match event:
        case ev.StepStarted():
            return f"started: {step.label} ({step.tool})" if step.attempts == 1 else f"attempt {step.attempts} started"
        case ev.StepRetrying():
            wait = duration(event.meta.delay_ms)
            return f"attempt {step.attempts} failed ({event.meta.error_code}), again in {wait}: {step.note}"
        case ev.StepSucceeded():
            return f"succeeded after {duration(step.elapsed_ms(0) or 0)}"
        case ev.StepFailed():
            attempts = number_of(step.attempts, "attempt")
            return f"failed after {attempts} ({event.meta.error_code or 'no code'}): {step.note}"
        case ev.StepSkipped():
            return f"skipped: {step.note}"
        case ev.StepProgress():
            return _progress_text(event.meta)
        case _:
            return step.note


def _progress_text(meta: ev.ProgressMeta) -> str:
    share = "" if meta.progress is None else f"{meta.progress:.0%}"
    return " ".join(part for part in (share, meta.message or "") if part) or "at work"


def problem_lines(problems: list[PlanProblem]) -> list[str]:
    """One indented line a problem of a rejected plan."""
    return [f"  {problem.path or 'message'}: {problem.message} [{problem.code}]" for problem in problems]
