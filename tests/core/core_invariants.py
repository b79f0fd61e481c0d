"""What must hold of every finished log: the rules of protocol sections 3 and 6, told naively.

Nothing here uses the core's bookkeeping: each rule is recomputed from the plan and from what was stored.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from core_plans import USER
from core_rounds import FINAL_EVENTS, Round, rounds_of, with_everything_behind

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, LeadPlanEventPayload, SupervisorUserContext
from leadplan_contracts.events import (
    PlanCancelling,
    PlanCompleted,
    PlanPaused,
    PlanRetried,
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
from leadplan_contracts.times import parse_time


def check_log(plan: LeadGenPlan, events: Sequence[LeadPlanEventPayload]) -> None:
    """Every rule that a completed plan's log must keep."""
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert [n for n, event in enumerate(events) if isinstance(event, PlanStarted)] == [0]
    public = SupervisorUserContext(user_id=USER.user_id, account_id=USER.account_id)
    assert [event.user for event in events] == [USER] + [public] * (len(events) - 1), "only the first names the address"
    for each in rounds_of(plan, events):
        for rule in _RULES:
            rule(each)


def _a_round_ends_once(told: Round) -> None:
    completed = [n for n, event in enumerate(told.events) if isinstance(event, PlanCompleted)]
    assert completed == [len(told.events) - 1]


def _a_new_round_holds_what_failed_or_a_step_with_everything_behind_it(told: Round) -> None:
    if told.number > 1:
        assert told.named == [step.id for step in told.steps] != []
        unsuccessful = {name for name, result in told.before.items() if result.status != "succeeded"}
        behind = [with_everything_behind(told.plan, step) for step in told.steps]
        assert set(told.named) in [unsuccessful, *behind]


def _what_is_not_in_the_round_stays_as_it_was(told: Round) -> None:
    assert not [event for event in told.events if isinstance(event, StepEvent) and event.step.id in told.kept]
    completed = told.events[-1]
    assert isinstance(completed, PlanCompleted)
    assert [each for each in completed.result.step_results if each.step_id in told.kept] == [
        told.kept[step.id] for step in told.plan.steps if step.id in told.kept
    ]


def _each_step_has_one_final_event_and_none_after(told: Round) -> None:
    for step in told.steps:
        finals = [isinstance(event, FINAL_EVENTS) for event in told.of_step(step.id)]
        assert finals.count(True) == 1
        assert finals[-1], step.id


def _attempts_count_up_and_stay_in_bounds(told: Round) -> None:
    for step in told.steps:
        attempts = [event.result.attempts for event in told.of_step(step.id) if isinstance(event, StepStarted)]
        assert attempts == list(range(1, len(attempts) + 1))
        repeats = 2 if step.retry is None or step.retry.max_retries is None else step.retry.max_retries
        assert len(attempts) <= repeats + 1
        assert told.of_step(step.id)[-1].result.attempts == len(attempts)


def _all_repeats_together_stay_in_the_budget(told: Round) -> None:
    repeats = 0
    for event in told.events:
        repeats += isinstance(event, StepRetrying)
        if isinstance(event, StepFailed) and "retryBudget" in (event.result.error_message or ""):
            assert repeats == told.plan.retry_budget
    assert told.plan.retry_budget is None or repeats <= told.plan.retry_budget


class _Replay:
    """Which steps could start, told step by step from the log alone."""

    def __init__(self, told: Round) -> None:
        self.ended = {name: told.lets_run(name, result.status) for name, result in told.kept.items()}
        self.begun: set[str] = set()
        self.approved: set[str] = set()
        self.places: set[str] = set()
        self.halted = False
        self._told = told

    def follow(self, event: LeadPlanEventPayload) -> None:
        match event:
            case StepStarted():
                self.begun.add(event.step.id)
                self.places.add(event.step.id)
            case StepSucceeded() | StepFailed() | StepSkipped():
                name = event.step.id
                self.places.discard(name)
                self.ended[name] = self._told.lets_run(name, event.result.status)
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


