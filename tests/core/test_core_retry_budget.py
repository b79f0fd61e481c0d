"""A plan's ``retryBudget``: how many repeats all its steps together have."""

import pytest
from core_invariants import check_log
from core_plans import PLAN_ID, failed, ok, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_contracts import RetryPolicy
from leadplan_contracts.control import RetryRequest

OFTEN = RetryPolicy(max_retries=9, base_delay_ms=1_000, max_delay_ms=1_000)
FLAKY = [failed("quota", error_code="quota_exceeded"), failed("quota", error_code="quota_exceeded"), ok()]


@pytest.mark.parametrize(("budget", "repeats"), [(None, 4), (5, 4), (4, 4), (3, 3), (1, 1), (0, 0)])
def test_all_steps_together_have_so_many_repeats(budget, repeats):
    of = plan(step("a", retry=OFTEN), step("b", retry=OFTEN), retry_budget=budget)
    simulation = simulate(submission(of), scripted({"a": FLAKY, "b": FLAKY}))
    assert len(simulation.story("STEP_RETRYING")) == repeats
    assert (simulation.result.overall_status == "succeeded") is (repeats == 4)
    check_log(of, simulation.events)


def test_a_failure_over_the_budget_is_told_with_its_own_reason_and_why_it_was_the_last():
    simulation = simulate(submission(plan(step("a", retry=OFTEN), retry_budget=1)), scripted({"a": FLAKY}))
    assert simulation.story("STEP_STARTED", "STEP_RETRYING", "STEP_FAILED") == [
        "0 STEP_STARTED a",
        "100 STEP_RETRYING a",
        "1100 STEP_STARTED a",
        "1200 STEP_FAILED a",
    ]
    result = simulation.results()["a"]
    assert (result.attempts, result.error_code) == (2, "quota_exceeded")
    assert result.error_message == "quota (the plan's retryBudget of 1 is used up)"


def test_the_first_to_fail_takes_what_is_left():
    of = plan(step("slow", retry=OFTEN), step("quick", retry=OFTEN), retry_budget=1)
    tools = scripted({"slow": [failed(duration_ms=300), ok()], "quick": [failed(duration_ms=100), ok()]})
    assert simulate(submission(of), tools).statuses() == {"slow": "failed", "quick": "succeeded"}


def test_a_step_that_may_not_be_repeated_anyway_says_nothing_of_the_budget():
    of = plan(step("a", retry=RetryPolicy(max_retries=0)), retry_budget=0)
    simulation = simulate(submission(of), scripted({"a": [failed("quota")]}))
    assert simulation.results()["a"].error_message == "quota"


def test_a_step_without_a_retry_policy_draws_on_it_too():
    simulation = simulate(submission(plan(step("a"), retry_budget=1)), scripted({"a": [failed()]}))
    assert simulation.results()["a"].attempts == 2


def test_an_attempt_that_is_sent_again_after_a_crash_costs_nothing():
    of = plan(step("a", retry=OFTEN), retry_budget=1)
    simulation = simulate(submission(of), scripted({"a": [failed(), ok()]}), crash_after={2, 3, 4, 6})
    assert simulation.crashes == 4
    assert simulation.statuses() == {"a": "succeeded"}


@pytest.mark.parametrize("crash_after", range(1, 12))
def test_what_is_used_up_stays_used_up_across_crashes(crash_after):
    of = plan(step("a", retry=OFTEN), step("b", "a", retry=OFTEN), retry_budget=3)
    simulation = simulate(submission(of), scripted({"a": FLAKY, "b": FLAKY}), crash_after={crash_after})
    assert len(simulation.story("STEP_RETRYING")) == 3
    assert simulation.statuses() == {"a": "succeeded", "b": "failed"}


def test_each_round_has_a_budget_of_its_own():
    of = plan(step("a", retry=OFTEN), retry_budget=1)
    simulation = simulate(
        submission(of),
        scripted({"a": FLAKY}),
        retries=[RetryRequest(plan_id=PLAN_ID)],
        later_tools=[scripted({"a": FLAKY[1:]})],
    )
    assert len(simulation.story("STEP_RETRYING")) == 2
    assert simulation.statuses() == {"a": "succeeded"}
