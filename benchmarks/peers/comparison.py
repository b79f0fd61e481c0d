"""The table: medians of the rounds, and how leadplan under the same durability compares."""

from dataclasses import dataclass, field
from statistics import median

from load import Figures
from systems import System

_HEAD = (
    "| system | durability | one at a time, median | workflows/s | leadplan: throughput | leadplan: latency |\n"
    "|---|---|---|---|---|---|"
)


@dataclass
class Outcome:
    """The rounds of one system.

    Attributes:
        missing: why there are no figures, or not all rounds.
    """

    system: System
    rounds: list[Figures] = field(default_factory=list)
    missing: str = ""

    @property
    def latency_ms(self) -> float:
        """Median of the rounds' medians."""
        return median(figures.latency_ms for figures in self.rounds)

    @property
    def in_flight(self) -> str:
        """How many at once gave the most, by the median of the rounds."""
        return max(self.rounds[0].throughput, key=lambda number: median(self.throughputs(number)))

    @property
    def throughput(self) -> float:
        """Median of the rounds with that many at once."""
        return median(self.throughputs(self.in_flight))

    def throughputs(self, in_flight: str) -> list[float]:
        """Each round's throughput with so many at once."""
        return [figures.throughput[in_flight] for figures in self.rounds]


def comparison(outcomes: list[Outcome]) -> str:
    """A Markdown table, and a line for each system without figures."""
    ours = {
        outcome.system.durability: outcome
        for outcome in outcomes
        if outcome.system.name.startswith("leadplan") and outcome.rounds
    }
    lines = [_HEAD, *(_row(one, ours.get(one.system.durability)) for one in outcomes if one.rounds)]
    missing = [f"- {one.system.name}: {one.missing}" for one in outcomes if one.missing]
    return "\n".join([*lines, *(["", "Not measured, or not in every round:", "", *missing] if missing else [])])


def _row(outcome: Outcome, ours: Outcome | None) -> str:
    times, share = "", ""
    if ours is not None and ours is not outcome:
        times = f"{ours.throughput / outcome.throughput:.1f} times"
        share = f"1/{outcome.latency_ms / ours.latency_ms:.1f}"
    latency = f"{outcome.latency_ms:.1f} ms ({_spread([one.latency_ms for one in outcome.rounds], 1)})"
    throughputs = outcome.throughputs(outcome.in_flight)
    throughput = f"{outcome.throughput:.0f} ({_spread(throughputs, 0)}; {outcome.in_flight} in flight)"
    return f"| {outcome.system.name} | {outcome.system.durability} | {latency} | {throughput} | {times} | {share} |"


def _spread(values: list[float], digits: int) -> str:
    return f"{min(values):.{digits}f} to {max(values):.{digits}f}"
