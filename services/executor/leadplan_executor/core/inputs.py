"""What can happen to a plan: the closed union that ``decide`` takes."""

from typing import TypeAlias

from msgspec import Struct

from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.validation import ReadSubmission
from leadplan_executor.core.signals import ToolSignal


class PlanSubmitted(Struct, frozen=True):
    """A valid plan came in, submitted as message ``submitted_as`` of the work queue and held by ``message``."""

    submission: ReadSubmission
    message: int
    executor: str
    traceparent: str
    submitted_as: int


class TakenOver(Struct, frozen=True):
    """An executor took up a plan that had begun before, and holds it by ``message`` of the work queue."""

    executor: str
    reason: str
    message: int


class GivenUp(Struct, frozen=True):
    """The plan is ended because it can't be carried out: what hasn't ended fails or is skipped, for this reason."""

    reason: str
    code: str = StepErrorCode.POISON_PLAN


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
    request_id: str | None = None


class Deny(Struct, frozen=True):
    """A person refuses a waiting step."""

    step: int
    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


class Cancel(Struct, frozen=True):
    """Stop the plan: running attempts end, the rest is skipped."""

    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


class Pause(Struct, frozen=True):
    """Start nothing new until unpaused."""

    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


class Unpause(Struct, frozen=True):
    """Go on after a pause."""

    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


class Retry(Struct, frozen=True):
    """A new round of a finished plan: these steps run again, under this executor, held by ``message``."""

    steps: tuple[int, ...]
    executor: str
    message: int
    by: str | None = None
    reason: str | None = None
    request_id: str | None = None


Input: TypeAlias = (
    PlanSubmitted | TakenOver | GivenUp | Proceed | AttemptEnded | Approve | Deny | Cancel | Pause | Unpause | Retry
)
