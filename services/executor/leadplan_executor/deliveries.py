"""What holding a plan's message means, whoever hands it over."""

from collections.abc import Mapping
from typing import Protocol


class PlanDelivery(Protocol):
    """A plan's message as the queue delivered it. Holding it is holding the lease on the plan."""

    @property
    def body(self) -> bytes:
        """The message."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Its headers."""

    @property
    def stream_sequence(self) -> int:
        """Its place in the stream, the same at each delivery."""

    @property
    def delivered(self) -> int:
        """How often it has been delivered, this time included."""

    async def ack(self) -> None:
        """The plan is done: take its message off the queue."""

    async def hand_back(self, delay_seconds: float = 0.0) -> None:
        """Let another executor have the plan, at once or after a while."""
