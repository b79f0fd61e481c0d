"""What the server holds about monitors: their schedules, and their last runs."""

import contextlib
import re
from collections.abc import Iterator

import msgspec
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import RawStreamMsg
from nats.js.errors import KeyNotFoundError, NotFoundError, ServiceUnavailableError

from leadplan_client.errors import ConnectionLostError, NoAnswerError
from leadplan_client.following import UNREADABLE
from leadplan_client.monitor_models import MonitorRun, MonitorRuns, StoredMonitor
from leadplan_client.submission import require_stream
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import PlanCompleted, PlanStarted, decode_event
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_contracts.subjects import (
    MONITOR_RUNS_BUCKET,
    PLAN_LOG_STREAM,
    PLAN_REJECTS_STREAM,
    PLAN_SCHEDULE_ALL,
    PLANS_STREAM,
    plan_log_subject,
    plan_rejected_subject,
    plan_schedule_subject,
)

_MONITOR_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SUBJECT_PREFIX = plan_schedule_subject("")
_NONE_KNOWN = MonitorRuns(None, None)


def is_monitor_id(text: str) -> bool:
    """Whether a monitor may have this id; a text such as ``*`` would become a subject with a wildcard."""
    return _MONITOR_ID.fullmatch(text) is not None


@contextlib.contextmanager
def answers_needed() -> Iterator[None]:
    """Tell in the client's terms that the server doesn't answer."""
    try:
        yield
    except NatsTimeoutError:
        raise NoAnswerError from None
    except ConnectionClosedError:
        raise ConnectionLostError from None


class MonitorReader:
    """Reads monitors on one connection; each method raises what ``MonitorClient`` says."""

    def __init__(self, nc: Client) -> None:
        self._js = nc.jetstream()

    async def ids(self) -> list[str]:
        """The ids of all monitors, sorted."""
        try:
            with answers_needed():
                info = await self._js.stream_info(PLANS_STREAM, subjects_filter=PLAN_SCHEDULE_ALL)
        except (NotFoundError, ServiceUnavailableError, NoRespondersError):
            await require_stream(self._js, PLANS_STREAM)
            raise NoAnswerError from None
        tokens = (subject.removeprefix(_SUBJECT_PREFIX) for subject in info.state.subjects or {})
        return sorted(token for token in tokens if is_monitor_id(token))

    async def stored(self, monitor_id: str) -> StoredMonitor | None:
        """The monitor of an id; None when there is none."""
        message = await self._last(PLANS_STREAM, plan_schedule_subject(monitor_id))
        return None if message is None else StoredMonitor.read(monitor_id, message)

    async def runs(self, monitor_id: str) -> MonitorRuns:
        """What is known of a monitor's runs: nothing before its first one, and for runs that may overlap."""
        try:
            with answers_needed():
                entry = await (await self._js.key_value(MONITOR_RUNS_BUCKET)).get(monitor_id)
            runs = msgspec.json.decode(entry.value or b"", type=RecurringRuns)
        except (KeyNotFoundError, NotFoundError, msgspec.DecodeError):
            return _NONE_KNOWN
        waiting = runs.waiting if runs.waiting and await self._is_queued(runs.waiting) else None
        return MonitorRuns(await self._run(runs.running), waiting)

    async def _run(self, run: RecurringRun) -> MonitorRun:
        log = plan_log_subject(run.plan_id)
        match _event(await self._last(PLAN_LOG_STREAM, log)):
            case PlanCompleted(result=result):
                state = result.overall_status.value
                return MonitorRun(
                    plan_id=run.plan_id, state=state, started_at=result.started_at, finished_at=result.finished_at
                )
            case None:
                return MonitorRun(plan_id=run.plan_id, state=await self._state_without_log(run))
            case _:
                first = _event(await self._message(PLAN_LOG_STREAM, log))
                started_at = first.time if isinstance(first, PlanStarted) else None
                return MonitorRun(plan_id=run.plan_id, state="running", started_at=started_at)

    async def _state_without_log(self, run: RecurringRun) -> str:
        if await self._is_queued(run):
            return "starting"
        rejection = await self._last(PLAN_REJECTS_STREAM, plan_rejected_subject(run.plan_id))
        return "unknown" if rejection is None else "rejected"

    async def _is_queued(self, run: RecurringRun) -> bool:
        return await self._message(PLANS_STREAM, None, run.submission) is not None

    async def _message(self, stream: str, subject: str | None, sequence: int = 1) -> RawStreamMsg | None:
        """The message of a sequence, or the first one from there on of a subject."""
        with answers_needed():
            try:
                return await self._js.get_msg(stream, seq=sequence, subject=subject, next=subject is not None)
            except NotFoundError:
                return None

    async def _last(self, stream: str, subject: str) -> RawStreamMsg | None:
        try:
            with answers_needed():
                return await self._js.get_last_msg(stream, subject)
        except (NotFoundError, ServiceUnavailableError, NoRespondersError):
            await require_stream(self._js, stream)
            return None


def _event(message: RawStreamMsg | None) -> LeadPlanEventPayload | None:
    try:
        return decode_event(message.data or b"") if message is not None else None
    except UNREADABLE:
        return None
