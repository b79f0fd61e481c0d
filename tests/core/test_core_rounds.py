"""A finished plan is retried: what runs again, what stays, and what a new round begins with."""

import pytest
from core_invariants import check_log
from core_plans import MESSAGE, NO_RETRY, PLAN_ID, Attempt, failed, ok, plan, scripted, step, submission
from core_simulation import fold, simulate

from leadplan_contracts import RetryPolicy
from leadplan_contracts.control import ApproveRequest, CancelRequest, Decision, RetryRequest
from leadplan_contracts.events import PlanRetried, StepStarted
from leadplan_contracts.times import parse_time
from leadplan_executor.core import AttemptEnded, decide
from leadplan_executor.core.control import Granted, Refused
from leadplan_executor.core.signals import NoResponders

BROKEN = failed("no", retryable=False)
CHAIN = plan(*[step(f"s{n}", *([f"s{n - 1}"] if n else [])) for n in range(5)], step("aside"))


def retry(step_id: str | None = None, request_id: str | None = None) -> RetryRequest:
    return RetryRequest(plan_id=PLAN_ID, step_id=step_id, by="ann", reason="credits are back", request_id=request_id)


def second_round(simulation, *only: str) -> list[str]:
    """What happened from PLAN_RETRIED on, without times."""
    lines = [line.split(" ", 1)[1] for line in simulation.story()]
    after = lines[lines.index("PLAN_RETRIED") :]
    return [line for line in after if not only or line.split()[0] in only]


def test_what_failed_or_was_skipped_runs_again_and_the_rest_keeps_its_results():
    simulation = simulate(submission(CHAIN), scripted({"s2": [BROKEN]}), later_tools=[scripted({})], retries=[retry()])
    assert second_round(simulation) == [
        "PLAN_RETRIED",
        "STEP_STARTED s2",
        "STEP_SUCCEEDED s2",
        "STEP_STARTED s3",
        "STEP_SUCCEEDED s3",
        "STEP_STARTED s4",
        "STEP_SUCCEEDED s4",
        "PLAN_COMPLETED",
    ]
    assert [call.step_id for call in simulation.calls] == ["s0", "aside", "s1", "s2", "s2", "s3", "s4"]
    assert simulation.result.overall_status == "succeeded"
    check_log(CHAIN, simulation.events)


def test_the_event_tells_who_why_and_what_and_who_runs_it():
    simulation = simulate(submission(CHAIN), scripted({"s3": [BROKEN]}), retries=[retry(request_id="r1")])
    (retried,) = [event for event in simulation.events if isinstance(event, PlanRetried)]
    meta = retried.meta
    assert (meta.by, meta.reason, meta.request_id, meta.steps) == ("ann", "credits are back", "r1", ["s3", "s4"])
    assert (meta.executor, meta.message) == ("executor-1", MESSAGE + 1)
    assert retried.user is not None
    assert retried.user.email is None


def test_one_step_with_everything_behind_it_runs_again_although_it_succeeded():
    simulation = simulate(submission(CHAIN), retries=[retry("s3")])
    assert second_round(simulation, "STEP_STARTED") == ["STEP_STARTED s3", "STEP_STARTED s4"]
    assert simulation.statuses() == dict.fromkeys(["s0", "s1", "s2", "s3", "s4", "aside"], "succeeded")


def test_the_tool_is_told_the_round_and_attempts_count_from_one_while_the_key_stays():
    of = plan(step("a", retry=RetryPolicy(max_retries=1)))
    simulation = simulate(submission(of), scripted({"a": [failed()]}), retries=[retry(), retry()])
    told = [(call.env.round, call.env.attempt, call.env.idempotency_key) for call in simulation.calls]
    key = f"{PLAN_ID}:a"
    assert told == [(n, attempt, key) for n in (None, 2, 3) for attempt in (1, 2)]
    assert simulation.results()["a"].attempts == 2


def test_what_stands_behind_a_failure_outside_the_round_is_skipped_again():
    of = plan(step("fine"), step("broken"), step("both", "fine", "broken"))
    simulation = simulate(submission(of), scripted({"broken": [BROKEN]}), retries=[retry("fine")])
    assert second_round(simulation)[1:] == [
        "STEP_SKIPPED both",
        "STEP_STARTED fine",
        "STEP_SUCCEEDED fine",
        "PLAN_COMPLETED",
    ]
    assert simulation.statuses() == {"fine": "succeeded", "broken": "failed", "both": "skipped"}


def test_a_step_that_ran_behind_an_optional_failure_keeps_its_result_when_that_one_is_retried():
    of = plan(step("a", optional=True), step("b", "a"), step("c", "a", "b"))
    simulation = simulate(submission(of), scripted({"a": [BROKEN]}), later_tools=[scripted({})], retries=[retry()] * 2)
    assert second_round(simulation) == ["PLAN_RETRIED", "STEP_STARTED a", "STEP_SUCCEEDED a", "PLAN_COMPLETED"]
    assert simulation.result.overall_status == "succeeded"
    assert isinstance(simulation.answered[-1].verdict, Refused), "nothing is left to retry"


