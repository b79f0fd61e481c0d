"""What a viewer knows of a plan: folded from its events, without any drawing."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

import msgspec

from leadplan_contracts import LeadGenPlan, LeadGenStepResult, LeadPlanEventPayload, OverallStatus, PlanProblem
from leadplan_contracts import events as ev
from leadplan_contracts.times import parse_time


class StepState(StrEnum):
    """Where a step stands, as people want to see it."""

    PENDING = "pending"
    RUNNING = "running"
    RETRYING = "retrying"
    WAITING = "waiting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SKIPPED = "skipped"


StepEventPayload: TypeAlias = (
    ev.StepStarted
    | ev.StepRetrying
    | ev.StepSucceeded
    | ev.StepFailed
    | ev.StepSkipped
    | ev.StepWaiting
    | ev.StepApproved
    | ev.StepDenied
    | ev.StepProgress
)
ENDED = frozenset({StepState.SUCCEEDED, StepState.FAILED, StepState.SKIPPED})


@dataclass
class StepView:
    """One step. Times are milliseconds since 1970; ``progress`` is 0 to 1; ``note`` is a message or an error."""

    id: str
    tool: str
    label: str
    state: StepState = StepState.PENDING
    attempts: int = 0
    started_ms: int | None = None
    ended_ms: int | None = None
    retry_at_ms: int | None = None
    progress: float | None = None
    note: str = ""

    def elapsed_ms(self, now_ms: int) -> int | None:
        """How long it took or has taken so far, None when it never started."""
        if self.started_ms is None:
            return None
        return max((now_ms if self.ended_ms is None else self.ended_ms) - self.started_ms, 0)


@dataclass
class PlanView:
    """A plan and its steps in plan order.

    Attributes:
        plan_id: the plan's id.
        title: empty until the plan has started.
        steps: by step id.
        status: how the plan ended, None while it runs.
        state_note: what holds the whole plan up or happened to it last, such as "paused".
        problems: why the submission was rejected.
    """

    plan_id: str
    title: str = ""
    steps: dict[str, StepView] = field(default_factory=dict)
    status: OverallStatus | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    state_note: str = ""
    problems: list[PlanProblem] | None = None

    def elapsed_ms(self, now_ms: int) -> int:
        """How long the plan took or has taken so far; 0 before its start."""
        if self.started_ms is None:
            return 0
        return max((now_ms if self.ended_ms is None else self.ended_ms) - self.started_ms, 0)

    def counts(self) -> dict[StepState, int]:
        """How many steps are in each state that occurs, in the order of ``StepState``."""
        counted = Counter(step.state for step in self.steps.values())
        return {state: counted[state] for state in StepState if counted[state]}

    def fold(self, event: LeadPlanEventPayload) -> None:
        """Take in the next event. Progress that comes after a step's end changes nothing."""
        match event:
            case ev.PlanStarted():
                self._start(event)
            case ev.PlanCompleted():
                self.status, self.state_note = event.result.overall_status, ""
                self.started_ms = parse_time(event.result.started_at)
                self.ended_ms = parse_time(event.result.finished_at)
            case ev.PlanRejected():
                self.problems = event.meta.errors
            case ev.PlanResumed():
                self.state_note = f"taken over by {event.meta.executor} ({event.meta.reason})"
            case ev.PlanPaused():
                self.state_note = _with_reason("paused", event.meta)
            case ev.PlanCancelling():
                self.state_note = _with_reason("being cancelled", event.meta)
            case ev.PlanUnpaused():
                self.state_note = ""
            case ev.PlanRetried():
                self._begin_round()
            case _:
                self._fold_step(event)

    def _fold_step(self, event: StepEventPayload) -> None:
        step = self.steps.setdefault(event.step.id, _new_step(event.step))
        match event:
            case ev.StepStarted():
                _take_result(step, StepState.RUNNING, event.result)
                step.progress, step.note, step.retry_at_ms = None, "", None
            case ev.StepRetrying():
                _take_result(step, StepState.RETRYING, event.result)
                step.retry_at_ms = parse_time(event.meta.retry_at)
            case ev.StepSucceeded() | ev.StepFailed() | ev.StepSkipped():
                _take_result(step, StepState(event.result.status.value), event.result)
                step.ended_ms = parse_time(event.result.finished_at or event.time)
                step.progress = None
            case ev.StepWaiting():
                step.state, step.note = StepState.WAITING, "waits for an approval"
            case ev.StepApproved():
                step.state, step.note = StepState.PENDING, _with_reason("approved", event.meta)
            case ev.StepDenied():
                step.note = _with_reason("denied", event.meta)
            case ev.StepProgress():
                if step.state not in ENDED:
                    step.progress = event.meta.progress if event.meta.progress is not None else step.progress
                    step.note = event.meta.message or step.note

    def _start(self, event: ev.PlanStarted) -> None:
        plan = msgspec.json.decode(event.plan, type=LeadGenPlan)
        self.title, self.started_ms = plan.title, parse_time(event.time)
        for step in plan.steps:
            self.steps[step.id] = StepView(step.id, step.tool, step.label or step.id)

    def _begin_round(self) -> None:
        self.status, self.ended_ms, self.state_note = None, None, "begun again"
        for step in self.steps.values():
            if step.state is not StepState.SUCCEEDED:
                self.steps[step.id] = StepView(step.id, step.tool, step.label)


def _new_step(reference: ev.StepReference) -> StepView:
    return StepView(reference.id, reference.tool, reference.label or reference.id)


def _take_result(step: StepView, state: StepState, result: LeadGenStepResult) -> None:
    step.state, step.attempts = state, result.attempts
    if result.started_at is not None:
        step.started_ms = parse_time(result.started_at)
    step.note = result.error_message or ""


def _with_reason(what: str, meta: ev.ControlMeta) -> str:
    by = f" by {meta.by}" if meta.by else ""
    return f"{what}{by}: {meta.reason}" if meta.reason else f"{what}{by}"


def select_rows(view: PlanView, limit: int) -> tuple[list[StepView], dict[StepState, int]]:
    """As many steps as fit, in plan order, and how many others there are in each state.

    Of a plan with more steps than fit, those are shown that something happens to, then failures, then the rest.
    """
    steps = list(view.steps.values())
    if len(steps) <= limit:
        return steps, {}
    ranked = sorted(range(len(steps)), key=lambda index: (_RANK[steps[index].state], index))
    shown = set(ranked[: max(limit - 1, 0)])
    rest = Counter(step.state for index, step in enumerate(steps) if index not in shown)
    return [steps[index] for index in sorted(shown)], {state: rest[state] for state in StepState if rest[state]}


_RANK = {
    StepState.RUNNING: 0,
    StepState.RETRYING: 0,
    StepState.WAITING: 1,
    StepState.FAILED: 2,
    StepState.PENDING: 3,
    StepState.SKIPPED: 4,
    StepState.SUCCEEDED: 5,
}
