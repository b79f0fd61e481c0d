"""The plan that a monitor submits at each firing: the steps that the monitor step depends on."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from leadplan_contracts import LeadGenPlan, Recurrence, SupervisorUserContext
from leadplan_contracts.errors import PlanRejectedError
from leadplan_contracts.graph import PlanGraph
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_monitor.errors import RecurringPlanError

MAX_MONITOR_ID_LENGTH = 128
# The executor adds `-<stream sequence>` (protocol section 2): a dash and at most 20 digits, of 128 characters in all.
MAX_RECURRING_PLAN_ID_LENGTH = 128 - 21
_DIGEST_LENGTH = 12


def default_monitor_id(plan_id: str, step_id: str) -> str:
    """Name a monitor ``<planId>-<stepId>``, cut to one NATS token of at most 128 characters."""
    return _cut(f"{plan_id}-{step_id}", MAX_MONITOR_ID_LENGTH)


def recurring_plan_id(plan_id: str, monitor_id: str) -> str:
    """Name the plan of a monitor after both, so short that the executor's ``-<sequence>`` still fits."""
    name = monitor_id if monitor_id.startswith(f"{plan_id}-") else f"{plan_id}-{monitor_id}"
    return _cut(name, MAX_RECURRING_PLAN_ID_LENGTH)


def build_submission(
    plan: Mapping[str, Any],
    user: SupervisorUserContext,
    recurrence: Recurrence,
    *,
    monitor_step: str,
    recurring_id: str,
) -> bytes:
    """The message that the schedule publishes on ``plans.execute``: ``{plan, user, recurrence}`` as JSON.

    The plan is kept as it was submitted, unknown keys included, but for its id and its steps.

    Args:
        plan: the plan as the request carries it.
        user: on whose behalf it was submitted.
        recurrence: the monitor, and what becomes of runs that would overlap.
        monitor_step: the id of the monitor step.
        recurring_id: the id of the plan in the message (``recurring_plan_id``).

    Raises:
        RecurringPlanError: the request has no steps, the monitor step depends on none or on another monitor step, or
            the plan isn't valid.
    """
    steps = _steps_before(plan, monitor_step)
    recurring = {**plan, "id": recurring_id, "steps": steps}
    submission = encode({"plan": recurring, "user": user, "recurrence": recurrence})
    try:
        # The longest suffix that the executor can add.
        read_plan_submission(submission, plan_id_suffix=f"-{2**64 - 1}")
    except PlanRejectedError as error:
        raise RecurringPlanError(f"the monitored part is no valid plan: {error}") from error
    return submission


def _steps_before(plan: Mapping[str, Any], monitor_step: str) -> list[Any]:
    raw_steps = plan.get("steps")
    if not raw_steps:
        raise RecurringPlanError(
            "the request holds no steps: a plan whose JSON is over 32 KiB can't have a monitor; "
            "make it smaller or split it"
        )
    try:
        parsed = msgspec.convert(plan, LeadGenPlan)
        graph = PlanGraph.of(parsed)
    except (msgspec.ValidationError, KeyError) as error:
        raise RecurringPlanError(f"the plan in the request can't be read: {error}") from error
    index = next((index for index, step in enumerate(parsed.steps) if step.id == monitor_step), None)
    if index is None:
        raise RecurringPlanError(f"the plan has no step {monitor_step!r}")
    before = graph.ancestors(index)
    if not before:
        raise RecurringPlanError(
            f"step {monitor_step!r} depends on no step, so there is nothing to run: "
            "name the last step to repeat in dependsOn"
        )
    for ancestor in before:
        if parsed.steps[ancestor].tool == parsed.steps[index].tool:
            # Each firing runs under an id of its own: it would set up one more monitor every time.
            raise RecurringPlanError(
                f"step {monitor_step!r} depends on the monitor step {parsed.steps[ancestor].id!r}: "
                "a monitor can't set up monitors"
            )
    return [raw_steps[ancestor] for ancestor in before]


def _cut(name: str, length: int) -> str:
    """Keep a name that fits; else its beginning and a digest of all of it, so that different names stay different."""
    if len(name) <= length:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{name[: length - _DIGEST_LENGTH - 1]}-{digest}"
