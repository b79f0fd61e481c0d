"""The plots, as PNG files."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib as mpl
from bench_bed import FLOOR, LEADPLAN
from bench_growth import CURVES
from bench_results import Figure, GrowthPoint, Results, figure
from bench_shapes import shape

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

_COLOURS = {LEADPLAN: "#1f6f8b", FLOOR: "#b0b8bf"}
_SERVER_COLOUR = "#d08c60"
_LINEAR = ("executors", "soak")
_BAR = 0.38


def plot(results: Results, folder: Path) -> list[str]:
    """Draw what was measured, and return the names of the files."""
    drawn = []
    for load, name, unit in (
        ("saturated", "throughput.png", "plans a second, 256 in flight"),
        ("one", "latency.png", "ms for a plan, one after the other (median)"),
    ):
        measured = [(setup, of) for setup, of, one in results.measurements if one == load]
        if measured:
            _bars(results, measured, load, unit, folder / name)
            drawn.append(name)
    curves = list(dict.fromkeys(one.curve for one in results.growth))
    if curves:
        _curves(results, curves, folder / "growth.png")
        drawn.append("growth.png")
    return drawn


def _curves(results: Results, curves: list[str], file: Path) -> None:
    """A row for each curve: time a step, latency, memory."""
    figures, axes = plt.subplots(len(curves), 3, figsize=(12, 3 * len(curves)), squeeze=False)
    for row, curve in zip(axes, curves, strict=True):
        for label, points in _lines_of(results, curve).items():
            _draw_line(row, points, label)
        for axis, title in zip(row, ("µs a step (1 / throughput)", "ms a plan (median)", "MiB in memory"), strict=True):
            axis.set_title(title, fontsize=9)
            axis.set_xlabel(CURVES[curve], fontsize=8)
            axis.set_ylim(bottom=0)
            axis.set_xscale("linear" if curve in _LINEAR else "symlog")
            axis.tick_params(labelsize=8)
        row[2].legend(fontsize=7)
    figures.tight_layout()
    figures.savefig(file, dpi=110)
    plt.close(figures)


def _lines_of(results: Results, curve: str) -> dict[str, list[GrowthPoint]]:
    """The points of each line: one for each who ran the plans, and for each number in flight where not that grows."""
    lines: dict[str, list[GrowthPoint]] = {}
    for one in results.growth:
        if one.curve == curve:
            label = one.variant if curve == "in-flight" else f"{one.variant}, {one.in_flight} in flight"
            lines.setdefault(label, []).append(one)
    return lines


def _draw_line(row: Sequence[Axes], points: list[GrowthPoint], label: str) -> None:
    variant = points[0].variant
    values: tuple[Callable[[GrowthPoint], float], ...] = (
        lambda one: 1e6 / one.steps_per_second,
        lambda one: one.median_ms,
        lambda one: one.memory_mib[variant],
    )
    for axis, value in zip(row, values, strict=True):
        _line(axis, points, value, _COLOURS[variant], label)
    _line(row[2], points, lambda one: one.memory_mib["server"], _SERVER_COLOUR, f"server of {label}")


def _line(
    axis: Axes, points: list[GrowthPoint], value: Callable[[GrowthPoint], float], colour: str, label: str
) -> None:
    """The medians over the rounds."""
    xs = sorted({one.x for one in points})
    ys = [figure(value(one) for one in points if one.x == x).median for x in xs]
    axis.plot(xs, ys, marker="o", markersize=3, color=colour, label=label)


def _bars(results: Results, measured: list[tuple[str, str]], load: str, unit: str, file: Path) -> None:
    """A panel for each workload, since their scales differ: the executor beside the floor, with the spread."""
    figures, axes = plt.subplots(1, len(measured), figsize=(1.2 + 1.9 * len(measured), 4.2), squeeze=False)
    for axis, (setup, name) in zip(axes[0], measured, strict=True):
        for place, variant in enumerate((LEADPLAN, FLOOR)):
            samples = results.of(setup, name, load, variant)
            if not samples:
                continue
            values = [one.plans_per_second if load == "saturated" else one.median_ms for one in samples]
            one = figure(values)
            axis.bar(place, one.median, 2 * _BAR, color=_COLOURS[variant], label=variant)
            axis.errorbar(place, one.median, yerr=_spread(one), color="black", capsize=3)
        axis.set_title(f"{shape(name).title}\n{setup}", fontsize=9)
        axis.set_xticks([0, 1], [LEADPLAN, FLOOR], fontsize=8)
        axis.tick_params(axis="y", labelsize=8)
    axes[0][0].set_ylabel(unit)
    figures.tight_layout()
    figures.savefig(file, dpi=130)
    plt.close(figures)


def _spread(one: Figure) -> list[list[float]]:
    return [[one.median - one.low], [one.high - one.median]]
