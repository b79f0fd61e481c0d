"""Times on the wire as people want to read them."""

import time
from datetime import datetime

from leadplan_contracts.times import parse_time

_UNITS = ((86_400, 2, "d"), (3_600, 2, "h"), (60, 1, "min"), (1, 0, "s"))
"""Seconds in a unit, from how many of it on it is used, and its name."""


def now_ms() -> int:
    """The clock, in milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def rough(milliseconds: int) -> str:
    """A length of time in one unit: ``12 s``, ``5 min``, ``7 h``, ``12 d``; at least ``0 s``."""
    seconds = max(milliseconds, 0) // 1000
    size, _, name = next(unit for unit in _UNITS if seconds >= unit[0] * unit[1])
    return f"{seconds // size} {name}"


def ago(timestamp: str, now: int) -> str:
    """``5 min ago``; ``just now`` in the last second, and for clocks that go differently."""
    age = now - parse_time(timestamp)
    return "just now" if age < 1000 else f"{rough(age)} ago"


def until(timestamp: str, now: int) -> str:
    """``in 5 min``, or ``now`` where the time has come."""
    left = parse_time(timestamp) - now
    return "now" if left <= 0 else f"in {rough(left + 999)}"


def clock_time(timestamp: str) -> str:
    """``2026-11-23 09:15:02 UTC``."""
    return f"{datetime.fromisoformat(timestamp.upper()):%Y-%m-%d %H:%M:%S} UTC"
