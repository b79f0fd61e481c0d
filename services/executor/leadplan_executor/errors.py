"""Errors of the executor's shell.

ExecutorError
├── FenceLostError           another executor appended to the plan: let go of it
├── StreamLostError          a stream that holds plans is gone, or isn't the one that it was
├── UnfitServerError         the checks at start-up found what must not be, and were told to refuse
└── EventTooLargeError       an event is over the server's message limit

What the server itself lacks is told by ``leadplan_bus.errors``.
"""

import traceback
from collections.abc import Sequence
from pathlib import Path

import msgspec

from leadplan_bus.server_checks import Finding
from leadplan_executor.core.errors import CoreError

_LONGEST_CRASH = 500


class ExecutorError(Exception):
    """Base of the errors that the executor's shell raises."""


class FenceLostError(ExecutorError):
    """An append was refused because somebody else appended first.

    Attributes:
        by: the executor instance that did, or None where it can't be seen.
    """

    def __init__(self, plan_id: str, by: str | None) -> None:
        self.plan_id = plan_id
        self.by = by
        super().__init__(f"plan {plan_id} is run by {by or 'another executor'} now")


class EventTooLargeError(ExecutorError):
    """An event doesn't fit into one message of this server."""

    def __init__(self, plan_id: str, size: int, limit: int) -> None:
        super().__init__(f"an event of plan {plan_id} has {size} bytes; the server takes {limit}")


class StreamLostError(ExecutorError):
    """Streams are gone, were replaced, or lost what they held: what this executor knows of plans no longer holds."""

    def __init__(self, troubles: Sequence[str]) -> None:
        super().__init__(
            f"{'; '.join(troubles)}. Restore it if it was lost; an executor that starts creates what is missing, empty"
        )


class UnfitServerError(ExecutorError):
    """``LEADPLAN_SERVER_CHECKS`` is ``refuse``, and the server isn't safe.

    Attributes:
        findings: what is unsafe.
    """

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        listed = "".join(f"\n  - {finding}" for finding in self.findings)
        super().__init__(f"LEADPLAN_SERVER_CHECKS is refuse, and the NATS server isn't safe:{listed}")


_SAFE_TEXT = (CoreError, ExecutorError, msgspec.DecodeError)
"""Their texts name fields, ids and states; any other error's text may hold what people sent."""


def crash_of(error: Exception) -> str:
    """What handling a plan raised, and where, without anything that people sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    text = f": {error}" if isinstance(error, _SAFE_TEXT) else ""
    return f"{type(error).__name__}{where}{text}"[:_LONGEST_CRASH]
