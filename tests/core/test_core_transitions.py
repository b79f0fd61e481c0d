"""Each state times each event, generated from the tables."""

import pytest
from core_plans import PLAN_ID, USER, event_of_kind, plan, started, step
from core_state_rules import snapshot

from leadplan_contracts import LeadPlanEventType
from leadplan_contracts.events import ControlMeta, PlanRetriedMeta
from leadplan_executor.core import PlanRun, evolve
from leadplan_executor.core.errors import CoreError, IllegalTransitionError, SequenceGapError
from leadplan_executor.core.transitions import (
    ENDED,
    PLAN_TRANSITIONS,
    RUNS,
    STATUS_OF_PHASE,
    STEP_TRANSITIONS,
    PlanPhase,
    StepPhase,
)

STEP_EVENTS = [kind for kind in LeadPlanEventType if kind.startswith("STEP_")]
PLAN_EVENTS = [kind for kind in LeadPlanEventType if kind.startswith("PLAN_")]
RETRIED = LeadPlanEventType.PLAN_RETRIED
IN_ONE_ROUND = [pair for pair in STEP_TRANSITIONS if pair[1] is not RETRIED]


def shortest_paths(table, first):
    """The events that lead to each phase."""
    paths = {first: []}
    queue = [first]
    for phase in queue:
        for (before, kind), after in table.items():
            if before is phase and after not in paths:
                paths[after] = [*paths[phase], kind]
                queue.append(after)
    return paths


STEP_PATHS = shortest_paths(STEP_TRANSITIONS, StepPhase.PENDING)
PLAN_PATHS = shortest_paths(PLAN_TRANSITIONS, PlanPhase.UNSTARTED)


def after(kinds: list[LeadPlanEventType]) -> PlanRun:
    """The state after these events; the step events are about step ``a``."""
    run = PlanRun(PLAN_ID)
    for kind in kinds:
        evolve(run, event_of_kind(kind, run))
    return run


def step_in(phase: StepPhase) -> PlanRun:
    return after([LeadPlanEventType.PLAN_STARTED, *STEP_PATHS[phase]])


def plan_in(phase: PlanPhase) -> PlanRun:
    """A completed plan's step ``a`` has ended, as a new round asks for."""
    path = PLAN_PATHS[phase]
    if phase is PlanPhase.COMPLETED:
        path = [path[0], LeadPlanEventType.STEP_SKIPPED, *path[1:]]
    return after(path)


def test_every_phase_can_be_reached():
    assert set(STEP_PATHS) == set(StepPhase)
    assert set(PLAN_PATHS) == set(PlanPhase)


def test_only_a_new_round_leaves_a_final_phase_and_everything_else_can_end():
    assert {StepPhase.SUCCEEDED, StepPhase.FAILED, StepPhase.SKIPPED} == ENDED
    leaves = {phase for phase, _ in IN_ONE_ROUND}
    assert leaves == set(StepPhase) - ENDED
    assert {phase for phase, kind in STEP_TRANSITIONS if kind is RETRIED} == ENDED
    assert [pair for pair in PLAN_TRANSITIONS if pair[0] is PlanPhase.COMPLETED or pair[1] is RETRIED] == [
        (PlanPhase.COMPLETED, RETRIED)
    ]
    for phase in leaves:
        assert (phase, LeadPlanEventType.STEP_FAILED) in STEP_TRANSITIONS, "a deadline or a cancel ends it"


def test_the_tables_name_only_events_of_their_kind():
    assert {kind for _, kind in IN_ONE_ROUND} == set(STEP_EVENTS) - {LeadPlanEventType.STEP_PROGRESS}
    assert {kind for _, kind in PLAN_TRANSITIONS} == set(PLAN_EVENTS) - {LeadPlanEventType.PLAN_REJECTED}
    assert set(STATUS_OF_PHASE) == set(StepPhase)
    assert set(PlanPhase) - RUNS == {PlanPhase.UNSTARTED, PlanPhase.COMPLETED}


def refused(run: PlanRun, kind: LeadPlanEventType, names: list[str]) -> None:
    """The event is refused by an error with these names in it, and the state is as it was."""
    before = snapshot(run)
    with pytest.raises(IllegalTransitionError) as caught:
        evolve(run, event_of_kind(kind, run))
    for name in [*names, kind, PLAN_ID]:
        assert name in str(caught.value)
    assert isinstance(caught.value, CoreError)
    assert (caught.value.event, caught.value.state) == (kind, names[0])
    assert snapshot(run) == before


def pairs(phases, kinds):
    return [pytest.param(phase, kind, id=f"{phase}-{kind}") for phase in sorted(phases) for kind in kinds]


