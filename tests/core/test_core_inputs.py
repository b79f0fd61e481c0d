"""Each plan phase times each step phase times each input: what is stored, and that it is stored once."""

import pytest
from core_plans import MESSAGE, NO_RETRY, PLAN_ID, START, event_of_kind, failed, ok, plan, step, submitted
from core_state_rules import snapshot

from leadplan_contracts import LeadPlanEventType
from leadplan_contracts.events import event_type
from leadplan_executor.core import (
    Approve,
    AttemptEnded,
    Cancel,
    Deny,
    Input,
    Pause,
    PlanRun,
    Proceed,
    Retry,
    TakenOver,
    Unpause,
    decide,
    due,
    evolve,
)
from leadplan_executor.core.transitions import ENDED, PlanPhase, StepPhase

E = LeadPlanEventType
PLAN = plan(step("a"), step("b", "a"))
STEP_PATHS = {
    StepPhase.PENDING: [],
    StepPhase.WAITING: [E.STEP_WAITING],
    StepPhase.APPROVED: [E.STEP_WAITING, E.STEP_APPROVED],
    StepPhase.DENIED: [E.STEP_WAITING, E.STEP_DENIED],
    StepPhase.RUNNING: [E.STEP_STARTED],
    StepPhase.RETRYING: [E.STEP_STARTED, E.STEP_RETRYING],
    StepPhase.SUCCEEDED: [E.STEP_STARTED, E.STEP_SUCCEEDED],
    StepPhase.FAILED: [E.STEP_STARTED, E.STEP_FAILED],
    StepPhase.SKIPPED: [E.STEP_SKIPPED],
}
PLAN_PATHS = {
    PlanPhase.ACTIVE: [],
    PlanPhase.PAUSED: [E.PLAN_PAUSED],
    PlanPhase.CANCELLING: [E.PLAN_CANCELLING],
    PlanPhase.COMPLETED: [E.PLAN_COMPLETED],
}
SUCCESS = AttemptEnded(0, 1, ok().signal, 0.0)
FAILURE = AttemptEnded(0, 1, failed("no").signal, 0.0)
LATE = AttemptEnded(0, 0, ok().signal, 0.0)
EARLY = AttemptEnded(0, 2, ok().signal, 0.0)
OTHER_STEP = AttemptEnded(1, 1, ok().signal, 0.0)
TAKEN_OVER = TakenOver("executor-2", "crash", MESSAGE)
RETRY = Retry((0,), "executor-3", MESSAGE + 1)
INPUTS: list[Input] = [
    submitted(PLAN),
    TAKEN_OVER,
    SUCCESS,
    FAILURE,
    LATE,
    EARLY,
    OTHER_STEP,
    Approve(0),
    Deny(0),
    Approve(1),
    Cancel(),
    Pause(),
    Unpause(),
]
RUNS = [PlanPhase.ACTIVE, PlanPhase.PAUSED, PlanPhase.CANCELLING]


def expected(plan_phase: PlanPhase, step_phase: StepPhase, happened: Input) -> list[LeadPlanEventType]:
    """Every case in which something is stored; in all others nothing is."""
    if plan_phase not in RUNS:
        return []
    if happened == TAKEN_OVER:
        return [E.PLAN_RESUMED]
    repeated = E.STEP_FAILED if plan_phase is PlanPhase.CANCELLING else E.STEP_RETRYING
    stored: list[tuple[Input, PlanPhase | StepPhase, LeadPlanEventType]] = [
        (SUCCESS, StepPhase.RUNNING, E.STEP_SUCCEEDED),
        (FAILURE, StepPhase.RUNNING, repeated),
        (Approve(0), StepPhase.WAITING, E.STEP_APPROVED),
        (Deny(0), StepPhase.WAITING, E.STEP_DENIED),
        (Cancel(), PlanPhase.ACTIVE, E.PLAN_CANCELLING),
        (Cancel(), PlanPhase.PAUSED, E.PLAN_CANCELLING),
        (Pause(), PlanPhase.ACTIVE, E.PLAN_PAUSED),
        (Unpause(), PlanPhase.PAUSED, E.PLAN_UNPAUSED),
    ]
    for known, phase, kind in stored:
        # Named tuples of equal values are equal whatever their type: Pause() == Cancel().
        if type(known) is type(happened) and known == happened and phase in (plan_phase, step_phase):
            return [kind]
    return []


def state(plan_phase: PlanPhase, step_phase: StepPhase) -> PlanRun:
    """A plan in this phase whose first step is in that one."""
    run = PlanRun(PLAN_ID)
    for event in decide(run, submitted(PLAN), START):
        evolve(run, event)
    for kind in [*STEP_PATHS[step_phase], *PLAN_PATHS[plan_phase]]:
        evolve(run, event_of_kind(kind, run))
    assert (run.phase, run.steps[0].phase) == (plan_phase, step_phase)
    return run


@pytest.mark.parametrize("happened", INPUTS, ids=lambda happened: type(happened).__name__)
@pytest.mark.parametrize("step_phase", StepPhase)
@pytest.mark.parametrize("plan_phase", PLAN_PATHS)
def test_what_an_input_stores_and_that_it_does_so_once(plan_phase, step_phase, happened):
    run = state(plan_phase, step_phase)
    before = snapshot(run)
    events = decide(run, happened, START + 500)
    assert [event_type(event) for event in events] == expected(plan_phase, step_phase, happened)
    assert snapshot(run) == before, "deciding changed the state"
    assert decide(run, happened, START + 500) == events
    for event in events:
        evolve(run, event)
    if happened != TAKEN_OVER:  # each takeover is one, and is told as one
        assert decide(run, happened, START + 500) == []


