"""Steps that wait for a person."""

from core_invariants import check_log
from core_plans import NO_RETRY, failed, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_contracts.events import StepApproved, StepDenied
from leadplan_executor.core import Approve, Deny, Pause, Unpause

ASKING = plan(step("a"), step("b", "a", requires_approval=True), step("c", "b"))


def test_an_approved_step_runs():
    simulation = simulate(submission(ASKING), inputs=[(5_000, Approve(1, by="ann", reason="looks good"))])
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "100 STEP_SUCCEEDED a",
        "100 STEP_WAITING b",
        "5000 STEP_APPROVED b",
        "5000 STEP_STARTED b",
        "5100 STEP_SUCCEEDED b",
        "5100 STEP_STARTED c",
        "5200 STEP_SUCCEEDED c",
        "5200 PLAN_COMPLETED",
    ]
    (approved,) = [event for event in simulation.events if isinstance(event, StepApproved)]
    assert (approved.meta.by, approved.meta.reason) == ("ann", "looks good")


def test_a_refused_step_fails_and_what_stands_behind_it_is_skipped():
    simulation = simulate(submission(ASKING), inputs=[(5_000, Deny(1, by="ann", reason="too dear"))])
    assert simulation.story()[4:] == [
        "5000 STEP_DENIED b",
        "5000 STEP_FAILED b",
        "5000 STEP_SKIPPED c",
        "5000 PLAN_COMPLETED",
    ]
    result = simulation.results()["b"]
    assert (result.status, result.attempts, result.error_code) == ("failed", 0, "denied")
    assert simulation.result.overall_status == "failed"
    (denied,) = [event for event in simulation.events if isinstance(event, StepDenied)]
    assert (denied.meta.by, denied.meta.reason) == ("ann", "too dear")


def test_refusing_an_optional_step_lets_the_rest_run():
    of = plan(step("a", optional=True, requires_approval=True), step("b", "a"))
    simulation = simulate(submission(of), answers={"a": False})
    assert simulation.statuses() == {"a": "failed", "b": "succeeded"}
    assert simulation.result.overall_status == "partial"


def test_answers_before_the_question_and_after_the_answer_change_nothing():
    inputs = [(10, Approve(1)), (20, Deny(1)), (200, Approve(1)), (210, Deny(1)), (220, Approve(1)), (900, Deny(0))]
    simulation = simulate(submission(ASKING), inputs=inputs)
    assert simulation.story("STEP_WAITING", "STEP_APPROVED", "STEP_DENIED") == [
        "100 STEP_WAITING b",
        "200 STEP_APPROVED b",
    ]
    assert simulation.result.overall_status == "succeeded"


def test_nobody_is_asked_about_a_step_that_will_not_run():
    of = plan(step("a", retry=NO_RETRY), step("b", "a", requires_approval=True))
    simulation = simulate(submission(of), scripted({"a": [failed()]}))
    assert simulation.story("STEP_WAITING", "STEP_SKIPPED") == ["100 STEP_SKIPPED b"]


def test_all_steps_that_could_run_are_asked_about_at_once():
    of = plan(*[step(f"s{n}", requires_approval=True) for n in range(4)], max_concurrency=1)
    simulation = simulate(submission(of), inputs=[(10, Approve(2)), (20, Deny(0)), (30, Approve(1)), (40, Approve(3))])
    assert len(simulation.story("STEP_WAITING")) == 4
    assert simulation.story("STEP_STARTED") == ["10 STEP_STARTED s2", "110 STEP_STARTED s1", "210 STEP_STARTED s3"]
    check_log(of, simulation.events)


def test_an_approval_in_a_paused_plan_counts_once_it_goes_on():
    of = plan(step("a", requires_approval=True))
    simulation = simulate(submission(of), inputs=[(10, Pause()), (20, Approve(0)), (500, Unpause())])
    assert simulation.story("STEP_APPROVED", "STEP_STARTED") == ["20 STEP_APPROVED a", "500 STEP_STARTED a"]


def test_a_refusal_in_a_paused_plan_ends_it():
    of = plan(step("a", requires_approval=True))
    simulation = simulate(submission(of), inputs=[(10, Pause()), (20, Deny(0)), (500, Unpause())])
    assert simulation.story("STEP_FAILED", "PLAN_COMPLETED") == ["20 STEP_FAILED a", "20 PLAN_COMPLETED"]


def test_an_executor_that_dies_while_a_person_thinks_asks_only_once():
    simulation = simulate(submission(ASKING), crash_after={4, 5, 6, 7}, inputs=[(60_000, Approve(1))])
    assert simulation.crashes == 4
    assert len(simulation.story("STEP_WAITING")) == 1
    assert simulation.result.overall_status == "succeeded"


def test_a_refusal_counts_however_late_its_failure_is_recorded():
    # The executor dies between STEP_DENIED and STEP_FAILED, and the deadline passes before the next one comes.
    of = plan(step("a", requires_approval=True), step("b"), deadline_ms=3_000)
    simulation = simulate(submission(of), inputs=[(500, Deny(0))], crash_after={5})
    assert simulation.story()[4:] == [
        "500 STEP_DENIED a",
        "5500 PLAN_RESUMED",
        "5500 STEP_FAILED a",
        "5500 PLAN_COMPLETED",
    ]
    assert simulation.results()["a"].error_code == "denied"
