"""When a plan only waits, until when, and that to let it go and take it up again changes nothing."""

import pytest
from core_invariants import check_log
from core_plans import MESSAGE, PLAN_ID, START, failed, ok, plan, scripted, started, step, submission
from core_simulation import fold, simulate

from leadplan_contracts.control import ApproveRequest, CancelRequest, PauseRequest, ResumeRequest
from leadplan_contracts.events import PlanResumed, PlanStarted
from leadplan_executor.core.waiting import Idle, idle, is_waiting

HOUR = 3_600_000
ASKS = plan(step("a"), step("ask", "a", requires_approval=True), step("end", "ask"))
LATER = scripted({"a": [failed(retry_after_ms=HOUR), ok()]})
APPROVE = ApproveRequest(plan_id=PLAN_ID, by="ann")
CANCEL = CancelRequest(plan_id=PLAN_ID)
PAUSE = PauseRequest(plan_id=PLAN_ID)
RESUME = ResumeRequest(plan_id=PLAN_ID)


def waits(of, count: int, tools=None, *, now: int = 0, patience_ms: int = 1_000, **kwargs):
    """Whether the plan only waits after so many events, as seen ``now`` ms after its start."""
    log = simulate(submission(of), tools, **kwargs).log
    return idle(fold(log[:count]), START + now, patience_ms)


def test_a_plan_that_waits_for_a_person_waits_for_ever():
    assert waits(ASKS, 4) == Idle(None)


def test_a_deadline_of_the_plan_or_of_the_step_ends_the_wait():
    assert waits(plan(*ASKS.steps, deadline_ms=HOUR), 4) == Idle(START + HOUR)
    assert waits(plan(step("ask", requires_approval=True, deadline_ms=5_000)), 2) == Idle(START + 5_000)


def test_a_plan_that_waits_for_a_repeat_waits_until_its_time():
    of = plan(step("a"))
    assert waits(of, 3, LATER) == Idle(START + 100 + HOUR)


@pytest.mark.parametrize(("left_ms", "lets_go"), [(1_001, True), (1_000, True), (999, False), (0, False), (-5, False)])
def test_a_plan_that_time_wakes_soon_is_kept(left_ms, lets_go):
    told = waits(plan(step("a")), 3, LATER, now=100 + HOUR - left_ms)
    assert told == (Idle(START + 100 + HOUR) if lets_go else None)


def test_whatever_is_under_way_keeps_the_plan():
    both = plan(step("a"), step("ask", requires_approval=True))
    assert waits(both, 3, scripted({"a": [ok(duration_ms=9_000)]})) is None
    assert waits(ASKS, 1) is None, "a step could start"
    assert waits(ASKS, 3) is None, "a person must be asked first"
    two = plan(step("ask", requires_approval=True), step("too", requires_approval=True))
    assert waits(two, 2) is None, "a person must be asked about the other step too"
    assert waits(ASKS, 5) is None, "it was approved, and could start"
    assert waits(ASKS, 5, answers={"ask": False}) is None, "it was refused, and its failure isn't stored yet"
    assert waits(ASKS, len(simulate(submission(ASKS)).log)) is None, "it has ended"


def test_a_step_that_could_start_but_finds_no_place_starts_nothing():
    of = plan(step("a"), step("b"), max_concurrency=1)
    assert waits(of, 3, LATER) == Idle(START + 100 + HOUR)
    roomy = plan(step("a"), step("b"), max_concurrency=2)
    run = fold(simulate(submission(roomy), LATER).log[:2])
    assert not is_waiting(run)


def test_a_paused_plan_waits_once_its_attempts_have_ended():
    of = plan(step("a"), step("b", "a"))
    log = simulate(submission(of), inputs=[(50, PAUSE)]).log
    assert [idle(fold(log[:count]), START, 1_000) for count in (3, 4)] == [None, Idle(None)]


def test_a_paused_plan_is_not_woken_for_a_repeat_that_it_would_not_make():
    assert waits(plan(step("a"), deadline_ms=2 * HOUR), 4, LATER, inputs=[(500, PAUSE)]) == Idle(START + 2 * HOUR)


def test_a_plan_that_is_being_cancelled_never_waits():
    assert waits(ASKS, 5, inputs=[(500, CANCEL)]) is None


def test_a_plan_that_was_just_begun_has_work():
    assert not is_waiting(started(plan(step("a"))))
    assert not is_waiting(started(plan(step("a", requires_approval=True)))), "somebody must be asked"


