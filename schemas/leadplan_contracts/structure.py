"""The structure of a plan's steps: ids, dependencies and sources that fit together (protocol section 2)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.errors import PlanProblem
from leadplan_contracts.graph import PlanGraph
from leadplan_contracts.plan import MAX_STEPS, LeadGenPlanStep
from leadplan_contracts.shape import shown

_MAX_NAMES_OF_A_CYCLE = 50


class StepOutline(NamedTuple):
    """What the structure checks need of a step; parts that have the wrong shape are left out."""

    id: str | None
    depends_on: list[tuple[int, str]]
    source_step_id: str | None


def outline_of_step(step: LeadGenPlanStep) -> StepOutline:
    """The outline of a step that was decoded."""
    source = step.params.get("sourceStepId")
    return StepOutline(step.id, list(enumerate(step.dependencies)), source if isinstance(source, str) else None)


def outline_of_json(step: Any) -> StepOutline:
    """The outline of a step as plain JSON, whatever its shape."""
    if not isinstance(step, dict):
        return StepOutline(None, [], None)
    name, depends_on, params = step.get("id"), step.get("dependsOn"), step.get("params")
    named = enumerate(depends_on) if isinstance(depends_on, list) else ()
    source = params.get("sourceStepId") if isinstance(params, dict) else None
    return StepOutline(
        name if isinstance(name, str) else None,
        [(position, dependency) for position, dependency in named if isinstance(dependency, str)],
        source if isinstance(source, str) else None,
    )


def find_structure_problems(steps: list[StepOutline]) -> list[PlanProblem]:
    """Duplicate ids, unknown dependencies, cycles and sources that aren't dependencies, all of them."""
    if len(steps) > MAX_STEPS:
        return []  # the shape check names it; nothing that large is taken apart further
    index_of: dict[str, int] = {}
    problems = list(_duplicate_ids(steps, index_of))
    dependencies: list[list[int]] = []
    for index, step in enumerate(steps):
        known = []
        for position, name in step.depends_on:
            if name in index_of:
                known.append(index_of[name])
            else:
                path = f"plan.steps[{index}].dependsOn[{position}]"
                message = f"there is no step {shown(name)} in this plan"
                problems.append(PlanProblem(path=path, code=RejectionCode.UNKNOWN_STEP, message=message))
        dependencies.append(known)
    graph = PlanGraph(dependencies)
    problems += [_cycle_problem(steps, cycle) for cycle in graph.cycles()]
    problems += _source_problems(steps, index_of, graph)
    return problems


def _duplicate_ids(steps: list[StepOutline], index_of: dict[str, int]) -> Iterator[PlanProblem]:
    for index, step in enumerate(steps):
        if step.id is None:
            continue
        first = index_of.setdefault(step.id, index)
        if first != index:
            message = f"step id {shown(step.id)} stands already at plan.steps[{first}]"
            yield PlanProblem(path=f"plan.steps[{index}].id", code=RejectionCode.DUPLICATE_STEP_ID, message=message)


def _cycle_problem(steps: list[StepOutline], cycle: list[int]) -> PlanProblem:
    names = [shown(steps[index].id or "") for index in [*cycle, cycle[0]]]
    if len(names) > _MAX_NAMES_OF_A_CYCLE:
        between = f"({len(names) - _MAX_NAMES_OF_A_CYCLE} more)"
        names = [*names[: _MAX_NAMES_OF_A_CYCLE - 1], between, names[-1]]
    message = f"the dependencies have a cycle: {' needs '.join(names)}"
    return PlanProblem(path=f"plan.steps[{cycle[0]}].dependsOn", code=RejectionCode.DEPENDENCY_CYCLE, message=message)


def _source_problems(steps: list[StepOutline], index_of: dict[str, int], graph: PlanGraph) -> Iterator[PlanProblem]:
    for index, step in enumerate(steps):
        if step.source_step_id is None:
            continue
        source = index_of.get(step.source_step_id)
        if source is None:
            message = f"there is no step {shown(step.source_step_id)} in this plan"
        elif source == index:
            message = "the step names itself: name a step that it depends on"
        elif graph.depends_on(index, source):
            continue
        else:
            message = f"the step doesn't depend on {shown(step.source_step_id)}: add it to dependsOn"
        path = f"plan.steps[{index}].params.sourceStepId"
        yield PlanProblem(path=path, code=RejectionCode.SOURCE_NOT_A_DEPENDENCY, message=message)
