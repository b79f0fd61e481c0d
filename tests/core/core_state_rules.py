"""What must hold of every state: what it keeps beside the phases is recomputed naively from the phases."""

from collections import Counter
from collections.abc import Iterator
from operator import attrgetter
from typing import Any

from leadplan_contracts.control import PlanState, PlanStatus, WaitReason
from leadplan_contracts.graph import PlanGraph
from leadplan_contracts.times import format_time, parse_time
from leadplan_executor.core import CallTool, PlanRun, WaitUntil, due
from leadplan_executor.core.state import Asked, IndexSet, StepRun
from leadplan_executor.core.status import plan_status
from leadplan_executor.core.transitions import ENDED, RUNS, STATUS_OF_PHASE, PlanPhase, StepPhase
from leadplan_executor.core.waiting import Idle, idle

_FIELDS_OF_STEP = attrgetter(*StepRun.__slots__)
_AT_WORK = frozenset({StepPhase.RUNNING, StepPhase.RETRYING})
_DECIDED = {StepPhase.PENDING: None, StepPhase.WAITING: None, StepPhase.APPROVED: True, StepPhase.DENIED: False}


def snapshot(run: PlanRun) -> dict[str, Any]:
    """Everything that a state holds, as values of their own; the order in which a dict was filled counts too."""
    return {name: _value_of(getattr(run, name, None)) for name in PlanRun.__slots__}


def _value_of(value: Any) -> Any:
    if isinstance(value, IndexSet):
        return list(value)
    if isinstance(value, PlanGraph):
        return value.dependencies  # the rest of it follows from these, and nothing changes them
    if isinstance(value, dict):
        return [(key, (list(one.steps), one.waiting) if isinstance(one, Asked) else one) for key, one in value.items()]
    if isinstance(value, list):
        return [_FIELDS_OF_STEP(one) if isinstance(one, StepRun) else one for one in value]
    return value


def check_state(run: PlanRun) -> None:
    """What the state keeps beside the phases equals what the phases say."""
    phases = {step.step.id: step.phase for step in run.steps}
    _check_startable(run, phases)
    for indices, phase in [
        (run.denied, StepPhase.DENIED),
        (run.waiting, StepPhase.WAITING),
        (run.retrying, StepPhase.RETRYING),
    ]:
        assert indices == [step.index for step in run.steps if step.phase is phase]
    assert run.occupied == sum(phase in _AT_WORK for phase in phases.values()) <= run.plan.concurrency
    assert run.unfinished == sum(phase not in ENDED for phase in phases.values())
    for index in run.in_doubt:
        assert run.steps[index].phase is StepPhase.RUNNING
        assert run.steps[index].step.at_most_once
    assert (run.paused is not None) == (run.phase is PlanPhase.PAUSED)
    assert (run.outcome is not None) == run.completed == (run.phase is PlanPhase.COMPLETED)
    assert run.completed <= (run.unfinished == 0)
    _check_decisions_and_deadlines(run)
    expected = dict(_expected_commands(run))
    assert dict(due(run)) == expected
    assert run.attempts_in_flight == sum(isinstance(command, CallTool) for command in expected.values())


def _check_startable(run: PlanRun, phases: dict[str, StepPhase]) -> None:
    optional = {step.step.id for step in run.steps if step.step.optional}
    ready, to_ask, to_skip = [], [], []
    for step in run.steps:
        assert step.result.status == STATUS_OF_PHASE[step.phase]
        before = {name: phases[name] for name in step.step.dependencies}
        open_count = sum(phase not in ENDED for phase in before.values())
        spoilt = any(phase in ENDED and not _lets_run(name, phase, optional) for name, phase in before.items())
        # An ended step doesn't follow what becomes of others any more, in later rounds either.
        assert step.open_dependencies == open_count or step.phase in ENDED
        if step.phase is StepPhase.APPROVED:
            ready.append(step.index)
        elif step.phase is StepPhase.PENDING and spoilt:
            to_skip.append(step.index)
        elif step.phase is StepPhase.PENDING and open_count == 0:
            (to_ask if step.step.requires_approval else ready).append(step.index)
    assert (run.ready, run.to_ask, run.to_skip) == (ready, to_ask, to_skip)


