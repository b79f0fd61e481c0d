"""Cost as work grows: plans in flight, steps a plan, size of the log, number of executors, and time."""

import tempfile
from pathlib import Path

import msgspec
from bench_bed import FLOOR, LEADPLAN, Bed, Setup, bed, recorded
from bench_cells import IN_FLIGHT, Timing, saturated_timing
from bench_checks import problems_after
from bench_filling import fill
from bench_floor import MANNER_VARIABLE
from bench_load import Load, Measured
from bench_processes import tell
from bench_recording import Recording
from bench_results import GrowthPoint, Results, percentile
from bench_rounds import Options
from bench_shapes import shape

from leadplan_contracts import subjects

SHAPE = "chain-6"
CURVES = {
    "in-flight": "plans in flight",
    "chain": "steps a plan, one after the other",
    "wide": "steps a plan, at most 200 at once",
    "log": "events in the log",
    "executors": "executors",
    "soak": "steps run by one executor",
}
"""What grows, by curve."""

_LONGEST_CHAIN = 4_000
"""The results of all steps before fill the largest message that a server takes by default at some 4 700."""
_FLOOR_STEPS = 1_000
"""For longer plans there is no floor: a recording of a chain holds all its requests, and each of these all results
so far."""
_SOAK_STEPS = 1_000_000
_ROOM = {"LEADPLAN_MAX_PLANS": "16384"}
"""A quarter of the slots is kept for other accounts; the rest must hold all that are in flight."""
_MOST_SECONDS = 1_800.0
_SAMPLE_SECONDS = 5.0
_PREFIX = "g"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A point of a curve.

    Attributes:
        curve, x: which one.
        shape: the workload.
        loads: plans in flight, and how long each measurement lasts.
        executors: how many run.
        finished_plans: so many lie in the log.
        with_floor: whether the floor is measured too.
        sample_every: seconds between samples of the memory.
    """

    curve: str
    x: int
    shape: str
    loads: dict[int, Timing]
    executors: int = 1
    finished_plans: int = 0
    with_floor: bool = True
    sample_every: float = 0.0


def points(*, quick: bool) -> list[Point]:
    """All points of all curves; the small ones only where it is to be quick."""

    def some(*values: int) -> tuple[int, ...]:
        return values[:2] if quick else values

    saturated, found = saturated_timing(quick=quick), list[Point]()
    for x in some(1, 10, 100, 1_000, 10_000):
        timing = Timing(max(saturated.warm_seconds, x / 1_000), x, saturated.seconds, max(x, 20))
        found.append(Point(curve="in-flight", x=x, shape=SHAPE, loads={x: timing}))
    for curve, longest in (("chain", _LONGEST_CHAIN), ("wide", 5_000)):
        for x in some(1, 10, 100, 1_000, longest):
            loads = {1: Timing(0.2, 1, saturated.seconds / 2, 3)}
            found.append(Point(curve=curve, x=x, shape=f"{curve}-{x}", loads=loads, with_floor=x <= _FLOOR_STEPS))
    one = Timing(saturated.warm_seconds / 2, 10, saturated.seconds / 2, 20)
    events = shape(SHAPE).graphs[0].events
    for x in some(0, 10_000, 100_000, 1_000_000):
        found.append(
            Point(curve="log", x=x, shape=SHAPE, loads={1: one, IN_FLIGHT: saturated}, finished_plans=x // events)
        )
    for x in some(1, 2, 3, 4):
        found.append(
            Point(curve="executors", x=x, shape=SHAPE, loads={IN_FLIGHT: saturated}, executors=x, with_floor=False)
        )
    return found


def soak(*, quick: bool) -> Point:
    """One executor for a long time."""
    steps = _SOAK_STEPS // 1_000 if quick else _SOAK_STEPS
    loads = {IN_FLIGHT: Timing(1.0, IN_FLIGHT, 0, steps // 6)}
    every = _SAMPLE_SECONDS / 10 if quick else _SAMPLE_SECONDS
    return Point(curve="soak", x=steps, shape=SHAPE, loads=loads, with_floor=False, sample_every=every)


class Growth:
    """A run of these measurements.

    Args:
        options: see there.
        results: where it is noted.
        folder: for the servers' files.
        quick: only the small ends of the curves.
    """

    def __init__(self, options: Options, results: Results, folder: Path, *, quick: bool) -> None:
        self._options = options
        self._quick = quick
        self._results = results
        self._folder = folder
        self._count = 0
        self._recordings: dict[str, Path] = {}

    async def run(self) -> None:
        """Measure every point in each round, and the long one once."""
        wanted = points(quick=self._quick)
        files = self._folder / "growth"
        files.mkdir()
        shapes = [SHAPE, *(point.shape for point in wanted if point.with_floor)]
        self._recordings = await recorded(list(dict.fromkeys(shapes)), files)
        for number in range(1, self._options.rounds + 1):
            tell(f"growth, round {number} of {self._options.rounds}")
            for point in wanted:
                await self._point(point, number)
        await self._point(soak(quick=self._quick), 1)

    async def _point(self, point: Point, number: int) -> None:
        setup = Setup(name=point.curve, title=point.curve, finished_plans=point.finished_plans)
        options = self._options
        with tempfile.TemporaryDirectory(dir=self._folder) as fresh:
            async with bed(
                setup, Path(fresh), responder=options.responder, executor_settings=options.executor_settings
            ) as one:
                if point.finished_plans:
                    await fill(one, Recording.load(self._recordings[SHAPE]).plans[0], point.finished_plans)
                for variant in (LEADPLAN, FLOOR) if point.with_floor else (LEADPLAN,):
                    recording = self._recordings.get(point.shape, Path())
                    settings = {**_ROOM, MANNER_VARIABLE: options.floor}
                    with one.running(variant, recording, executors=point.executors, settings=settings):
                        for in_flight in point.loads:
                            await self._measure(one, point, variant, number, in_flight)

    async def _measure(self, one: Bed, point: Point, variant: str, number: int, in_flight: int) -> None:
        await one.empty()
        before = await one.stored(subjects.PLAN_LOG_STREAM)
        self._count += 1
        prefix, timing = f"{_PREFIX}{self._count:04d}", point.loads[in_flight]
        measured = await one.run(
            Load(
                shape=point.shape,
                prefix=prefix,
                in_flight=in_flight,
                warm_seconds=timing.warm_seconds,
                warm_plans=timing.warm_plans,
                seconds=timing.seconds,
                plans=timing.plans,
                at_most_seconds=_MOST_SECONDS,
                sample_every=point.sample_every,
            )
        )
        problems = await problems_after(one.nc, shape(point.shape), prefix, measured.submitted, before)
        for found in _as_points(point, measured, variant, number, in_flight, problems):
            self._results.growth.append(found)
        _tell_point(self._results.growth[-1])


def _as_points(
    point: Point, measured: Measured, variant: str, number: int, in_flight: int, problems: list[str]
) -> list[GrowthPoint]:
    """One, or one for each sample of the memory."""
    last = GrowthPoint(
        curve=point.curve,
        x=measured.steps if measured.memory else point.x,
        in_flight=in_flight,
        variant=variant,
        round=number,
        plans_per_second=measured.plans / measured.seconds,
        steps_per_second=measured.steps / measured.seconds,
        median_ms=percentile(measured.latencies_ms, 0.5),
        p99_ms=percentile(measured.latencies_ms, 0.99),
        memory_mib=_by_role(measured.memory_mib),
        cpu=_by_role(measured.cpu),
        problems=problems,
    )
    samples = [
        msgspec.structs.replace(last, x=sample.steps, memory_mib=_by_role(sample.mib), problems=[])
        for sample in measured.memory
    ]
    return [*samples, last]


def _by_role(values: dict[str, float]) -> dict[str, float]:
    """Several executors are counted together."""
    added: dict[str, float] = {}
    for name, value in values.items():
        role = LEADPLAN if name.startswith(LEADPLAN) else name
        added[role] = added.get(role, 0.0) + value
    return added


def _tell_point(one: GrowthPoint) -> None:
    tell(
        f"  {one.curve} {one.x:,}, {one.in_flight} in flight, {one.variant}: {one.plans_per_second:,.1f} plans/s, "
        f"median {one.median_ms:,.2f} ms; MiB: {one.memory_mib[one.variant]:.0f}, server {one.memory_mib['server']:.0f}"
    )
    for problem in one.problems:
        tell(f"    VOID: {problem}")
