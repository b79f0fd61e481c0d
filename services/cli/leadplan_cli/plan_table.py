"""A plan's steps as a table for a terminal."""

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from leadplan_cli.plan_lines import counted, duration, problem_lines
from leadplan_cli.plan_view import PlanView, StepState, StepView, select_rows
from leadplan_contracts import OverallStatus

_LINES_AROUND = 5
_BAR_WIDTH = 14

_LOOK = {
    StepState.PENDING: ("·", "-", "dim"),
    StepState.RUNNING: ("▶", ">", "cyan"),
    StepState.RETRYING: ("↻", "~", "yellow"),
    StepState.WAITING: ("?", "?", "yellow"),
    StepState.SUCCEEDED: ("✓", "+", "green"),
    StepState.FAILED: ("✗", "x", "red"),
    StepState.SKIPPED: ("–", "/", "dim"),
}
"""A state's sign, the sign where the terminal knows ASCII only, and its style."""

_STATUS_STYLE = {
    OverallStatus.SUCCEEDED: "bold green",
    OverallStatus.PARTIAL: "bold yellow",
    OverallStatus.FAILED: "bold red",
    OverallStatus.CANCELLED: "bold yellow",
}


def plan_table(view: PlanView, now_ms: int, *, height: int, ascii_only: bool = False) -> RenderableType:
    """Draw a plan.

    Args:
        view: what is known of it.
        now_ms: milliseconds since 1970, for the times of what still runs.
        height: lines that the terminal has; steps that don't fit are counted only.
        ascii_only: use no other characters for signs.
    """
    table = Table(box=None, padding=(0, 1), expand=False, header_style="dim")
    table.add_column("")
    table.add_column("Step", no_wrap=True, max_width=36, overflow="ellipsis")
    table.add_column("Tool", no_wrap=True, style="dim")
    table.add_column("Tries", justify="right")
    table.add_column("Time", justify="right", no_wrap=True, min_width=7)
    table.add_column("", max_width=70, overflow="fold")
    shown, others = select_rows(view, max(height - _LINES_AROUND, 3))
    for step in shown:
        table.add_row(*_cells(step, now_ms, ascii_only))
    parts: list[RenderableType] = [_heading(view, now_ms), table] if view.steps else [_heading(view, now_ms)]
    if others:
        parts.append(Text(f"    and {sum(others.values())} more: {counted(others)}", style="dim"))
    if view.problems is not None and view.status is None:
        parts.append(Text("\n".join(problem_lines(view.problems)), style="red"))
    return Group(*parts)


def _heading(view: PlanView, now_ms: int) -> Text:
    text = Text()
    text.append(view.title or view.plan_id, style="bold")
    text.append(f"  {view.plan_id}  " if view.title else "  ", style="dim")
    if view.status is not None:
        text.append(view.status.value, style=_STATUS_STYLE[view.status])
    elif view.problems is not None and view.started_ms is None:
        text.append("rejected", style="bold red")
    else:
        text.append(view.state_note or ("running" if view.started_ms is not None else "waiting for an executor"))
    if view.started_ms is not None:
        text.append(f"  {duration(view.elapsed_ms(now_ms))}", style="dim")
    return text


def _cells(step: StepView, now_ms: int, ascii_only: bool) -> list[RenderableType]:
    sign, ascii_sign, style = _LOOK[step.state]
    elapsed = step.elapsed_ms(now_ms)
    return [
        Text(ascii_sign if ascii_only else sign, style=style),
        Text(step.label, style=style if step.state in (StepState.PENDING, StepState.SKIPPED) else ""),
        Text(step.tool),
        Text(str(step.attempts) if step.attempts else ""),
        Text("" if elapsed is None or step.state is StepState.SKIPPED else duration(elapsed)),
        _note(step, now_ms, style),
    ]


def _note(step: StepView, now_ms: int, style: str) -> RenderableType:
    if step.state is StepState.RETRYING and step.retry_at_ms is not None:
        return Text(f"again in {duration(max(step.retry_at_ms - now_ms, 0))}: {step.note}", style=style)
    if step.state is StepState.RUNNING and step.progress is not None:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(total=1.0, completed=step.progress, width=_BAR_WIDTH), Text(step.note))
        return grid
    return Text(step.note, style=style if step.state is not StepState.RUNNING else "")