def _lets_run(name: str, phase: StepPhase, optional: set[str]) -> bool:
    return phase is StepPhase.SUCCEEDED or (phase is StepPhase.FAILED and name in optional)


def _check_decisions_and_deadlines(run: PlanRun) -> None:
    for step in run.steps:
        if step.phase in _DECIDED:
            assert step.decision is _DECIDED[step.phase]
        elif step.phase in _AT_WORK or step.phase is StepPhase.SUCCEEDED:
            assert step.decision is (True if step.step.requires_approval else None)
        limited = step.step.deadline_ms is not None and step.phase not in ENDED and step.phase is not StepPhase.PENDING
        assert (step.deadline_at is not None) == limited
    limits = [(step.deadline_at, step.index) for step in run.steps if step.deadline_at is not None]
    assert run.step_deadlines == sorted(limits)
    assert (run.deadline_at is not None) == (run.plan.deadline_ms is not None and run.phase in RUNS)
    if run.round == 1 and run.deadline_at is not None:
        assert run.deadline_at == run.started_at + (run.plan.deadline_ms or 0)


def _expected_commands(run: PlanRun) -> Iterator[tuple[int | None, CallTool | WaitUntil]]:
    if run.phase not in RUNS:
        return
    limits = [at for at in (run.deadline_at, *(step.deadline_at for step in run.steps)) if at is not None]
    if limits:
        yield None, WaitUntil(None, min(limits))
    for step in run.steps:
        if step.phase is StepPhase.RUNNING and step.index not in run.in_doubt:
            yield step.index, CallTool(step.index, step.attempts)
        elif step.phase is StepPhase.RETRYING and run.phase is PlanPhase.ACTIVE:
            yield step.index, WaitUntil(step.index, step.retry_at)


# --- a state that leads to nothing more by itself


def check_settled(run: PlanRun, now: int, patience_ms: int) -> None:
    """What is told of a plan that nothing more follows from: whether it only waits, and how it stands."""
    only_waits = run.phase in (PlanPhase.ACTIVE, PlanPhase.PAUSED) and not any(
        step.phase is StepPhase.RUNNING for step in run.steps
    )
    wakes = [command.at for command in due(run).values() if isinstance(command, WaitUntil)]
    soon = any(at < now + patience_ms for at in wakes)
    assert idle(run, now, patience_ms) == (Idle(min(wakes, default=None)) if only_waits and not soon else None)
    _check_status(run, plan_status(run), only_waits=only_waits)


def _check_status(run: PlanRun, status: PlanStatus, *, only_waits: bool) -> None:
    states = {
        PlanPhase.ACTIVE: PlanState.WAITING if only_waits else PlanState.RUNNING,
        PlanPhase.PAUSED: PlanState.PAUSED,
        PlanPhase.CANCELLING: PlanState.CANCELLING,
        PlanPhase.COMPLETED: PlanState.COMPLETED,
    }
    assert status.state is states[run.phase]
    assert (status.plan_id, status.sequence, status.round) == (run.plan_id, run.sequence, run.round)
    assert (status.executor, status.user, status.last_event_at) == (run.executor, run.public_user, run.last_at)
    assert (status.overall_status, status.finished_at) == (run.outcome or (None, None))
    assert status.deadline_at == (None if run.deadline_at is None else format_time(run.deadline_at))
    assert status.step_counts == dict(Counter(str(step.result.status) for step in run.steps))
    told = [(step.id, step.tool, step.depends_on, step.result) for step in status.steps or []]
    assert told == [(step.step.id, step.step.tool, step.step.depends_on, step.result) for step in run.steps]
    waits = [(one.reason, one.step_id) for one in status.waiting or []]
    assert waits == list(_expected_waits(run))
    assert all(parse_time(one.since or "") <= parse_time(run.last_at) for one in status.waiting or [])


def _expected_waits(run: PlanRun) -> Iterator[tuple[WaitReason, str | None]]:
    if run.phase is PlanPhase.PAUSED:
        yield WaitReason.UNPAUSE, None
    for step in run.steps:
        if step.phase is StepPhase.WAITING:
            yield WaitReason.APPROVAL, step.step.id
        elif step.phase is StepPhase.RETRYING:
            unserved = step.result.error_code == "no_responders"
            yield (WaitReason.TOOL if unserved else WaitReason.RETRY), step.step.id
