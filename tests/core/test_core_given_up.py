"""A plan that is given up ends in the ordinary way from wherever it is, and no tool is called any more."""

import pytest
from core_invariants import check_log
from core_plans import MESSAGE, NO_RETRY, PLAN_ID, failed, ok, plan, scripted, step, submission
from core_simulation import fold, simulate
from core_strategies import BOUNDED, people, scenarios
from hypothesis import given
from hypothesis import strategies as st

from leadplan_contracts import RetryPolicy
from leadplan_contracts.events import PlanCompleted, PlanResumed, StepStarted, decode_event
from leadplan_contracts.wire import encode
from leadplan_executor.core import Cancel, GivenUp, PlanRun, TakenOver, decide, evolve

LATER = 10**13
REASON = "handling this plan failed 5 times"


def give_up(log: list[bytes]) -> tuple[PlanRun, list]:
    """The state and the log after an executor took the plan over and gave it up."""
    run, log = fold(log), list(log)
    for happened in (TakenOver("executor-9", "crash", MESSAGE), *[GivenUp(REASON)] * (len(run.steps) + 1)):
        for event in decide(run, happened, LATER):
            log.append(encode(event))
            evolve(run, event)
    return run, [decode_event(body) for body in log]


def results(events: list) -> dict[str, tuple]:
    completed = events[-1]
    assert isinstance(completed, PlanCompleted)
    return {one.step_id: (one.status, one.error_code, one.attempts) for one in completed.result.step_results}


def test_what_runs_or_could_run_fails_and_what_stands_behind_it_is_skipped():
    of = plan(
        step("done"),
        step("running", "done"),
        step("retrying", "done"),
        step("behind", "running"),
        step("asked", "done", requires_approval=True),
        step("far", "behind"),
    )
    tools = scripted({"running": [ok(duration_ms=9_000)], "retrying": [failed(retry_after_ms=5_000)]})
    log = simulate(submission(of), tools).log
    cut = next(n for n, body in enumerate(log, 1) if b'"STEP_RETRYING"' in body)
    _, events = give_up(log[:cut])
    assert results(events) == {
        "done": ("succeeded", None, 1),
        "running": ("failed", "poison_plan", 1),
        "retrying": ("failed", "poison_plan", 1),
        "behind": ("skipped", "dependency_failed", 0),
        "asked": ("failed", "poison_plan", 0),
        "far": ("skipped", "dependency_failed", 0),
    }
    assert events[-1].result.overall_status == "failed"
    assert {one.error_message for one in events[-1].result.step_results if one.error_code == "poison_plan"} == {REASON}


def test_what_an_optional_failure_would_let_run_fails_too():
    of = plan(step("a", optional=True, retry=NO_RETRY), step("b", "a", optional=True), step("c", "b", optional=True))
    _, events = give_up(simulate(submission(of)).log[:2])
    assert {code for _, code, _ in results(events).values()} == {"poison_plan"}
    assert [attempts for *_, attempts in results(events).values()] == [1, 0, 0]
    assert events[-1].result.overall_status == "partial"


def test_an_attempt_that_must_not_be_repeated_keeps_its_own_reason():
    of = plan(step("once", at_most_once=True), step("other"))
    _, events = give_up(simulate(submission(of), scripted({"other": [ok(duration_ms=900)]})).log[:3])
    assert results(events) == {"once": ("failed", "outcome_unknown", 1), "other": ("failed", "poison_plan", 1)}


@pytest.mark.parametrize("length", [5, 6])
def test_a_plan_that_only_lacked_its_end_gets_it(length):
    log = simulate(submission(plan(step("a"), step("b")))).log
    assert b'"PLAN_COMPLETED"' in log[5]
    _, events = give_up(log[:length])
    assert events[-1].result.overall_status == "succeeded"
    assert sum(isinstance(event, PlanCompleted) for event in events) == 1


def test_a_plan_that_was_being_cancelled_ends_as_cancelled():
    of = plan(step("a", retry=RetryPolicy(base_delay_ms=5_000)), step("b", "a"))
    log = simulate(submission(of), inputs=[(50, Cancel())]).log
    cut = next(n for n, body in enumerate(log, 1) if b'"PLAN_CANCELLING"' in body)
    _, events = give_up(log[:cut])
    assert events[-1].result.overall_status == "cancelled"


def test_giving_up_a_plan_that_never_began_stores_nothing():
    assert decide(PlanRun(PLAN_ID), GivenUp(REASON), LATER) == []


@BOUNDED
@given(st.data())
def test_every_rule_holds_wherever_a_plan_is_given_up(data):
    of, tools = data.draw(scenarios(max_steps=10), "scenario")
    log = simulate(submission(of), tools, inputs=data.draw(people(of), "people")).log
    length = data.draw(st.integers(1, len(log)), "length")
    run, events = give_up(log[:length])
    assert run.completed
    check_log(of, events)
    assert not any(isinstance(event, StepStarted) for event in events[length:])
    assert sum(isinstance(event, PlanResumed) for event in events[length:]) == (length < len(log))
    assert decide(run, GivenUp(REASON), LATER) == []
