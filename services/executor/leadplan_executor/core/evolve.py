"""Fold one stored event into the state."""

from bisect import insort
from typing import TypeAlias, assert_never

import msgspec

from leadplan_contracts import LeadGenPlan, LeadPlanEventPayload, SupervisorUserContext
from leadplan_contracts.events import (
    PlanCancelling,
    PlanCompleted,
    PlanPaused,
    PlanRejected,
    PlanResumed,
    PlanRetried,
    PlanStarted,
    PlanUnpaused,
    StepApproved,
    StepDenied,
    StepFailed,
    StepProgress,
    StepRetrying,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    StepWaiting,
    event_type,
)
from leadplan_contracts.graph import PlanGraph
from leadplan_contracts.times import parse_time
from leadplan_executor.core.commands import CallTool, WaitUntil
from leadplan_executor.core.errors import IllegalTransitionError, SequenceGapError
from leadplan_executor.core.requests import plan_for_tools
from leadplan_executor.core.state import Asked, PlanOutcome, PlanRun, StepRun
from leadplan_executor.core.transitions import ENDED, RUNS, PlanPhase, StepPhase, next_plan_phase, next_step_phase

_StepChange: TypeAlias = (
    StepStarted
    | StepRetrying
    | StepSucceeded
    | StepFailed
    | StepSkipped
    | StepWaiting
    | StepApproved
    | StepDenied
    | StepProgress
)
_AskedFor: TypeAlias = PlanCancelling | PlanPaused | PlanUnpaused | PlanRetried | StepApproved | StepDenied
_ASKED_FOR = (PlanCancelling, PlanPaused, PlanUnpaused, PlanRetried, StepApproved, StepDenied)
_SAID_BY_A_PERSON = (StepApproved, StepDenied)
_HAS_RESULT = (StepStarted, StepRetrying, StepSucceeded, StepFailed, StepSkipped)
_plan_decoder = msgspec.json.Decoder(LeadGenPlan)
_HOLDS_PLACE = frozenset({StepPhase.RUNNING, StepPhase.RETRYING})
_NOBODY: frozenset[int] = frozenset()


def evolve(run: PlanRun, event: LeadPlanEventPayload) -> PlanRun:
    """The state after an event. ``run`` itself is changed and returned.

    Raises:
        IllegalTransitionError: the event doesn't fit the state.
        SequenceGapError: it isn't the next event.
    """
    if event.sequence != run.sequence + 1:
        raise SequenceGapError(run.plan_id, run.sequence, event.sequence)
    waited = frozenset(run.waiting) if isinstance(event, _SAID_BY_A_PERSON) else _NOBODY
    match event:
        case (
            StepStarted()
            | StepSucceeded()
            | StepRetrying()
            | StepFailed()
            | StepSkipped()
            | StepWaiting()
            | StepApproved()
            | StepDenied()
            | StepProgress()
        ):
            _change_step(run, event)
        case PlanStarted():
            _start(run, event)
        case PlanResumed():
            run.phase = next_plan_phase(run.phase, event_type(event), run.plan_id)
            run.executor = event.meta.executor
            run.message, run.woken = event.meta.message or run.message, run.woken or event.meta.message is not None
            _doubt_attempts(run)
        case PlanRetried():
            _begin_round(run, event)
        case PlanPaused() | PlanUnpaused() | PlanCancelling() | PlanCompleted() | PlanRejected():
            run.phase = next_plan_phase(run.phase, event_type(event), run.plan_id)
            run.paused = event if isinstance(event, PlanPaused) else None
            if isinstance(event, PlanCompleted):
                run.outcome = PlanOutcome(event.result.overall_status, event.result.finished_at)
            _adjust_waits(run)
        case _:
            assert_never(event)
    if isinstance(event, _ASKED_FOR) and event.meta.request_id is not None:
        _note_request(run, event, event.meta.request_id, waited)
    run.sequence = event.sequence
    run.last_kind, run.last_at = event_type(event), event.time
    return run


