"""Which measurements there are, and how long each lasts."""

import msgspec
from bench_bed import Setup

DEFAULT = Setup(name="default", title="one server, default sync")
ALWAYS = Setup(name="always", title="one server, sync_interval: always", sync_always=True)
CLUSTER = Setup(name="cluster", title="three servers, 3 replicas, default sync", nodes=3)
CLUSTER_ALWAYS = Setup(
    name="cluster-always", title="three servers, 3 replicas, sync_interval: always", nodes=3, sync_always=True
)
FINISHED_PLANS = 100_000
IN_FLIGHT = 256


def filled(finished_plans: int) -> Setup:
    """A server with so many finished plans in its log."""
    title = f"one server, default sync, {finished_plans:,} finished plans in the log"
    return Setup(name="filled", title=title, finished_plans=finished_plans)


class Timing(msgspec.Struct, frozen=True):
    """How long one measurement lasts: seconds and plans of the warm-up, and of what is counted."""

    warm_seconds: float
    warm_plans: int
    seconds: float
    plans: int


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement of one workload, made once a round for each who runs the plans."""

    setup: Setup
    shape: str
    in_flight: int
    timing: Timing

    @property
    def load(self) -> str:
        """What the results call it."""
        return "one" if self.in_flight == 1 else "saturated"


GROUPS = {
    "chain": "plans of six steps, one after the other: the main figures",
    "reads": "the same with a tool that announces that it has no effects, and is called early",
    "fan": "one step, fifty at once, one step",
    "mixed": "graphs of 3 to 20 steps, drawn by lot",
    "wide": "1,000 steps at once (maxConcurrency 200), one plan after the other",
    "long": "1,000 steps one after the other, one plan after the other",
    "always": "six steps with sync_interval: always",
    "cluster": "six steps on three servers with three replicas, with default sync and sync_interval: always",
    "log": "six steps with 100,000 finished plans in the log",
    "start": "how long an executor takes from its start to its first plan",
    "split": "where the time of a step goes",
}
"""What ``--only`` takes, besides ``growth``."""

_WORKLOADS = {"chain": ["chain-6"], "reads": ["reads-6"], "fan": ["fan"], "mixed": ["mixed"]}
_LARGE = {"wide": "wide-1000", "long": "chain-1000"}


def cells(groups: set[str], *, quick: bool) -> list[Cell]:
    """The measurements of these groups, those with the same servers behind one another."""
    one, saturated = Timing(0.2, 2, 0.3, 3) if quick else Timing(0.5, 20, 1.5, 50), saturated_timing(quick=quick)
    large = Timing(0.0, 1, 0.0, 1) if quick else Timing(0.0, 1, 1.5, 3)
    found = [
        Cell(setup=DEFAULT, shape=shape, in_flight=in_flight, timing=timing)
        for group, shapes in _WORKLOADS.items()
        if group in groups
        for shape in shapes
        for in_flight, timing in ((1, one), (IN_FLIGHT, saturated))
    ]
    found += [
        Cell(setup=DEFAULT, shape=shape, in_flight=1, timing=large)
        for group, shape in _LARGE.items()
        if group in groups
    ]
    others = {
        "always": [ALWAYS],
        "cluster": [CLUSTER, CLUSTER_ALWAYS],
        "log": [filled(2_000 if quick else FINISHED_PLANS)],
    }
    found += [
        Cell(setup=setup, shape="chain-6", in_flight=in_flight, timing=timing)
        for group, setups in others.items()
        if group in groups
        for setup in setups
        for in_flight, timing in ((1, one), (IN_FLIGHT, saturated))
    ]
    return found


def saturated_timing(*, quick: bool) -> Timing:
    """For as many plans in flight as are needed to fill the pipe."""
    return Timing(0.3, 20, 0.5, 20) if quick else Timing(1.0, IN_FLIGHT, 2.5, IN_FLIGHT)
