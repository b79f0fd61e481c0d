"""Staying within Hunter's limits of requests per second and per minute."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

_SECOND = 1.02
_MINUTE = 61.0


class RateLimit:
    """Spaces the calls of one group of endpoints so that neither of its two limits is passed.

    A call takes a place in each window and gives it back a second (a minute) after its *end*. Requests that leave in
    time can still arrive closer together than they left, and it is the arrival that Hunter counts; it lies before
    the end, so this holds however long a request is under way.

    Args:
        per_second: calls in any second.
        per_minute: calls in any minute.
        second, minute: how long the windows are, in seconds.
    """

    def __init__(self, per_second: int, per_minute: int, *, second: float = _SECOND, minute: float = _MINUTE) -> None:
        self._windows = [(asyncio.Semaphore(per_second), second), (asyncio.Semaphore(per_minute), minute)]

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait for a place and hold it during a call."""
        taken: list[tuple[asyncio.Semaphore, float]] = []
        try:
            for places, seconds in self._windows:
                await places.acquire()
                taken.append((places, seconds))
            yield
        finally:
            loop = asyncio.get_running_loop()
            for places, seconds in taken:
                loop.call_later(seconds, places.release)
