"""A plan's state in words that don't depend on how a version of the core keeps it, and folding a recorded log."""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw, Struct

from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import PlanStarted
from leadplan_contracts.times import format_time
from leadplan_contracts.validation import ReadSubmission, read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_executor.core import CallTool, PlanRun, due, evolve


class State(Struct):
    """What anybody can say of a plan after so many events.

    Attributes:
        plan: where the plan stands.
        steps: for each step where it stands and how many attempts were begun.
        due: what should be under way.
        executor: who runs the plan.
        submission, message: as which messages of the queue it was submitted, and is held now.
        round: how often it has begun.
    """

    plan: str
    steps: list[str]
    due: list[str]
    executor: str
    submission: int | None
    message: int | None
    round: int


class Entry(Struct):
    """A line of another recorded file: something that was stored, and under what name."""

    where: str
    value: Raw


class LoggedEvent(Struct):
    """A line of a recorded log: an event as it was stored, by which executor, and the state after it."""

    executor: str
    event: Raw
    state: State


def state_of(run: PlanRun) -> State:
    """The state in words."""
    return State(
        plan=str(run.phase),
        steps=[f"{step.step.id} {step.phase} {step.attempts}" for step in run.steps],
        due=sorted(_told(run, key, command) for key, command in due(run).items()),
        executor=run.executor,
        submission=run.submission,
        message=run.message,
        round=run.round,
    )


def _told(run: PlanRun, key: int | None, command: Any) -> str:
    whose = "plan" if key is None else run.steps[key].step.id
    if isinstance(command, CallTool):
        return f"{whose} attempt {command.attempt}"
    return f"{whose} at {format_time(command.at)}"


def folded(events: Iterable[LeadPlanEventPayload], plan_id: str) -> PlanRun:
    """The state that these events give."""
    run = PlanRun(plan_id)
    for event in events:
        evolve(run, event)
    return run


def submission_of(started: PlanStarted) -> ReadSubmission:
    """The submission that a log began with."""
    return read_plan_submission(encode({"plan": started.plan, "user": started.user}))
