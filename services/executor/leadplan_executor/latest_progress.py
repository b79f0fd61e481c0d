"""Progress of one attempt on its way to the live feed: the newest report, not more often than a person can see."""

import asyncio
from collections.abc import Callable

from leadplan_contracts import ToolProgress

_APART_SECONDS = 0.05


class LatestProgress:
    """Passes on the newest report at most twenty times a second; the last one is never lost.

    Args:
        report: called with what is to be published.
    """

    def __init__(self, report: Callable[[ToolProgress], None]) -> None:
        self._report = report
        self._waiting: ToolProgress | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._next_at = 0.0

    def take(self, progress: ToolProgress) -> None:
        """A sign of life said how far the tool is."""
        self._waiting = progress
        if self._timer is not None:
            return  # what waits is newer now
        loop = asyncio.get_running_loop()
        if loop.time() >= self._next_at:
            self._pass_on()
        else:
            self._timer = loop.call_at(self._next_at, self._pass_on)

    def close(self) -> None:
        """The attempt is over: pass on what still waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._pass_on()

    def _pass_on(self) -> None:
        self._timer = None
        self._next_at = asyncio.get_running_loop().time() + _APART_SECONDS
        if self._waiting is not None:
            self._report(self._waiting)
            self._waiting = None
