"""What holding a plan's message means, whoever hands it over."""

from collections.abc import Mapping
from typing import Protocol

from leadplan_contracts import subjects


class PlanDelivery(Protocol):
    """A plan's message as the queue delivered it. Holding it is holding the lease on the plan."""

    @property
    def body(self) -> bytes:
        """The message."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""

    @property
    def subject(self) -> str:
        """Where it was published."""

    @property
    def stream_sequence(self) -> int:
        """Its place in the stream, the same at each delivery."""

    @property
    def submitted_as(self) -> int:
        """The place in the stream that it was submitted as; another one where the plan was moved to a lane since."""

    @property
    def delivered(self) -> int:
        """How often it has been delivered, this time included."""

    async def ack(self) -> None:
        """The plan is done: take its message off the queue."""

    async def hand_back(self, delay_seconds: float = 0.0) -> None:
        """Let another executor have the plan, at once or after a while."""


def submitted_as(subject: str, headers: Mapping[str, str], stream_sequence: int) -> int:
    """What a message was submitted as. Only executors write to lanes, so the header counts there alone."""
    moved_from = headers.get(subjects.SUBMISSION_HEADER, "") if subject.startswith(_LANES) else ""
    is_sequence = moved_from.isascii() and moved_from.isdecimal() and len(moved_from) < _MOST_DIGITS
    return int(moved_from) if is_sequence else stream_sequence


_MOST_DIGITS = 20
_LANES = subjects.PLAN_LANE_ALL.removesuffix("*.*")
