"""The wall clock, in the one unit that the executor uses."""

import asyncio
import time


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


async def sleep_until(at_ms: int) -> None:
    """Sleep until the wall clock shows ``at_ms``; return at once when it has."""
    await asyncio.sleep(max(0, at_ms - now_ms()) / 1000)
