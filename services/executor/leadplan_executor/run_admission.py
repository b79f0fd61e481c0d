"""Runs of a recurring plan don't overlap: whether a firing may begin, with what the server knows.

``core.overlap`` decides; here the facts are asked for, and the decision is stored by compare-and-set before it is acted
on. So of two executors with a firing each, one decides first and the other one decides again.

A run counts as ended when its log ends with ``PLAN_COMPLETED``, or when its message has left the queue ``PLANS`` (and
it doesn't wait for a person or a time, when no message holds it, and isn't held by a later message since). The second
says more than a look at the log could. An executor takes the message off the queue only after the plan's end
is stored, so as long as it lies there somebody will begin or go on with the plan, however many executors have died;
and once it is gone (completed, rejected, aged out, or removed by an operator) nobody will. That is why neither a crash
between the decision and the plan's first event, nor a firing that vanished, can block those that follow.
"""

from typing import NamedTuple, TypeAlias

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import RawStreamMsg
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError, NotFoundError
from nats.js.kv import KeyValue

from leadplan_contracts import PlanProblem, Recurrence, subjects
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.events import PlanCompleted, PlanRejected, decode_event
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_contracts.wire import encode
from leadplan_executor.core.errors import CoreError
from leadplan_executor.core.overlap import Verdict, decide_overlap
from leadplan_executor.core.waiting import is_waiting
from leadplan_executor.plan_log import PlanLog

log = structlog.get_logger(__name__)

ASK_AGAIN_SECONDS = 2.0
"""How soon a firing that waits comes back. Each time costs five small reads; a monitor fires at most once a minute, so
nobody misses a second or two."""

_TRIES = 20


class Start(Struct, frozen=True):
    """The run may begin."""


class Wait(Struct, frozen=True):
    """The run before goes on: ask again after ``ASK_AGAIN_SECONDS``."""


class Refuse(Struct, frozen=True):
    """The run must not begin: the firing is to be rejected."""

    problem: PlanProblem


class Refused(Struct, frozen=True):
    """The firing was rejected before, and only its message is still there."""


Admission: TypeAlias = Start | Wait | Refuse | Refused


class _Remembered(NamedTuple):
    runs: RecurringRuns | None
    revision: int | None