# --- let go and taken up


def test_a_parked_plan_is_taken_up_by_the_message_that_wakes_it():
    simulation = simulate(submission(ASKS), inputs=[(HOUR, APPROVE)], parks=True)
    assert simulation.parked == 1
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "100 STEP_SUCCEEDED a",
        "100 STEP_WAITING ask",
        f"{HOUR} PLAN_RESUMED",
        f"{HOUR} STEP_APPROVED ask",
        f"{HOUR} STEP_STARTED ask",
        f"{HOUR + 100} STEP_SUCCEEDED ask",
        f"{HOUR + 100} STEP_STARTED end",
        f"{HOUR + 200} STEP_SUCCEEDED end",
        f"{HOUR + 200} PLAN_COMPLETED",
    ]
    (resumed,) = [event for event in simulation.events if isinstance(event, PlanResumed)]
    assert (resumed.meta.message, resumed.meta.reason) == (MESSAGE + 1, "asked for")
    assert (simulation.state.submission, simulation.state.message) == (MESSAGE, MESSAGE + 1)
    check_log(ASKS, simulation.events)


def test_time_wakes_a_parked_plan_for_its_repeat():
    simulation = simulate(submission(plan(step("a"))), LATER, parks=True)
    assert simulation.story("PLAN_RESUMED", "STEP_STARTED") == [
        "0 STEP_STARTED a",
        f"{HOUR + 100} PLAN_RESUMED",
        f"{HOUR + 100} STEP_STARTED a",
    ]


def test_time_wakes_a_parked_plan_for_its_deadline():
    of = plan(*ASKS.steps, deadline_ms=HOUR)
    simulation = simulate(submission(of), parks=True)
    assert simulation.story()[4:] == [
        f"{HOUR} PLAN_RESUMED",
        f"{HOUR} STEP_FAILED ask",
        f"{HOUR} STEP_SKIPPED end",
        f"{HOUR} PLAN_COMPLETED",
    ]


def test_a_request_that_changes_nothing_does_not_take_a_parked_plan_up():
    simulation = simulate(submission(ASKS), inputs=[(500, RESUME), (600, RESUME), (HOUR, APPROVE)], parks=True)
    assert len(simulation.story("PLAN_RESUMED")) == 1


def test_a_parked_plan_can_be_paused_resumed_and_cancelled():
    inputs = [(500, PAUSE), (1_000, RESUME), (2_000, CANCEL)]
    simulation = simulate(submission(ASKS), inputs=inputs, parks=True)
    assert simulation.story()[4:] == [
        "500 PLAN_RESUMED",
        "500 PLAN_PAUSED",
        "1000 PLAN_RESUMED",
        "1000 PLAN_UNPAUSED",
        "2000 PLAN_RESUMED",
        "2000 PLAN_CANCELLING",
        "2000 STEP_SKIPPED ask",
        "2000 STEP_SKIPPED end",
        "2000 PLAN_COMPLETED",
    ]
    assert simulation.parked == 3
    assert simulation.state.message == MESSAGE + 3


@pytest.mark.parametrize("crash_after", range(1, 13))
def test_a_crash_of_whoever_took_a_parked_plan_up_is_a_crash_like_any_other(crash_after):
    inputs = [(HOUR, APPROVE)]
    simulation = simulate(submission(ASKS), inputs=inputs, parks=True, crash_after={crash_after}, echoes=True)
    assert simulation.statuses() == {"a": "succeeded", "ask": "succeeded", "end": "succeeded"}
    assert len(simulation.story("STEP_APPROVED")) == 1
    # Redelivered is the message that woke the plan; that it is held by it was told before.
    messages = [event.meta.message for event in simulation.events if isinstance(event, PlanResumed)]
    assert [message for message in messages if message is not None] == [MESSAGE + 1]
    check_log(ASKS, simulation.events)


def test_a_plan_that_came_by_another_message_than_its_submission_keeps_both():
    simulation = simulate(submission(plan(step("a"))), message=MESSAGE + 5, crash_after={2})
    begun = simulation.events[0]
    assert isinstance(begun, PlanStarted)
    assert (begun.meta.submission, begun.meta.message) == (MESSAGE, MESSAGE + 5)
    assert (simulation.state.submission, simulation.state.message) == (MESSAGE, MESSAGE + 5)
    usual = simulate(submission(plan(step("a")))).events[0]
    assert isinstance(usual, PlanStarted)
    assert (usual.meta.submission, usual.meta.message) == (MESSAGE, None)
