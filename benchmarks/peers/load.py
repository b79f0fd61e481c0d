"""The load generator that all systems share: one workflow after the other, then many at once.

Standard library only: each peer runs it in its own virtual environment. It prints one line of JSON, its `Figures`.
"""

import argparse
import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from statistics import median

STEPS = 6
"""Chained steps of a workflow. Each adds one to what the step before it returned, so the result is their number."""

_WARM_UP_SECONDS = 1.0
_FILL_SECONDS = 10.0
"""How long the first workflow of each slot may take before counting starts without waiting for the rest."""


@dataclass(frozen=True)
class Options:
    """How long to measure.

    Attributes:
        latency_seconds: how long workflows run one after the other.
        saturation_seconds: how long finished workflows are counted while many run, for each of ``in_flight``.
        in_flight: how many run at once then, one number after the other.
    """

    latency_seconds: float
    saturation_seconds: float
    in_flight: tuple[int, ...]


@dataclass(frozen=True)
class Figures:
    """What one round measured.

    Attributes:
        latency_ms: median time from submitting a workflow until its result is known, one at a time.
        latency_p99_ms: the same for the slowest in a hundred.
        one_at_a_time: workflows behind the latency.
        throughput: finished workflows a second, by how many were in flight.
    """

    latency_ms: float
    latency_p99_ms: float
    one_at_a_time: int
    throughput: dict[str, float]


class Window:
    """Counts finished workflows, from when every slot has finished one until the time is over."""

    def __init__(self, in_flight: int, seconds: float) -> None:
        self.in_flight = in_flight
        self._seconds = seconds
        self._lock = threading.Lock()
        self._begun = time.perf_counter()
        self._finished = 0
        self._opened_at: float | None = None
        self._opened_with = 0
        self._last = self._begun

    @property
    def over(self) -> bool:
        """Whether enough was counted: something, and for long enough."""
        if self._opened_at is None or self._finished == self._opened_with:
            return False
        return time.perf_counter() - self._opened_at >= self._seconds

    def add(self, finished: int = 1) -> None:
        """So many more workflows have finished."""
        now = time.perf_counter()
        with self._lock:
            if self.over or not finished:
                return
            self._finished += finished
            self._last = now
            filled = self._finished >= self.in_flight or now - self._begun > _FILL_SECONDS
            if self._opened_at is None and filled:
                self._opened_at, self._opened_with = now, self._finished

    @property
    def per_second(self) -> float:
        """Finished workflows a second, up to the last one that was counted."""
        counted = self._finished - self._opened_with
        if self._opened_at is None or not counted:
            raise RuntimeError("no workflow finished while many were running")
        return counted / (self._last - self._opened_at)


def check(result: object) -> None:
    """Refuse a workflow whose steps didn't all run on one another's results."""
    if result != STEPS:
        raise RuntimeError(f"a workflow returned {result!r}, not {STEPS}")


def figures(latencies: list[float], windows: list[Window]) -> Figures:
    """The figures of a round.

    Args:
        latencies: seconds of each workflow that ran alone.
        windows: what was counted while many ran.
    """
    ordered = sorted(latencies)
    return Figures(
        latency_ms=median(ordered) * 1000,
        latency_p99_ms=ordered[int(len(ordered) * 0.99)] * 1000,
        one_at_a_time=len(ordered),
        throughput={str(window.in_flight): window.per_second for window in windows},
    )


async def one_after_the_other(run_one: Callable[[], Awaitable[object]], seconds: float) -> list[float]:
    """Run workflows alone, after a warm-up, and return the seconds that each took."""
    warm_at = time.perf_counter() + _WARM_UP_SECONDS
    until = warm_at + seconds
    latencies: list[float] = []
    while (begun := time.perf_counter()) < until or not latencies:
        check(await run_one())
        if begun >= warm_at:
            latencies.append(time.perf_counter() - begun)
    return latencies


async def measure(
    run_one: Callable[[], Awaitable[object]],
    options: Options,
    *,
    run_one_of_many: Callable[[], Awaitable[object]] | None = None,
) -> Figures:
    """Measure an asynchronous client.

    Args:
        run_one: submits a workflow and returns its result.
        options: how long, and how many at once.
        run_one_of_many: does the same while many run, where the client must be used in another way then.
    """
    latencies = await one_after_the_other(run_one, options.latency_seconds)
    windows = [Window(in_flight, options.saturation_seconds) for in_flight in options.in_flight]
    for window in windows:
        await _saturate(run_one_of_many or run_one, window)
    return figures(latencies, windows)


async def _saturate(run_one: Callable[[], Awaitable[object]], window: Window) -> None:
    async def slot() -> None:
        while not window.over:
            check(await run_one())
            window.add()

    async with asyncio.TaskGroup() as slots:
        for _ in range(window.in_flight):
            slots.create_task(slot())


def measure_threads(run_one: Callable[[], object], options: Options) -> Figures:
    """Measure a blocking client, a thread for each workflow in flight."""

    async def run_one_here() -> object:
        return run_one()

    latencies = asyncio.run(one_after_the_other(run_one_here, options.latency_seconds))
    windows = [Window(in_flight, options.saturation_seconds) for in_flight in options.in_flight]
    for window in windows:
        _saturate_with_threads(run_one, window)
    return figures(latencies, windows)


def _saturate_with_threads(run_one: Callable[[], object], window: Window) -> None:
    def slot() -> None:
        while not window.over:
            check(run_one())
            window.add()

    with ThreadPoolExecutor(window.in_flight) as threads:
        slots = [threads.submit(slot) for _ in range(window.in_flight)]
        for ended in as_completed(slots):
            ended.result()


def options_of_command_line() -> Options:
    """Options that the command of this process names."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency-seconds", type=float, required=True)
    parser.add_argument("--saturation-seconds", type=float, required=True)
    parser.add_argument("--in-flight", type=int, nargs="+", required=True)
    named, _ = parser.parse_known_args()
    return Options(named.latency_seconds, named.saturation_seconds, tuple(named.in_flight))


def tell(round_figures: Figures) -> None:
    """Print the figures for the process that started this one, and end: workflows that still run don't matter."""
    sys.stdout.write(json.dumps(asdict(round_figures)) + "\n")
    sys.stdout.flush()
    os._exit(0)
