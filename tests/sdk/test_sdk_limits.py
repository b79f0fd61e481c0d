"""Limits, on an event loop whose clock jumps to the next timer: exact times, and no waiting."""

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from aiolimiter import AsyncLimiter
from pydantic import SecretStr

from leadplan_responder import ToolError
from leadplan_responder.limits import (
    LONGEST_HOLD_SECONDS,
    Credential,
    Holds,
    Limit,
    Limits,
    Rates,
    credential_limit,
    tool_limit,
)

A_BIT = 1e-6


class JumpingLoop(asyncio.SelectorEventLoop):
    """Where others wait for the next timer, this one sets its clock to it."""

    def __init__(self) -> None:
        super().__init__()
        self._time = 1000.0

    def time(self) -> float:
        return self._time

    def _run_once(self) -> None:
        waiting = [timer.when() for timer in self._scheduled if not timer.cancelled()]
        if not self._ready and waiting:
            self._time = max(self._time, min(waiting)) + A_BIT
        super()._run_once()


def jumping(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test on an event loop of that kind."""

    @functools.wraps(test)
    def run(*arguments: Any, **fixtures: Any) -> None:
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            runner.run(test(*arguments, **fixtures))

    return run


def now() -> float:
    return asyncio.get_running_loop().time()


async def arrivals_of(limit: Limit, calls: int, under_way: Callable[[int], float] = lambda number: 0.0) -> list[float]:
    """When each call arrives at the provider, by its number, in seconds since the start."""
    start = now()
    arrivals = [0.0] * calls

    async def call(number: int) -> None:
        async with limit:
            await asyncio.sleep(under_way(number))
            arrivals[number] = now() - start
            await asyncio.sleep(0.005)

    await asyncio.gather(*(call(number) for number in range(calls)))
    return arrivals


def most_in_any(window: float, arrivals: list[float]) -> int:
    return max(sum(first <= one < first + window for one in arrivals) for first in arrivals)


@jumping
async def test_no_second_holds_more_calls_than_allowed_however_long_each_is_under_way():
    limit = Limits().credential("s", key="k", per_second=15, burst=15)
    arrivals = await arrivals_of(limit, 100, under_way=lambda number: 0.3 * (number % 4))
    assert most_in_any(1.0, arrivals) == 15
    assert max(arrivals) < 15, "and hardly more time than needed goes by"


@jumping
async def test_slow_answers_do_not_keep_others_waiting():
    """A provider counts calls when they come. With answers after 3 s, ten a second mustn't become two and a half."""
    limit, start, left = Limits().credential("s", key="k", per_second=10, burst=10), now(), []

    async def call() -> None:
        async with limit:
            left.append(now() - start)
            await asyncio.sleep(3.0)

    await asyncio.gather(*(call() for _ in range(60)))
    assert most_in_any(1.0, left) == 10
    assert max(left) < 11


@jumping
async def test_a_bucket_alone_would_let_nearly_twice_as_many_through():
    bucket, start, left = AsyncLimiter(15, 1), now(), []

    async def call() -> None:
        async with bucket:
            left.append(now() - start)

    await asyncio.gather(*(call() for _ in range(60)))
    assert most_in_any(1.0, left) > 25


@jumping
async def test_no_minute_holds_more_calls_than_allowed():
    limit = Limits().credential("s", key="k", per_second=15, per_minute=50, burst=15)
    arrivals = await arrivals_of(limit, 170, under_way=lambda number: 2.0 * (number % 3))
    assert most_in_any(60.0, arrivals) == 50
    assert most_in_any(1.0, arrivals) <= 15


@jumping
async def test_calls_of_a_second_leave_at_an_even_pace():
    arrivals = await arrivals_of(Limits().credential("s", key="k", per_second=4), 4)
    assert arrivals == pytest.approx([0.0, 0.25, 0.5, 0.75], abs=0.001)


@jumping
async def test_a_burst_leaves_at_once_and_the_rest_at_the_pace():
    arrivals = await arrivals_of(Limits().credential("s", key="k", per_second=10, burst=3), 6)
    assert arrivals == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2, 0.3], abs=0.001)


@jumping
async def test_at_once_bounds_what_is_under_way():
    limit = Limits().tool("T", at_once=3)
    running = most = 0

    async def call() -> None:
        nonlocal running, most
        async with limit:
            running += 1
            most = max(most, running)
            await asyncio.sleep(1)
            running -= 1

    await asyncio.gather(*(call() for _ in range(10)))
    assert (running, most) == (0, 3)


@pytest.mark.parametrize("rates", [{"per_second": 3}, {"per_minute": 3}, {"at_once": 2}, {"per_second": 5, "burst": 2}])
@jumping
async def test_who_comes_first_goes_first(rates: dict[str, int]):
    order = []
    limit = Limits().tool("T", **rates)

    async def call(number: int) -> None:
        async with limit:
            order.append(number)
            await asyncio.sleep(0.1 * (number % 3))

    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(call(number))
            await asyncio.sleep(0.15)  # some come while others wait: they don't overtake
    assert order == list(range(12))


