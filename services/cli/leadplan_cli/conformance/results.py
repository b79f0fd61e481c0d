"""What a check found."""

from enum import StrEnum
from typing import NamedTuple


class Outcome(StrEnum):
    """How a check ended; ``not checked`` is no fault of the responder."""

    OK = "ok"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


class Finding(NamedTuple):
    """What a check found: the outcome, what was seen, and what to do about it (empty when there is nothing to do)."""

    outcome: Outcome
    message: str
    advice: str = ""


class CheckResult(NamedTuple):
    """A finding with the name of its check."""

    check: str
    outcome: Outcome
    message: str
    advice: str


def ok(message: str) -> Finding:
    """The responder does what the protocol asks for."""
    return Finding(Outcome.OK, message)


def failed(message: str, advice: str) -> Finding:
    """The responder gets something wrong."""
    return Finding(Outcome.FAILED, message, advice)


def not_checked(message: str, advice: str = "") -> Finding:
    """The check says nothing of this responder."""
    return Finding(Outcome.NOT_CHECKED, message, advice)
