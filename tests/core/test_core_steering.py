"""Cancel, pause and unpause, whatever the plan is doing."""

import pytest
from core_invariants import check_log
from core_plans import failed, ok, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_contracts.events import PlanCancelling, PlanPaused, PlanUnpaused
from leadplan_executor.core import Approve, Cancel, Deny, Pause, Unpause

SIX = plan(
    step("done"),
    step("running", "done"),
    step("retrying", "done"),
    step("waiting", "done", requires_approval=True),
    step("pending", "running"),
    step("behind", "pending", "waiting"),
)
TOOLS = scripted({"running": [ok(duration_ms=9_000)], "retrying": [failed("quota", retry_after_ms=9_000)]})


def test_cancel_ends_every_step_wherever_it_stands():
    simulation = simulate(submission(SIX), TOOLS, inputs=[(1_000, Cancel(by="ann", reason="wrong city"))])
    assert simulation.story()[-7:] == [
        "1000 PLAN_CANCELLING",
        "1000 STEP_FAILED running",
        "1000 STEP_FAILED retrying",
        "1000 STEP_SKIPPED waiting",
        "1000 STEP_SKIPPED pending",
        "1000 STEP_SKIPPED behind",
        "1000 PLAN_COMPLETED",
    ]
    results = simulation.results()
    assert results.pop("done").status == "succeeded"
    assert {result.error_code for result in results.values()} == {"cancelled"}
    assert {name: result.attempts for name, result in results.items() if result.attempts} == {
        "running": 1,
        "retrying": 1,
    }
    assert simulation.result.overall_status == "cancelled"
    (cancelling,) = [event for event in simulation.events if isinstance(event, PlanCancelling)]
    assert (cancelling.meta.by, cancelling.meta.reason) == ("ann", "wrong city")
    check_log(SIX, simulation.events)


def test_cancel_of_a_plan_whose_approved_step_has_no_place_yet():
    of = plan(step("a", requires_approval=True), step("b"), max_concurrency=1)
    simulation = simulate(submission(of), inputs=[(50, Approve(0)), (60, Cancel())])
    assert simulation.statuses() == {"a": "skipped", "b": "failed"}


def test_cancel_wins_even_where_every_step_is_well():
    simulation = simulate(submission(plan(step("a"))), inputs=[(100, Cancel())])
    assert simulation.result.overall_status == "cancelled"


def test_cancel_twice_is_cancel_once_and_after_the_end_is_nothing():
    simulation = simulate(submission(SIX), TOOLS, inputs=[(1_000, Cancel()), (1_000, Cancel()), (2_000, Cancel())])
    assert len(simulation.story("PLAN_CANCELLING")) == 1
    done = simulate(submission(plan(step("a"))), inputs=[(5_000, Cancel()), (5_000, Pause()), (5_000, Deny(0))])
    assert done.result.overall_status == "succeeded"


@pytest.mark.parametrize("crash_after", range(1, 18))
def test_a_cancel_holds_across_a_crash(crash_after):
    inputs = [(1_000, Cancel())]
    simulation = simulate(submission(SIX), TOOLS, inputs=inputs, crash_after={crash_after}, echoes=True)
    check_log(SIX, simulation.events)
    if simulation.story("PLAN_CANCELLING"):
        assert simulation.result.overall_status == "cancelled"


def test_a_paused_plan_starts_nothing_and_lets_running_attempts_end():
    of = plan(step("a"), step("b", "a"))
    simulation = simulate(submission(of), inputs=[(50, Pause(by="ann")), (4_000, Unpause(by="bob", reason="go"))])
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "50 PLAN_PAUSED",
        "100 STEP_SUCCEEDED a",
        "4000 PLAN_UNPAUSED",
        "4000 STEP_STARTED b",
        "4100 STEP_SUCCEEDED b",
        "4100 PLAN_COMPLETED",
    ]
    (paused,) = [event for event in simulation.events if isinstance(event, PlanPaused)]
    (unpaused,) = [event for event in simulation.events if isinstance(event, PlanUnpaused)]
    assert (paused.meta.by, unpaused.meta.by, unpaused.meta.reason) == ("ann", "bob", "go")


@pytest.mark.parametrize(
    ("unpaused_at", "started_at"), [(500, 1_100), (1_099, 1_100), (1_100, 1_100), (1_101, 1_101), (90_000, 90_000)]
)
def test_a_repeat_keeps_its_time_across_a_pause(unpaused_at, started_at):
    tools = scripted({"a": [failed(), ok()]})
    simulation = simulate(submission(plan(step("a"))), tools, inputs=[(200, Pause()), (unpaused_at, Unpause())])
    assert simulation.story("STEP_STARTED") == ["0 STEP_STARTED a", f"{started_at} STEP_STARTED a"]


def test_an_attempt_that_fails_while_the_plan_is_paused_is_repeated_afterwards():
    tools = scripted({"a": [failed(), ok()]})
    simulation = simulate(submission(plan(step("a"))), tools, inputs=[(50, Pause()), (7_000, Unpause())])
    assert simulation.story("STEP_RETRYING", "STEP_STARTED") == [
        "0 STEP_STARTED a",
        "100 STEP_RETRYING a",
        "7000 STEP_STARTED a",
    ]


def test_pauses_and_unpauses_that_change_nothing_are_not_stored():
    inputs = [(10, Unpause()), (20, Pause()), (30, Pause()), (40, Unpause()), (50, Unpause())]
    simulation = simulate(submission(plan(step("a"))), inputs=inputs)
    assert simulation.story("PLAN_PAUSED", "PLAN_UNPAUSED") == ["20 PLAN_PAUSED", "40 PLAN_UNPAUSED"]


def test_a_paused_plan_can_be_cancelled():
    simulation = simulate(submission(SIX), TOOLS, inputs=[(300, Pause()), (1_000, Cancel()), (2_000, Unpause())])
    assert simulation.story("PLAN_COMPLETED") == ["1000 PLAN_COMPLETED"]
    assert simulation.result.overall_status == "cancelled"


def test_a_pause_outlives_the_executor():
    of = plan(step("a"), step("b", "a"))
    simulation = simulate(submission(of), inputs=[(50, Pause()), (60_000, Unpause())], crash_after={3, 5})
    assert simulation.crashes == 2
    assert simulation.story("STEP_STARTED") == ["0 STEP_STARTED a", "60000 STEP_STARTED b"]


def test_a_plan_paused_before_its_last_reply_completes():
    simulation = simulate(submission(plan(step("a"))), inputs=[(50, Pause())])
    assert simulation.story("PLAN_UNPAUSED", "PLAN_COMPLETED") == ["100 PLAN_COMPLETED"]


def test_a_step_behind_a_failure_is_skipped_even_in_a_paused_plan():
    of = plan(step("a"), step("b", "a"))
    simulation = simulate(submission(of), scripted({"a": [failed(retryable=False)]}), inputs=[(50, Pause())])
    assert simulation.story("STEP_SKIPPED", "PLAN_COMPLETED") == ["100 STEP_SKIPPED b", "100 PLAN_COMPLETED"]