def _note_request(run: PlanRun, event: _AskedFor, request_id: str, waited: frozenset[int]) -> None:
    """Remember what a request led to; an approval of several steps is an event for each.

    ``waited`` are the steps that waited for a person before this event.
    """
    asked = run.requests.setdefault((event_type(event), request_id), Asked([], waited))
    if isinstance(event, _SAID_BY_A_PERSON):
        asked.steps.append(event.step.id)
    elif isinstance(event, PlanRetried):
        asked.steps.extend(event.meta.steps)


def _start(run: PlanRun, event: PlanStarted) -> None:
    phase = next_plan_phase(run.phase, event_type(event), run.plan_id)
    if event.user is None:
        raise IllegalTransitionError(run.phase, "PLAN_STARTED without a user", run.plan_id)
    run.plan = _plan_decoder.decode(event.plan)
    run.phase = phase
    run.plan_for_tools = plan_for_tools(event.plan)
    run.user = event.user
    run.public_user = SupervisorUserContext(user_id=event.user.user_id, account_id=event.user.account_id)
    run.executor = event.meta.executor
    run.submission = event.meta.submission
    run.message = event.meta.message or event.meta.submission
    run.traceparent = event.meta.traceparent
    run.graph = PlanGraph.of(run.plan)
    run.steps = [StepRun(index, step, len(run.graph.dependencies[index])) for index, step in enumerate(run.plan.steps)]
    run.index_of = {step.id: index for index, step in enumerate(run.plan.steps)}
    run.unfinished = len(run.steps)
    run.started_at = parse_time(event.time)
    _set_plan_deadline(run, run.started_at)
    for step in run.steps:
        if step.open_dependencies == 0:
            _make_startable(run, step)


def _set_plan_deadline(run: PlanRun, round_started_at: int) -> None:
    if run.plan.deadline_ms is not None:
        run.deadline_at = round_started_at + run.plan.deadline_ms
    _set_alarm(run)


def _begin_round(run: PlanRun, event: PlanRetried) -> None:
    """The named steps begin anew; what the others did stays, and counts as ended."""
    kind = event_type(event)
    phase = next_plan_phase(run.phase, kind, run.plan_id)
    indices = [run.index_of.get(name, -1) for name in event.meta.steps]
    if -1 in indices or not indices:
        raise IllegalTransitionError(run.phase, "PLAN_RETRIED without steps of the plan", run.plan_id)
    again = set(indices)
    # All of them before anything is changed: an event that is refused leaves the state as it was.
    phases = {
        index: next_step_phase(run.steps[index].phase, kind, run.plan_id, run.steps[index].step.id)
        for index in sorted(again)
    }
    run.phase, run.outcome = phase, None
    run.requests = {key: asked._replace(waiting=frozenset()) for key, asked in run.requests.items()}
    run.round += 1
    run.repeats = 0
    run.executor = event.meta.executor or run.executor
    run.message = event.meta.message or run.message
    run.unfinished = len(again)
    for index, step_phase in phases.items():
        step = run.steps[index]
        step.phase = step_phase
        before = run.graph.dependencies[index]
        spoiled = any(each not in again and not run.steps[each].lets_dependants_run for each in before)
        step.begin_round(sum(each in again for each in before), spoiled=spoiled)
        if spoiled:
            run.to_skip.add(index)
        elif step.open_dependencies == 0:
            _make_startable(run, step)
    _set_plan_deadline(run, parse_time(event.time))


def _change_step(run: PlanRun, event: _StepChange) -> None:
    kind = event_type(event)
    index = run.index_of.get(event.step.id)
    if index is None or run.phase not in RUNS:
        raise IllegalTransitionError(run.phase, kind, run.plan_id, event.step.id)
    step = run.steps[index]
    before = step.phase
    step.phase = next_step_phase(before, kind, run.plan_id, event.step.id)
    step.changed_at = event.time
    if isinstance(event, _HAS_RESULT):
        step.result = event.result
    if isinstance(event, StepRetrying):
        step.retry_at = parse_time(event.meta.retry_at)
        run.repeats += 1
    run.occupied += (step.phase in _HOLDS_PLACE) - (before in _HOLDS_PLACE)
    waiting_lists = (
        (run.in_doubt, run.retrying)
        if before in _HOLDS_PLACE
        else (run.ready, run.to_ask, run.to_skip, run.waiting, run.denied)
    )
    for indices in waiting_lists:
        if indices:
            indices.discard(index)
    if step.step.deadline_ms is not None:
        _follow_deadline(run, step, step.step.deadline_ms, event)
    _follow_phase(run, step)


