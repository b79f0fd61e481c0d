"""What must hold of every state and of every finished log: the rules of protocol sections 3 and 6, told naively.

Nothing here uses the core's bookkeeping: each rule is recomputed from the plan and from what was stored.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from core_plans import USER

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, LeadPlanEventPayload, SupervisorUserContext
from leadplan_contracts.events import (
    PlanCancelling,
    PlanCompleted,
    PlanPaused,
    PlanStarted,
    PlanUnpaused,
    StepApproved,
    StepDenied,
    StepEvent,
    StepFailed,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepWaiting,
)
from leadplan_contracts.graph import PlanGraph
from leadplan_contracts.times import parse_time
from leadplan_executor.core import CallTool, PlanRun, WaitUntil, due
from leadplan_executor.core.state import IndexSet, StepRun
from leadplan_executor.core.transitions import RUNS, STATUS_OF_PHASE, PlanPhase, StepPhase

_SLOTTED = (PlanRun, StepRun, IndexSet, PlanGraph)
_FINAL_EVENTS = StepSucceeded | StepFailed | StepSkipped
_ENDED = frozenset({StepPhase.SUCCEEDED, StepPhase.FAILED, StepPhase.SKIPPED})
_AT_WORK = frozenset({StepPhase.RUNNING, StepPhase.RETRYING})


def snapshot(value: Any) -> Any:
    """Everything that a state holds, as plain values; the order in which a dict was filled counts too."""
    if isinstance(value, _SLOTTED):
        # The graph's ancestors are a cache, filled when first asked for.
        names = [name for name in value.__slots__ if hasattr(value, name) and name != "_ancestors"]
        return {name: snapshot(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return [(key, snapshot(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [snapshot(item) for item in value]
    return value


# --- a state


def check_state(run: PlanRun) -> None:
    """What the state keeps beside the phases equals what the phases say."""
    phases = {step.step.id: step.phase for step in run.steps}
    optional = {step.step.id for step in run.steps if step.step.optional}
    ready, to_ask, to_skip = [], [], []
    for step in run.steps:
        assert step.result.status == STATUS_OF_PHASE[step.phase]
        before = {name: phases[name] for name in step.step.dependencies}
        open_count = sum(phase not in _ENDED for phase in before.values())
        spoilt = any(phase in _ENDED and not _lets_run(name, phase, optional) for name, phase in before.items())
        assert step.open_dependencies == open_count
        if step.phase is StepPhase.APPROVED:
            ready.append(step.index)
        elif step.phase is StepPhase.PENDING and spoilt:
            to_skip.append(step.index)
        elif step.phase is StepPhase.PENDING and open_count == 0:
            (to_ask if step.step.requires_approval else ready).append(step.index)
    assert (run.ready.all(), run.to_ask.all(), run.to_skip.all()) == (ready, to_ask, to_skip)
    assert run.denied.all() == [step.index for step in run.steps if step.phase is StepPhase.DENIED]
    assert run.occupied == sum(phase in _AT_WORK for phase in phases.values()) <= run.plan.concurrency
    assert run.unfinished == sum(phase not in _ENDED for phase in phases.values())
    assert run.retrying.all() == [step.index for step in run.steps if step.phase is StepPhase.RETRYING]
    for index in run.in_doubt.all():
        assert run.steps[index].phase is StepPhase.RUNNING
        assert run.steps[index].step.at_most_once
    expected = dict(_expected_commands(run))
    assert dict(due(run)) == expected
    assert run.attempts_in_flight == sum(isinstance(command, CallTool) for command in expected.values())


def _lets_run(name: str, phase: StepPhase, optional: set[str]) -> bool:
    return phase is StepPhase.SUCCEEDED or (phase is StepPhase.FAILED and name in optional)


def _expected_commands(run: PlanRun) -> Iterator[tuple[int | None, CallTool | WaitUntil]]:
    if run.phase not in RUNS:
        return
    if run.plan.deadline_ms is not None:
        yield None, WaitUntil(None, run.started_at + run.plan.deadline_ms)
    for step in run.steps:
        if step.phase is StepPhase.RUNNING and step.index not in run.in_doubt.all():
            yield step.index, CallTool(step.index, step.attempts)
        elif step.phase is StepPhase.RETRYING and run.phase is PlanPhase.ACTIVE:
            yield step.index, WaitUntil(step.index, step.retry_at)


# --- a finished log


class Told:
    """A plan and everything that its log tells."""

    def __init__(self, plan: LeadGenPlan, events: Sequence[LeadPlanEventPayload]) -> None:
        self.plan = plan
        self.events = list(events)
        self.step_of = {step.id: step for step in plan.steps}
        self._of_step: dict[str, list[LeadPlanEventPayload]] = {step.id: [] for step in plan.steps}
        for event in self.events:
            if isinstance(event, StepEvent):
                self._of_step[event.step.id].append(event)

    def of_step(self, step_id: str) -> list[LeadPlanEventPayload]:
        return self._of_step[step_id]


def check_log(plan: LeadGenPlan, events: Sequence[LeadPlanEventPayload]) -> None:
    """Every rule that a completed plan's log must keep."""
    told = Told(plan, events)
    for rule in _RULES:
        rule(told)


