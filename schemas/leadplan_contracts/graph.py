"""The dependency graph of a plan: what comes after what, at any depth."""

from collections.abc import Sequence

from leadplan_contracts.plan import LeadGenPlan

_SPARSE = 10
"""To look at so many digits costs as much as to take one bit out of a large number."""


class PlanGraph:
    """Steps by index in plan order; built in time linear in steps and dependencies.

    Args:
        dependencies: for each step, the indices of the steps in its ``dependsOn``. They may have cycles: a step on
            one is an ancestor of itself, and ``cycles`` tells.
    """

    __slots__ = ("_ancestors", "dependants", "dependencies")

    def __init__(self, dependencies: Sequence[Sequence[int]]) -> None:
        self.dependencies = [tuple(dict.fromkeys(before)) for before in dependencies]
        self.dependants: list[list[int]] = [[] for _ in self.dependencies]
        for index, before in enumerate(self.dependencies):
            for dependency in before:
                self.dependants[dependency].append(index)
        self._ancestors: list[int] | None = None

    @classmethod
    def of(cls, plan: LeadGenPlan) -> "PlanGraph":
        """The graph of a plan that has passed validation."""
        index_of = {step.id: index for index, step in enumerate(plan.steps)}
        return cls([[index_of[name] for name in step.dependencies] for step in plan.steps])

    def topological_order(self) -> list[int]:
        """Indices so that each stands after its dependencies; steps on or behind a cycle are left out."""
        open_dependencies = [len(before) for before in self.dependencies]
        order = [index for index, count in enumerate(open_dependencies) if count == 0]
        for index in order:
            for dependant in self.dependants[index]:
                open_dependencies[dependant] -= 1
                if open_dependencies[dependant] == 0:
                    order.append(dependant)
        return order

    def ancestors(self, index: int) -> list[int]:
        """Indices of all steps that this one depends on, directly or through others, in plan order."""
        bits = self._ancestor_bits()[index]
        if bits.bit_count() * _SPARSE > bits.bit_length():
            return [place for place, bit in enumerate(f"{bits:b}"[::-1]) if bit == "1"]
        found = []
        while bits:
            lowest = bits & -bits
            found.append(lowest.bit_length() - 1)
            bits ^= lowest
        return found

    def with_descendants(self, index: int) -> list[int]:
        """A step and all that depend on it, directly or through others, in plan order."""
        found = {index: None}
        queue = [index]
        for each in queue:
            new = [dependant for dependant in self.dependants[each] if dependant not in found]
            found.update(dict.fromkeys(new))
            queue += new
        return sorted(found)

    def depends_on(self, index: int, other: int) -> bool:
        """Whether a step depends on another one, directly or through others."""
        return bool(self._ancestor_bits()[index] >> other & 1)

    def _ancestor_bits(self) -> list[int]:
        # One big integer a step, bit n set for ancestor n: 10 000 steps take 12 MB at most.
        if self._ancestors is None:
            bits = [0] * len(self.dependencies)
            for component in self._components():
                together = 0
                for index in component:
                    for dependency in self.dependencies[index]:
                        together |= bits[dependency] | 1 << dependency
                for index in component:
                    bits[index] = together
            self._ancestors = bits
        return self._ancestors

    def cycles(self) -> list[list[int]]:
        """One cycle of each group of steps that need one another; every step in it depends on the next.

        The last step depends on the first, which is the first in plan order. An acyclic plan has none.
        """
        found = []
        for component in self._components():
            start = min(component)
            if len(component) > 1 or start in self.dependencies[start]:
                found.append(self._cycle_through(start, set(component)))
        return sorted(found)

    def _cycle_through(self, start: int, component: set[int]) -> list[int]:
        # Breadth first, so the cycle is a shortest one: the fewest names to read.
        came_from: dict[int, int] = {}
        queue = [start]
        for index in queue:
            for dependency in self.dependencies[index]:
                if dependency == start:
                    return _path_to(index, start, came_from)
                if dependency in component and dependency not in came_from:
                    came_from[dependency] = index
                    queue.append(dependency)
        raise AssertionError(f"step {start} is on no cycle")

    def _components(self) -> list[list[int]]:
        """Groups of steps that need one another (mostly single steps), each after the groups it depends on."""
        order = self.topological_order()
        if len(order) == len(self.dependencies):
            return [[index] for index in order]
        # Kosaraju: finish times along the dependencies, then floods against them in reverse order of finishing.
        assigned: set[int] = set()
        components = []
        for start in reversed(self._depth_first_finish()):
            if start not in assigned:
                assigned.add(start)
                component = [start]
                for index in component:
                    new = [dependant for dependant in self.dependants[index] if dependant not in assigned]
                    assigned.update(new)
                    component += new
                components.append(component)
        components.reverse()
        return components

    def _depth_first_finish(self) -> list[int]:
        seen: set[int] = set()
        finished = []
        for start in range(len(self.dependencies)):
            if start in seen:
                continue
            seen.add(start)
            stack = [(start, iter(self.dependencies[start]))]
            while stack:
                index, rest = stack[-1]
                following = next((dependency for dependency in rest if dependency not in seen), None)
                if following is None:
                    finished.append(index)
                    stack.pop()
                else:
                    seen.add(following)
                    stack.append((following, iter(self.dependencies[following])))
        return finished


def _path_to(index: int, start: int, came_from: dict[int, int]) -> list[int]:
    path = [index]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    path.reverse()
    return path
