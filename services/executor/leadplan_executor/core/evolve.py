"""Fold one stored event into the state."""

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
from leadplan_executor.core.state import PlanRun, StepRun
from leadplan_executor.core.transitions import RUNS, PlanPhase, StepPhase, next_plan_phase, next_step_phase

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
_plan_decoder = msgspec.json.Decoder(LeadGenPlan)
_HOLDS_PLACE = frozenset({StepPhase.RUNNING, StepPhase.RETRYING})


def evolve(run: PlanRun, event: LeadPlanEventPayload) -> PlanRun:
    """The state after an event. ``run`` itself is changed and returned.

    Raises:
        IllegalTransitionError: the event doesn't fit the state.
        SequenceGapError: it isn't the next event.
    """
    if event.sequence != run.sequence + 1:
        raise SequenceGapError(run.plan_id, run.sequence, event.sequence)
    match event:
        case PlanStarted():
            _start(run, event)
        case PlanResumed():
            run.phase = next_plan_phase(run.phase, event_type(event), run.plan_id)
            run.executor = event.meta.executor
            _doubt_attempts(run)
        case PlanPaused() | PlanUnpaused() | PlanCancelling() | PlanCompleted() | PlanRetried() | PlanRejected():
            run.phase = next_plan_phase(run.phase, event_type(event), run.plan_id)
            _adjust_waits(run)
        case (
            StepStarted()
            | StepRetrying()
            | StepSucceeded()
            | StepFailed()
            | StepSkipped()
            | StepWaiting()
            | StepApproved()
            | StepDenied()
            | StepProgress()
        ):
            _change_step(run, event)
        case _:
            assert_never(event)
    run.sequence = event.sequence
    return run


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
    run.traceparent = event.meta.traceparent
    run.graph = PlanGraph.of(run.plan)
    run.steps = [StepRun(index, step, len(run.graph.dependencies[index])) for index, step in enumerate(run.plan.steps)]
    run.index_of = {step.id: index for index, step in enumerate(run.plan.steps)}
    run.unfinished = len(run.steps)
    run.started_at = parse_time(event.time)
    if run.plan.deadline_ms is not None:
        run.deadline_at = run.started_at + run.plan.deadline_ms
        run.commands[None] = WaitUntil(None, run.deadline_at)
    for step in run.steps:
        if step.open_dependencies == 0:
            _make_startable(run, step)


def _change_step(run: PlanRun, event: _StepChange) -> None:
    kind = event_type(event)
    index = run.index_of.get(event.step.id)
    if index is None or run.phase not in RUNS:
        raise IllegalTransitionError(run.phase, kind, run.plan_id, event.step.id)
    step = run.steps[index]
    before = step.phase
    step.phase = next_step_phase(before, kind, run.plan_id, event.step.id)
    if isinstance(event, StepStarted | StepRetrying | StepSucceeded | StepFailed | StepSkipped):
        step.result = event.result
    if isinstance(event, StepRetrying):
        step.retry_at = parse_time(event.meta.retry_at)
    run.occupied += (step.phase in _HOLDS_PLACE) - (before in _HOLDS_PLACE)
    waiting_lists = (
        (run.in_doubt, run.retrying) if before in _HOLDS_PLACE else (run.ready, run.to_ask, run.to_skip, run.denied)
    )
    for indices in waiting_lists:
        indices.discard(index)
    _follow_phase(run, step)


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
        case StepPhase.APPROVED:
            run.ready.add(step.index)
        case StepPhase.DENIED:
            run.denied.add(step.index)
        case StepPhase.WAITING | StepPhase.PENDING:
            pass
        case StepPhase.SUCCEEDED | StepPhase.FAILED | StepPhase.SKIPPED:
            run.commands.pop(step.index, None)
            run.unfinished -= 1
            _release_dependants(run, step)
        case _:
            assert_never(step.phase)


def _release_dependants(run: PlanRun, ended: StepRun) -> None:
    lets_run = ended.phase is StepPhase.SUCCEEDED or (ended.phase is StepPhase.FAILED and bool(ended.step.optional))
    for index in run.graph.dependants[ended.index]:
        dependant = run.steps[index]
        dependant.open_dependencies -= 1
        if dependant.phase is not StepPhase.PENDING or dependant.spoiled:
            continue
        if not lets_run:
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
        return
    for index in run.retrying.all():
        run.commands.pop(index, None)
        if run.phase is PlanPhase.ACTIVE:
            run.commands[index] = WaitUntil(index, run.steps[index].retry_at)
