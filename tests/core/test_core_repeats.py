"""Failed attempts: repeated, waited for, given up, and never more than once where that is asked for."""

import pytest
from core_plans import NO_RETRY, Attempt, failed, ok, plan, scripted, step, submission
from core_simulation import simulate

from leadplan_contracts import RetryPolicy
from leadplan_contracts.events import StepFailed, StepRetrying, StepStarted, StepSucceeded
from leadplan_executor.core.signals import (
    BadReply,
    DataUnavailable,
    NoResponders,
    PayloadTooLarge,
    ServiceFailed,
    StayedBusy,
    TimedOut,
    ToolLost,
)


def of_kind(simulation, kind):
    return [event for event in simulation.events if isinstance(event, kind)]


def test_a_tool_that_throws_once_is_asked_again():
    simulation = simulate(submission(plan(step("a"))), scripted({"a": [failed("oops"), ok()]}))
    assert simulation.story() == [
        "0 PLAN_STARTED",
        "0 STEP_STARTED a",
        "100 STEP_RETRYING a",
        "1100 STEP_STARTED a",
        "1200 STEP_SUCCEEDED a",
        "1200 PLAN_COMPLETED",
    ]
    result = simulation.results()["a"]
    assert (result.status, result.attempts, result.error_message, result.error_code) == ("succeeded", 2, None, None)
    assert result.started_at == "2026-11-23T09:15:00.000Z"
    assert result.finished_at == "2026-11-23T09:15:01.200Z"


def test_a_tool_that_always_fails_is_asked_three_times_with_waits_of_one_and_two_seconds():
    of = plan(step("a"), step("b", "a"), step("c", "b"), step("other"))
    simulation = simulate(submission(of), scripted({"a": [failed("quota", error_code="quota_exceeded")]}))
    assert [line for line in simulation.story() if line.endswith(" a")] == [
        "0 STEP_STARTED a",
        "100 STEP_RETRYING a",
        "1100 STEP_STARTED a",
        "1200 STEP_RETRYING a",
        "3200 STEP_STARTED a",
        "3300 STEP_FAILED a",
    ]
    assert simulation.statuses() == {"a": "failed", "b": "skipped", "c": "skipped", "other": "succeeded"}
    assert simulation.result.overall_status == "failed"
    result = simulation.results()["a"]
    assert (result.attempts, result.error_message, result.error_code) == (3, "quota", "quota_exceeded")


def test_what_the_events_of_a_repeat_say():
    simulation = simulate(submission(plan(step("a", label="Look"))), scripted({"a": [failed("quota"), ok()]}))
    (retrying,) = of_kind(simulation, StepRetrying)
    assert (retrying.meta.delay_ms, retrying.meta.error_code) == (1_000, "tool_error")
    assert retrying.meta.retry_at == "2026-11-23T09:15:01.100Z"
    assert (retrying.result.status, retrying.result.attempts, retrying.result.error_message) == ("running", 1, "quota")
    assert (retrying.step.id, retrying.step.tool, retrying.step.label) == ("a", "ECHO", "Look")
    first, second = of_kind(simulation, StepStarted)
    assert (first.result.attempts, second.result.attempts) == (1, 2)
    assert first.result.started_at == second.result.started_at == first.time
    assert second.result.error_message is None
    (succeeded,) = of_kind(simulation, StepSucceeded)
    assert succeeded.meta.error_code is None


def test_the_error_code_stands_in_meta_and_result():
    simulation = simulate(submission(plan(step("a", retry=NO_RETRY))), scripted({"a": [Attempt(BadReply("?"))]}))
    (event,) = of_kind(simulation, StepFailed)
    assert event.meta.error_code == event.result.error_code == "bad_reply"


@pytest.mark.parametrize(
    ("signal", "attempts"),
    [
        (NoResponders(), 3),
        (TimedOut(30_000), 3),
        (ToolLost(15_000), 3),
        (BadReply("?"), 3),
        (StayedBusy(100), 3),
        (DataUnavailable("no bucket"), 3),
        (ServiceFailed(503, "later"), 3),
        (ServiceFailed(404, "no"), 1),
        (PayloadTooLarge("2 MB"), 1),
        (failed(retryable=False).signal, 1),
        (failed(retryable=False, retry_after_ms=5).signal, 1),
        (failed(retryable=True).signal, 3),
    ],
)
def test_how_often_each_failure_is_tried(signal, attempts):
    simulation = simulate(submission(plan(step("a"))), scripted({"a": [Attempt(signal)]}))
    assert simulation.results()["a"].attempts == attempts == len(simulation.calls)


@pytest.mark.parametrize("signal", [TimedOut(30_000), ToolLost(15_000), DataUnavailable("no bucket")])
def test_at_most_once_is_never_repeated_after_an_unknown_outcome(signal):
    simulation = simulate(submission(plan(step("a", at_most_once=True))), scripted({"a": [Attempt(signal)]}))
    assert len(simulation.calls) == 1
    assert simulation.statuses() == {"a": "failed"}


def test_at_most_once_is_repeated_after_a_failure_that_the_tool_reported():
    tools = scripted({"a": [failed(), Attempt(NoResponders()), ok()]})
    simulation = simulate(submission(plan(step("a", at_most_once=True))), tools)
    assert simulation.results()["a"].attempts == 3
    assert simulation.statuses() == {"a": "succeeded"}


def test_an_attempt_that_takes_too_long_is_a_timeout():
    tools = scripted({"a": [ok(duration_ms=2_001), ok(duration_ms=2_000)]})
    simulation = simulate(submission(plan(step("a", timeout_ms=2_000))), tools)
    assert simulation.story("STEP_RETRYING", "STEP_SUCCEEDED") == ["2000 STEP_RETRYING a", "5000 STEP_SUCCEEDED a"]


def test_the_tool_may_ask_for_a_longer_wait_than_the_backoff():
    tools = scripted({"a": [failed(retry_after_ms=20_000), failed(retry_after_ms=300), ok()]})
    assert simulate(submission(plan(step("a"))), tools).story("STEP_STARTED") == [
        "0 STEP_STARTED a",
        "20100 STEP_STARTED a",
        "22200 STEP_STARTED a",
    ]


def test_the_steps_own_policy_counts():
    of = plan(step("a", retry=RetryPolicy(max_retries=3, base_delay_ms=10, max_delay_ms=25, jitter=0.5)))
    simulation = simulate(submission(of), scripted({"a": [failed(duration_ms=0)]}), random=1.0)
    waits = [event.meta.delay_ms for event in of_kind(simulation, StepRetrying)]
    assert waits == [15, 25, 25]


def test_repeats_without_any_wait_do_not_starve_others():
    of = plan(step("a", retry=RetryPolicy(max_retries=50, base_delay_ms=0)), step("b"))
    simulation = simulate(submission(of), scripted({"a": [failed(duration_ms=0)], "b": [ok(duration_ms=0)]}))
    assert simulation.statuses() == {"a": "failed", "b": "succeeded"}
    assert simulation.results()["a"].attempts == 51