@pytest.mark.parametrize(("phase", "kind"), pairs(StepPhase, STEP_EVENTS))
def test_step_phase_times_step_event(phase, kind):
    run = step_in(phase)
    assert run.steps[0].phase is phase
    if (phase, kind) in STEP_TRANSITIONS:
        evolve(run, event_of_kind(kind, run))
        assert run.steps[0].phase is STEP_TRANSITIONS[phase, kind]
        assert run.steps[0].result.status == STATUS_OF_PHASE[run.steps[0].phase]
    else:
        refused(run, kind, [phase, "'a'"])


@pytest.mark.parametrize(("phase", "kind"), pairs(PlanPhase, PLAN_EVENTS))
def test_plan_phase_times_plan_event(phase, kind):
    run = plan_in(phase)
    assert run.phase is phase
    if (phase, kind) in PLAN_TRANSITIONS:
        evolve(run, event_of_kind(kind, run))
        assert run.phase is PLAN_TRANSITIONS[phase, kind]
    else:
        refused(run, kind, [phase])


@pytest.mark.parametrize("phase", StepPhase)
def test_a_new_round_begins_with_steps_that_have_ended(phase):
    run = after([LeadPlanEventType.PLAN_STARTED, *STEP_PATHS[phase], LeadPlanEventType.PLAN_COMPLETED])
    if (phase, RETRIED) in STEP_TRANSITIONS:
        evolve(run, event_of_kind(RETRIED, run))
        assert (run.steps[0].phase, run.steps[0].attempts, run.round) == (StepPhase.PENDING, 0, 2)
    else:
        refused(run, RETRIED, [phase, "'a'"])


@pytest.mark.parametrize("steps", [[], ["nobody"], ["a", "nobody"]])
def test_a_new_round_without_steps_of_the_plan_is_refused(steps):
    run = plan_in(PlanPhase.COMPLETED)
    before = snapshot(run)
    with pytest.raises(IllegalTransitionError, match="PLAN_RETRIED without steps of the plan"):
        evolve(run, event_of_kind(RETRIED, run, meta=PlanRetriedMeta(steps=steps, request_id="r1")))
    assert snapshot(run) == before


@pytest.mark.parametrize("kind", [LeadPlanEventType.PLAN_PAUSED, LeadPlanEventType.STEP_APPROVED])
def test_a_request_whose_event_is_refused_is_not_remembered(kind):
    run = plan_in(PlanPhase.COMPLETED)
    with pytest.raises(IllegalTransitionError):
        evolve(run, event_of_kind(kind, run, meta=ControlMeta(request_id="r1")))
    assert run.requests == {}


@pytest.mark.parametrize(("phase", "kind"), pairs(set(PlanPhase) - RUNS, STEP_EVENTS))
def test_no_step_changes_before_the_plan_started_or_after_it_completed(phase, kind):
    if kind is not LeadPlanEventType.STEP_PROGRESS:
        refused(after(PLAN_PATHS[phase]), kind, [phase, "'a'"])


@pytest.mark.parametrize(("phase", "pair"), [(phase, pair) for phase in sorted(RUNS) for pair in IN_ONE_ROUND])
def test_steps_change_in_every_phase_in_which_the_plan_runs(phase, pair):
    run = after([LeadPlanEventType.PLAN_STARTED, *STEP_PATHS[pair[0]], *PLAN_PATHS[phase][1:]])
    evolve(run, event_of_kind(pair[1], run))
    assert (run.phase, run.steps[0].phase) == (phase, STEP_TRANSITIONS[pair])


def test_a_step_that_the_plan_does_not_have_is_refused():
    run = started(plan(step("other")))
    event = event_of_kind(LeadPlanEventType.STEP_STARTED, after([LeadPlanEventType.PLAN_STARTED]))
    with pytest.raises(IllegalTransitionError, match=r"STEP_STARTED.*'a'"):
        evolve(run, event)


def test_a_plan_without_a_user_is_refused():
    run = PlanRun(PLAN_ID)
    with pytest.raises(IllegalTransitionError) as caught:
        evolve(run, event_of_kind(LeadPlanEventType.PLAN_STARTED, run, user=None))
    assert caught.value.state == "unstarted"
    assert snapshot(run) == snapshot(PlanRun(PLAN_ID)), "a refused event leaves nothing behind"


@pytest.mark.parametrize("sequence", [None, 0, 1, 2, 4, 17])
def test_only_the_next_event_is_taken(sequence):
    run = after([LeadPlanEventType.PLAN_STARTED, LeadPlanEventType.STEP_STARTED])
    before = snapshot(run)
    with pytest.raises(SequenceGapError, match=rf"{PLAN_ID}.* 2 to {sequence}"):
        evolve(run, event_of_kind(LeadPlanEventType.STEP_SUCCEEDED, run, sequence=sequence))
    assert snapshot(run) == before


def test_the_users_email_address_is_kept_for_tools_and_left_out_of_events():
    run = after([LeadPlanEventType.PLAN_STARTED])
    assert run.user == USER
    assert run.public_user is not None
    assert (run.public_user.user_id, run.public_user.account_id, run.public_user.email) == ("u_7", "acct_3", None)
