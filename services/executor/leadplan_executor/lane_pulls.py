"""Filling free slots from the lanes.

A lane that is known to have plans is asked for as many as its share of the free slots, and nobody else is given those
meanwhile. One that nothing is known of is asked first whether it has any. Once all are known to be empty, and a slot is
free, the server is asked to send the first plan that comes to each: so an executor that has nothing to do asks once a
second, and begins at once.
"""

import asyncio
import time
from collections.abc import Callable

from nats.aio.client import Client

from leadplan_contracts import subjects
from leadplan_executor.core.lanes import Slots, fits, share_out
from leadplan_executor.pulls import HEARTBEAT_SECONDS, Delivery, PlanPull

_EMPTY_FOR_SECONDS = 0.05
"""So long a lane that was empty isn't looked into again while others have plans: other executors fill lanes too."""


class _Lane:
    """A lane as this executor knows it. It has one open request at most.

    Attributes:
        number: 0 goes first.
        waiting: how many plans wait there, as far as is known.
        empty_at: when it was found empty.
        reserves: whether the slots that its request is for are given to nobody else.
    """

    def __init__(self, number: int, pull: PlanPull) -> None:
        self.number = number
        self.pull = pull
        self.waiting = 0
        self.empty_at = 0.0
        self.reserves = False

    def due(self) -> int:
        """For how many plans it may be asked now."""
        if self.pull.asked:
            return 0
        is_known_empty = time.monotonic() - self.empty_at < _EMPTY_FOR_SECONDS
        return self.waiting or (0 if is_known_empty else 1)


class LanePulls:
    """Pulls plans from all lanes, as many as there are slots for; one of each lane may come too many.

    Args:
        nc: the connection.
        slots: how many plans the executor runs at once.
        running: tells how many it runs now.
        take: called with a lane's number and each delivery from it.
        lease_seconds: tells how long a lease is now.
        on_trouble: called when the queue refuses, for a consumer may be gone.
    """

    def __init__(
        self,
        nc: Client,
        slots: Slots,
        *,
        running: Callable[[], int],
        take: Callable[[int, Delivery], None],
        lease_seconds: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self._slots = slots
        self._running = running
        self._take = take
        self._turn = 0
        self._stopped = False
        self._look_again = asyncio.Event()
        self._lanes = [self._lane(nc, lane, lease_seconds, on_trouble) for lane in range(subjects.PLAN_LANES)]

    def _lane(
        self, nc: Client, number: int, lease_seconds: Callable[[], float], on_trouble: Callable[[], None]
    ) -> _Lane:
        def hand_over(delivery: Delivery) -> None:
            lane.waiting = delivery.left_behind
            self._take(number, delivery)

        def end_request(ran_out: bool) -> None:
            if ran_out:
                lane.waiting, lane.empty_at = 0, time.monotonic()
            self._look_again.set()

        pull = PlanPull(
            nc,
            subjects.lane_consumer(number),
            hand_over,
            on_ended=end_request,
            lease_seconds=lease_seconds,
            on_trouble=on_trouble,
        )
        lane = _Lane(number, pull)
        return lane

    @property
    def free(self) -> int:
        """Slots that are neither taken nor asked for; fewer than none where too many came."""
        reserved = sum(lane.pull.asked for lane in self._lanes if lane.reserves)
        return self._slots.total - self._running() - reserved

    @property
    def have_plans(self) -> bool:
        """Whether plans wait there, as far as is known."""
        return any(lane.waiting for lane in self._lanes)

    async def run(self) -> None:
        """Pull until stopped."""
        for lane in self._lanes:
            await lane.pull.start()
        while not self._stopped:
            self._look_again.clear()
            await self._ask()
            try:
                await asyncio.wait_for(self._look_again.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                for lane in self._lanes:
                    lane.pull.notice_silence()

    async def stop(self) -> None:
        """Take no more plans."""
        self._stopped = True
        self._look_again.set()
        await asyncio.gather(*(lane.pull.stop() for lane in self._lanes))

    def note_plan_in(self, number: int) -> None:
        """A plan was moved to a lane."""
        lane = self._lanes[number]
        lane.waiting = max(lane.waiting, 1)
        self.look()

    def look(self) -> None:
        """See whether there is something to ask for: a slot has become free."""
        if any(self._can_ask(lane) for lane in self._lanes):
            self._look_again.set()

    async def _ask(self) -> None:
        shares, self._turn = share_out(self.free, [lane.due() for lane in self._lanes], self._slots, self._turn)
        for lane, share in zip(self._lanes, shares, strict=True):
            if share:
                lane.reserves = lane.waiting > 0
                await lane.pull.ask_for_present(share)
        if any(shares):
            return  # their answers come at once
        for lane in self._lanes:
            if self._can_ask(lane):
                lane.reserves = False
                await lane.pull.ask(1)

    def _can_ask(self, lane: _Lane) -> bool:
        return not lane.pull.asked and fits(lane.number, self.free, self._slots)
