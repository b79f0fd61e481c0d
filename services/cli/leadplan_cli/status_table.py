"""A plan's status drawn: a heading, facts, a table of steps, and the commands that come next."""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from leadplan_cli.plan_lines import duration, number_of
from leadplan_cli.relative_times import until
from leadplan_cli.status_view import fact_lines, next_commands, outcome_or_state
from leadplan_cli.terminal import printable
from leadplan_contracts import LeadGenStepStatus
from leadplan_contracts.control import PlanStatus, StepStatus, WaitReason
from leadplan_contracts.times import parse_time

STATE_STYLES = {
    "succeeded": "green",
    "completed": "green",
    "running": "cyan",
    "waiting": "yellow",
    "paused": "yellow",
    "retrying": "yellow",
    "no tool": "yellow",
    "cancelling": "yellow",
    "cancelled": "yellow",
    "partial": "yellow",
    "failed": "red",
    "rejected": "red",
    "skipped": "dim",
    "pending": "dim",
    "queued": "dim",
}
"""The style of each word for a plan's or a step's state."""

_WAITING_WORDS = {WaitReason.APPROVAL: "waiting", WaitReason.RETRY: "retrying", WaitReason.TOOL: "no tool"}
_MOST_STEPS = 40
_RANK = {"running": 0, "retrying": 0, "no tool": 0, "waiting": 1, "failed": 2, "pending": 3, "skipped": 4}


def status_picture(status: PlanStatus, now: int, *, every_step: bool = False) -> RenderableType:
    """Draw a plan's status.

    Args:
        status: what the executor said.
        now: milliseconds since 1970, for the times of what still runs.
        every_step: show all steps; else of many only those that matter most.
    """
    parts: list[RenderableType] = [_heading(status), _facts(status, now)]
    if status.steps:
        parts += ["", *_steps(status, now, every_step)]
    if commands := next_commands(status):
        parts += ["", _commands(commands)]
    return Group(*parts)


def _heading(status: PlanStatus) -> Text:
    word = outcome_or_state(status.state, status.overall_status)
    return Text.assemble(
        (f"{printable(status.title or '')}  " if status.title else "", "bold"),
        (f"{status.plan_id}  ", "dim" if status.title else "bold"),
        (word, f"bold {STATE_STYLES[word]}"),
    )


def _facts(status: PlanStatus, now: int) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in fact_lines(status, now):
        style = "red" if name in ("failed", "problem") else "yellow" if name == "waits for" else ""
        table.add_row(f"  {name}", Text(printable(text), style=style))
    return table


def _steps(status: PlanStatus, now: int, every_step: bool) -> list[RenderableType]:
    table = Table(box=None, padding=(0, 2, 0, 0), expand=False, header_style="dim")
    table.add_column("  Step", no_wrap=True)
    table.add_column("State", no_wrap=True)
    table.add_column("Tool", no_wrap=True, style="dim")
    table.add_column("Tries", justify="right")
    table.add_column("Time", justify="right", no_wrap=True)
    table.add_column("", overflow="fold")
    steps = status.steps or []
    shown = steps if every_step else _most_telling(steps)
    for step in shown:
        table.add_row(*_cells(step, now))
    parts: list[RenderableType] = [table]
    if left := len(steps) - len(shown):
        parts.append(Text(f"  and {number_of(left, 'more step')}: --all shows them", style="dim"))
    if status.steps_omitted:
        parts.append(Text(f"  and {number_of(status.steps_omitted, 'more step')} that didn't fit into the answer"))
    return parts


def _most_telling(steps: list[StepStatus]) -> list[StepStatus]:
    """As many steps as fit a page, in plan order: those that something happens to, then failures, then the rest."""
    ranked = sorted(range(len(steps)), key=lambda index: (_RANK.get(step_word(steps[index]), 5), index))
    return [steps[index] for index in sorted(ranked[:_MOST_STEPS])]


def step_word(step: StepStatus) -> str:
    """One word for how a step stands."""
    waits = _WAITING_WORDS.get(step.waiting.reason) if step.waiting is not None else None
    return waits or step.result.status.value


def _cells(step: StepStatus, now: int) -> list[RenderableType]:
    word = step_word(step)
    dim = "dim" if word in ("pending", "skipped") else ""
    return [
        Text(f"  {step.id}", style=dim),
        Text(word, style=STATE_STYLES[word]),
        Text(step.tool),
        Text(str(step.result.attempts) if step.result.attempts else ""),
        Text(_time(step, now)),
        Text(printable(_note(step, now)), style="red" if word == "failed" else dim),
    ]


def _time(step: StepStatus, now: int) -> str:
    result = step.result
    if result.started_at is None or result.status is LeadGenStepStatus.SKIPPED:
        return ""
    if result.finished_at is None and result.status is not LeadGenStepStatus.RUNNING:
        return ""
    end = now if result.finished_at is None else parse_time(result.finished_at)
    return duration(max(end - parse_time(result.started_at), 0))


def _note(step: StepStatus, now: int) -> str:
    waiting, result = step.waiting, step.result
    code = f" [{result.error_code}]" if result.error_code else ""
    failure = f"{result.error_message or ''}{code}".strip()
    if waiting is None:
        return failure
    if waiting.reason is WaitReason.APPROVAL:
        return "waits for your approval"
    when = f"again {until(waiting.until, now)}" if waiting.until else "will be tried again"
    why = waiting.message or failure
    return f"{when}: {why}" if why else when


def _commands(commands: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(style="dim")
    for index, (command, does) in enumerate(commands):
        table.add_row("next:" if index == 0 else "", Text(command), does)
    return table
