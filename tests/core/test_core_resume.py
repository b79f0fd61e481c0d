"""An executor dies at any moment; the next one reads the log and goes on."""

import pytest
from core_invariants import check_log
from core_plans import MESSAGE, NO_RETRY, Attempt, failed, ok, plan, scripted, step, submission
from core_simulation import DOWN_MS, Simulation, fold, simulate
from core_state_rules import snapshot
from core_strategies import BOUNDED, people, people_answer, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_contracts import RetryPolicy
from leadplan_contracts.events import PlanResumed, decode_event
from leadplan_executor.core import AttemptEnded, CallTool, Cancel, TakenOver, decide, due, evolve
from leadplan_executor.core.errors import SequenceGapError
from leadplan_executor.core.signals import NoResponders

BUSY_PLAN = plan(
    step("find"),
    step("flaky", "find"),
    step("ask", "find", requires_approval=True),
    step("broken", "find", optional=True, retry=RetryPolicy(max_retries=1)),
    step("doomed", "flaky", retry=NO_RETRY),
    step("behind", "doomed", "ask"),
    step("after", "ask", "broken"),
    max_concurrency=2,
)
TOOLS = scripted({"flaky": [failed(), ok(b"[1]")], "broken": [Attempt(NoResponders())], "doomed": [failed("no")]})


def essence(simulation: Simulation) -> dict[str, tuple[object, ...]]:
    return {
        name: (result.status, result.attempts, result.error_code, result.error_message, result.data)
        for name, result in simulation.results().items()
    }


LENGTH = 21
"""Events in the plan's log when nobody dies."""


@pytest.fixture(scope="module")
def calm() -> Simulation:
    simulation = simulate(submission(BUSY_PLAN), TOOLS)
    assert len(simulation.log) == LENGTH
    return simulation


@pytest.mark.parametrize("length", range(1, LENGTH + 1))
def test_a_crash_after_any_append_changes_no_result(length, calm):
    rough = simulate(submission(BUSY_PLAN), TOOLS, crash_after={length}, echoes=True)
    assert rough.crashes == 1
    assert essence(rough) == essence(calm)
    check_log(BUSY_PLAN, rough.events)
    assert len(rough.story("PLAN_RESUMED")) == (length < LENGTH)


@pytest.mark.parametrize("length", range(LENGTH + 1))
def test_a_log_resumed_from_any_prefix_comes_to_the_same_end(length, calm):
    resumed = simulate(submission(BUSY_PLAN), TOOLS, log=calm.log[:length])
    assert essence(resumed) == essence(calm)
    assert resumed.log[:length] == calm.log[:length]
    assert resumed.result.overall_status == calm.result.overall_status
    check_log(BUSY_PLAN, resumed.events)


def test_a_crash_after_every_other_append(calm):
    rough = simulate(submission(BUSY_PLAN), TOOLS, crash_after=range(1, 200, 2))
    assert rough.crashes > 20
    assert essence(rough) == essence(calm)
    check_log(BUSY_PLAN, rough.events)


def test_an_executor_that_always_dies_at_once_only_adds_takeovers():
    # After PLAN_STARTED, and after each of the next PLAN_RESUMED.
    simulation = simulate(submission(plan(step("a"))), crash_after=range(1, 40))
    assert simulation.story("STEP_STARTED", "STEP_SUCCEEDED") == [
        f"{39 * DOWN_MS} STEP_STARTED a",
        f"{39 * DOWN_MS + 100} STEP_SUCCEEDED a",
    ]


def test_an_attempt_in_flight_is_sent_again_under_its_number():
    simulation = simulate(submission(plan(step("a"))), scripted({"a": [ok(duration_ms=500)]}), crash_after={2})
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "5000 PLAN_RESUMED",
        "5500 STEP_SUCCEEDED a",
        "5500 PLAN_COMPLETED",
    ]
    (resumed,) = [event for event in simulation.events if isinstance(event, PlanResumed)]
    assert (resumed.meta.executor, resumed.meta.reason) == ("executor-2", "crash")
    assert simulation.state.executor == "executor-2"
    assert simulation.results()["a"].attempts == 1


