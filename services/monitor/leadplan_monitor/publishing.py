"""Storing a monitor as a JetStream message schedule (ADR-51): one subject a monitor, the newest message counts."""

from typing import NamedTuple

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import Header, RawStreamMsg
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from leadplan_bus.limits import fits
from leadplan_contracts import SupervisorUserContext
from leadplan_contracts.subjects import (
    EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER,
    PLANS_EXECUTE,
    PLANS_STREAM,
    plan_schedule_subject,
)
from leadplan_monitor.errors import MonitorTakenError, SchedulePublishError
from leadplan_monitor.schedule import ServerSchedule

_SCHEDULE = Header.SCHEDULE.value
_TARGET = Header.SCHEDULE_TARGET.value
_TIME_ZONE = Header.SCHEDULE_TIME_ZONE.value
_TTL = Header.MSG_TTL.value
_NO_MESSAGE = 10037

# What JetStream's error codes mean for a schedule; none of them passes by itself.
_REFUSALS = {
    10060: f"the subject of schedules belongs to another stream than {PLANS_STREAM}: see its configuration",
    10166: f"stream {PLANS_STREAM} doesn't allow a TTL for a message: the executor creates it so, on nats-server 2.14",
    10188: f"stream {PLANS_STREAM} doesn't allow schedules: the executor creates it so, on nats-server 2.14 or newer",
    10189: "the server takes no such schedule: either no such day comes within five years (such as 31 February), or "
    "the server is older than 2.14",
    10190: f"the server refuses {PLANS_EXECUTE} as the schedule's target: stream {PLANS_STREAM} must hold it",
    10191: "the server refuses the schedule's TTL",
    10192: "the server refuses the schedule's rollup",
    10203: "the server refuses the schedule's source",
    10212: "the server refuses the schedule as one that a schedule fired",
    10223: "the server doesn't know the time zone: use UTC, or install time zone data (tzdata) where nats-server runs",
}


class _Submitted(msgspec.Struct):
    user: SupervisorUserContext


class StoredSchedule(NamedTuple):
    """A schedule that the server keeps.

    Attributes:
        subject: where it lies.
        sequence: its sequence in the stream.
        changed: False when the very same schedule was there already.
    """

    subject: str
    sequence: int
    changed: bool


async def publish_schedule(
    nc: Client, monitor_id: str, schedule: ServerSchedule, submission: bytes, *, user: SupervisorUserContext
) -> StoredSchedule:
    """Store a schedule, in place of the monitor's earlier one.

    The same schedule again is left alone: storing it would start an interval anew. The write is guarded by the sequence
    that was read, so of two writers at once one is told to try again.

    Args:
        nc: the connection.
        monitor_id: one NATS token.
        schedule: when it fires; here it isn't checked how often.
        submission: the message that it publishes on ``plans.execute``.
        user: who may replace it: anyone of the same account.

    Raises:
        MonitorTakenError: the id belongs to another account.
        SchedulePublishError: the server refused, or gave no answer.
    """
    js = nc.jetstream()
    subject = plan_schedule_subject(monitor_id)
    headers = _headers(schedule)
    try:
        present = await _present_schedule(js, subject)
        if present is not None:
            if _owner_of(present) != _owner(user):
                raise MonitorTakenError(f"monitor {monitor_id!r} belongs to another account: choose another monitorId")
            if _is_same(present, headers, submission):
                return StoredSchedule(subject, present.seq or 0, changed=False)
        guard = str(present.seq) if present is not None else "0"
        guarded = {**headers, EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER: guard}
        if not fits(nc, submission, guarded):
            raise SchedulePublishError("the plan is too large for one message", retryable=False)
        acknowledged = await js.publish(subject, submission, stream=PLANS_STREAM, headers=guarded)
    except nats.errors.Error as error:
        raise _translated(error) from error
    return StoredSchedule(subject, acknowledged.seq, changed=True)


def _headers(schedule: ServerSchedule) -> dict[str, str]:
    # The stream's age limit is for plans; a monitor lives until it is removed.
    headers = {_SCHEDULE: schedule.pattern, _TARGET: PLANS_EXECUTE, _TTL: "never"}
    if schedule.time_zone is not None:
        headers[_TIME_ZONE] = schedule.time_zone
    return headers


async def _present_schedule(js: JetStreamContext, subject: str) -> RawStreamMsg | None:
    try:
        return await js.get_last_msg(PLANS_STREAM, subject)
    except NotFoundError as error:
        if error.err_code == _NO_MESSAGE:
            return None
        raise


def _is_same(present: RawStreamMsg, headers: dict[str, str], submission: bytes) -> bool:
    stored = present.headers or {}
    return present.data == submission and all(
        stored.get(name) == headers.get(name) for name in (_SCHEDULE, _TARGET, _TIME_ZONE, _TTL)
    )


def _owner(user: SupervisorUserContext) -> str:
    return user.account_id or user.user_id


def _owner_of(present: RawStreamMsg) -> str | None:
    try:
        return _owner(msgspec.json.decode(present.data or b"", type=_Submitted).user)
    except msgspec.DecodeError:
        return None  # nobody's: it wasn't written by this tool


def _translated(error: Exception) -> SchedulePublishError:
    match error:
        case NoStreamResponseError() | APIError(err_code=10059):
            message = f"stream {PLANS_STREAM} isn't there or has no leader: the executor creates it when it starts"
            return SchedulePublishError(message, retryable=True)
        case APIError(err_code=10071 | 10164):
            return SchedulePublishError("the monitor was changed by someone else at the same moment", retryable=True)
        case APIError(err_code=code) if code in _REFUSALS:
            return SchedulePublishError(f"{_REFUSALS[code]} (JetStream error {code})", retryable=False)
        case APIError():
            message = f"JetStream refused the schedule: {error.description} (error {error.err_code})"
            return SchedulePublishError(message, retryable=(error.code or 500) >= 500)
        case nats.errors.TimeoutError():
            message = "the server gave no answer, so whether the schedule is stored is unknown; a repeat is harmless"
            return SchedulePublishError(message, retryable=True)
        case _:
            return SchedulePublishError(f"the schedule wasn't stored: {error}", retryable=True)
