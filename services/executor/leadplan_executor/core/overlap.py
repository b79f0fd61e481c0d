"""Runs of a recurring plan that would overlap: whether a firing starts, waits or is skipped.

What is remembered of a recurrence is at most two firings: the one that was let start last, and one that waits. Whether
these have ended is asked elsewhere and comes in as facts, so that this is one pure function.
"""

from enum import Enum
from typing import NamedTuple

from leadplan_contracts.recurrence import OverlapPolicy, RecurringRun, RecurringRuns


class Verdict(Enum):
    """What becomes of a firing now."""

    START = "start"
    WAIT = "wait"
    SKIP = "skip"


class Decision(NamedTuple):
    """A verdict, and what must be remembered before it is acted on."""

    verdict: Verdict
    runs: RecurringRuns


def decide_overlap(
    policy: OverlapPolicy,
    runs: RecurringRuns | None,
    firing: RecurringRun,
    *,
    running_ended: bool = False,
    waiting_gone: bool = False,
) -> Decision:
    """Decide about a firing that hasn't begun; asked again about the same firing, it goes on from what it said before.

    Nobody overtakes: where the run before has ended and another firing waits, that one's turn comes first.

    Args:
        policy: what the firing itself asks for.
        runs: what is remembered of its recurrence; None when there is nothing.
        firing: the firing.
        running_ended: ``runs.running`` won't do anything any more.
        waiting_gone: ``runs.waiting`` won't be delivered any more.
    """
    if runs is None or firing == runs.running:
        return Decision(Verdict.START, runs or RecurringRuns(running=firing))
    waiting = None if waiting_gone and runs.waiting != firing else runs.waiting
    if running_ended:
        if waiting in (None, firing):
            return Decision(Verdict.START, RecurringRuns(running=firing))
        running, waiting = waiting, None
    else:
        running = runs.running
    if waiting == firing or (waiting is None and policy is OverlapPolicy.QUEUE):
        return Decision(Verdict.WAIT, RecurringRuns(running=running, waiting=firing))
    return Decision(Verdict.SKIP, RecurringRuns(running=running, waiting=waiting))
