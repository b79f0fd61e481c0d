"""The plan's deadline: it ends whatever could still run."""

import pytest
from core_invariants import check_log
from core_plans import NO_RETRY, failed, ok, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_contracts import RetryPolicy
from leadplan_executor.core import Approve, Cancel, Pause

SLOW = scripted({"running": [ok(duration_ms=20_000)], "retrying": [failed("quota", retry_after_ms=2_000)]})


def test_what_runs_or_could_run_fails_and_what_stands_behind_it_is_skipped():
    of = plan(
        step("done"),
        step("running", "done"),
        step("retrying", "done", retry=RetryPolicy(max_retries=9)),
        step("waiting", "done", requires_approval=True),
        step("behind", "running"),
        step("further", "behind"),
        deadline_ms=4_999,
    )
    # Paused, for a repeat that would come after the deadline is never waited for.
    simulation = simulate(submission(of), SLOW, inputs=[(1_000, Pause())])
    assert simulation.story()[-8:] == [
        "200 STEP_RETRYING retrying",
        "1000 PLAN_PAUSED",
        "4999 STEP_FAILED running",
        "4999 STEP_FAILED retrying",
        "4999 STEP_FAILED waiting",
        "4999 STEP_SKIPPED behind",
        "4999 STEP_SKIPPED further",
        "4999 PLAN_COMPLETED",
    ]
    results = simulation.results()
    assert {results[name].error_code for name in ("running", "retrying", "waiting")} == {"deadline_exceeded"}
    assert results["running"].error_message == "the plan's deadline of 4999 ms passed"
    assert results["behind"].error_code == results["further"].error_code == "dependency_failed"
    assert simulation.result.overall_status == "failed"
    check_log(of, simulation.events)


def test_steps_that_wait_for_a_place_fail_too():
    of = plan(step("a"), step("b"), step("c"), max_concurrency=1, deadline_ms=150)
    simulation = simulate(submission(of))
    assert simulation.statuses() == {"a": "succeeded", "b": "failed", "c": "failed"}
    assert simulation.results()["c"].attempts == 0


def test_dependants_of_optional_steps_fail_at_the_deadline_as_they_could_have_run():
    of = plan(step("a", optional=True), step("b", "a", optional=True), step("c", "b", optional=True), deadline_ms=50)
    simulation = simulate(submission(of))
    assert simulation.statuses() == {"a": "failed", "b": "failed", "c": "failed"}
    assert simulation.result.overall_status == "partial"


def test_a_plan_that_ends_in_time_takes_no_notice():
    simulation = simulate(submission(plan(step("a"), deadline_ms=101)))
    assert simulation.story("PLAN_COMPLETED") == ["100 PLAN_COMPLETED"]
    assert simulation.result.overall_status == "succeeded"


def test_the_deadline_counts_from_the_plans_start_across_crashes():
    of = plan(step("a"), deadline_ms=12_000)
    simulation = simulate(submission(of), scripted({"a": [ok(duration_ms=30_000)]}), crash_after={2, 3})
    assert simulation.story("STEP_FAILED") == ["12000 STEP_FAILED a"]
    assert {call.env.deadline for call in simulation.calls} == {"2026-11-23T09:15:12.000Z"}


def test_a_plan_taken_over_after_its_deadline_ends_without_another_attempt():
    simulation = simulate(submission(plan(step("a"), deadline_ms=2_000)), crash_after={2})
    assert simulation.story()[2:] == ["5000 PLAN_RESUMED", "5000 STEP_FAILED a", "5000 PLAN_COMPLETED"]
    assert simulation.calls == []


@pytest.mark.parametrize("steer", [Pause(), Approve(1)])
def test_a_deadline_ends_paused_and_waiting_plans(steer):
    of = plan(step("a"), step("b", "a", requires_approval=True), deadline_ms=800)
    simulation = simulate(submission(of), inputs=[(50, steer)])
    assert simulation.story("PLAN_COMPLETED") == ["800 PLAN_COMPLETED"]
    assert simulation.results()["b"].error_code == "deadline_exceeded"


def test_cancelled_stays_cancelled_after_the_deadline():
    of = plan(step("a"), deadline_ms=800)
    simulation = simulate(submission(of), SLOW, inputs=[(50, Cancel())], crash_after={3})
    assert simulation.story()[3:] == ["5050 PLAN_RESUMED", "5050 STEP_FAILED a", "5050 PLAN_COMPLETED"]
    assert simulation.results()["a"].error_code == "cancelled"


@pytest.mark.parametrize(
    ("deadline_ms", "repeated"), [(1_102, True), (1_101, True), (1_100, False), (1_099, False), (101, False)]
)
def test_no_repeat_is_promised_that_would_come_after_the_deadline(deadline_ms, repeated):
    of = plan(step("a", retry=RetryPolicy(max_retries=1)), step("b", "a"), deadline_ms=deadline_ms)
    simulation = simulate(submission(of), scripted({"a": [failed("quota", error_code="quota_exceeded"), ok()]}))
    assert bool(simulation.story("STEP_RETRYING")) is repeated
    if not repeated:
        assert simulation.story()[2:] == ["100 STEP_FAILED a", "100 STEP_SKIPPED b", "100 PLAN_COMPLETED"]
        assert simulation.results()["a"].error_code == "quota_exceeded", "the reason that helps its reader"


def test_a_reply_on_the_way_at_the_deadline_comes_too_late():
    of = plan(step("a", retry=NO_RETRY), deadline_ms=500)
    simulation = simulate(submission(of), scripted({"a": [ok(duration_ms=501)]}), echoes=True)
    assert simulation.statuses() == {"a": "failed"}
    assert simulation.story()[-1] == "500 PLAN_COMPLETED"