@jumping
async def test_a_longer_hold_does_not_change_who_comes_first():
    order = []
    limit = Limits().tool("T", at_once=5)

    async def call(number: int) -> None:
        async with limit:
            order.append(number)

    limit.hold(20)
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(call(number))
            await asyncio.sleep(1)
            limit.hold(20)
    assert order == [0, 1, 2, 3]


async def waiting(limit: Limit) -> asyncio.Task[None]:
    """A task that waits for the limit, and then stays in it."""

    async def stay() -> None:
        async with limit:
            await asyncio.Event().wait()

    task = asyncio.create_task(stay())
    await asyncio.sleep(0)
    return task


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@jumping
async def test_one_that_gives_up_waiting_takes_nothing_and_holds_nobody_up():
    limit = Limits().tool("T", per_second=1, per_minute=2, at_once=2)
    first = await waiting(limit)
    at_the_gate, behind_it = await waiting(limit), await waiting(limit)
    came_through = asyncio.create_task(arrivals_of(limit, 1))
    await asyncio.sleep(0)
    start = now()
    await cancel(behind_it, at_the_gate)
    await cancel(first)  # a call that was under way: a second must pass, and its place of the minute stays taken
    await came_through
    assert now() - start == pytest.approx(1.02, abs=0.05)


@jumping
async def test_everything_that_is_cancelled_gives_its_places_back():
    limit = Limits().tool("T", per_second=2, per_minute=2, at_once=1)
    for _ in range(10):
        await cancel(await waiting(limit), await waiting(limit), await waiting(limit))
        await asyncio.sleep(61.1)
    assert len(await arrivals_of(limit, 2)) == 2
    assert now() < 1000 + 11 * 62 + 5


@jumping
async def test_one_that_gives_up_waiting_for_a_window_frees_its_other_places():
    limit = Limits().tool("T", per_minute=1, at_once=1)
    async with limit:
        pass
    await cancel(await waiting(limit))
    assert await arrivals_of(limit, 1) == pytest.approx([61], abs=0.01)


@jumping
async def test_an_error_inside_gives_the_place_back_and_passes_on():
    limit = Limits().tool("T", at_once=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with limit:
                raise ZeroDivisionError
    assert limit.held_for() == 0


@jumping
async def test_while_it_is_held_nobody_goes_through_and_what_is_under_way_ends():
    limit = Limits().credential("s", key="k", at_once=5)
    under_way = asyncio.create_task(arrivals_of(limit, 1, under_way=lambda number: 1.0))
    await asyncio.sleep(0.5)
    assert limit.held_for() == 0
    limit.hold(20)
    assert limit.held_for() == pytest.approx(20)
    assert await under_way == pytest.approx([1.0], abs=0.01)
    assert limit.held_for() == pytest.approx(19.5, abs=0.01)
    assert await arrivals_of(limit, 3) == pytest.approx([19.5] * 3, abs=0.01)
    assert limit.held_for() == 0


@jumping
async def test_a_hold_that_begins_while_calls_wait_holds_them_too_and_a_longer_one_counts():
    limit = Limits().credential("s", key="k", per_second=2)
    calls = asyncio.create_task(arrivals_of(limit, 3))
    await asyncio.sleep(0.1)
    limit.hold(30)
    await asyncio.sleep(1)
    limit.hold(60)
    limit.hold(5)
    assert await calls == pytest.approx([0.005, 61.1, 61.6], abs=0.05)


@pytest.mark.parametrize(
    ("seconds", "held"), [(0, 0), (-3, 0), (float("nan"), 0), (1e12, 3600), (float("inf"), 3600), (0.25, 0.25)]
)
@jumping
async def test_a_hold_is_never_endless(seconds: float, held: float):
    limit = Limits().tool("T")
    limit.hold(seconds)
    assert limit.held_for() == pytest.approx(held)
    assert held <= LONGEST_HOLD_SECONDS


@pytest.mark.parametrize(
    ("error", "held"),
    [
        (ToolError("slow down", code="rate_limited", retry_after=7), 7),
        (ToolError("slow down", code="rate_limited"), 0),
        (ToolError("broken", code="service_unavailable", retry_after=7), 0),
        (TimeoutError(), 0),
    ],
)
@jumping
async def test_a_rate_limit_error_that_names_a_time_holds_what_it_leaves(error: Exception, held: float):
    limit = Limits().tool("T", per_second=9)
    with pytest.raises(type(error)):
        async with limit:
            raise error
    assert limit.held_for() == pytest.approx(held)


@jumping
async def test_serving_sees_a_hold_through_its_interface():
    limit = Limits().tool("T")
    held: Holds = limit
    limit.hold(3)
    assert held.held_for() == pytest.approx(3)


@jumping
async def test_waiting_for_a_hold_can_be_cancelled():
    limit = Limits().tool("T", at_once=1)
    limit.hold(3600)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2), limit:
            pytest.fail("it is held")
    assert limit.held_for() == pytest.approx(3598, abs=0.01)
    assert await arrivals_of(limit, 1) == pytest.approx([3598], abs=0.01)


