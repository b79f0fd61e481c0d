"""A step's own deadline: from its first attempt, or from when it began to wait for a person."""

import pytest
from core_invariants import check_log
from core_plans import PLAN_ID, START, failed, ok, plan, scripted, step, submission
from core_simulation import fold, simulate

from leadplan_contracts import RetryPolicy
from leadplan_contracts.control import ApproveRequest, CancelRequest, Decision, PauseRequest, ResumeRequest
from leadplan_contracts.times import parse_time
from leadplan_executor.core import WaitUntil, due

SLOW = scripted({"a": [ok(duration_ms=20_000)]})
APPROVE = ApproveRequest(plan_id=PLAN_ID)
PAUSE = PauseRequest(plan_id=PLAN_ID)


def test_a_step_that_runs_for_too_long_fails_and_the_rest_of_the_plan_goes_on():
    of = plan(step("a", deadline_ms=1_500), step("behind", "a"), step("other"), step("after", "other"))
    simulation = simulate(submission(of), SLOW)
    assert simulation.story()[-3:] == ["1500 STEP_FAILED a", "1500 STEP_SKIPPED behind", "1500 PLAN_COMPLETED"]
    assert simulation.statuses() == {"a": "failed", "behind": "skipped", "other": "succeeded", "after": "succeeded"}
    result = simulation.results()["a"]
    assert (result.error_code, result.error_message) == (
        "deadline_exceeded",
        "the step's deadline of 1500 ms passed",
    )
    check_log(of, simulation.events)


def test_it_counts_from_the_first_attempt_not_from_the_plans_start_nor_from_each_attempt():
    of = plan(step("first"), step("a", "first", deadline_ms=3_000, retry=RetryPolicy(max_retries=9)))
    simulation = simulate(submission(of), scripted({"a": [failed(), ok(duration_ms=20_000)]}))
    assert simulation.story()[3:] == [
        "100 STEP_STARTED a",
        "200 STEP_RETRYING a",
        "1200 STEP_STARTED a",
        "3100 STEP_FAILED a",
        "3100 PLAN_COMPLETED",
    ]
    assert {parse_time(call.env.deadline) - START for call in simulation.calls if call.step_id == "a"} == {3_100}


def test_a_step_that_waits_for_a_place_has_no_deadline_yet():
    of = plan(step("long"), step("a", deadline_ms=500), max_concurrency=1)
    simulation = simulate(submission(of), scripted({"long": [ok(duration_ms=5_000)]}))
    assert simulation.statuses() == {"long": "succeeded", "a": "succeeded"}


@pytest.mark.parametrize(("deadline_ms", "repeated"), [(1_101, True), (1_100, False)])
def test_no_repeat_is_promised_that_would_come_after_it(deadline_ms, repeated):
    simulation = simulate(
        submission(plan(step("a", deadline_ms=deadline_ms))), scripted({"a": [failed("quota"), ok()]})
    )
    assert bool(simulation.story("STEP_RETRYING")) is repeated
    if not repeated:
        assert simulation.results()["a"].error_message == "quota", "the reason that helps its reader"


def test_a_person_who_takes_too_long():
    of = plan(step("a", requires_approval=True, deadline_ms=60_000), step("b", "a"))
    for parks in (False, True):
        simulation = simulate(submission(of), inputs=[(60_001, APPROVE)], parks=parks)
        assert simulation.story("STEP_WAITING", "STEP_FAILED") == ["0 STEP_WAITING a", "60000 STEP_FAILED a"]
        assert simulation.results()["a"].error_code == "deadline_exceeded"


def test_an_approval_gives_the_step_its_whole_time_from_its_first_attempt():
    of = plan(step("a", requires_approval=True, deadline_ms=1_000))
    simulation = simulate(submission(of), SLOW, inputs=[(900, APPROVE)])
    assert simulation.story("STEP_STARTED", "STEP_FAILED") == ["900 STEP_STARTED a", "1900 STEP_FAILED a"]


def test_an_approved_step_that_finds_no_place_in_time_fails():
    of = plan(step("long"), step("a", requires_approval=True, deadline_ms=1_000), max_concurrency=1)
    simulation = simulate(submission(of), scripted({"long": [ok(duration_ms=5_000)]}), inputs=[(500, APPROVE)])
    assert simulation.story("STEP_FAILED") == ["1000 STEP_FAILED a"]
    assert simulation.results()["a"].attempts == 0


