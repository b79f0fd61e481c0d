"""A monitor as lines of text, and as JSON."""

from datetime import UTC, datetime

import msgspec

from leadplan_cli.next_run import next_run
from leadplan_cli.plan_lines import number_of
from leadplan_client import Monitor, MonitorRun
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import encode

_MILLISECONDS = 1000


def monitor_lines(monitor: Monitor, now: datetime | None = None) -> list[str]:
    """What people want to know of a monitor; ``now`` defaults to the clock."""
    upcoming = _next_run(monitor, now)
    when = f"{monitor.schedule} ({monitor.time_zone})" if monitor.time_zone else monitor.schedule
    lines = [f"{monitor.id}  {when}" + (f", next {upcoming:%a %Y-%m-%d %H:%M %Z}" if upcoming else "")]
    steps = f"{number_of(len(monitor.steps), 'step')}: {', '.join(step.id for step in monitor.steps)}"
    lines.append(f"  plan      {monitor.plan_title} ({steps})" if monitor.plan_id else "  plan      unreadable")
    lines.append(f"  account   {monitor.account or 'unknown'}, set up {_shown_time(monitor.set_up_at)}")
    lines.append(f"  overlap   {monitor.overlap.value if monitor.overlap else 'runs may overlap'}")
    if monitor.last_run is not None:
        lines.append(f"  last run  {_run(monitor.last_run)}")
    if monitor.waiting_run is not None:
        lines.append(f"  waiting   {monitor.waiting_run}")
    return lines


def monitor_json(monitor: Monitor, now: datetime | None = None) -> bytes:
    """One line of JSON: the monitor, and ``nextRunAt`` where it is known."""
    upcoming = _next_run(monitor, now)
    extra = {"nextRunAt": format_time(int(upcoming.timestamp()) * _MILLISECONDS)} if upcoming else {}
    return encode({**msgspec.to_builtins(monitor), **extra})


def _next_run(monitor: Monitor, now: datetime | None) -> datetime | None:
    return next_run(monitor.server_schedule, monitor.time_zone or "UTC", now or datetime.now(UTC))


def _run(run: MonitorRun) -> str:
    if run.finished_at is not None:
        return f"{run.plan_id}: {run.state}, ended {_shown_time(run.finished_at)}"
    since = f" since {_shown_time(run.started_at)}" if run.started_at else ""
    return f"{run.plan_id}: {run.state}{since}"


def _shown_time(timestamp: str | None) -> str:
    return f"{datetime.fromisoformat(timestamp):%Y-%m-%d %H:%M:%S} UTC" if timestamp else "at an unknown time"
