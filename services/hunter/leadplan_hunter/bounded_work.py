"""Working through a list, a few items at once, until it is done or the time is over."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")

# Kept for turning what was found into a reply before the attempt's deadline.
_RESERVE_SECONDS = 1.5
_RESERVE_SHARE = 0.1


async def work_through(
    items: Sequence[Item], work: Callable[[Item], Awaitable[None]], *, at_once: int, seconds: float
) -> None:
    """Call ``work`` for each item, in order of the list, with at most ``at_once`` calls under way.

    Returns when all are done or ``seconds`` (less a reserve for the reply) are over; calls under way are cancelled
    then. So ``work`` keeps its outcome itself, and the caller can tell what was left.

    Raises:
        Exception: whatever ``work`` raised first; the other calls are cancelled.
    """
    waiting = iter(items)

    async def take_items() -> None:
        for item in waiting:
            await work(item)

    reserve = min(_RESERVE_SECONDS, seconds * _RESERVE_SHARE)
    try:
        async with asyncio.timeout(seconds - reserve), asyncio.TaskGroup() as group:
            for _ in range(min(at_once, len(items))):
                group.create_task(take_items())
    except TimeoutError:
        return
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
