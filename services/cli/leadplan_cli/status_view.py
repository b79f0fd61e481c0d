"""A plan's status as people read it: how it stands, what it waits for, each step, and what to do next."""

import shlex
from typing import TypeVar

from leadplan_cli.plan_lines import duration, number_of, problem_lines
from leadplan_cli.relative_times import ago, clock_time, rough, until
from leadplan_contracts import LeadGenStepStatus, OverallStatus
from leadplan_contracts.control import PlanState, PlanStatus, StepStatus, Waiting, WaitReason
from leadplan_contracts.times import parse_time

T = TypeVar("T")

_NAMED = 3
"""So many steps are told by name where all of them would be too many."""
_MENDABLE = (OverallStatus.FAILED, OverallStatus.PARTIAL, OverallStatus.CANCELLED)


def outcome_or_state(state: PlanState, overall_status: OverallStatus | None) -> str:
    """One word for how a plan stands: how it ended, or the state that it is in."""
    return (overall_status or state).value


def fact_lines(status: PlanStatus, now: int) -> list[tuple[str, str]]:
    """What there is to say of the plan as a whole: names and texts; ``now`` in milliseconds since 1970."""
    facts = [("waits for", waiting_text(one, status.plan_id, now)) for one in _first(status.waiting or [])]
    if (more := len(status.waiting or []) - _NAMED) > 0:
        facts.append(("", f"and {more} more"))
    facts += [("failed", failure_text(step)) for step in _first(failed_steps(status))]
    if (more := len(failed_steps(status)) - _NAMED) > 0:
        facts.append(("", f"and {number_of(more, 'more step')}"))
    facts += [("problem", line.strip()) for line in problem_lines(status.problems or [])]
    if status.goal:
        facts.append(("goal", status.goal))
    if status.user is not None:
        whose = f"account {status.user.account_id}, " if status.user.account_id else ""
        facts.append(("for", f"{whose}user {status.user.user_id}"))
    facts += _time_facts(status, now)
    if status.round > 1:
        facts.append(("round", f"{status.round}: it was retried {number_of(status.round - 1, 'time')}"))
    if counted := step_counts_text(status):
        facts.append(("steps", counted))
    return facts


def _first(items: list[T]) -> list[T]:
    return items[:_NAMED]


def _time_facts(status: PlanStatus, now: int) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if status.started_at is None and status.submitted_at is not None:
        facts.append(("submitted", f"{clock_time(status.submitted_at)}, {ago(status.submitted_at, now)}"))
    if status.started_at is not None:
        where = f", by {status.executor}" if status.executor and status.finished_at is None else ""
        facts.append(("started", f"{clock_time(status.started_at)}, {ago(status.started_at, now)}{where}"))
    if status.finished_at is not None:
        took = ""
        if status.started_at is not None:
            took = f", after {duration(max(parse_time(status.finished_at) - parse_time(status.started_at), 0))}"
        facts.append(("ended", f"{clock_time(status.finished_at)}{took}"))
    elif status.deadline_at is not None:
        facts.append(("deadline", f"{clock_time(status.deadline_at)}, {until(status.deadline_at, now)}"))
    return facts


def step_counts_text(status: PlanStatus) -> str:
    """``4 succeeded, 1 pending``, and how many there are where several states occur."""
    counts = {name: number for name, number in (status.step_counts or {}).items() if number}
    listed = ", ".join(f"{number} {name}" for name, number in counts.items())
    return f"{listed} (of {sum(counts.values())})" if len(counts) > 1 else listed


def waiting_text(waiting: Waiting, plan_id: str, now: int) -> str:
    """What the plan waits for, since when, until when, and who can end it."""
    since = f", for {rough(now - parse_time(waiting.since))} so far" if waiting.since else ""
    step = f" of step {waiting.step_id}" if waiting.step_id else ""
    match waiting.reason:
        case WaitReason.APPROVAL:
            return f"your approval{step}{since}: {approve_command(plan_id, waiting.step_id)}"
        case WaitReason.UNPAUSE:
            who = f" by {waiting.by}" if waiting.by else ""
            why = f" ({waiting.message})" if waiting.message else ""
            return f"somebody to resume it; it was paused{who}{why}{since}: leadplan resume {plan_id}"
        case WaitReason.RETRY:
            why = f"; the last one failed: {waiting.message}" if waiting.message else ""
            return f"the next attempt{step}{_when(waiting, now)}{why}"
        case WaitReason.TOOL:
            return f"somebody to serve the tool{step}; next attempt{_when(waiting, now)}: leadplan tools"


def _when(waiting: Waiting, now: int) -> str:
    return f" {until(waiting.until, now)}" if waiting.until else ""


def failed_steps(status: PlanStatus) -> list[StepStatus]:
    """The steps that failed, in plan order."""
    return [step for step in status.steps or [] if step.result.status is LeadGenStepStatus.FAILED]


def failure_text(step: StepStatus) -> str:
    """Which step, after how many attempts, and why."""
    code = f" [{step.result.error_code}]" if step.result.error_code else ""
    attempts = number_of(step.result.attempts, "attempt")
    return f"step {step.id} after {attempts}: {step.result.error_message or 'it gave no reason'}{code}"


def approve_command(plan_id: str, step_id: str | None) -> str:
    """The command that lets a step run."""
    return shlex.join(["leadplan", "approve", plan_id, *([step_id] if step_id else [])])


def next_commands(status: PlanStatus) -> list[tuple[str, str]]:
    """Commands that make sense now, and what each does."""
    plan = status.plan_id
    waits = {one.reason for one in status.waiting or []}
    approvals = [one.step_id for one in status.waiting or [] if one.reason is WaitReason.APPROVAL]
    commands: list[tuple[str, str]] = []
    if WaitReason.UNPAUSE in waits or status.state is PlanState.PAUSED:
        commands.append((f"leadplan resume {plan}", "let it go on"))
    if approvals:
        step = approvals[0] if len(approvals) == 1 else None
        commands.append((approve_command(plan, step), "let it run" if step else "let all of them run"))
        commands.append((approve_command(plan, step).replace("approve", "deny", 1), "refuse, which fails the step"))
    if WaitReason.TOOL in waits:
        commands.append(("leadplan tools", "which tools are served"))
    match status.state:
        case PlanState.QUEUED | PlanState.RUNNING | PlanState.CANCELLING | PlanState.WAITING | PlanState.PAUSED:
            commands.append((f"leadplan watch {plan}", "follow it to its end"))
        case PlanState.COMPLETED:
            if status.overall_status in _MENDABLE:
                commands.append((f"leadplan retry {plan}", "run again what failed or was skipped"))
            commands.append((f"leadplan result {plan}", "what the tools returned"))
        case PlanState.REJECTED:
            commands.append(("leadplan validate FILE", "check the corrected plan before you submit it again"))
    return commands