def test_a_repeat_that_was_waited_for_keeps_its_time():
    tools = scripted({"a": [failed(retry_after_ms=60_000), ok()], "b": [ok(duration_ms=300)]})
    simulation = simulate(submission(plan(step("a"), step("b"))), tools, crash_after={4})
    assert simulation.story("STEP_RETRYING", "PLAN_RESUMED", "STEP_STARTED") == [
        "0 STEP_STARTED a",
        "0 STEP_STARTED b",
        "100 STEP_RETRYING a",
        "5100 PLAN_RESUMED",
        "60100 STEP_STARTED a",
    ]


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("crash_after", [2, 3, 4])
def test_at_most_once_is_not_repeated_after_a_crash(crash_after, eager):
    of = plan(step("once", at_most_once=True), step("behind", "once"), step("other"))
    tools = scripted({"once": [ok(duration_ms=700)], "other": [ok(duration_ms=200)]})
    simulation = simulate(submission(of), tools, crash_after={crash_after}, eager=eager)
    assert len([call for call in simulation.calls if call.step_id == "once"]) <= 1
    result = simulation.results()["once"]
    assert (result.status, result.attempts, result.error_code) == ("failed", 1, "outcome_unknown")
    assert simulation.statuses() == {"once": "failed", "behind": "skipped", "other": "succeeded"}


def test_at_most_once_is_never_due_between_takeover_and_its_failure():
    # Whoever starts what is due after each stored event must not send it again.
    run = fold(simulate(submission(plan(step("a", at_most_once=True), step("b")))).log[:3])
    assert isinstance(due(run)[0], CallTool)
    (resumed,) = decide(run, TakenOver("executor-2", "crash", MESSAGE), 10**13)
    evolve(run, resumed)
    assert set(due(run)) == {1}
    assert run.attempts_in_flight == 1


def test_at_most_once_fails_once_however_often_executors_die_over_it():
    of = plan(step("a", at_most_once=True), step("b", at_most_once=True))
    # After both STEP_STARTED, after PLAN_RESUMED, after the first STEP_FAILED and after the next PLAN_RESUMED.
    simulation = simulate(submission(of), crash_after={3, 4, 6, 7})
    assert simulation.story()[3:] == [
        "5000 PLAN_RESUMED",
        "10000 PLAN_RESUMED",
        "10000 STEP_FAILED a",
        "15000 PLAN_RESUMED",
        "20000 PLAN_RESUMED",
        "20000 STEP_FAILED b",
        "20000 PLAN_COMPLETED",
    ]
    assert simulation.calls == []


@pytest.mark.parametrize(("deadline_ms", "inputs"), [(2_000, []), (None, [(3_000, Cancel())])])
def test_an_unknown_outcome_is_told_as_such_whatever_else_ends_the_plan(deadline_ms, inputs):
    of = plan(step("a", at_most_once=True), step("b", "a"), deadline_ms=deadline_ms)
    simulation = simulate(submission(of), inputs=inputs, crash_after={2})
    assert simulation.results()["a"].error_code == "outcome_unknown"


def test_at_most_once_that_was_reported_failed_goes_on_after_a_crash():
    tools = scripted({"a": [failed(), ok()]})
    simulation = simulate(submission(plan(step("a", at_most_once=True))), tools, crash_after={3})
    assert simulation.statuses() == {"a": "succeeded"}
    assert [call.attempt for call in simulation.calls] == [1, 2]


@pytest.mark.parametrize("length", range(1, LENGTH + 1))
def test_an_event_delivered_twice_is_refused_and_changes_nothing(length, calm):
    run = fold(calm.log[:length])
    before = snapshot(run)
    for body in calm.log[:length]:
        with pytest.raises(SequenceGapError):
            evolve(run, decode_event(body))
    for body in calm.log[length + 1 :]:
        with pytest.raises(SequenceGapError):
            evolve(run, decode_event(body))
    assert snapshot(run) == before


def test_a_reply_to_the_executor_that_died_is_late_for_the_next_one_only_if_the_step_moved_on(calm):
    run = fold(calm.log[:2])
    reply = AttemptEnded(0, 1, ok().signal, 0.0)
    (event,) = decide(run, reply, 10**13)
    assert decide(fold(calm.log[:3]), reply, 10**13) == []
    assert event.sequence == 3


@settings(BOUNDED, max_examples=30)
@given(st.data())
def test_any_log_resumed_from_any_prefix_comes_to_the_same_results(data):
    of, tools = data.draw(scenarios(max_steps=12, limits=False, at_most_once=None), "scenario")
    answers = data.draw(people_answer(of), "answers")
    calm = simulate(submission(of), tools, answers=answers)
    for length in range(len(calm.log) + 1):
        resumed = simulate(submission(of), tools, answers=answers, log=calm.log[:length])
        assert essence(resumed) == essence(calm)
        check_log(of, resumed.events)


@settings(BOUNDED, max_examples=30)
@given(st.data())
def test_any_log_whatever_happened_in_it_can_be_resumed_from_any_prefix(data):
    of, tools = data.draw(scenarios(max_steps=8), "scenario")
    first = simulate(submission(of), tools, inputs=data.draw(people(of), "people"))
    for length in range(len(first.log) + 1):
        check_log(of, simulate(submission(of), tools, log=first.log[:length]).events)