@pytest.mark.parametrize("step_phase", sorted(ENDED))
@pytest.mark.parametrize("plan_phase", PLAN_PATHS)
def test_a_retry_begins_a_round_of_a_completed_plan_only_and_only_once(plan_phase, step_phase):
    run = state(plan_phase, step_phase)
    events = decide(run, RETRY, START + 500)
    assert [event_type(event) for event in events] == ([E.PLAN_RETRIED] if plan_phase is PlanPhase.COMPLETED else [])
    for event in events:
        evolve(run, event)
    assert decide(run, RETRY, START + 500) == []


def test_a_retry_of_no_step_is_none():
    assert decide(state(PlanPhase.COMPLETED, StepPhase.FAILED), Retry((), "executor-3", MESSAGE + 1), START) == []


@pytest.mark.parametrize("happened", [*INPUTS[1:], RETRY, Proceed()], ids=lambda happened: type(happened).__name__)
def test_nothing_happens_to_a_plan_that_has_not_started(happened):
    run = PlanRun(PLAN_ID)
    assert decide(run, happened, START) == []
    assert not due(run)


def test_a_plan_starts_once():
    run = PlanRun(PLAN_ID)
    (event,) = decide(run, submitted(PLAN, executor="executor-7"), START)
    evolve(run, event)
    assert (run.phase, run.executor, run.submission, run.traceparent) == (
        PlanPhase.ACTIVE,
        "executor-7",
        17,
        "00-1-2-03",
    )
    assert (run.started_at, run.unfinished, run.deadline_at) == (START, 2, None)
    assert decide(run, submitted(PLAN), START) == []


def proceeded(run: PlanRun, now: int) -> list[str]:
    """Everything that follows from the state."""
    told = []
    while events := decide(run, Proceed(), now):
        for event in events:
            evolve(run, event)
            told.append(f"{event_type(event)} {event.step.id}" if hasattr(event, "step") else str(event_type(event)))
    return told


B_RUNS = ["STEP_STARTED b"]
B_SKIPPED = ["STEP_SKIPPED b"]
END = ["PLAN_COMPLETED"]
PROCEED = {
    PlanPhase.ACTIVE: {
        StepPhase.PENDING: ["STEP_STARTED a"],
        StepPhase.WAITING: [],
        StepPhase.APPROVED: ["STEP_STARTED a"],
        StepPhase.DENIED: ["STEP_FAILED a", *B_SKIPPED, *END],
        StepPhase.RUNNING: [],
        StepPhase.RETRYING: [],
        StepPhase.SUCCEEDED: B_RUNS,
        StepPhase.FAILED: [*B_SKIPPED, *END],
        StepPhase.SKIPPED: [*B_SKIPPED, *END],
    },
    PlanPhase.PAUSED: {
        StepPhase.DENIED: ["STEP_FAILED a", *B_SKIPPED, *END],
        StepPhase.FAILED: [*B_SKIPPED, *END],
        StepPhase.SKIPPED: [*B_SKIPPED, *END],
    },
    PlanPhase.CANCELLING: {
        StepPhase.PENDING: ["STEP_SKIPPED a", *B_SKIPPED, *END],
        StepPhase.WAITING: ["STEP_SKIPPED a", *B_SKIPPED, *END],
        StepPhase.APPROVED: ["STEP_SKIPPED a", *B_SKIPPED, *END],
        StepPhase.DENIED: ["STEP_FAILED a", *B_SKIPPED, *END],
        StepPhase.RUNNING: ["STEP_FAILED a", *B_SKIPPED, *END],
        StepPhase.RETRYING: ["STEP_FAILED a", *B_SKIPPED, *END],
        StepPhase.SUCCEEDED: [*B_SKIPPED, *END],
        StepPhase.FAILED: [*B_SKIPPED, *END],
        StepPhase.SKIPPED: [*B_SKIPPED, *END],
    },
    PlanPhase.COMPLETED: {},
}


@pytest.mark.parametrize("step_phase", StepPhase)
@pytest.mark.parametrize("plan_phase", PLAN_PATHS)
def test_what_follows_from_each_state(plan_phase, step_phase):
    run = state(plan_phase, step_phase)
    assert proceeded(run, START + 500) == PROCEED[plan_phase].get(step_phase, [])
    assert proceeded(run, START + 500) == []


@pytest.mark.parametrize(("now", "told"), [(START + 999, []), (START + 1_000, ["STEP_STARTED a"])])
def test_time_alone_starts_a_repeat(now, told):
    assert proceeded(state(PlanPhase.ACTIVE, StepPhase.RETRYING), now) == told


def test_the_reply_to_an_earlier_attempt_is_late():
    run = state(PlanPhase.ACTIVE, StepPhase.RETRYING)
    assert decide(run, SUCCESS, START + 10) == [], "its failure is recorded already"
    proceeded(run, START + 1_000)
    assert run.steps[0].attempts == 2
    assert decide(run, SUCCESS, START + 1_010) == []
    assert [event_type(event) for event in decide(run, EARLY, START + 1_010)] == [E.STEP_SUCCEEDED]


def test_a_failure_without_repeats_is_final():
    run = PlanRun(PLAN_ID)
    for event in decide(run, submitted(plan(step("a", retry=NO_RETRY))), START):
        evolve(run, event)
    proceeded(run, START)
    assert [event_type(event) for event in decide(run, FAILURE, START)] == [E.STEP_FAILED]
