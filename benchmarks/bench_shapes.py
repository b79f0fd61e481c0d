"""The plans that the benchmarks run: chains, fans, wide plans, and graphs drawn by lot with a fixed seed."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

TOOL = "BENCH"
READING_TOOL = "BENCH_READS"
"""Does the same and announces that it has no effects, so that it is called early. Of TOOL executors know nothing."""
TOOL_REPLY = (
    b'{"success":true,"data":{"count":40,"items":[{"id":"ChIJ-7","name":"Hill Dental","website":"hill.example"}]}}'
)
SEED = 7
_MIXED = 48
_ID_DIGITS = 8
_ID_PLACE = "#" * (_ID_DIGITS + 5)
"""Plan ids are five letters that stand for a measurement, and a number: all are of one length."""


class Graph(NamedTuple):
    """The steps of a plan: for each, the numbers of those that it depends on; and how many may run at once."""

    depends_on: tuple[tuple[int, ...], ...]
    at_once: int = 8

    @property
    def events(self) -> int:
        """How many its log has when every attempt succeeds."""
        return 2 + 2 * len(self.depends_on)


class Shape(NamedTuple):
    """A workload: the graphs that its plans have, one after the other."""

    name: str
    title: str
    graphs: tuple[Graph, ...]
    tool: str = TOOL

    def graph_of(self, number: int) -> Graph:
        """The graph of the plan with this number."""
        return self.graphs[number % len(self.graphs)]

    def events_of(self, plans: int) -> int:
        """How many events the plans 0 … ``plans`` - 1 have in their logs."""
        whole, rest = divmod(plans, len(self.graphs))
        each = [graph.events for graph in self.graphs]
        return whole * sum(each) + sum(each[:rest])


def chain(steps: int) -> Graph:
    """One step after the other."""
    return Graph(tuple(() if n == 0 else (n - 1,) for n in range(steps)))


def fan(width: int) -> Graph:
    """One step, then many at once, then one that needs them all."""
    middle = tuple((0,) for _ in range(width))
    return Graph(((), *middle, tuple(range(1, width + 1))), at_once=width)


def wide(steps: int, at_once: int = 200) -> Graph:
    """Steps that need none of the others."""
    return Graph(tuple(() for _ in range(steps)), at_once)


def drawn(chance: random.Random) -> Graph:
    """A graph of 3 to 20 steps, each of which needs none to three of those before it."""
    steps = chance.randint(3, 20)
    return Graph(
        tuple(tuple(sorted(chance.sample(range(n), min(n, chance.choice((0, 1, 1, 1, 2, 3)))))) for n in range(steps))
    )


def shape(name: str) -> Shape:
    """A workload by name: ``fan``, ``mixed``, ``chain-6``, ``reads-6`` or ``wide-1000`` with any numbers.

    Raises:
        ValueError: there is no such workload.
    """
    kind, _, size = name.partition("-")
    if kind == "chain" and size:
        return Shape(name, f"chain of {int(size):,}", (chain(int(size)),))
    if kind == "reads" and size:
        return Shape(name, f"chain of {int(size):,} that only read", (chain(int(size)),), READING_TOOL)
    if kind == "wide" and size:
        return Shape(name, f"{int(size):,} in parallel", (wide(int(size)),))
    if name == "fan":
        return Shape(name, "fan-out 1→50→1", (fan(50),))
    if name == "mixed":
        chance = random.Random(SEED)  # noqa: S311 - the same graphs each time
        return Shape(name, "mixed graphs", tuple(drawn(chance) for _ in range(_MIXED)))
    raise ValueError(f"no such workload: {name}")


def plan_id(prefix: str, number: int) -> str:
    """The id of a plan; the prefix has five characters."""
    return f"{prefix}{number:0{_ID_DIGITS}d}"


class Submissions:
    """Ready-made messages for ``plans.execute``."""

    def __init__(self, of: Shape) -> None:
        self._templates = [_submission(graph, of.tool).split(_ID_PLACE.encode()) for graph in of.graphs]

    def body(self, prefix: str, number: int) -> bytes:
        """The message of one plan."""
        return plan_id(prefix, number).encode().join(self._templates[number % len(self._templates)])


def number_of(message: bytes) -> int:
    """The number of the plan in a message of ``Submissions``, without decoding it."""
    start = message.index(b'"id":"') + 6
    return int(message[start + 5 : start + 5 + _ID_DIGITS])


def id_of(message: bytes) -> str:
    """The plan's id, likewise."""
    start = message.index(b'"id":"') + 6
    return message[start : start + 5 + _ID_DIGITS].decode()


def step_id(number: int) -> str:
    """The id of a plan's step."""
    return f"s{number}"


def _submission(graph: Graph, tool: str) -> bytes:
    plan = {
        "id": _ID_PLACE,
        "title": "Dentists in Leeds",
        "goal": {"description": "Find dentists in Leeds and start outreach", "targetCount": 40},
        "createdAt": "2026-11-23T09:15:02.417Z",
        "maxConcurrency": graph.at_once,
        "steps": [_step(number, depends_on, tool) for number, depends_on in enumerate(graph.depends_on)],
    }
    return msgspec.json.encode({"plan": plan, "user": {"userId": "u_7", "accountId": "acct_3"}})


def _step(number: int, depends_on: Sequence[int], tool: str) -> dict[str, object]:
    step: dict[str, object] = {
        "id": step_id(number),
        "tool": tool,
        "params": {"query": "dentists in Leeds", "part": number},
    }
    if depends_on:
        step["dependsOn"] = [step_id(one) for one in depends_on]
    return step
