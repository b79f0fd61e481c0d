"""What can go wrong with a call to Hunter, by how far it reaches.

leadplan_responder.ToolError
└── HunterError
    ├── StepStoppedError     every further call would fail too (key, permission, quota, rate limit): the step ends.
    │   └── PauseAskedForError   somebody else with the same key was told to slow down.
    ├── CallFailedError      this call failed: outage, network, refused values. Other items of the step go on.
    ├── NothingKnownError    Hunter has nothing about what was asked for (404). A normal outcome.
    └── PersonObjectedError  the person asked that their data isn't processed (451). A normal and final outcome.
"""

from leadplan_responder import ToolError
from leadplan_responder.limits import RATE_LIMITED


class HunterError(ToolError):
    """Base of this package's errors."""


class StepStoppedError(HunterError):
    """Every further call would fail too."""


class PauseAskedForError(StepStoppedError):
    """Hunter asked somebody else who uses the key to slow down, and calls wait for that.

    Args:
        seconds: how long still.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "Hunter limits how fast requests may come, and the limit is reached.",
            code=RATE_LIMITED,
            retry_after=seconds,
        )


class CallFailedError(HunterError):
    """One call failed; others can still succeed."""


class NothingKnownError(HunterError):
    """Hunter has nothing about what was asked for."""

    def __init__(self) -> None:
        super().__init__("Hunter knows nothing about it.", code="not_found", retryable=False)


class PersonObjectedError(HunterError):
    """The person asked Hunter not to process their data: do not contact them and do not store anything."""

    def __init__(self) -> None:
        super().__init__("The person objected to the use of their data.", code="objected", retryable=False)


def all_failed(what: str, failures: list[CallFailedError]) -> CallFailedError:
    """One error for a step in which nothing worked.

    Args:
        what: of which calls, such as "12 domain searches".
        failures: at least one.
    """
    waits = [failure.retry_after for failure in failures if failure.retry_after is not None]
    return CallFailedError(
        f"All {what} failed. The first one: {failures[0].message}",
        code=failures[0].code,
        retryable=any(failure.retryable for failure in failures),
        retry_after=max(waits, default=None),
    )