def _starts_once_ends_once_without_gaps(told: Told) -> None:
    assert [event.sequence for event in told.events] == list(range(1, len(told.events) + 1))
    assert [n for n, event in enumerate(told.events) if isinstance(event, PlanStarted)] == [0]
    assert [n for n, event in enumerate(told.events) if isinstance(event, PlanCompleted)] == [len(told.events) - 1]


def _each_step_has_one_final_event_and_none_after(told: Told) -> None:
    for step in told.plan.steps:
        finals = [isinstance(event, _FINAL_EVENTS) for event in told.of_step(step.id)]
        assert finals.count(True) == 1
        assert finals[-1], step.id


def _only_the_first_event_names_the_email_address(told: Told) -> None:
    public = SupervisorUserContext(user_id=USER.user_id, account_id=USER.account_id)
    assert [event.user for event in told.events] == [USER] + [public] * (len(told.events) - 1)


def _attempts_count_up_and_stay_in_bounds(told: Told) -> None:
    for step in told.plan.steps:
        attempts = [event.result.attempts for event in told.of_step(step.id) if isinstance(event, StepStarted)]
        assert attempts == list(range(1, len(attempts) + 1))
        repeats = 2 if step.retry is None or step.retry.max_retries is None else step.retry.max_retries
        assert len(attempts) <= repeats + 1
        assert told.of_step(step.id)[-1].result.attempts == len(attempts)


class _Replay:
    """Which steps could start, told step by step from the log alone."""

    def __init__(self, told: Told) -> None:
        self.plan = told.plan
        self.ended: dict[str, bool] = {}
        self.begun: set[str] = set()
        self.approved: set[str] = set()
        self.places: set[str] = set()
        self.halted = False
        self._optional = {step.id for step in told.plan.steps if step.optional}

    def follow(self, event: LeadPlanEventPayload) -> None:
        match event:
            case StepStarted():
                self.begun.add(event.step.id)
                self.places.add(event.step.id)
            case StepSucceeded() | StepFailed() | StepSkipped():
                name = event.step.id
                self.places.discard(name)
                lets_run = isinstance(event, StepSucceeded) or (
                    isinstance(event, StepFailed) and name in self._optional
                )
                self.ended[name] = lets_run
            case StepApproved():
                self.approved.add(event.step.id)
            case PlanPaused() | PlanCancelling():
                self.halted = True
            case PlanUnpaused():
                self.halted = False

    def could_start(self, step: LeadGenPlanStep) -> bool:
        if step.id in self.begun or step.id in self.ended:
            return False
        if step.requires_approval and step.id not in self.approved:
            return False
        return all(self.ended.get(name, False) for name in step.dependencies)


def _steps_start_when_they_may_and_in_plan_order(told: Told) -> None:
    replay = _Replay(told)
    for event in told.events:
        if isinstance(event, StepStarted):
            assert not replay.halted, "an attempt starts in a plan that is paused or being cancelled"
            if event.step.id not in replay.begun:
                first = next((step.id for step in told.plan.steps if replay.could_start(step)), None)
                assert event.step.id == first, "not the first in plan order that can start"
        replay.follow(event)
        assert len(replay.places) <= told.plan.concurrency, "more steps at once than maxConcurrency"


