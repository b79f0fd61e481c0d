"""Carrying out the measurements: round after round, in each one all servers one after the other."""

import asyncio
import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec
from bench_bed import FLOOR, LEADPLAN, Bed, Setup, bed, recorded
from bench_cells import DEFAULT, Cell
from bench_checks import problems_after
from bench_filling import fill
from bench_floor import MANNER_VARIABLE
from bench_load import Load
from bench_processes import tell
from bench_recording import Recording
from bench_results import Results, Sample, Split, StartUp, sample
from bench_shapes import plan_id, shape
from bench_split import SHAPE, plan_times, split

from leadplan_contracts import subjects

_LOOK_SECONDS = 0.01


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How a run goes.

    Attributes:
        rounds: how often everything is measured.
        responder: ``plain`` or ``sdk``.
        executor_settings: environment of the executors.
        split_plans: plans of which the time is split; 0 for no split.
        starts: whether starts are measured.
        floor: how it works, see ``bench_floor.MANNER_VARIABLE``.
    """

    rounds: int
    responder: str = "plain"
    executor_settings: dict[str, str] = {}
    split_plans: int = 0
    starts: bool = False
    floor: str = ""


class Rounds:
    """A run of the benchmark.

    Args:
        cells: what to measure.
        options: see there.
        results: where it is noted.
        folder: for the servers' files.
    """

    def __init__(self, cells: Iterable[Cell], options: Options, results: Results, folder: Path) -> None:
        self._cells = list(cells)
        self._options = options
        self._results = results
        self._folder = folder
        self._prefixes = (f"b{count:04d}" for count in itertools.count())
        self._recordings: dict[str, Path] = {}

    async def run(self) -> None:
        """Record the workloads, then measure in each round."""
        shapes = list(dict.fromkeys([*(cell.shape for cell in self._cells), SHAPE]))
        tell(f"recording what an executor sends for: {', '.join(shape(name).title for name in shapes)}")
        (self._folder / "recording").mkdir()
        self._recordings = await recorded(shapes, self._folder / "recording")
        for name, file in self._recordings.items():
            self._results.sizes[name] = Recording.load(file).sizes
        setups = list(dict.fromkeys([cell.setup for cell in self._cells] + [DEFAULT] * self._needs_default))
        for setup in setups:
            if setup.finished_plans:
                await self._fill(setup)
        for number in range(1, self._options.rounds + 1):
            tell(f"round {number} of {self._options.rounds}")
            for setup in setups:
                await self._round(setup, number)

    @property
    def _needs_default(self) -> bool:
        return bool(self._options.starts or self._options.split_plans)

    def _store(self, setup: Setup) -> Path:
        """Where filled servers keep what they have; others begin anew each time."""
        return self._folder / f"store-{setup.name}"

    async def _fill(self, setup: Setup) -> None:
        tell(f"storing {setup.finished_plans:,} finished plans")
        self._store(setup).mkdir()
        plan = Recording.load(self._recordings[SHAPE]).plans[0]
        async with bed(setup, self._store(setup)) as one:
            await fill(one, plan, setup.finished_plans)

    async def _round(self, setup: Setup, number: int) -> None:
        with tempfile.TemporaryDirectory(dir=self._folder) as fresh:
            folder = self._store(setup) if setup.finished_plans else Path(fresh)
            options = self._options
            async with bed(
                setup, folder, responder=options.responder, executor_settings=options.executor_settings
            ) as one:
                if options.starts:
                    self._results.starts.append(await self._start(one, number))
                # Who goes first changes from round to round.
                for variant in (LEADPLAN, FLOOR) if number % 2 else (FLOOR, LEADPLAN):
                    await self._variant(one, variant, number)

    async def _variant(self, one: Bed, variant: str, number: int) -> None:
        settings = {MANNER_VARIABLE: self._options.floor} if variant == FLOOR else {}
        with_split = self._options.split_plans and one.setup == DEFAULT
        for name in dict.fromkeys(
            [cell.shape for cell in self._cells if cell.setup == one.setup] + [SHAPE] * with_split
        ):
            with one.running(variant, self._recordings[name], settings=settings):
                for cell in self._cells:
                    if (cell.setup, cell.shape) == (one.setup, name):
                        self._results.samples.append(found := await self._measure(one, cell, variant, number))
                        _tell_sample(found)
                if with_split and name == SHAPE:
                    await one.empty()
                    sections = await split(one, next(self._prefixes), self._options.split_plans)
                    self._results.splits.append(
                        Split(setup=one.setup.name, variant=variant, round=number, sections_ms=sections)
                    )

    async def _measure(self, one: Bed, cell: Cell, variant: str, number: int) -> Sample:
        await one.empty()
        before = await one.stored(subjects.PLAN_LOG_STREAM)
        prefix, timing = next(self._prefixes), cell.timing
        measured = await one.run(
            Load(
                shape=cell.shape,
                prefix=prefix,
                in_flight=cell.in_flight,
                warm_seconds=timing.warm_seconds,
                warm_plans=timing.warm_plans,
                seconds=timing.seconds,
                plans=timing.plans,
            )
        )
        problems = await problems_after(one.nc, shape(cell.shape), prefix, measured.submitted, before)
        return sample(
            measured,
            problems=problems,
            setup=cell.setup.name,
            shape=cell.shape,
            load=cell.load,
            variant=variant,
            round=number,
        )

    async def _start(self, one: Bed, number: int) -> StartUp:
        """Start an executor while a plan waits for one."""
        await one.empty()
        prefix = next(self._prefixes)
        load = Load(shape=SHAPE, prefix=prefix, in_flight=1, warm_seconds=0, warm_plans=0, seconds=0, plans=1)
        submitting = asyncio.create_task(one.run(load))
        while not await one.stored(subjects.PLANS_STREAM):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_SECONDS)
        with one.executor() as executor:
            await submitting
            times = await plan_times(one, plan_id(prefix, 0))
            return StartUp(
                setup=one.setup.name,
                round=number,
                plan_started=times.begun - executor.begun_at,
                plan_completed=times.ended - executor.begun_at,
            )


def _tell_sample(one: Sample) -> None:
    cpu = ", ".join(f"{name} {cores:.0%}" for name, cores in one.cpu.items())
    tell(
        f"  {one.setup:<14} {one.shape:<11} {one.load:<9} {one.variant:<8} {one.plans_per_second:7.1f} plans/s, "
        f"median {one.median_ms:7.2f} ms, p99 {one.p99_ms:7.2f} ms; {cpu}"
    )
    for problem in one.problems:
        tell(f"    VOID: {problem}")
