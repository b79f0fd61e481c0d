import asyncio
import time

from leadplan_hunter.rate_limit import RateLimit


async def arrivals_of(limit: RateLimit, calls: int) -> list[float]:
    """When each call arrives at the server; some are under way longer than others."""
    arrivals = []

    async def call(number: int) -> None:
        async with limit.place():
            await asyncio.sleep(0.02 * (number % 3))
            arrivals.append(time.monotonic())
            await asyncio.sleep(0.005)

    await asyncio.gather(*(call(number) for number in range(calls)))
    return sorted(arrivals)


async def test_no_second_holds_more_calls_than_allowed():
    arrivals = await arrivals_of(RateLimit(4, 1000, second=0.1), 14)

    assert len(arrivals) == 14
    assert min(later - earlier for earlier, later in zip(arrivals, arrivals[4:], strict=False)) >= 0.099


async def test_no_minute_holds_more_calls_than_allowed():
    arrivals = await arrivals_of(RateLimit(100, 5, second=0.01, minute=0.15), 11)

    assert len(arrivals) == 11
    assert min(later - earlier for earlier, later in zip(arrivals, arrivals[5:], strict=False)) >= 0.149


async def test_a_call_that_is_cancelled_gives_its_place_back():
    limit = RateLimit(1, 1, second=0.02, minute=0.02)

    async def never_ends() -> None:
        async with limit.place():
            await asyncio.Event().wait()

    holds = asyncio.create_task(never_ends())
    waits = asyncio.create_task(never_ends())
    await asyncio.sleep(0)
    for task in (holds, waits):
        task.cancel()
    await asyncio.gather(holds, waits, return_exceptions=True)

    async with asyncio.timeout(5), limit.place():
        pass