class RunAdmission:
    """Lets the runs of recurring plans begin, on one connection."""

    def __init__(self, nc: Client, plan_log: PlanLog) -> None:
        self._js = nc.jetstream()
        self._plan_log = plan_log
        self._bucket: KeyValue | None = None

    async def admit(self, recurrence: Recurrence, firing: RecurringRun) -> Admission:
        """Whether a firing that has no log yet may begin; ``Start`` too where it turns out to have one.

        Raises:
            nats.errors.Error: the server didn't answer; nothing is lost when the firing is asked for again.
        """
        if await self._last(subjects.PLANS_STREAM, subjects.plan_schedule_subject(recurrence.id)) is None:
            return await self._unless_settled(firing, Refuse(_removed(recurrence)))
        for _ in range(_TRIES):
            remembered = await self._read(recurrence.id)
            admission = await self._decide(recurrence, firing, remembered)
            if admission is not None:
                return admission
        raise NatsTimeoutError  # others decide about this recurrence all the time: try again later

    async def _decide(self, recurrence: Recurrence, firing: RecurringRun, remembered: _Remembered) -> Admission | None:
        """The admission; None when somebody else changed what is remembered in the meantime."""
        runs = remembered.runs
        verdict, decided = decide_overlap(
            recurrence.overlap,
            runs,
            firing,
            running_ended=runs is not None and await self._has_ended(runs.running),
            waiting_gone=runs is not None
            and runs.waiting is not None
            and not await self._is_queued(runs.waiting.submission),
        )
        admission = await self._unless_settled(firing, _admission(verdict, recurrence, decided))
        if isinstance(admission, Refused) or (isinstance(admission, Start) and verdict is not Verdict.START):
            return admission
        if decided != runs:
            if not await self._write(recurrence.id, decided, remembered.revision):
                return None
            if verdict is Verdict.WAIT:
                log.info("firing waits for the run before it", plan_id=firing.plan_id, behind=decided.running.plan_id)
        return admission

    async def _unless_settled(self, firing: RecurringRun, admission: Admission) -> Admission:
        """The admission, unless the firing was rejected or begun before and its message just wasn't taken off."""
        last = await self._last(subjects.PLAN_REJECTS_STREAM, subjects.plan_rejected_subject(firing.plan_id))
        rejection = decode_event(last.data or b"") if last is not None else None
        if isinstance(rejection, PlanRejected) and rejection.meta.submission == firing.submission:
            return Refused()
        if isinstance(admission, Start):
            return admission  # the fence of the first append tells whether it has begun
        begun = await self._last(subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(firing.plan_id))
        return admission if begun is None else Start()

    async def _has_ended(self, run: RecurringRun) -> bool:
        last = await self._last(subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(run.plan_id))
        if last is not None and isinstance(decode_event(last.data or b""), PlanCompleted):
            return True
        if await self._is_queued(run.submission):
            return False
        return last is None or not await self._still_counts(run)

    async def _still_counts(self, run: RecurringRun) -> bool:
        """Whether a run that has begun and isn't held by its first message waits, or is held by another one."""
        try:
            folded = await self._plan_log.fold(run.plan_id)
        except (CoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("a run's log can't be read, it counts as ended", plan_id=run.plan_id, problem=str(error))
            return False
        if folded is None or folded.run.completed:
            return False
        held_by = folded.run.message or run.submission
        return is_waiting(folded.run) or (held_by != run.submission and await self._is_queued(held_by))

    async def _is_queued(self, submission: int) -> bool:
        try:
            await self._js.get_msg(subjects.PLANS_STREAM, seq=submission)
        except NotFoundError:
            return False
        return True

    async def _last(self, stream: str, subject: str) -> RawStreamMsg | None:
        # Answered by the stream's leader: a replica could still lack it.
        try:
            return await self._js.get_last_msg(stream, subject)
        except NotFoundError:
            return None

    async def _read(self, key: str) -> _Remembered:
        try:
            entry = await (await self._open()).get(key)
        except KeyNotFoundError:
            return _Remembered(None, None)
        try:
            return _Remembered(msgspec.json.decode(entry.value or b"", type=RecurringRuns), entry.revision)
        except msgspec.DecodeError as error:
            log.warning("entry of a recurring plan can't be read, replacing it", recurrence=key, problem=str(error))
            return _Remembered(None, entry.revision)

    async def _write(self, key: str, runs: RecurringRuns, revision: int | None) -> bool:
        bucket = await self._open()
        try:
            if revision is None:
                await bucket.create(key, encode(runs))
            else:
                await bucket.update(key, encode(runs), last=revision)
        except KeyWrongLastSequenceError:
            return False
        return True

    async def _open(self) -> KeyValue:
        if self._bucket is None:
            self._bucket = await self._js.key_value(subjects.MONITOR_RUNS_BUCKET)
        return self._bucket


def _admission(verdict: Verdict, recurrence: Recurrence, runs: RecurringRuns) -> Admission:
    match verdict:
        case Verdict.START:
            return Start()
        case Verdict.WAIT:
            return Wait()
        case Verdict.SKIP:
            return Refuse(_skipped(recurrence, runs))


def _skipped(recurrence: Recurrence, runs: RecurringRuns) -> PlanProblem:
    behind = f", and {runs.waiting.plan_id} waits to be the next" if runs.waiting else ""
    message = f"skipped: the run {runs.running.plan_id} of monitor {recurrence.id!r} hasn't ended{behind}"
    return PlanProblem(path="recurrence.overlap", code=RejectionCode.PREVIOUS_RUN_ACTIVE, message=message)


def _removed(recurrence: Recurrence) -> PlanProblem:
    message = f"monitor {recurrence.id!r} was removed before this run of it began"
    return PlanProblem(path="recurrence.id", code=RejectionCode.SCHEDULE_REMOVED, message=message)
