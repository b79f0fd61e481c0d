"""Who runs when: dependencies, places and plan order (protocol section 3, rules 1 and 2)."""

import pytest
from core_invariants import check_log
from core_plans import NO_RETRY, Attempt, failed, ok, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_executor.core import Approve
from leadplan_executor.core.signals import NoResponders


def test_a_chain_runs_one_after_the_other():
    simulation = simulate(submission(plan(step("c", "b"), step("b", "a"), step("a"))))
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "100 STEP_SUCCEEDED a",
        "100 STEP_STARTED b",
        "200 STEP_SUCCEEDED b",
        "200 STEP_STARTED c",
        "300 STEP_SUCCEEDED c",
        "300 PLAN_COMPLETED",
    ]
    assert simulation.result.overall_status == "succeeded"
    assert [result.step_id for result in simulation.result.step_results] == ["c", "b", "a"]
    assert [bytes(result.data) for result in simulation.result.step_results] == [b'{"found":1}'] * 3


def test_a_diamond_waits_for_its_slowest_side():
    of = plan(step("top"), step("quick", "top"), step("slow", "top"), step("end", "quick", "slow"))
    simulation = simulate(submission(of), scripted({"slow": [ok(duration_ms=900)]}))
    assert simulation.story("STEP_STARTED") == [
        "0 STEP_STARTED top",
        "100 STEP_STARTED quick",
        "100 STEP_STARTED slow",
        "1000 STEP_STARTED end",
    ]


def test_a_dependency_named_twice_is_one_dependency():
    simulation = simulate(submission(plan(step("a"), step("b", "a", "a"))))
    assert simulation.statuses() == {"a": "succeeded", "b": "succeeded"}


@pytest.mark.parametrize(("max_concurrency", "waves"), [(1, 10), (3, 4), (None, 2), (10, 1), (500, 1)])
def test_independent_steps_overlap_up_to_max_concurrency(max_concurrency, waves):
    of = plan(*[step(f"s{n}") for n in range(10)], max_concurrency=max_concurrency)
    simulation = simulate(submission(of))
    assert len({line.split()[0] for line in simulation.story("STEP_STARTED")}) == waves
    assert simulation.story("PLAN_COMPLETED") == [f"{waves * 100} PLAN_COMPLETED"]
    check_log(of, simulation.events)


def test_with_one_place_steps_run_strictly_one_by_one_in_plan_order():
    of = plan(step("d", "b"), step("a"), step("c"), step("b"), step("e", "a"), max_concurrency=1)
    assert simulate(submission(of)).story("STEP_STARTED", "STEP_SUCCEEDED") == [
        "0 STEP_STARTED a",
        "100 STEP_SUCCEEDED a",
        "100 STEP_STARTED c",
        "200 STEP_SUCCEEDED c",
        "200 STEP_STARTED b",
        "300 STEP_SUCCEEDED b",
        "300 STEP_STARTED d",
        "400 STEP_SUCCEEDED d",
        "400 STEP_STARTED e",
        "500 STEP_SUCCEEDED e",
    ]


def test_a_step_that_waits_for_its_next_attempt_holds_its_place():
    tools = scripted({"a": [failed(), failed(), ok()]})
    simulation = simulate(submission(plan(step("a"), step("b"), max_concurrency=1)), tools)
    assert simulation.story("STEP_STARTED", "STEP_RETRYING") == [
        "0 STEP_STARTED a",
        "100 STEP_RETRYING a",
        "1100 STEP_STARTED a",
        "1200 STEP_RETRYING a",
        "3200 STEP_STARTED a",
        "3300 STEP_STARTED b",
    ]


def test_a_step_that_waits_for_a_person_holds_no_place():
    of = plan(step("a", requires_approval=True), step("b"), step("c"), max_concurrency=1)
    simulation = simulate(submission(of), inputs=[(150, Approve(0))])
    assert simulation.story("STEP_STARTED") == ["0 STEP_STARTED b", "100 STEP_STARTED c", "200 STEP_STARTED a"]


