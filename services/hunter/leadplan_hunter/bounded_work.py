"""Working through a list, a few items at once, within a step's time and without losing what is paid for.

Work stops before its end when its time is over, when an item fails it, when a provider asks for a pause, and when it is
cancelled. Calls that are under way then were sent, and may be charged: they are left to end, and whoever made them
keeps what they brought. Only what waits stops at once: for its turn at a rate limit (`turn`), or for a moment to pass
(`interruptible`). A ``work`` function does everything else without being cut off, unless a call takes too long.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

from leadplan_hunter.errors import PauseAskedForError
from leadplan_responder.limits import RATE_LIMITED, Limit

Item = TypeVar("Item")

# Kept for turning what was found into a reply before the attempt's deadline.
_REPLY_SECONDS = 1.5
_REPLY_SHARE = 0.1
# Before that nothing new is begun, so that what is under way can end.
_LAST_CALLS_SECONDS = 5.0
_LAST_CALLS_SHARE = 0.2
# How long calls under way may take to end when the work stops early: as long as most calls can last.
_ENDING_SECONDS = 10.0
# The same when the work is cancelled; the SDK gives a handler a second then.
_CANCELLED_SECONDS = 0.8
# How soon a limit that others hold is noticed.
_LOOK_SECONDS = 0.2
# By when the calls under way had ended the pause may be over. It is held a little longer then, for the SDK asks for
# the same attempt again only while a limit is held.
_SHORTEST_HOLD_SECONDS = 0.1


class _Stop:
    """Ends work: at once where it waits, and elsewhere when it comes to wait."""

    def __init__(self) -> None:
        self.requested = False
        self._waiting: set[asyncio.Task[object]] = set()

    def request(self) -> None:
        self.requested = True
        for task in self._waiting:
            task.cancel()

    @contextmanager
    def interrupts(self) -> Iterator[None]:
        if self.requested:
            raise asyncio.CancelledError
        task = asyncio.current_task()
        if task is None or task in self._waiting:
            yield
            return
        self._waiting.add(task)
        try:
            yield
        finally:
            self._waiting.discard(task)


_stop_of_this_work: ContextVar[_Stop | None] = ContextVar("_stop_of_this_work", default=None)


@contextmanager
def interruptible() -> Iterator[None]:
    """Around a wait that costs nothing: work that stops cancels it, and doesn't begin it any more.

    Outside of `work_through` it does nothing.

    Raises:
        asyncio.CancelledError: the work stops.
    """
    stop = _stop_of_this_work.get()
    if stop is None:
        yield
        return
    with stop.interrupts():
        yield


@asynccontextmanager
async def turn(limit: Limit) -> AsyncIterator[None]:
    """As ``async with limit``, where waiting for the turn is `interruptible` and what is done in it isn't."""
    async with AsyncExitStack() as stack:
        with interruptible():
            await stack.enter_async_context(limit)
        yield


async def work_through(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[None]],
    *,
    at_once: int,
    seconds: float,
    limits: Sequence[Limit] = (),
) -> None:
    """Call ``work`` for each item, in order of the list, with at most ``at_once`` calls under way.

    Returns when all are done or the time is over; some may not have had their turn then. So ``work`` keeps its outcome
    itself, and the caller can tell what was left.

    Args:
        items: what to work on.
        work: called with one item.
        at_once: how many items are worked on at the same time.
        seconds: of the attempt; a part is set aside for what is under way at the end, and for the reply.
        limits: those that ``work`` waits for.

    Raises:
        PauseAskedForError: a provider has asked somebody else to pause, and holds one of the limits with that.
        Exception: what ``work`` raised first.
    """
    if not items:
        return
    ends_at = _now() + seconds - min(_REPLY_SECONDS, seconds * _REPLY_SHARE)
    stop, failures = _Stop(), list[Exception]()
    workers = _start(items, work, at_once, stop, failures)
    try:
        until = ends_at - min(_LAST_CALLS_SECONDS, seconds * _LAST_CALLS_SHARE)
        await _work_until(until, workers, failures, limits)
        stop.request()
        await asyncio.wait(workers, timeout=max(0.0, min(_ENDING_SECONDS, ends_at - _now())))
    except asyncio.CancelledError:
        stop.request()
        await asyncio.wait(workers, timeout=_CANCELLED_SECONDS)
        raise
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    if failures:
        _hold_still(failures[0], limits)
        raise failures[0]


def _start(
    items: Sequence[Item],
    work: Callable[[Item], Awaitable[None]],
    at_once: int,
    stop: _Stop,
    failures: list[Exception],
) -> set[asyncio.Task[None]]:
    left = iter(items)

    async def take_items() -> None:
        for item in left:
            if stop.requested:
                return
            try:
                await work(item)
            except Exception as error:
                failures.append(error)
                stop.request()
                raise

    # Tasks take the context of their creation along.
    token = _stop_of_this_work.set(stop)
    try:
        return {asyncio.create_task(take_items()) for _ in range(min(at_once, len(items)))}
    finally:
        _stop_of_this_work.reset(token)


async def _work_until(
    moment: float, workers: set[asyncio.Task[None]], failures: list[Exception], limits: Sequence[Limit]
) -> None:
    """Until all is done, something failed, or the moment has come."""
    under_way = workers
    while under_way and not failures and (seconds := moment - _now()) > 0:
        held = max((limit.held_for() for limit in limits), default=0.0)
        if held > 0:
            failures.append(PauseAskedForError(held))
            return
        wait = min(seconds, _LOOK_SECONDS) if limits else seconds
        _, under_way = await asyncio.wait(under_way, timeout=wait, return_when=asyncio.FIRST_EXCEPTION)


def _hold_still(failure: Exception, limits: Sequence[Limit]) -> None:
    if getattr(failure, "code", None) == RATE_LIMITED:
        for limit in limits:
            limit.hold(_SHORTEST_HOLD_SECONDS)


def _now() -> float:
    return asyncio.get_running_loop().time()
