"""The tables that people read."""

from collections.abc import Callable

from bench_bed import FLOOR, LEADPLAN
from bench_cells import Cell
from bench_growth import CURVES
from bench_results import Figure, Results, Sample, figure, ratio
from bench_shapes import shape
from bench_split import SECTIONS
from rich.console import Console
from rich.table import Table

_SATURATED = "saturated"
_CORES = {
    "cores: executor": LEADPLAN,
    "server": "server",
    "tool": "responder",
    "load": "generator",
}


def report(results: Results, cells: list[Cell], console: Console) -> None:
    """Print everything that was measured."""
    console.print("\n".join(f"{name}: {value}" for name, value in results.machine.items()), style="dim")
    for setup in dict.fromkeys(cell.setup for cell in cells):
        _print_setup(results, setup.name, setup.title, console)
    _print_starts(results, console)
    _print_split(results, console)
    _print_growth(results, console)
    for problem in results.problems:
        console.print(f"VOID: {problem}", style="bold red", markup=False)


def _print_setup(results: Results, setup: str, title: str, console: Console) -> None:
    measurements = [(name, load) for of, name, load in results.measurements if of == setup]
    for load, manner in ((_SATURATED, "at saturation"), ("one", "one plan after the other")):
        rows = [
            _row(results, setup, name, load)
            for name, one in measurements
            if one == load and results.of(setup, name, load, LEADPLAN)
        ]
        if not rows:
            continue
        what = "plans/s" if load == _SATURATED else "ms a plan (median)"
        table = Table(title=f"{title}: {manner}", title_justify="left", box=None, pad_edge=False)
        for heading in ("workload", what, "floor", "to the floor", "p99 ms", "steps/s", *_CORES, "executor MiB"):
            table.add_column(heading, justify="left" if heading == "workload" else "right")
        for row in rows:
            table.add_row(*row)
        console.print()
        console.print(table)


def _row(results: Results, setup: str, name: str, load: str) -> list[str]:
    ours, floors = (results.of(setup, name, load, variant) for variant in (LEADPLAN, FLOOR))
    value: Callable[[Sample], float] = (lambda one: one.plans_per_second) if load == _SATURATED else _median_ms
    sizes = results.sizes.get(name, {})
    to_floor = ratio(ours, floors, value)
    return [
        f"{shape(name).title} ({sizes.get('event', 0)} B an event, {sizes.get('request', 0)} B a request)",
        _text(figure(map(value, ours))),
        _text(figure(map(value, floors))) if floors else "",
        _text(to_floor, 2) if to_floor else "",
        _text(figure(one.p99_ms for one in ours)),
        f"{figure(one.steps_per_second for one in ours).median:,.0f}",
        *(_cores(ours, name) for name in _CORES.values()),
        f"{figure(one.memory_mib[LEADPLAN] for one in ours).median:.0f}",
    ]


def _median_ms(one: Sample) -> float:
    return one.median_ms


def _text(one: Figure, digits: int | None = None) -> str:
    """The median, and the spread behind it."""
    places = digits if digits is not None else (0 if one.median >= 100 else 2)
    median, low, high = (f"{value:,.{places}f}" for value in (one.median, one.low, one.high))
    return f"{median} ({low}–{high})" if low != high else median


def _cores(samples: list[Sample], process: str) -> str:
    """How many cores the processes used whose names begin so."""
    used = [sum(cores for name, cores in one.cpu.items() if name.startswith(process)) for one in samples]
    return f"{figure(used).median:.2f}"


def _print_starts(results: Results, console: Console) -> None:
    setups = list(dict.fromkeys(one.setup for one in results.starts))
    if not setups:
        return
    table = Table(title="From an executor's start, in seconds", title_justify="left", box=None, pad_edge=False)
    for heading in ("servers", "its first plan begun", "that plan ended"):
        table.add_column(heading)
    for setup in setups:
        starts = [one for one in results.starts if one.setup == setup]
        table.add_row(
            setup,
            _text(figure(one.plan_started for one in starts)),
            _text(figure(one.plan_completed for one in starts)),
        )
    console.print()
    console.print(table)


def _print_split(results: Results, console: Console) -> None:
    if not results.splits:
        return
    title = "Where the time of a six-step plan goes, one after the other, in ms"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for heading in ("section", LEADPLAN, FLOOR, "times a plan"):
        table.add_column(heading, justify="left" if heading == "section" else "right")
    times = {"sent": 6, "tool": 6, "stored": 6, "next": 5}
    for section, meaning in {"plan": "the whole plan", **SECTIONS}.items():
        cells = []
        for variant in (LEADPLAN, FLOOR):
            values = [one.sections_ms[section] for one in results.splits if one.variant == variant]
            cells.append(_text(figure(values)) if values else "")
        table.add_row(meaning, *cells, str(times.get(section, 1)))
    console.print()
    console.print(table)


def _print_growth(results: Results, console: Console) -> None:
    for curve, meaning in CURVES.items():
        keys = dict.fromkeys((one.in_flight, one.variant, one.x) for one in results.growth if one.curve == curve)
        if not keys:
            continue
        table = Table(title=f"Growth: {meaning}", title_justify="left", box=None, pad_edge=False)
        for heading in (
            "who",
            meaning,
            "in flight",
            "plans/s",
            "ms a plan",
            "p99 ms",
            "µs a step",
            "MiB",
            "server MiB",
        ):
            table.add_column(heading, justify="left" if heading == "who" else "right")
        for in_flight, variant, x in keys:
            points = results.points(curve, in_flight, variant, x)
            table.add_row(
                variant,
                f"{x:,}",
                f"{in_flight:,}",
                _text(figure(one.plans_per_second for one in points)),
                _text(figure(one.median_ms for one in points)),
                _text(figure(one.p99_ms for one in points)),
                _text(figure(1e6 / one.steps_per_second for one in points)),
                f"{figure(one.memory_mib[variant] for one in points).median:.0f}",
                f"{figure(one.memory_mib['server'] for one in points).median:.0f}",
            )
        console.print()
        console.print(table)