def _steps_start_when_they_may_and_in_plan_order(told: Round) -> None:
    replay = _Replay(told)
    for event in told.events:
        if isinstance(event, StepStarted):
            assert not replay.halted, "an attempt starts in a plan that is paused or being cancelled"
            if event.step.id not in replay.begun:
                first = next((step.id for step in told.plan.steps if replay.could_start(step)), None)
                assert event.step.id == first, "not the first in plan order that can start"
        replay.follow(event)
        assert len(replay.places) <= told.plan.concurrency, "more steps at once than maxConcurrency"


def _waits_before_repeats_are_kept(told: Round) -> None:
    for step in told.steps:
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


def step_deadline(step: LeadGenPlanStep, story: Sequence[LeadPlanEventPayload]) -> int | None:
    """When a step fails at the latest, told from its events so far in a round; None where nothing says so yet."""
    if step.deadline_ms is None:
        return None
    begins = [
        event
        for event in story
        if isinstance(event, StepWaiting) or (isinstance(event, StepStarted) and event.result.attempts == 1)
    ]
    return parse_time(begins[-1].time) + step.deadline_ms if begins else None


def _nothing_begins_after_a_deadline(told: Round) -> None:
    plan_ms = told.plan.deadline_ms
    plan_ends = [] if plan_ms is None else [told.begun_at + plan_ms]
    for step in told.steps:
        story = told.of_step(step.id)
        for n, event in enumerate(story):
            ends = step_deadline(step, story[:n])
            limits = plan_ends if ends is None else [*plan_ends, ends]
            if isinstance(event, StepStarted):
                assert all(parse_time(event.time) < limit for limit in limits)
            elif isinstance(event, StepRetrying):
                assert all(parse_time(event.meta.retry_at) < limit for limit in limits)
            elif isinstance(event, StepFailed) and event.meta.error_code == "deadline_exceeded":
                assert any(parse_time(event.time) >= limit for limit in limits)
                whose = "step" if "the step's deadline" in (event.result.error_message or "") else "plan"
                passed = [ends] if whose == "step" else plan_ends
                assert all(limit is not None and parse_time(event.time) >= limit for limit in passed)


def _skipped_means_behind_a_failure_or_cancelled(told: Round) -> None:
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


def _nothing_behind_a_failure_runs(told: Round) -> None:
    results = told.results()
    stops = {name for name, result in results.items() if not told.lets_run(name, result.status)}
    for step in told.steps:
        if stops.intersection(step.dependencies):
            assert isinstance(told.of_step(step.id)[-1], StepSkipped)


def _approval_comes_before_work(told: Round) -> None:
    for step in told.steps:
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


def _the_result_is_what_the_events_told(told: Round) -> None:
    completed = told.events[-1]
    assert isinstance(completed, PlanCompleted)
    results = told.results()
    assert completed.result.step_results == [results[step.id] for step in told.plan.steps]
    assert completed.result.started_at == told.first.time
    assert completed.result.finished_at == completed.time
    statuses = [str(results[step.id].status) for step in told.plan.steps]
    assert completed.result.overall_status == _overall_status(told, statuses)


def _overall_status(told: Round, statuses: list[str]) -> str:
    if any(isinstance(event, PlanCancelling) for event in told.events):
        return "cancelled"
    of_step = list(zip(told.plan.steps, statuses, strict=True))
    if any(status == "failed" and not step.optional for step, status in of_step):
        return "failed"
    if any(status == "skipped" or (status == "failed" and step.optional) for step, status in of_step):
        return "partial"
    return "succeeded"


def _a_new_round_tells_who_has_the_plan(told: Round) -> None:
    opening = told.events[0]
    assert isinstance(opening, PlanStarted if told.number == 1 else PlanRetried)
    assert opening.meta.executor


_RULES = [
    _a_round_ends_once,
    _a_new_round_tells_who_has_the_plan,
    _a_new_round_holds_what_failed_or_a_step_with_everything_behind_it,
    _what_is_not_in_the_round_stays_as_it_was,
    _each_step_has_one_final_event_and_none_after,
    _attempts_count_up_and_stay_in_bounds,
    _all_repeats_together_stay_in_the_budget,
    _steps_start_when_they_may_and_in_plan_order,
    _waits_before_repeats_are_kept,
    _nothing_begins_after_a_deadline,
    _skipped_means_behind_a_failure_or_cancelled,
    _nothing_behind_a_failure_runs,
    _approval_comes_before_work,
    _the_result_is_what_the_events_told,
]