def _follow_deadline(run: PlanRun, step: StepRun, deadline_ms: int, event: _StepChange) -> None:
    """A step's time runs from when it began to wait for a person, and anew from its first attempt."""
    begins = isinstance(event, StepWaiting) or (isinstance(event, StepStarted) and step.attempts == 1)
    if not begins and step.phase not in ENDED:
        return
    if step.deadline_at is not None:
        run.step_deadlines.remove((step.deadline_at, step.index))
        step.deadline_at = None
    if begins:
        step.deadline_at = parse_time(event.time) + deadline_ms
        insort(run.step_deadlines, (step.deadline_at, step.index))
    _set_alarm(run)


def _set_alarm(run: PlanRun) -> None:
    """The earliest deadline is what time is awaited for."""
    earliest = [at for at, _ in run.step_deadlines[:1]]
    if run.deadline_at is not None:
        earliest.append(run.deadline_at)
    if not earliest:
        run.commands.pop(None, None)
    elif (alarm := WaitUntil(None, min(earliest))) != run.commands.get(None):
        run.commands[None] = alarm


def _doubt_attempts(run: PlanRun) -> None:
    """The executor before us vanished. A step that may run at most once isn't called again: its outcome is unknown."""
    for step in run.steps:
        if step.phase is StepPhase.RUNNING and step.step.at_most_once and run.commands.pop(step.index, None):
            run.in_doubt.add(step.index)


def _follow_phase(run: PlanRun, step: StepRun) -> None:
    """Bring what is kept beside the phases in line with a step's new phase."""
    match step.phase:
        case StepPhase.RUNNING:
            run.commands[step.index] = CallTool(step.index, step.attempts)
        case StepPhase.RETRYING:
            run.commands.pop(step.index, None)
            run.retrying.add(step.index)
            if run.phase is PlanPhase.ACTIVE:
                run.commands[step.index] = WaitUntil(step.index, step.retry_at)
        case StepPhase.WAITING:
            run.waiting.add(step.index)
        case StepPhase.APPROVED:
            step.decision = True
            run.ready.add(step.index)
        case StepPhase.DENIED:
            step.decision = False
            run.denied.add(step.index)
        case StepPhase.PENDING:
            pass
        case StepPhase.SUCCEEDED | StepPhase.FAILED | StepPhase.SKIPPED:
            run.commands.pop(step.index, None)
            run.unfinished -= 1
            _release_dependants(run, step)
        case _:
            assert_never(step.phase)


def _release_dependants(run: PlanRun, ended: StepRun) -> None:
    for index in run.graph.dependants[ended.index]:
        dependant = run.steps[index]
        if dependant.phase is not StepPhase.PENDING:
            continue  # it was skipped before, or keeps its result while this one runs again
        dependant.open_dependencies -= 1
        if dependant.spoiled:
            continue
        if not ended.lets_dependants_run:
            dependant.spoiled = True
            run.to_skip.add(index)
        elif dependant.open_dependencies == 0:
            _make_startable(run, dependant)


def _make_startable(run: PlanRun, step: StepRun) -> None:
    (run.to_ask if step.step.requires_approval else run.ready).add(step.index)


def _adjust_waits(run: PlanRun) -> None:
    """A paused plan awaits no retry, a plan that goes on awaits them again, and a completed one awaits nothing."""
    if run.phase is PlanPhase.COMPLETED:
        run.commands.clear()
        run.deadline_at = None
        return
    for index in run.retrying:
        run.commands.pop(index, None)
        if run.phase is PlanPhase.ACTIVE:
            run.commands[index] = WaitUntil(index, run.steps[index].retry_at)
