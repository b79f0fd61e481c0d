"""What was measured, as it is written to JSON, and the figures made of it: medians over the rounds, with spread."""

from collections.abc import Callable, Iterable
from statistics import median

import msgspec
from bench_load import Measured


class Sample(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One measurement in one round.

    Attributes:
        setup, shape, load, variant: what was measured; the variant is ``leadplan`` or ``floor``.
        round: from 1.
        plans_per_second, steps_per_second: completed ones.
        median_ms, p99_ms: of the plans' latencies.
        latencies: how many there are.
        cpu: cores used, by process.
        memory_mib: at the end, by process.
        problems: what makes the measurement void.
    """

    setup: str
    shape: str
    load: str
    variant: str
    round: int
    plans_per_second: float
    steps_per_second: float
    median_ms: float
    p99_ms: float
    latencies: int
    cpu: dict[str, float]
    memory_mib: dict[str, float]
    problems: list[str]


class StartUp(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One start of an executor with a plan waiting: seconds from the start of the process.

    Attributes:
        setup: with what servers.
        round: from 1.
        plan_started, plan_completed: until these events of the plan were stored.
    """

    setup: str
    round: int
    plan_started: float
    plan_completed: float


class Split(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where the time of plans went that were run one after the other: medians in ms, by section."""

    setup: str
    variant: str
    round: int
    sections_ms: dict[str, float]


class GrowthPoint(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One measurement of a curve.

    Attributes:
        curve, x: which one, and how much there was of what grows.
        in_flight: plans submitted and not ended.
        memory_mib, cpu: of several executors together.
        (the rest): as in ``Sample``.
    """

    curve: str
    x: int
    in_flight: int
    variant: str
    round: int
    plans_per_second: float
    steps_per_second: float
    median_ms: float
    p99_ms: float
    memory_mib: dict[str, float]
    cpu: dict[str, float]
    problems: list[str]


class Figure(msgspec.Struct, frozen=True):
    """A median over the rounds, and its spread."""

    median: float
    low: float
    high: float


class Results(msgspec.Struct, kw_only=True, rename="camel"):
    """All of a run.

    Attributes:
        machine: what it ran on, the versions, and the settings of executors that aren't the defaults.
        sizes: mean sizes of bodies in bytes, by workload.
        growth: points of the curves.
    """

    machine: dict[str, str]
    sizes: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)
    samples: list[Sample] = msgspec.field(default_factory=list)
    starts: list[StartUp] = msgspec.field(default_factory=list)
    splits: list[Split] = msgspec.field(default_factory=list)
    growth: list[GrowthPoint] = msgspec.field(default_factory=list)

    def of(self, setup: str, shape: str, load: str, variant: str) -> list[Sample]:
        """The samples of one measurement, by round."""
        wanted = (setup, shape, load, variant)
        return [one for one in self.samples if (one.setup, one.shape, one.load, one.variant) == wanted]

    def points(self, curve: str, in_flight: int, variant: str, x: int) -> list[GrowthPoint]:
        """One point of a curve, by round."""
        wanted = (curve, in_flight, variant, x)
        return [one for one in self.growth if (one.curve, one.in_flight, one.variant, one.x) == wanted]

    @property
    def measurements(self) -> list[tuple[str, str, str]]:
        """Setup, workload and load of all that was measured, in order."""
        return list(dict.fromkeys((one.setup, one.shape, one.load) for one in self.samples))

    @property
    def problems(self) -> list[str]:
        """All that makes measurements void."""
        named: list[tuple[str, Sample | GrowthPoint]] = [
            *((f"{one.setup} {one.shape} {one.load}", one) for one in self.samples),
            *((f"{one.curve} {one.x}", one) for one in self.growth),
        ]
        return [
            f"{name} {one.variant}, round {one.round}: {problem}" for name, one in named for problem in one.problems
        ]


def percentile(values: Iterable[float], part: float) -> float:
    """The smallest of the values that at least this part of them doesn't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else float("nan")


def figure(values: Iterable[float]) -> Figure:
    """Of one value a round."""
    found = list(values)
    return Figure(median(found), min(found), max(found))


def ratio(ours: list[Sample], floors: list[Sample], of: Callable[[Sample], float]) -> Figure | None:
    """How our figure stands to the floor's of the same round; None where there is no floor."""
    by_round = {one.round: of(one) for one in floors}
    ratios = [of(one) / by_round[one.round] for one in ours if by_round.get(one.round)]
    return figure(ratios) if ratios else None


def sample(measured: Measured, *, problems: list[str], **what: object) -> Sample:
    """What was measured once, in short."""
    return Sample(
        plans_per_second=measured.plans / measured.seconds,
        steps_per_second=measured.steps / measured.seconds,
        median_ms=percentile(measured.latencies_ms, 0.5),
        p99_ms=percentile(measured.latencies_ms, 0.99),
        latencies=len(measured.latencies_ms),
        cpu=measured.cpu,
        memory_mib=measured.memory_mib,
        problems=problems,
        **what,  # type: ignore[arg-type]
    )
