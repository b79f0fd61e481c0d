"""A plan as a text tree.

A step stands below the one that it depends on; where it alone follows, at the same depth behind an arrow, so that a
chain of fifty steps stays narrow. A step that waits for several stands once, in full below the last of them; below
the others there is ``→`` and its id.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from leadplan_cli.graph.model import GraphStep, PlanGraph
from leadplan_cli.plan_view import StepState
from leadplan_cli.terminal import Paint, printable

_SIGNS: Final = {
    StepState.PENDING: ("·", "-", "dim"),
    StepState.RUNNING: ("▶", ">", "cyan"),
    StepState.RETRYING: ("↻", "~", "yellow"),
    StepState.WAITING: ("?", "?", "yellow"),
    StepState.SUCCEEDED: ("✓", "+", "green"),
    StepState.FAILED: ("✗", "x", "red"),
    StepState.SKIPPED: ("–", "/", "dim"),
}
_ASCII: Final = str.maketrans({"├": "|", "└": "`", "─": "-", "│": "|", "↓": "v", "→": ">"})


@dataclass(frozen=True)
class _Line:
    """What is still to be written: a step in full or a pointer to it, and what stands before it and what it holds."""

    step: str
    before: str
    before_inner: str
    is_pointer: bool = False


def tree_lines(graph: PlanGraph, paint: Paint) -> list[str]:
    """The tree's lines, a heading first; colours and other than ASCII signs as ``paint`` says."""
    steps = {step.id: step for step in graph.steps}
    written: list[_Line] = _laid_out(graph)
    lines = [f"{paint(printable(graph.title), 'bold')}  {graph.plan_id}"]
    for line in written:
        before = line.before if paint.signs else line.before.translate(_ASCII)
        lines.append(f"{before}{_text(line, steps, paint)}".rstrip())
    if any(line.is_pointer for line in written):
        arrow = "→" if paint.signs else ">"
        lines.append("")
        lines.append(f"{arrow} STEP also waits for the step above it; it stands below the last one that it waits for")
    return lines


def _laid_out(graph: PlanGraph) -> list[_Line]:
    dependants = graph.dependants()
    waits_for = {step.id: len(step.depends_on) for step in graph.steps}
    roots = [step.id for step in graph.steps if not step.depends_on]
    written: list[_Line] = []
    # A stack of our own: a chain may have thousands of steps.
    open_lines = [_Line(step, "  ", "  ") for step in reversed(roots)]
    while open_lines:
        line = open_lines.pop()
        written.append(line)
        if line.is_pointer:
            continue
        for step in dependants[line.step]:
            waits_for[step] -= 1
        open_lines += reversed(_below(line, dependants[line.step], waits_for))
    return written


def _below(line: _Line, dependants: list[str], waits_for: Mapping[str, int]) -> list[_Line]:
    if len(dependants) == 1 and waits_for[dependants[0]] == 0:
        # Two columns left of the text are free, at any depth.
        return [_Line(dependants[0], f"{line.before_inner[:-2]}↓ ", line.before_inner)]
    last = len(dependants) - 1
    return [
        _Line(
            step,
            f"{line.before_inner}{'└' if place == last else '├'}─ ",
            f"{line.before_inner}{' ' if place == last else '│'}  ",
            is_pointer=waits_for[step] > 0,
        )
        for place, step in enumerate(dependants)
    ]


def _text(line: _Line, steps: Mapping[str, GraphStep], paint: Paint) -> str:
    if line.is_pointer:
        return paint(f"{'→' if paint.signs else '>'} {line.step}", "dim")
    step = steps[line.step]
    label = f"  {printable(step.label)}" if step.label != step.id else ""
    text = f"{step.id}  {paint(step.tool, 'dim')}{label}"
    if step.state is None:
        return text
    sign, ascii_sign, style = _SIGNS[step.state]
    note = f": {printable(step.note)}" if step.note else ""
    return f"{paint(sign if paint.signs else ascii_sign, style)} {text}  {paint(step.state.value, style)}{note}"
