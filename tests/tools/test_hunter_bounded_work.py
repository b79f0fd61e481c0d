"""Working through a list: how many at once, and how it ends without losing what is under way."""

import asyncio

import pytest

from leadplan_hunter.bounded_work import interruptible, turn, work_through
from leadplan_hunter.errors import PauseAskedForError, StepStoppedError
from leadplan_responder.limits import Limits

SOON = 60.0


@pytest.fixture
def limit():
    return Limits().tool("A tool", per_minute=1_000)


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


async def test_nothing_to_do_is_done_at_once():
    async def work(item: int) -> None:
        raise AssertionError(item)

    await work_through([], work, at_once=4, seconds=0)


async def test_when_the_time_is_over_nothing_is_begun_and_what_takes_too_long_is_cancelled():
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


async def test_what_is_under_way_when_the_time_is_over_may_end():
    answered = asyncio.Event()
    done: list[int] = []

    async def work(item: int) -> None:
        if item == 0:
            await answered.wait()
            done.append(item)
            return
        try:
            with interruptible():
                await asyncio.sleep(SOON)
        finally:
            answered.set()  # so the answer to the other call comes after the time is over

    await work_through(range(9), work, at_once=2, seconds=0.2)

    assert done == [0]


async def test_an_error_ends_the_work_and_is_raised_once_the_calls_under_way_have_ended():
    answered = asyncio.Event()
    begun: list[int] = []
    done: list[int] = []

    async def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            await asyncio.sleep(0)  # the others begin
            asyncio.get_running_loop().call_soon(answered.set)
            raise ValueError("broken")
        await answered.wait()
        await asyncio.sleep(0)  # such as keeping what the call brought
        done.append(item)

    with pytest.raises(ValueError, match="broken"):
        await work_through(range(9), work, at_once=3, seconds=SOON)

    assert begun == [0, 1, 2]
    assert done == [0, 2]


async def test_the_first_of_several_errors_counts():
    async def work(item: int) -> None:
        if item == 0:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 1"):
        await work_through(range(2), work, at_once=2, seconds=SOON)


async def test_what_waits_for_its_turn_stops_at_once(limit):
    done: list[int] = []

    async def work(item: int) -> None:
        if item == 0:
            await asyncio.sleep(0)
            raise ValueError("broken")
        async with turn(limit):
            done.append(item)

    limit.hold(SOON)
    async with asyncio.timeout(SOON / 2):
        with pytest.raises(ValueError, match="broken"):
            await work_through(range(9), work, at_once=3, seconds=SOON)

    assert done == []


async def test_work_that_stops_begins_no_further_turn(limit):
    turns: list[tuple[int, int]] = []
    kept: list[int] = []
    asked = asyncio.Event()
    answered = asyncio.Event()

    async def work(item: int) -> None:
        if item == 0:
            await asked.wait()
            asyncio.get_running_loop().call_soon(answered.set)
            raise ValueError("broken")
        for page in range(3):
            async with turn(limit):
                turns.append((item, page))
                asked.set()
                await answered.wait()
            kept.append(page)

    with pytest.raises(ValueError, match="broken"):
        await work_through(range(2), work, at_once=2, seconds=SOON)

    assert turns == [(1, 0)]
    assert kept == [0]


async def test_a_wait_that_costs_nothing_is_interrupted():
    async def work(item: int) -> None:
        if item == 0:
            await asyncio.sleep(0)
            raise ValueError("broken")
        with interruptible():
            await asyncio.sleep(SOON)

    async with asyncio.timeout(SOON / 2):
        with pytest.raises(ValueError, match="broken"):
            await work_through(range(2), work, at_once=2, seconds=SOON)


async def test_outside_of_such_work_turns_and_waits_are_plain(limit):
    async with turn(limit):
        with interruptible():
            await asyncio.sleep(0)
    with pytest.raises(ValueError, match="inside"):
        async with turn(limit):
            raise ValueError("inside")


async def test_a_pause_that_somebody_else_was_asked_for_stops_the_work(limit):
    """Every item waits for the limit then: the step ends, so that it can be asked for again after the pause."""
    done: list[int] = []

    async def work(item: int) -> None:
        async with turn(limit):
            done.append(item)
            if item == 1:
                limit.hold(SOON)

    async with asyncio.timeout(SOON / 2):
        with pytest.raises(PauseAskedForError) as raised:
            await work_through(range(9), work, at_once=2, seconds=SOON, limits=[limit])

    assert done == [0, 1]
    assert (raised.value.code, raised.value.retryable) == ("rate_limited", True)
    assert SOON / 2 < (raised.value.retry_after or 0) <= SOON


async def test_the_limit_is_still_held_when_the_work_ends_for_it(limit):
    """The pause may be over by the time that the calls under way have ended."""

    async def work(_item: int) -> None:
        raise StepStoppedError("too fast", code="rate_limited", retry_after=1)

    with pytest.raises(StepStoppedError):
        await work_through(range(2), work, at_once=1, seconds=SOON, limits=[limit])

    assert limit.held_for() > 0


async def test_other_errors_hold_no_limit(limit):
    async def work(_item: int) -> None:
        raise StepStoppedError("no", code="quota_exceeded", retryable=False)

    with pytest.raises(StepStoppedError):
        await work_through(range(2), work, at_once=1, seconds=SOON, limits=[limit])

    assert limit.held_for() == 0


async def test_cancelled_work_lets_its_calls_end_for_a_moment_and_is_over_then(limit):
    begun = asyncio.Event()
    answered = asyncio.Event()
    ended: list[str] = []

    async def work(item: int) -> None:
        begun.set()
        try:
            await (answered.wait() if item == 0 else asyncio.sleep(SOON))
            ended.append("kept")
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    working = asyncio.create_task(work_through(range(5), work, at_once=2, seconds=SOON))
    await begun.wait()
    working.cancel()
    await asyncio.sleep(0)
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await working

    assert ended == ["kept", "cancelled"]