def test_a_free_place_goes_to_the_first_in_plan_order_not_to_whoever_was_ready_first():
    of = plan(step("late", "root"), step("root"), step("x"), step("y"), max_concurrency=1)
    assert simulate(submission(of)).story("STEP_STARTED") == [
        "0 STEP_STARTED root",
        "100 STEP_STARTED late",
        "200 STEP_STARTED x",
        "300 STEP_STARTED y",
    ]


def test_repeats_of_equal_time_start_in_plan_order():
    of = plan(step("c"), step("a"), step("b"))
    durations = {"c": 300, "a": 200, "b": 100}
    tools = scripted(
        {name: [failed(duration_ms=ms, retry_after_ms=5_000 - ms), ok()] for name, ms in durations.items()}
    )
    assert simulate(submission(of), tools).story("STEP_STARTED")[3:] == [
        "5000 STEP_STARTED c",
        "5000 STEP_STARTED a",
        "5000 STEP_STARTED b",
    ]


def test_what_stands_behind_a_failure_is_skipped_at_any_depth_while_other_branches_run():
    of = plan(
        step("broken", retry=NO_RETRY),
        step("first", "broken"),
        step("second", "first"),
        step("third", "second", "fine"),
        step("fine"),
        step("after", "fine"),
    )
    simulation = simulate(submission(of), scripted({"broken": [failed("no more credits")]}))
    assert simulation.statuses() == {
        "broken": "failed",
        "first": "skipped",
        "second": "skipped",
        "third": "skipped",
        "fine": "succeeded",
        "after": "succeeded",
    }
    assert simulation.result.overall_status == "failed"
    for name in ("first", "second", "third"):
        result = simulation.results()[name]
        assert (result.attempts, result.started_at, result.error_code) == (0, None, "dependency_failed")
        assert result.error_message == "Skipped because a dependency failed"


def test_a_step_with_several_failed_dependencies_is_skipped_once():
    of = plan(*[step(f"s{n}", retry=NO_RETRY) for n in range(3)], step("end", "s0", "s1", "s2"))
    simulation = simulate(submission(of), lambda _step, _attempt: Attempt(NoResponders()))
    assert simulation.story("STEP_SKIPPED") == ["100 STEP_SKIPPED end"]


def test_a_step_is_skipped_as_soon_as_one_dependency_failed():
    of = plan(step("slow"), step("broken", retry=NO_RETRY), step("end", "slow", "broken"))
    tools = scripted({"slow": [ok(duration_ms=5_000)], "broken": [failed()]})
    assert simulate(submission(of), tools).story("STEP_SKIPPED", "PLAN_COMPLETED") == [
        "100 STEP_SKIPPED end",
        "5000 PLAN_COMPLETED",
    ]


def test_dependants_of_an_optional_step_run_although_it_failed():
    of = plan(step("a", optional=True, retry=NO_RETRY), step("b", "a"))
    simulation = simulate(submission(of), scripted({"a": [failed("no")]}))
    assert simulation.statuses() == {"a": "failed", "b": "succeeded"}
    assert simulation.result.overall_status == "partial"


def test_dependants_of_an_optional_step_that_was_skipped_are_skipped():
    of = plan(step("a", retry=NO_RETRY), step("b", "a", optional=True), step("c", "b"))
    simulation = simulate(submission(of), scripted({"a": [failed("no")]}))
    assert simulation.statuses() == {"a": "failed", "b": "skipped", "c": "skipped"}
    assert simulation.result.overall_status == "failed"


def test_an_optional_failure_does_not_outweigh_another_one():
    of = plan(step("a", optional=True, retry=NO_RETRY), step("b", retry=NO_RETRY), step("c", "a", "b"))
    simulation = simulate(submission(of), scripted({"a": [failed()], "b": [failed()]}))
    assert simulation.statuses() == {"a": "failed", "b": "failed", "c": "skipped"}
    assert simulation.result.overall_status == "failed"
