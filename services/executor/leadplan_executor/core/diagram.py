"""The transition tables as text: Mermaid state diagrams and Markdown tables, for docs/states.md."""

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from leadplan_contracts import LeadPlanEventType
from leadplan_executor.core.transitions import PLAN_TRANSITIONS, STATUS_OF_PHASE, STEP_TRANSITIONS

P = TypeVar("P", bound=StrEnum)


def step_states() -> str:
    """The states of a step: a diagram, and a table that also says what each is called in results."""
    statuses = {phase: f"`{status}`" for phase, status in STATUS_OF_PHASE.items()}
    return f"{_diagram(STEP_TRANSITIONS)}\n\n{_table(STEP_TRANSITIONS, 'status in results', statuses)}"


def plan_states() -> str:
    """The states of a plan: a diagram and a table."""
    return f"{_diagram(PLAN_TRANSITIONS)}\n\n{_table(PLAN_TRANSITIONS)}"


def _diagram(transitions: Mapping[tuple[P, LeadPlanEventType], P]) -> str:
    starts, ends = _starts(transitions), _ends(transitions)
    lines = [
        *(f"    [*] --> {phase}" for phase in starts),
        *(f"    {phase} --> {following}: {event}" for (phase, event), following in transitions.items()),
        *(f"    {phase} --> [*]" for phase in ends),
    ]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```"])


def _table(
    transitions: Mapping[tuple[P, LeadPlanEventType], P], extra: str | None = None, cells: Mapping[P, str] | None = None
) -> str:
    head = ["state", *([extra] if extra else []), "event, and the state after it"]
    rows = [head, ["---"] * len(head)]
    for phase in _phases(transitions):
        following = [f"`{event}` {after}" for (before, event), after in transitions.items() if before == phase]
        middle = [cells[phase]] if cells else []
        rows.append([f"{phase}", *middle, ", ".join(following)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _phases(transitions: Mapping[tuple[P, LeadPlanEventType], P]) -> list[P]:
    """Every phase that the table names, in the order of the enumeration."""
    return list(type(next(iter(transitions))[0]))


def _starts(transitions: Mapping[tuple[P, LeadPlanEventType], P]) -> list[P]:
    reached = {
        after
        for (before, event), after in transitions.items()
        if after != before and event is not LeadPlanEventType.PLAN_RETRIED
    }
    return [phase for phase in _phases(transitions) if phase not in reached]


def _ends(transitions: Mapping[tuple[P, LeadPlanEventType], P]) -> list[P]:
    left = {before for before, event in transitions if event is not LeadPlanEventType.PLAN_RETRIED}
    return [phase for phase in _phases(transitions) if phase not in left]
