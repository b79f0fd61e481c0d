"""Sweeping over all crash points of plans of some shapes, and telling what was tried."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fault_crash_bench import Bench, CrashAt, Run, crash_bench, problems
from fault_crash_points import Kind, quick_starts
from fault_crash_shapes import Shape
from fault_fleet import Server


@dataclass
class Swept:
    """What was tried with a shape, and what was wrong.

    Attributes:
        shape: its name.
        there_are: crash points of each kind in a run of this shape without a crash.
        tried: runs with one crash, by its kind.
        come_to: kinds of points that any run came to.
        struck: kinds of points at which the power went.
        doubles: runs with a second crash while the first one was being recovered from.
        problems: told for people.
        has_story: whether the log of a plan that went wrong is among them.
    """

    shape: str
    there_are: Counter[Kind]
    tried: Counter[Kind] = field(default_factory=Counter)
    come_to: set[Kind] = field(default_factory=set)
    struck: set[Kind] = field(default_factory=set)
    doubles: int = 0
    problems: list[str] = field(default_factory=list)
    has_story: bool = False

    def add(self, run: Run, unharmed: Run) -> None:
        """Note a run and judge it."""
        for counts in run.crashes.counts:
            self.come_to |= counts.keys()
        self.struck |= {point.kind for point in run.points if point not in run.crashes.missed}
        found = list(problems(run, unharmed))
        self.problems += found
        self.has_story |= bool(found and run.evidence.log)


async def sweep_shapes(
    folder: Path,
    shapes: Sequence[Shape],
    *,
    doubles: int | None,
    seed: int,
    until_bad: bool = False,
    begun: Callable[[str], None] = lambda shape: None,
) -> list[Swept]:
    """Sweep over shapes. Those whose runs wait for time to go by have a server of their own, beside the others.

    Args:
        folder: where servers may keep their data.
        shapes: which.
        doubles, seed, until_bad: see ``sweep``.
        begun: called with the name of each shape when it is begun.
    """
    found: dict[str, Swept] = {}

    async def sweep_some(server: Server, some: Sequence[Shape]) -> None:
        await server.start()
        try:
            async with crash_bench(server.url) as bench:
                for shape in some:
                    begun(shape.name)
                    found[shape.name] = await sweep(bench, shape, doubles=doubles, seed=seed, until_bad=until_bad)
        finally:
            server.process.kill()

    with quick_starts():
        async with asyncio.TaskGroup() as group:
            for waits in (False, True):
                if some := [shape for shape in shapes if shape.waits is waits]:
                    group.create_task(sweep_some(Server(folder / ("waiting" if waits else "quick")), some))
    return [found[shape.name] for shape in shapes]


async def sweep(bench: Bench, shape: Shape, *, doubles: int | None, seed: int, until_bad: bool = False) -> Swept:
    """Run a shape without a crash, then with one crash at each point, then with two.

    Args:
        bench: where.
        shape: what.
        doubles: so many runs with two crashes, drawn from all that the single runs came to; None for every one. Kinds
            of points that only a recovery comes to are struck once in any case.
        seed: decides what is drawn.
        until_bad: leave it at the first run that went wrong and has a story to tell.
    """
    unharmed = await bench.run(shape)
    swept = Swept(shape.name, unharmed.crashes.counts[0])
    swept.add(unharmed, unharmed)
    singles = []
    for point in points_in(swept.there_are):
        if until_bad and swept.has_story:
            return swept
        run = await bench.run(shape, point)
        singles.append(run)
        swept.tried[point.kind] += 1
        swept.add(run, unharmed)
    for pair in _chosen_pairs(singles, swept, doubles, random.Random(seed)):
        run = await bench.run(shape, *pair)
        swept.doubles += not run.crashes.missed
        swept.add(run, unharmed)
    return swept


def points_in(counts: Counter[Kind]) -> list[CrashAt]:
    """Each single point, by kind."""
    return [CrashAt(kind, nth) for kind in Kind for nth in range(1, counts[kind] + 1)]


def _chosen_pairs(
    singles: Sequence[Run], swept: Swept, doubles: int | None, draw: random.Random
) -> Iterator[tuple[CrashAt, CrashAt]]:
    pairs = [(run.points[0], second) for run in singles for second in points_in(run.crashes.counts[-1])]
    if doubles is None:
        yield from pairs
        return
    draw.shuffle(pairs)
    yield from pairs[:doubles]
    for pair in pairs[doubles:]:
        if pair[1].kind in swept.come_to - swept.struck:  # as it is by then: a recovery may go another way this time
            yield pair


def table(all_swept: Sequence[Swept]) -> list[str]:
    """For people: a line a shape, a column a kind of point, and the sums."""
    kinds = [kind for kind in Kind if any(swept.there_are[kind] for swept in all_swept)]
    legend = [f"  {letter}  {kind.value}" for letter, kind in zip(_LETTERS, kinds, strict=False)]
    width = max(len(swept.shape) for swept in all_swept) + 2
    head = "".join(f"{letter:>5}" for letter, _ in zip(_LETTERS, kinds, strict=False))
    lines = [*legend, "", f"{'shape':<{width}}{head}{'all':>7}{'tried':>7}{'twice':>7}{'bad':>5}"]
    lines += [_line(swept.shape, width, kinds, [swept]) for swept in all_swept]
    return [*lines, _line("in all", width, kinds, all_swept)]


_LETTERS = "abcdefghijklmnopqrstuvwxyz"


def _line(name: str, width: int, kinds: Sequence[Kind], of: Sequence[Swept]) -> str:
    there_are: Counter[Kind] = sum((swept.there_are for swept in of), Counter())
    columns = "".join(f"{there_are[kind] or '':>5}" for kind in kinds)
    tried = sum(swept.tried.total() for swept in of)
    doubles = sum(swept.doubles for swept in of)
    bad = sum(len(swept.problems) for swept in of)
    return f"{name:<{width}}{columns}{there_are.total():>7}{tried:>7}{doubles:>7}{bad:>5}"
