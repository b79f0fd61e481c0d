"""Recurring plans: how a submission that a schedule fires again and again says what it belongs to.

A schedule lies on ``plans.schedule.<monitorId>`` and publishes its submission on ``plans.execute`` (protocol
section 2). Where the submission names its ``recurrence``, the runs of that schedule don't overlap.
"""

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

from leadplan_contracts.wire import PLAN_ID_PATTERN, PlanId, WireModel


class OverlapPolicy(StrEnum):
    """What becomes of a firing while an earlier run of the same schedule still goes on."""

    SKIP = "skip"
    """It is rejected (``previous_run_active``)."""
    QUEUE = "queue"
    """It waits until that run has ended. At most one firing waits; further ones are rejected meanwhile."""


class Recurrence(WireModel, kw_only=True, frozen=True):
    """Which schedule a submission belongs to, and how its runs follow one another.

    It counts in a message that a schedule fired; in any other one it is ignored.
    """

    id: Annotated[
        str,
        Meta(
            pattern=PLAN_ID_PATTERN,
            description="The schedule lies on `plans.schedule.<id>`; a firing starts only while it is still there.",
        ),
    ]
    overlap: Annotated[
        OverlapPolicy, Meta(description="A firing while an earlier run goes on is skipped, or queued behind it.")
    ]
    schedule: Annotated[str, Meta(max_length=1000, description="As its author wrote it; for people.")] | None = None
    time_zone: Annotated[str, Meta(max_length=1000, description="As its author gave it; for people.")] | None = None


class RecurringRun(WireModel, kw_only=True, frozen=True):
    """One firing: the plan that it runs as, and the stream sequence of its message in ``PLANS``."""

    plan_id: PlanId
    submission: Annotated[int, Meta(ge=1)]


class RecurringRuns(WireModel, kw_only=True, frozen=True):
    """What bucket ``MONITOR_RUNS`` holds under a recurrence's id; executors write it by compare-and-set.

    Attributes:
        running: the firing that was let start last; whether it still goes on isn't said here.
        waiting: the firing that starts next, if one waits.
    """

    running: RecurringRun
    waiting: RecurringRun | None = None
