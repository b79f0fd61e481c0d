"""A monitor as the client shows it, and as it lies in the stream."""

from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta
from nats.js.api import RawStreamMsg

from leadplan_contracts import OverlapPolicy, PlanSubmission
from leadplan_contracts.recurrence import RecurringRun
from leadplan_contracts.subjects import SCHEDULE_HEADER, SCHEDULE_TIME_ZONE_HEADER
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import PlanId, StepId, Timestamp, WireModel

_INTERVAL_PREFIX = "@every "


class MonitorRun(WireModel, kw_only=True, frozen=True):
    """A run of a monitor, and what is known of it."""

    plan_id: PlanId
    state: Annotated[
        str,
        Meta(
            description="How it ended (`succeeded`, `partial`, `failed`, `cancelled`, or `rejected`), or `starting`, "
            "`running`; `unknown` where its log has aged out."
        ),
    ]
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None


class MonitorStep(WireModel, kw_only=True, frozen=True):
    """A step that each run has."""

    id: StepId
    tool: str


class Monitor(WireModel, kw_only=True, frozen=True):
    """A recurring plan.

    Where the schedule was stored by another program, some of it may be unknown. Times are RFC 3339.
    """

    id: str
    account: (
        Annotated[str, Meta(description="The account that it belongs to; the user where there is none.")] | None
    ) = None
    user_id: str | None = None
    schedule: Annotated[str, Meta(description="As its author wrote it; else the server's pattern.")]
    time_zone: Annotated[str, Meta(description="What cron fields are read in; absent for an interval.")] | None = None
    server_schedule: Annotated[str, Meta(description="The pattern that the NATS server was given.")]
    overlap: Annotated[OverlapPolicy, Meta(description="Absent: runs may overlap.")] | None = None
    plan_id: Annotated[str, Meta(description="Each run is a plan with the id `<planId>-<number>`.")] | None = None
    plan_title: str | None = None
    steps: list[MonitorStep]
    set_up_at: Annotated[Timestamp, Meta(description="When it was stored or last replaced.")] | None = None
    last_run: Annotated[MonitorRun, Meta(description="The last one that was let start.")] | None = None
    waiting_run: Annotated[PlanId, Meta(description="The plan of the firing that waits behind it.")] | None = None


class FiredRun(WireModel, kw_only=True, frozen=True):
    """A run that was started by hand: follow it like any plan."""

    monitor_id: str
    plan_id: PlanId
    submission: Annotated[int, Meta(description="The firing's stream sequence in PLANS.")]


class MonitorRuns(NamedTuple):
    """What is known of a monitor's runs."""

    last: MonitorRun | None
    waiting: RecurringRun | None


class StoredMonitor(NamedTuple):
    """A message schedule that submits plans; ``submission`` is None where it holds something else."""

    id: str
    message: RawStreamMsg
    submission: PlanSubmission | None

    @classmethod
    def read(cls, monitor_id: str, message: RawStreamMsg) -> "StoredMonitor":
        """Take a stored message apart."""
        try:
            submission = msgspec.json.decode(message.data or b"", type=PlanSubmission)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            submission = None
        return cls(monitor_id, message, submission)

    @property
    def account(self) -> str | None:
        """Whose it is."""
        return (self.submission.user.account_id or self.submission.user.user_id) if self.submission else None

    def monitor(self, runs: MonitorRuns) -> Monitor:
        """The monitor as it is shown."""
        headers = self.message.headers or {}
        pattern = headers.get(SCHEDULE_HEADER, "")
        submission = self.submission
        recurrence = submission.recurrence if submission else None
        time_zone = None if pattern.startswith(_INTERVAL_PREFIX) else headers.get(SCHEDULE_TIME_ZONE_HEADER, "UTC")
        stored_at = self.message.time
        return Monitor(
            id=self.id,
            account=self.account,
            user_id=submission.user.user_id if submission else None,
            schedule=(recurrence.schedule if recurrence else None) or pattern,
            time_zone=time_zone,
            server_schedule=pattern,
            overlap=recurrence.overlap if recurrence else None,
            plan_id=submission.plan.id if submission else None,
            plan_title=submission.plan.title if submission else None,
            steps=[MonitorStep(id=step.id, tool=step.tool) for step in submission.plan.steps] if submission else [],
            set_up_at=format_time(int(stored_at.timestamp() * 1000)) if stored_at else None,
            last_run=runs.last,
            waiting_run=runs.waiting.plan_id if runs.waiting else None,
        )
