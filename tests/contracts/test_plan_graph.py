"""The dependency graph, compared with a naive model that walks every path."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_contracts.graph import PlanGraph

PROPERTY = settings(max_examples=400)


@st.composite
def graphs(draw, acyclic=False):
    size = draw(st.integers(1, 9))
    return [
        draw(st.lists(st.integers(0, index - 1 if acyclic else size - 1), max_size=4)) if index or not acyclic else []
        for index in range(size)
    ]


def reachable(dependencies, start):
    """Everything that a step depends on, found by walking; the step itself only when it is on a cycle."""
    found, to_visit = set(), list(dependencies[start])
    while to_visit:
        index = to_visit.pop()
        if index not in found:
            found.add(index)
            to_visit += dependencies[index]
    return found


@PROPERTY
@given(graphs())
def test_ancestors_are_what_a_walk_finds(dependencies):
    graph = PlanGraph(dependencies)
    for index in range(len(dependencies)):
        naive = reachable(dependencies, index)
        assert graph.ancestors(index) == sorted(naive)
        assert {other for other in range(len(dependencies)) if graph.depends_on(index, other)} == naive


@PROPERTY
@given(graphs())
def test_each_group_of_steps_that_need_one_another_shows_one_cycle(dependencies):
    reached = [reachable(dependencies, index) for index in range(len(dependencies))]
    groups = {
        frozenset(other for other in reached[index] if index in reached[other])
        for index in range(len(dependencies))
        if index in reached[index]
    }
    cycles = PlanGraph(dependencies).cycles()
    assert [min(group) for group in sorted(groups, key=min)] == [cycle[0] for cycle in cycles]
    for cycle in cycles:
        assert len(set(cycle)) == len(cycle)
        assert set(cycle) <= next(group for group in groups if cycle[0] in group)
        for index, following in zip(cycle, [*cycle[1:], cycle[0]], strict=True):
            assert following in dependencies[index]


@PROPERTY
@given(graphs())
def test_the_topological_order_holds_all_that_is_not_on_or_behind_a_cycle(dependencies):
    order = PlanGraph(dependencies).topological_order()
    position = {index: place for place, index in enumerate(order)}
    on_a_cycle = {index for index in range(len(dependencies)) if index in reachable(dependencies, index)}
    for index in range(len(dependencies)):
        assert (index in position) == (index not in on_a_cycle and not reachable(dependencies, index) & on_a_cycle)
    for index in order:
        assert all(position[dependency] < position[index] for dependency in dependencies[index])


@PROPERTY
@given(graphs(acyclic=True))
def test_dependants_are_the_other_direction(dependencies):
    graph = PlanGraph(dependencies)
    assert graph.cycles() == []
    for index, before in enumerate(dependencies):
        assert graph.dependencies[index] == tuple(dict.fromkeys(before))
        assert graph.dependants[index] == [other for other, needs in enumerate(dependencies) if index in needs]


SIZE = 10_000


@pytest.mark.parametrize(
    ("shape", "dependencies"),
    [
        ("chain", [[index - 1] if index else [] for index in range(SIZE)]),
        ("chain against plan order", [[index + 1] if index + 1 < SIZE else [] for index in range(SIZE)]),
        ("one cycle", [[(index + 1) % SIZE] for index in range(SIZE)]),
        ("many cycles", [[index ^ 1] for index in range(SIZE)]),
        ("wide", [[]] + [[0]] * (SIZE - 1)),
    ],
)
def test_the_largest_plans_take_well_under_two_seconds(shape, dependencies):
    began = time.perf_counter()
    graph = PlanGraph(dependencies)
    cycles = graph.cycles()
    assert len(graph.ancestors(SIZE - 1 if shape != "chain against plan order" else 0)) >= 1
    assert len(cycles) == {"one cycle": 1, "many cycles": SIZE // 2}.get(shape, 0)
    assert time.perf_counter() - began < 2.0
