"""What is drawn: steps, what they depend on, and how they stand."""

from collections.abc import Iterable
from dataclasses import dataclass

from leadplan_cli.plan_view import PlanView, StepState, StepView
from leadplan_contracts import LeadGenPlan, LeadPlanEventPayload


@dataclass(frozen=True)
class GraphStep:
    """A step. ``state`` is None where the plan only lies in a file; ``note`` is what is to be said of the state."""

    id: str
    tool: str
    label: str
    depends_on: tuple[str, ...]
    state: StepState | None = None
    note: str = ""


@dataclass(frozen=True)
class PlanGraph:
    """A plan's steps in plan order; dependencies are steps of it, and there is no cycle."""

    plan_id: str
    title: str
    steps: tuple[GraphStep, ...]

    def dependants(self) -> dict[str, list[str]]:
        """For each step those that depend on it directly, in plan order."""
        found: dict[str, list[str]] = {step.id: [] for step in self.steps}
        for step in self.steps:
            for dependency in step.depends_on:
                found[dependency].append(step.id)
        return found


def graph_of(plan: LeadGenPlan, events: Iterable[LeadPlanEventPayload] | None = None) -> PlanGraph:
    """The graph of a valid plan, with the states that its events leave its steps in, where there are any."""
    view = PlanView(plan.id)
    for event in events or ():
        view.fold(event)
    steps = []
    for step in plan.steps:
        seen = view.steps.get(step.id) if events is not None else None
        # The same dependency may stand twice in a plan.
        depends_on = tuple(dict.fromkeys(step.dependencies))
        state, note = (seen.state, _note(seen)) if seen else (None, "")
        steps.append(GraphStep(step.id, step.tool, step.label or step.id, depends_on, state, note))
    return PlanGraph(plan.id, plan.title, tuple(steps))


def _note(step: StepView) -> str:
    tries = f"{step.attempts} attempts" if step.attempts > 1 else ""
    return ": ".join(part for part in (tries, step.note) if part)
