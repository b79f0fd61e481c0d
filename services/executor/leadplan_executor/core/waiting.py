"""Whether a plan only waits: then nobody needs to hold it."""

from typing import NamedTuple

from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.times import parse_time
from leadplan_executor.core.commands import CallTool
from leadplan_executor.core.inputs import GivenUp
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


def may_be_parked(run: PlanRun, patience_ms: int) -> bool:
    """Whether the one who stored the plan's last event may have let go of it then."""
    return run.sequence > 0 and idle(run, parse_time(run.last_at), patience_ms) is not None


def wakes_at(run: PlanRun, idling: Idle, longest_wait_ms: int) -> int:
    """When time wakes a plan that is let go of: at the latest when it has waited too long."""
    expires_at = run.started_at + longest_wait_ms
    return expires_at if idling.until is None else min(idling.until, expires_at)


def expiry(run: PlanRun, now: int, longest_wait_ms: int) -> GivenUp | None:
    """Why a plan that is taken up must end instead; None where it needn't.

    Args:
        run: its state.
        now: milliseconds since 1970.
        longest_wait_ms: so long after its start a plan is ended, before its log ages out.
    """
    if run.sequence == 0 or run.completed or now < run.started_at + longest_wait_ms:
        return None
    return GivenUp(
        f"the plan had not ended {longest_wait_ms // 86_400_000} days after its start, and its log is about to age out "
        "(LEADPLAN_PLAN_LOG_MAX_AGE_S)",
        StepErrorCode.DEADLINE_EXCEEDED,
    )
