"""Whether a plan only waits: then nobody needs to hold it."""

from typing import NamedTuple

from leadplan_executor.core.commands import CallTool
from leadplan_executor.core.state import PlanRun
from leadplan_executor.core.transitions import PlanPhase


class Idle(NamedTuple):
    """Nothing of the plan is under way. ``until`` (milliseconds since 1970) is when time wakes it, None for never."""

    until: int | None


def is_waiting(run: PlanRun) -> bool:
    """Whether no attempt is with a tool, and what comes next is up to a person or to time."""
    if run.completed or run.in_doubt or run.denied or run.to_skip or run.to_ask:
        return False
    if run.phase is PlanPhase.ACTIVE and (_has_place_for_a_step(run) or not (run.waiting or run.retrying)):
        return False
    if run.phase not in (PlanPhase.ACTIVE, PlanPhase.PAUSED):
        return False
    return not any(isinstance(command, CallTool) for command in run.commands.values())


def _has_place_for_a_step(run: PlanRun) -> bool:
    """Whether a step could start now. Steps that wait for their next attempt keep their places."""
    return bool(run.ready) and run.occupied < run.plan.concurrency


def idle(run: PlanRun, now: int, patience_ms: int) -> Idle | None:
    """How long a plan only waits; None while something is under way, or soon will be.

    Args:
        run: its state, after ``Proceed`` led to nothing more.
        now: milliseconds since 1970.
        patience_ms: a plan that time wakes sooner than this is kept: to let it go costs more than to hold it.
    """
    if not is_waiting(run):
        return None
    wakes = [command.at for command in run.commands.values() if not isinstance(command, CallTool)]
    until = min(wakes, default=None)
    return None if until is not None and until < now + patience_ms else Idle(until)