def _waits_before_repeats_are_kept(told: Told) -> None:
    for step in told.plan.steps:
        story = told.of_step(step.id)
        for event, following in pairwise(story):
            if isinstance(event, StepRetrying):
                retry_at = parse_time(event.meta.retry_at)
                assert retry_at == parse_time(event.time) + event.meta.delay_ms
                assert isinstance(following, StepStarted | StepFailed)
                assert event.result.error_message
                assert event.result.error_code == event.meta.error_code
                if isinstance(following, StepStarted):
                    assert parse_time(following.time) >= retry_at


def _skipped_means_behind_a_failure_or_cancelled(told: Told) -> None:
    cancelled = any(isinstance(event, PlanCancelling) for event in told.events)
    replay = _Replay(told)
    for event in told.events:
        if isinstance(event, StepSkipped):
            before = told.step_of[event.step.id].dependencies
            spoilt = any(replay.ended.get(name) is False for name in before)
            assert event.result.attempts == 0
            assert event.result.started_at is None
            if event.result.error_code == "dependency_failed":
                assert spoilt
                assert event.result.error_message == "Skipped because a dependency failed"
            else:
                assert cancelled
                assert event.result.error_code == "cancelled"
        replay.follow(event)


def _nothing_behind_a_failure_runs(told: Told) -> None:
    stops = set()
    for event in told.events:
        required = isinstance(event, StepFailed) and not told.step_of[event.step.id].optional
        if required or isinstance(event, StepSkipped):
            stops.add(event.step.id)
    for step in told.plan.steps:
        if stops.intersection(step.dependencies):
            assert isinstance(told.of_step(step.id)[-1], StepSkipped)


def _approval_comes_before_work(told: Told) -> None:
    for step in told.plan.steps:
        kinds = [type(event) for event in told.of_step(step.id)]
        counted = Counter(kinds)
        asked = counted[StepWaiting]
        assert asked <= (1 if step.requires_approval else 0)
        assert counted[StepApproved] + counted[StepDenied] <= asked
        if step.requires_approval and StepStarted in kinds:
            assert kinds.index(StepWaiting) < kinds.index(StepApproved) < kinds.index(StepStarted)
        if StepDenied in kinds:
            assert kinds[kinds.index(StepDenied) + 1 :] == [StepFailed]
            assert told.of_step(step.id)[-1].result.error_code == "denied"


def _the_result_is_what_the_events_told(told: Told) -> None:
    completed = told.events[-1]
    assert isinstance(completed, PlanCompleted)
    ended = {event.step.id: event.result for event in told.events if isinstance(event, _FINAL_EVENTS)}
    assert completed.result.step_results == [ended[step.id] for step in told.plan.steps]
    assert completed.result.started_at == told.events[0].time
    assert completed.result.finished_at == completed.time
    assert completed.result.overall_status == _overall_status(told, [ended[step.id].status for step in told.plan.steps])


def _overall_status(told: Told, statuses: list[str]) -> str:
    if any(isinstance(event, PlanCancelling) for event in told.events):
        return "cancelled"
    of_step = list(zip(told.plan.steps, statuses, strict=True))
    if any(status == "failed" and not step.optional for step, status in of_step):
        return "failed"
    if any(status == "skipped" or (status == "failed" and step.optional) for step, status in of_step):
        return "partial"
    return "succeeded"


_RULES = [
    _starts_once_ends_once_without_gaps,
    _each_step_has_one_final_event_and_none_after,
    _only_the_first_event_names_the_email_address,
    _attempts_count_up_and_stay_in_bounds,
    _steps_start_when_they_may_and_in_plan_order,
    _waits_before_repeats_are_kept,
    _skipped_means_behind_a_failure_or_cancelled,
    _nothing_behind_a_failure_runs,
    _approval_comes_before_work,
    _the_result_is_what_the_events_told,
]
