"""What looks odd in a plan that would run: for people who ask before they submit.

A warning is about two things that the author wrote and that don't go together, never about a default.
"""

from collections.abc import Iterable, Iterator
from itertools import islice

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, PlanProblem, RetryPolicy
from leadplan_contracts.error_codes import WarningCode
from leadplan_executor.core.retry import DEFAULT_BASE_DELAY_MS, DEFAULT_MAX_DELAY_MS, DEFAULT_MAX_RETRIES

MAX_WARNINGS = 200


def plan_warnings(plan: LeadGenPlan) -> Iterator[PlanProblem]:
    """Everything odd in the plan itself, in plan order."""
    ids: dict[str, str] = {}
    for index, step in enumerate(plan.steps):
        path = f"plan.steps[{index}]"
        yield from _similar_id(step, ids, path)
        yield from _approval(plan, step, path)
        yield from _deadlines(plan, step, path)
        yield from _retries(plan, step, path)


def as_many_as_are_read(warnings: Iterable[PlanProblem]) -> list[PlanProblem]:
    """The first two hundred warnings, and how many more there are."""
    remaining = iter(warnings)
    listed = list(islice(remaining, MAX_WARNINGS))
    if more := sum(1 for _ in remaining):
        message = f"and {more} more warnings that are not listed"
        listed.append(PlanProblem(path="", code=WarningCode.MORE_WARNINGS, message=message))
    return listed


def waits_ms(policy: RetryPolicy) -> int:
    """What the waits before all repeats of a step come to, without jitter and without what tools ask for."""
    repeats = DEFAULT_MAX_RETRIES if policy.max_retries is None else policy.max_retries
    delay = DEFAULT_BASE_DELAY_MS if policy.base_delay_ms is None else policy.base_delay_ms
    longest = DEFAULT_MAX_DELAY_MS if policy.max_delay_ms is None else policy.max_delay_ms
    total = 0
    while repeats and 0 < delay < longest:
        total, repeats, delay = total + delay, repeats - 1, delay * 2
    return total + repeats * min(delay, longest)


def _similar_id(step: LeadGenPlanStep, ids: dict[str, str], path: str) -> Iterator[PlanProblem]:
    other = ids.setdefault(step.id.lower(), step.id)
    if other != step.id:
        yield _warning(
            f"{path}.id",
            WarningCode.SIMILAR_STEP_IDS,
            f"{step.id!r} and {other!r} are two steps, which differ in upper and lower case only: dependsOn and "
            "sourceStepId mean exactly one of them. Rename one",
        )


def _approval(plan: LeadGenPlan, step: LeadGenPlanStep, path: str) -> Iterator[PlanProblem]:
    if step.requires_approval and plan.deadline_ms is None and step.deadline_ms is None:
        yield _warning(
            f"{path}.requiresApproval",
            WarningCode.APPROVAL_WITHOUT_DEADLINE,
            f"step {step.id!r} waits for a person without an end, and the plan with it. Give the step or the plan a "
            "deadlineMs, or see to it that somebody decides",
        )


def _deadlines(plan: LeadGenPlan, step: LeadGenPlanStep, path: str) -> Iterator[PlanProblem]:
    if step.deadline_ms is not None and plan.deadline_ms is not None and step.deadline_ms > plan.deadline_ms:
        yield _warning(
            f"{path}.deadlineMs",
            WarningCode.DEADLINE_BEYOND_PLAN,
            f"the plan ends {plan.deadline_ms} ms after its start, so the step's deadline of {step.deadline_ms} ms "
            "never matters. Shorten it, or give the plan more time",
        )
    deadline = _nearest_deadline(plan, step)
    if deadline is None:
        return
    limit, whose = deadline
    if step.timeout_ms is not None and step.timeout_ms > limit:
        yield _warning(
            f"{path}.timeoutMs",
            WarningCode.TIMEOUT_BEYOND_DEADLINE,
            f"an attempt that needs its timeoutMs of {step.timeout_ms} ms is cut off by {whose} deadlineMs of {limit} "
            "ms and fails with deadline_exceeded. Shorten the timeout, or give more time",
        )
    if step.retry is not None and (waits := waits_ms(step.retry)) >= limit:
        yield _warning(
            f"{path}.retry",
            WarningCode.RETRIES_BEYOND_DEADLINE,
            f"the waits before the repeats come to {waits} ms, and {whose} deadlineMs is {limit} ms: the last repeats "
            "never come. Ask for fewer or quicker ones, or give more time",
        )


def _nearest_deadline(plan: LeadGenPlan, step: LeadGenPlanStep) -> tuple[int, str] | None:
    if step.deadline_ms is not None and (plan.deadline_ms is None or step.deadline_ms <= plan.deadline_ms):
        return step.deadline_ms, "the step's"
    return None if plan.deadline_ms is None else (plan.deadline_ms, "the plan's")


def _retries(plan: LeadGenPlan, step: LeadGenPlanStep, path: str) -> Iterator[PlanProblem]:
    repeats = step.retry.max_retries if step.retry is not None else None
    if not repeats:
        return
    if step.at_most_once:
        yield _warning(
            f"{path}.retry.maxRetries",
            WarningCode.AT_MOST_ONCE_RETRIES,
            "with atMostOnce only attempts are repeated that surely did nothing, or whose tool says that repeating is "
            "safe: not those that timed out, whose tool fell silent, or whose executor died. Leave maxRetries out if "
            "that isn't what you want, or atMostOnce if the tool may run twice",
        )
    if plan.retry_budget is not None and repeats > plan.retry_budget:
        yield _warning(
            f"{path}.retry.maxRetries",
            WarningCode.RETRIES_BEYOND_BUDGET,
            f"the plan's retryBudget of {plan.retry_budget} is for all steps together, so this step is never repeated "
            f"{repeats} times. Raise the budget, or ask for fewer repeats",
        )


def _warning(path: str, code: WarningCode, message: str) -> PlanProblem:
    return PlanProblem(path=path, code=code, message=message)
