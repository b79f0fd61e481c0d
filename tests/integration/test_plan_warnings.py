"""What is said to be odd about a plan that would run."""

import itertools

import msgspec
import pytest

from leadplan_contracts import LeadGenPlan, RetryPolicy
from leadplan_contracts.error_codes import WarningCode
from leadplan_executor.core.outcome import AttemptFailed
from leadplan_executor.core.retry import retry_delay_ms
from leadplan_executor.plan_warnings import MAX_WARNINGS, as_many_as_are_read, plan_warnings, waits_ms


def warned(steps, **plan):
    message = {
        "id": "p1",
        "title": "A plan",
        "goal": {"description": "Leads"},
        "createdAt": "2026-11-23T09:15:02.417Z",
        "steps": [{"tool": "ECHO", "params": {}, **step} for step in steps],
        **plan,
    }
    return list(plan_warnings(msgspec.convert(message, LeadGenPlan)))


def codes(steps, **plan):
    return [(one.path, one.code) for one in warned(steps, **plan)]


def test_a_plain_plan_has_nothing_odd():
    steps = [{"id": "a"}, {"id": "b", "dependsOn": ["a"], "timeoutMs": 1_000, "retry": {"maxRetries": 3}}]
    assert warned(steps) == []
    assert warned(steps, deadlineMs=3_600_000, retryBudget=3) == []


def test_defaults_are_never_odd():
    assert warned([{"id": "a"}, {"id": "b", "atMostOnce": True}], deadlineMs=1, retryBudget=0) == []


@pytest.mark.parametrize(
    ("step", "plan", "expected"),
    [
        ({"requiresApproval": True}, {}, [("plan.steps[0].requiresApproval", "approval_without_deadline")]),
        ({"requiresApproval": True}, {"deadlineMs": 5}, []),
        ({"requiresApproval": True, "deadlineMs": 5}, {}, []),
        ({"requiresApproval": False}, {}, []),
        ({"timeoutMs": 101}, {"deadlineMs": 100}, [("plan.steps[0].timeoutMs", "timeout_beyond_deadline")]),
        ({"timeoutMs": 101, "deadlineMs": 100}, {}, [("plan.steps[0].timeoutMs", "timeout_beyond_deadline")]),
        ({"timeoutMs": 100, "deadlineMs": 100}, {"deadlineMs": 100}, []),
        ({"deadlineMs": 101}, {"deadlineMs": 100}, [("plan.steps[0].deadlineMs", "deadline_beyond_plan")]),
        ({"retry": {}}, {"deadlineMs": 3_001}, []),
        ({"retry": {}}, {"deadlineMs": 3_000}, [("plan.steps[0].retry", "retries_beyond_deadline")]),
        ({"retry": {}, "deadlineMs": 3_000}, {}, [("plan.steps[0].retry", "retries_beyond_deadline")]),
        ({"retry": {"maxRetries": 0}}, {"deadlineMs": 1}, []),
        (
            {"retry": {"maxRetries": 1}, "atMostOnce": True},
            {},
            [("plan.steps[0].retry.maxRetries", "at_most_once_retries")],
        ),
        ({"retry": {"maxRetries": 0}, "atMostOnce": True}, {}, []),
        ({"retry": {"baseDelayMs": 5}, "atMostOnce": True}, {}, []),
        (
            {"retry": {"maxRetries": 3}},
            {"retryBudget": 2},
            [("plan.steps[0].retry.maxRetries", "retries_beyond_budget")],
        ),
        ({"retry": {"maxRetries": 2}}, {"retryBudget": 2}, []),
    ],
)
def test_what_does_not_go_together(step, plan, expected):
    assert codes([{"id": "a", **step}], **plan) == expected


def test_ids_that_differ_in_case_only():
    found = warned([{"id": "Save"}, {"id": "load"}, {"id": "save"}, {"id": "SAVE"}])
    assert [(one.path, one.code) for one in found] == [
        ("plan.steps[2].id", "similar_step_ids"),
        ("plan.steps[3].id", "similar_step_ids"),
    ]
    assert "'save'" in found[0].message
    assert "'Save'" in found[0].message


def test_each_message_names_the_numbers_that_collide():
    (found,) = warned([{"id": "a", "timeoutMs": 701, "deadlineMs": 600}], deadlineMs=650)
    assert "701" in found.message
    assert "the step's deadlineMs of 600" in found.message
    (found,) = warned([{"id": "a", "timeoutMs": 700}], deadlineMs=650)
    assert "the plan's deadlineMs of 650" in found.message


@pytest.mark.parametrize("max_retries", [None, 0, 1, 7, 100])
@pytest.mark.parametrize("base", [None, 0, 1, 1_000, 70_000])
@pytest.mark.parametrize("longest", [None, 0, 1, 60_000])
def test_the_waits_are_those_that_the_executor_makes(max_retries, base, longest):
    policy = RetryPolicy(max_retries=max_retries, base_delay_ms=base, max_delay_ms=longest)
    failed = AttemptFailed(code="x", message="", retryable=True)
    delays = (retry_delay_ms(policy, attempts, failed, 0.0) for attempts in itertools.count(1))
    assert waits_ms(policy) == sum(itertools.takewhile(lambda delay: delay is not None, delays))


def test_more_warnings_than_anybody_reads_are_counted():
    found = warned([{"id": f"s{number}", "requiresApproval": True} for number in range(MAX_WARNINGS + 7)])
    listed = as_many_as_are_read(found)
    assert listed[:MAX_WARNINGS] == found[:MAX_WARNINGS]
    assert [(one.code, one.message) for one in listed[MAX_WARNINGS:]] == [
        (WarningCode.MORE_WARNINGS, "and 7 more warnings that are not listed")
    ]
    assert as_many_as_are_read(found[:MAX_WARNINGS]) == found[:MAX_WARNINGS]
