import asyncio

import pytest

from leadplan_hunter.bounded_work import work_through


async def test_all_items_are_worked_on_with_a_bounded_number_at_once():
    running = most = 0
    done: list[int] = []

    async def work(item: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        done.append(item)

    await work_through(range(20), work, at_once=3, seconds=10)

    assert sorted(done) == list(range(20))
    assert most == 3


async def test_when_the_time_is_over_what_is_under_way_is_cancelled_and_what_is_done_stays():
    done: list[int] = []
    cancelled: list[int] = []

    async def work(item: int) -> None:
        try:
            await asyncio.sleep(0 if item < 2 else 60)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        done.append(item)

    await work_through(range(5), work, at_once=2, seconds=0.1)

    assert done == [0, 1]
    assert sorted(cancelled) == [2, 3]


async def test_the_first_error_ends_the_work_and_is_raised_as_it_is():
    started: list[int] = []

    async def work(item: int) -> None:
        started.append(item)
        if item == 1:
            raise ValueError("broken")
        await asyncio.sleep(60)

    with pytest.raises(ValueError, match="broken"):
        await work_through(range(9), work, at_once=2, seconds=60)

    assert started == [0, 1]


async def test_nothing_to_do_is_done_at_once():
    async def work(item: int) -> None:
        raise AssertionError(item)

    await work_through([], work, at_once=4, seconds=0)