def test_a_person_is_asked_again_in_each_round():
    of = plan(step("a", requires_approval=True), step("b", "a"))
    simulation = simulate(submission(of), answers={"a": False}, retries=[retry()])
    assert second_round(simulation) == [
        "PLAN_RETRIED",
        "STEP_WAITING a",
        "STEP_DENIED a",
        "STEP_FAILED a",
        "STEP_SKIPPED b",
        "PLAN_COMPLETED",
    ]
    approved = ApproveRequest(plan_id=PLAN_ID, step_id="a", decision=Decision.APPROVE)
    asked = simulate(submission(of), scripted({"a": [BROKEN]}), inputs=[(0, approved)], retries=[retry()])
    assert len(asked.story("STEP_WAITING")) == 2, "an approval counts for its round"


def test_a_cancelled_plan_can_be_retried_and_cancelled_again():
    cancel = CancelRequest(plan_id=PLAN_ID)
    of = plan(step("a"), step("b", "a"))
    simulation = simulate(submission(of), inputs=[(150, cancel)], retries=[retry()])
    assert simulation.statuses() == {"a": "succeeded", "b": "succeeded"}
    assert simulation.result.overall_status == "succeeded"
    assert second_round(simulation, "STEP_STARTED") == ["STEP_STARTED b"]
    twice = simulate(submission(of), inputs=[(50, cancel), (60, retry()), (120, cancel)])
    assert [type(answered.verdict) for answered in twice.answered] == [Granted] * 3
    assert twice.result.overall_status == "cancelled"


def test_each_round_has_its_own_deadline_counted_from_its_beginning():
    of = plan(step("a", retry=NO_RETRY), deadline_ms=1_000)
    slow = [ok(duration_ms=9_000)]
    simulation = simulate(submission(of), scripted({"a": slow}), inputs=[(5_000, retry())])
    assert simulation.story("STEP_STARTED", "STEP_FAILED") == [
        "0 STEP_STARTED a",
        "1000 STEP_FAILED a",
        "5000 STEP_STARTED a",
        "6000 STEP_FAILED a",
    ]
    first, second = [parse_time(call.env.deadline) for call in simulation.calls]
    assert second - first == 5_000


def test_at_most_once_whose_outcome_is_unknown_runs_again_where_a_person_asks_for_it():
    of = plan(step("once", at_most_once=True))
    simulation = simulate(submission(of), crash_after={2}, retries=[retry()])
    assert simulation.story("STEP_FAILED", "STEP_STARTED", "STEP_SUCCEEDED")[1:] == [
        "5000 STEP_FAILED once",
        "5000 STEP_STARTED once",
        "5100 STEP_SUCCEEDED once",
    ]


FAILS_AT_TWO = scripted({"s2": [BROKEN]})
CALM = simulate(
    submission(CHAIN),
    FAILS_AT_TWO,
    later_tools=[scripted({"s3": [BROKEN]})] * 2 + [scripted({})],
    retries=[retry()] * 3,
)


@pytest.mark.parametrize("length", range(1, len(CALM.log) + 1))
def test_a_crash_after_any_append_of_any_round_changes_no_result(length):
    rough = simulate(
        submission(CHAIN),
        FAILS_AT_TWO,
        later_tools=[scripted({"s3": [BROKEN]})] * 2 + [scripted({})],
        retries=[retry()] * 3,
        crash_after={length},
        echoes=True,
    )
    assert rough.crashes == 1
    assert rough.statuses() == CALM.statuses()
    assert rough.state.round == CALM.state.round == 4
    check_log(CHAIN, rough.events)


def test_a_crash_right_after_the_retry_was_stored_goes_on_with_the_round():
    at = next(n for n, event in enumerate(CALM.events, 1) if isinstance(event, PlanRetried))
    rough = simulate(
        submission(CHAIN), FAILS_AT_TWO, later_tools=[scripted({})], retries=[retry(request_id="r1")], crash_after={at}
    )
    assert second_round(rough)[:3] == ["PLAN_RETRIED", "PLAN_RESUMED", "STEP_STARTED s2"]
    assert len(rough.story("PLAN_RETRIED")) == 1, "the request came again, and was known by its id"


def test_a_plan_of_fifty_steps_that_failed_at_the_thirtieth_runs_the_last_twenty_one_again():
    of = plan(*[step(f"s{n}", *([f"s{n - 1}"] if n > 1 else [])) for n in range(1, 51)])
    simulation = simulate(submission(of), scripted({"s30": [BROKEN]}), later_tools=[scripted({})], retries=[retry()])
    started = [event.step.id for event in simulation.events if isinstance(event, StepStarted)]
    assert started == [f"s{n}" for n in [*range(1, 31), *range(30, 51)]]
    check_log(of, simulation.events)


def test_the_state_of_a_new_round_holds_nothing_of_the_one_before():
    of = plan(step("a", deadline_ms=60_000, requires_approval=True), step("b"), retry_budget=5)
    simulation = simulate(submission(of), scripted({"a": [Attempt(NoResponders())]}), retries=[retry()])
    at = next(n for n, event in enumerate(simulation.events, 1) if isinstance(event, PlanRetried))
    run = fold(simulation.log[:at])
    a = run.steps[0]
    assert (a.phase, a.attempts, a.decision, a.deadline_at, a.changed_at, a.result.error_code) == (
        "pending",
        0,
        None,
        None,
        None,
        None,
    )
    assert (run.round, run.repeats, run.outcome, run.unfinished) == (2, 0, None, 1)
    assert decide(run, AttemptEnded(0, 3, ok().signal, 0.0), 10**13) == [], "a reply of the round before"
