"""What can happen to a plan: the closed union that ``decide`` takes."""

from typing import TypeAlias

from msgspec import Struct

from leadplan_contracts.validation import ReadSubmission
from leadplan_executor.core.signals import ToolSignal


class PlanSubmitted(Struct, frozen=True):
    """A valid plan came in, as message ``submission`` of the work queue."""

    submission: ReadSubmission
    message: int
    executor: str
    traceparent: str


class TakenOver(Struct, frozen=True):
    """An executor took up a plan that had begun before."""

    executor: str
    reason: str


class GivenUp(Struct, frozen=True):
    """The plan is ended because it can't be carried out: what hasn't ended fails or is skipped, for this reason."""

    reason: str


class Proceed(Struct, frozen=True):
    """Time went by or something was stored: do what the state calls for."""


class AttemptEnded(Struct, frozen=True):
    """A call to a tool came to its end. ``random`` is drawn from 0 to 1, for jitter."""

    step: int
    attempt: int
    signal: ToolSignal
    random: float


class Approve(Struct, frozen=True):
    """A person lets a waiting step run."""

    step: int
    by: str | None = None
    reason: str | None = None


class Deny(Struct, frozen=True):
    """A person refuses a waiting step."""

    step: int
    by: str | None = None
    reason: str | None = None


class Cancel(Struct, frozen=True):
    """Stop the plan: running attempts end, the rest is skipped."""

    by: str | None = None
    reason: str | None = None


class Pause(Struct, frozen=True):
    """Start nothing new until unpaused."""

    by: str | None = None
    reason: str | None = None


class Unpause(Struct, frozen=True):
    """Go on after a pause."""

    by: str | None = None
    reason: str | None = None


Input: TypeAlias = (
    PlanSubmitted | TakenOver | GivenUp | Proceed | AttemptEnded | Approve | Deny | Cancel | Pause | Unpause
)