@pytest.mark.parametrize("other", ["key", b"key", SecretStr("key")], ids=["text", "bytes", "hidden"])
@jumping
async def test_all_who_use_a_credential_share_its_limit(other: Credential):
    limits = Limits()
    limit = limits.credential("s", key="key", per_second=2)
    assert limits.credential("s", key=other, per_second=2) is limit
    assert limits.credential("s", key="another", per_second=2) is not limit
    assert limits.credential("other", key="key", per_second=2) is not limit
    assert limits.tool("s", per_second=2) is not limit
    assert Limits().credential("s", key="key", per_second=2) is not limit


@pytest.mark.parametrize(
    ("share", "rates"),
    [
        (1, Rates(15, 500, 10, 5)),
        (0.5, Rates(7, 250, 5, 2)),
        (1 / 3, Rates(5, 166, 3, 1)),
        (0.29, Rates(4, 145, 2, 1)),
        (0.001, Rates(1, 1, 1, 1)),
    ],
)
def test_a_share_is_rounded_down_but_nothing_falls_below_one(share: float, rates: Rates):
    limit = Limits().credential("s", key="k", per_second=15, per_minute=500, at_once=10, burst=5, share=share)
    assert limit.rates == rates


def test_a_share_keeps_what_is_not_limited_so():
    assert Limits().tool("T", per_minute=100, share=0.29).rates == Rates(per_minute=29), "not 28.999…"


@pytest.mark.parametrize("share", [0, -0.5, 1.01, float("nan"), float("inf")])
def test_a_share_is_a_part_of_the_whole(share: float):
    with pytest.raises(ValueError, match="a share must be above 0 and at most 1"):
        Limits().credential("s", key="k", at_once=10, share=share)


def test_a_process_has_one_set_of_limits():
    assert credential_limit("Acme", key="k", at_once=2) is credential_limit("Acme", key="k", at_once=2)
    assert tool_limit("T", at_once=2) is tool_limit("T", at_once=2)


def test_each_event_loop_starts_afresh():
    limit = Limits().tool("T", per_minute=1, at_once=1)

    async def use_it() -> float:
        limit.hold(5)
        return (await arrivals_of(limit, 1))[0]

    for _ in range(3):
        with asyncio.Runner(loop_factory=JumpingLoop) as runner:
            assert runner.run(use_it()) == pytest.approx(5, abs=0.01)
    assert len(limit._gates) == 1, "those of closed loops are forgotten"


def test_other_numbers_for_the_same_limit_are_a_mistake():
    limits = Limits()
    limits.credential("Acme", key="hush-hush", per_second=2)
    with pytest.raises(
        ValueError, match=r"'Acme' is there already, with per_second=2, burst=1; .* per_second=3"
    ) as raised:
        limits.credential("Acme", key="hush-hush", per_second=3)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"per_second": 0}, "per_second=0"),
        ({"per_minute": -1, "at_once": 0}, "per_minute=-1, at_once=0"),
        ({"per_second": 3, "burst": 0}, "burst=0"),
        ({"per_minute": 3, "burst": 2}, "give per_second too"),
    ],
)
def test_bad_numbers_are_refused(rates: dict[str, int], said: str):
    with pytest.raises(ValueError, match=said):
        Rates(**rates)


def everything_in(value: object, seen: set[int]) -> Iterator[object]:
    """A value and all that it holds, at any depth."""
    if id(value) in seen:
        return
    seen.add(id(value))
    yield value
    inside: list[object] = list(vars(value).values()) if hasattr(value, "__dict__") else []
    if isinstance(value, dict):
        inside += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        inside += value
    for one in inside:
        yield from everything_in(one, seen)


def test_the_credential_is_kept_nowhere():
    limits = Limits()
    limit = limits.credential("Acme", key=SecretStr("hush-hush"), per_second=2, at_once=3)
    assert repr(limit) == "<Limit Acme: per_second=2, at_once=3, burst=1>"
    held = list(everything_in(limits, set()))
    assert limit in held, "or this finds nothing"
    assert [one for one in held if "hush" in repr(one)] == []


WITHOUT_AIOLIMITER = """
import sys
sys.modules["aiolimiter"] = None
from leadplan_responder.limits import ConfigurationError, Limits
Limits().tool("T", per_second=3, burst=3, per_minute=2, at_once=1)
try:
    Limits().tool("T", per_second=3)
except ConfigurationError as error:
    print(error)
"""


def test_without_the_extra_the_error_names_it_when_the_limit_is_made():
    done = subprocess.run([sys.executable, "-c", WITHOUT_AIOLIMITER], capture_output=True, text=True, check=True)
    assert done.stdout == "aiolimiter is not installed, which limits need: pip install 'leadplan[limits]'\n"
