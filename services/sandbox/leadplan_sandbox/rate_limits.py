"""Rate limits: so many calls a second and so many a minute."""

import time
from collections import deque
from collections.abc import Callable


def always() -> bool:
    """Whether a limit that can't be switched off holds."""
    return True


class RateLimiter:
    """Counts calls of one endpoint group in a sliding second and a sliding minute.

    Args:
        per_second: calls that fit into any second, None for no such limit.
        per_minute: calls that fit into any minute, None for no such limit.
        clock: seconds, never going back.
        holds: asked at each call; while it says no, calls are neither counted nor refused.
    """

    def __init__(
        self,
        per_second: int | None,
        per_minute: int | None,
        clock: Callable[[], float] = time.monotonic,
        holds: Callable[[], bool] = always,
    ) -> None:
        self._windows = [(limit, span) for limit, span in ((per_second, 1.0), (per_minute, 60.0)) if limit is not None]
        self._clock = clock
        self._holds = holds
        self._calls: deque[float] = deque()

    def seconds_to_wait(self) -> float:
        """Count a call and return 0, or, when it comes too fast, how long to wait; such a call isn't counted."""
        if not self._holds():
            return 0.0
        now = self._clock()
        while self._calls and now - self._calls[0] >= 60.0:
            self._calls.popleft()
        wait = max((self._wait(limit, span, now) for limit, span in self._windows), default=0.0)
        if wait <= 0:
            self._calls.append(now)
        return max(wait, 0.0)

    def reset(self) -> None:
        """Forget the calls so far."""
        self._calls.clear()

    def _wait(self, limit: int, span: float, now: float) -> float:
        if len(self._calls) < limit:
            return 0.0
        # The call that must leave the window before another one fits.
        return self._calls[-limit] + span - now
