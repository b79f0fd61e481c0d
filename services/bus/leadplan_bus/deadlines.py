"""Deadlines of many things at once, looked after by one timer."""

import asyncio
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

_LOOK_SECONDS: Final = 0.05
_EXACT_SECONDS: Final = 1.0

KeyT = TypeVar("KeyT", bound=Hashable)


class Deadlines(Generic[KeyT]):
    """Tells what has run out of time, for thousands that nearly always end well before.

    A timer of its own for each request costs about as much as sending it. So one looks at all of them twenty times a
    second while there are any: a deadline of a second or more is noticed up to 50 ms late, a shorter one exactly.

    Args:
        on_passed: called with a key whose time is over. It must be quick and raise nothing.
    """

    def __init__(self, on_passed: Callable[[KeyT], None]) -> None:
        self._on_passed = on_passed
        self._at: dict[KeyT, float] = {}
        self._looks = False

    def add(self, key: KeyT, seconds: float) -> None:
        """Call ``on_passed`` with the key when that time is over, unless it was discarded before."""
        loop = asyncio.get_running_loop()
        self._at[key] = loop.time() + seconds
        if seconds < _EXACT_SECONDS:
            loop.call_later(seconds, self._notice)
        elif not self._looks:
            self._looks = True
            loop.call_later(_LOOK_SECONDS, self._look, loop)

    def discard(self, key: KeyT) -> None:
        """Forget the key, if it is there."""
        self._at.pop(key, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._notice()
        self._looks = bool(self._at)
        if self._looks:
            loop.call_later(_LOOK_SECONDS, self._look, loop)

    def _notice(self) -> None:
        now = asyncio.get_running_loop().time()
        for key in [key for key, at in self._at.items() if at <= now]:
            del self._at[key]
            self._on_passed(key)
