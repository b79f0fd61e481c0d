"""Where steps stand in a picture: in layers from left to right, with few crossings (Sugiyama's method, simplified)."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

from leadplan_cli.graph.model import PlanGraph

_SWEEPS = 8
Place = tuple[int, float]
"""Layer and row; rows are half-way between two others where layers are of different sizes."""


@dataclass(frozen=True)
class Layout:
    """Places of steps, and for each dependency the places that its line goes through, both ends included."""

    places: Mapping[str, Place]
    lines: Mapping[tuple[str, str], tuple[Place, ...]]
    layers: int
    rows: int


def lay_out(graph: PlanGraph) -> Layout:
    """Give every step a layer behind all that it depends on, and a row."""
    layer = _layers(graph)
    chains = _chains(graph, layer)
    order = _ordered(graph, layer, chains)
    rows = max((len(names) for names in order), default=0)
    place = {
        name: (number, row + (rows - len(names)) / 2)
        for number, names in enumerate(order)
        for row, name in enumerate(names)
    }
    return Layout(
        places={step.id: place[step.id] for step in graph.steps},
        lines={ends: tuple(place[name] for name in chain) for ends, chain in chains.items()},
        layers=len(order),
        rows=rows,
    )


def _layers(graph: PlanGraph) -> dict[str, int]:
    depends_on = {step.id: step.depends_on for step in graph.steps}
    layer: dict[str, int] = {}
    for step in TopologicalSorter(depends_on).static_order():
        layer[step] = 1 + max((layer[one] for one in depends_on[step]), default=-1)
    return layer


def _chains(graph: PlanGraph, layer: Mapping[str, int]) -> dict[tuple[str, str], list[str]]:
    """Each dependency as a chain with a name in every layer between, so that its line goes around steps."""
    return {
        (first, step.id): [
            first,
            # A space is in no step id, so these names are free.
            *(f"{first} {step.id} {between}" for between in range(layer[first] + 1, layer[step.id])),
            step.id,
        ]
        for step in graph.steps
        for first in step.depends_on
    }


def _ordered(
    graph: PlanGraph, layer: Mapping[str, int], chains: Mapping[tuple[str, str], list[str]]
) -> list[list[str]]:
    order: list[list[str]] = [[] for _ in range(1 + max(layer.values(), default=-1))]
    for step in graph.steps:
        order[layer[step.id]].append(step.id)
    left: dict[str, list[str]] = {}
    right: dict[str, list[str]] = {}
    for chain in chains.values():
        for name in chain[1:-1]:
            order[layer[chain[0]] + chain.index(name)].append(name)
        for one, other in pairwise(chain):
            right.setdefault(one, []).append(other)
            left.setdefault(other, []).append(one)
    for sweep in range(_SWEEPS):
        forwards = sweep % 2 == 0
        numbers = range(1, len(order)) if forwards else range(len(order) - 2, -1, -1)
        for number in numbers:
            beside = order[number - 1 if forwards else number + 1]
            order[number] = _by_neighbours(order[number], beside, left if forwards else right)
    return order


def _by_neighbours(names: list[str], beside: list[str], neighbours: Mapping[str, list[str]]) -> list[str]:
    """The names in the order of the mean place of their neighbours; those without any stay about where they are."""
    row = {name: place for place, name in enumerate(beside)}

    def key(place: int) -> tuple[float, int]:
        near = [row[one] for one in neighbours.get(names[place], ())]
        return (sum(near) / len(near) if near else float(place), place)

    return [names[place] for place in sorted(range(len(names)), key=key)]
