"""Plans that an executor has in hand and that wait for its next free slot.

They are few: those that must not be moved to a lane, and one of each lane at most. They go before anything that lies in
lanes. Where no slot gets free they are handed back soon, for another executor may have one.
"""

import asyncio
from enum import Enum, auto

from leadplan_executor.core.lanes import Applicant

WAITS_SECONDS = 1.0
"""How long a plan waits in hand."""


class Call(Enum):
    """What becomes of a plan that waited in hand."""

    SLOT = auto()
    HAND_BACK = auto()
    LET_GO = auto()
    """It may be another executor's by now."""


class Waiting:
    """A plan that waits.

    Attributes:
        plan: what is asked of it to find its place.
        lane: where it comes from; that of urgent ones for all that have to go first.
    """

    def __init__(self, plan: Applicant, lane: int) -> None:
        self.plan = plan
        self.lane = lane
        self.call: asyncio.Future[Call] = asyncio.get_running_loop().create_future()


class SlotQueue:
    """Keeps them in order: lowest lane first, and then as they came."""

    def __init__(self) -> None:
        self._waiting: list[Waiting] = []

    def __len__(self) -> int:
        return len(self._waiting)

    def first(self) -> Waiting | None:
        """Whose turn it is; None where nobody waits."""
        return min(self._waiting, key=lambda waiting: waiting.lane, default=None)

    def add(self, waiting: Waiting) -> None:
        """Let a plan wait, to be awaited with ``wait``."""
        self._waiting.append(waiting)

    def give_slot(self, waiting: Waiting) -> None:
        """Call a plan to a slot, which is its own from now on."""
        self._waiting.remove(waiting)
        waiting.call.set_result(Call.SLOT)

    def dismiss(self, call: Call) -> None:
        """Tell all who wait what becomes of them."""
        for waiting in self._waiting:
            waiting.call.set_result(call)
        self._waiting.clear()

    async def wait(self, waiting: Waiting) -> Call:
        """Wait for the call."""
        await asyncio.wait({waiting.call}, timeout=WAITS_SECONDS)
        if not waiting.call.done():
            self._waiting.remove(waiting)
            return Call.HAND_BACK
        return waiting.call.result()