def test_it_runs_on_while_the_plan_is_paused():
    of = plan(step("a", deadline_ms=2_000), step("b", "a"))
    inputs = [(50, PAUSE), (9_000, ResumeRequest(plan_id=PLAN_ID))]
    simulation = simulate(submission(of), scripted({"a": [failed(), ok()]}), inputs=inputs, parks=True)
    assert simulation.story("STEP_FAILED", "PLAN_COMPLETED") == ["2000 STEP_FAILED a", "2000 PLAN_COMPLETED"]


def test_an_optional_step_that_fails_so_lets_the_rest_run():
    of = plan(step("a", deadline_ms=200, optional=True), step("b", "a"))
    simulation = simulate(submission(of), SLOW)
    assert simulation.statuses() == {"a": "failed", "b": "succeeded"}
    assert simulation.result.overall_status == "partial"


@pytest.mark.parametrize("crash_after", range(2, 6))
def test_it_holds_across_crashes(crash_after):
    of = plan(step("a", deadline_ms=12_000), step("b"))
    simulation = simulate(submission(of), SLOW, crash_after={crash_after, crash_after + 1})
    assert simulation.story("STEP_FAILED") == ["12000 STEP_FAILED a"]
    assert {call.env.deadline for call in simulation.calls if call.step_id == "a"} <= {"2026-11-23T09:15:12.000Z"}


def test_one_that_passed_while_nobody_had_the_plan_ends_the_step_without_another_attempt():
    simulation = simulate(submission(plan(step("a", deadline_ms=2_000))), SLOW, crash_after={2})
    assert simulation.story()[2:] == ["5000 PLAN_RESUMED", "5000 STEP_FAILED a", "5000 PLAN_COMPLETED"]
    assert simulation.calls == []


@pytest.mark.parametrize(("step_ms", "plan_ms", "whose"), [(800, 900, "step's"), (900, 800, "plan's")])
def test_the_earlier_of_the_steps_and_the_plans_deadline_counts(step_ms, plan_ms, whose):
    of = plan(step("a", deadline_ms=step_ms), deadline_ms=plan_ms)
    simulation = simulate(submission(of), SLOW)
    assert simulation.story("PLAN_COMPLETED") == ["800 PLAN_COMPLETED"]
    assert simulation.results()["a"].error_message == f"the {whose} deadline of 800 ms passed"


def test_time_is_awaited_for_the_earliest_deadline_of_those_that_run():
    of = plan(step("a", deadline_ms=5_000), step("b", deadline_ms=900), step("c", deadline_ms=5_000), deadline_ms=9_000)
    simulation = simulate(submission(of), scripted({"b": [ok(duration_ms=300)]}))
    alarms = [due(fold(simulation.log[:length])).get(None) for length in range(1, len(simulation.log) + 1)]
    awaited = [alarm.at - START for alarm in alarms if isinstance(alarm, WaitUntil)]
    # PLAN_STARTED; a, b and c started; a and c ended; b ended.
    assert awaited == [9_000, 5_000, 900, 900, 900, 900, 9_000]


def test_a_cancelled_step_is_cancelled_though_its_deadline_passed():
    of = plan(step("a", deadline_ms=1_000))
    simulation = simulate(submission(of), SLOW, inputs=[(500, CancelRequest(plan_id=PLAN_ID))], crash_after={3})
    assert simulation.results()["a"].error_code == "cancelled"


def test_a_refusal_counts_however_late_its_failure_is_recorded():
    of = plan(step("a", requires_approval=True, deadline_ms=1_000))
    simulation = simulate(submission(of), answers={"a": False}, inputs=[(500, PAUSE)], crash_after={4})
    assert simulation.results()["a"].error_code == "deadline_exceeded", "nobody had said anything in time"
    deny = ApproveRequest(plan_id=PLAN_ID, decision=Decision.DENY)
    denied = simulate(submission(of), inputs=[(500, deny)], crash_after={3})
    assert denied.story()[3:] == ["5500 PLAN_RESUMED", "5500 STEP_FAILED a", "5500 PLAN_COMPLETED"]
    assert denied.results()["a"].error_code == "denied"
