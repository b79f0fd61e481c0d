"""Taking plans from one consumer of the work queue: never more at once than there are places (protocol section 1)."""

import asyncio
from collections.abc import Callable

from nats.aio.client import Client

from leadplan_executor.pulls import HEARTBEAT_SECONDS, Delivery, PlanPull


class PlanIntake:
    """Keeps pull requests open for the free places and hands each message over as it comes.

    Args:
        nc: the connection.
        places: how many deliveries may be held at once.
        take: called with each delivery, and with what must be called once its place is free again.
        consumer: which of the queue's consumers to pull from.
        lease_seconds: tells how long a lease is now.
        on_trouble: called when the queue refuses, for its consumer may be gone.
    """

    def __init__(
        self,
        nc: Client,
        places: int,
        take: Callable[[Delivery, Callable[[], None]], None],
        *,
        consumer: str,
        lease_seconds: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self._places = places
        self._take = take
        self._held = 0
        self._look_again = asyncio.Event()
        self._stopped = False
        self._pull = PlanPull(
            nc,
            consumer,
            self._hold,
            on_ended=lambda _: self._look_again.set(),
            lease_seconds=lease_seconds,
            on_trouble=on_trouble,
        )

    async def run(self) -> None:
        """Pull until stopped."""
        await self._pull.start()
        while not self._stopped:
            self._look_again.clear()
            await self._ask_for_free_places()
            try:
                await asyncio.wait_for(self._look_again.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                self._pull.notice_silence()

    async def stop(self) -> None:
        """Take no more plans; what the server has sent already is handed back."""
        self._stopped = True
        self._look_again.set()
        await self._pull.stop()

    def _hold(self, delivery: Delivery) -> None:
        self._held += 1
        self._take(delivery, self._release)

    def _release(self) -> None:
        self._held -= 1
        self._look_again.set()

    async def _ask_for_free_places(self) -> None:
        asked = self._pull.asked
        free = self._places - self._held - asked
        # Asking again only once half of the free places aren't asked for keeps requests few under load.
        if free > 0 and not (asked and free < asked):
            await self._pull.ask(free)
