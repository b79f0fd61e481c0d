"""Waking plans that only wait: a JetStream message schedule for each, so that neither a process nor a lease waits.

The schedule of a plan is replaced by the next one. It fires into the queue of plans that are to be taken up again; one
that fires although the plan was taken up before is void, for its message names the plan's last event.

So the schedule must be that of whoever parked the plan last. An executor that stood still while it set one, or sends
again what seemed lost, may come when somebody else has taken the plan up and parked it anew: its late schedule, void
as it is, would be in the place of the right one, and nothing would wake the plan. That is why a schedule is stored
behind the one before it only (``Nats-Expected-Last-Subject-Sequence``), and who finds another one there looks into the
log whether the plan is still theirs.
"""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError
from nats.js.errors import APIError, NotFoundError

from leadplan_contracts import subjects
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import WakeMessage, read_wake
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_log import PlanLog

log = structlog.get_logger(__name__)

_SET_AGAIN_SECONDS = 1.0
_WRONG_LAST_SEQUENCE = 10071


class PlanTimers:
    """Sets the timers of plans that nobody holds.

    Args:
        nc: the connection.
        plan_log: tells whether a plan has got further since.
    """

    def __init__(self, nc: Client, plan_log: PlanLog) -> None:
        self._js = nc.jetstream()
        self._plan_log = plan_log

    async def set(self, plan_id: str, at: int, after: int) -> None:
        """Have a plan taken up at a time; when this returns, the server will see to it.

        Args:
            plan_id: which.
            at: milliseconds since 1970. A time that has passed wakes it at once.
            after: stream sequence of the plan's last event.

        Raises:
            FenceLostError: another executor has taken the plan up since.
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        behind = 0
        while True:
            try:
                if await self._store(plan_id, at, after, behind):
                    return
                behind = await self._last_timer(plan_id)
                stored, by = await self._plan_log.last_append(plan_id)
                if stored != after:
                    raise FenceLostError(plan_id, by)
            except ConnectionClosedError:
                raise
            except NatsError as error:
                log.warning("a plan's timer can't be set, trying again", plan_id=plan_id, problem=repr(error))
                await asyncio.sleep(_SET_AGAIN_SECONDS)

    async def wake(self, plan_id: str, after: int, relays: int) -> None:
        """Have a plan taken up now, held by a message of its own; sent twice, there is one.

        Args:
            plan_id: which.
            after: stream sequence of the plan's last event.
            relays: see ``WakeMessage``.

        Raises:
            nats.errors.Error: the server didn't answer, or refused.
        """
        body = encode(WakeMessage(plan_id=plan_id, after=after, relays=relays))
        headers = {"Nats-Msg-Id": f"wake:{plan_id}:{after}"}
        await self._js.publish(subjects.plan_wake_subject(plan_id), body, headers=headers)

    async def forget(self, plan_id: str, ended: int) -> None:
        """Take away the timer of a plan that has ended. Never fails: one that stays fires for nothing.

        Args:
            plan_id: which.
            ended: stream sequence of its last event. A timer set behind it belongs to a later round, and stays.
        """
        try:
            last = await self._js.get_last_msg(subjects.PLANS_STREAM, subjects.plan_timer_subject(plan_id))
            if last.seq is not None and read_wake(last.data or b"").after < ended:
                await self._js.delete_msg(subjects.PLANS_STREAM, last.seq)
        except NotFoundError:
            pass
        except (NatsError, msgspec.DecodeError, UnicodeDecodeError) as error:
            log.info("the timer of a plan that has ended stays", plan_id=plan_id, problem=repr(error))

    async def _store(self, plan_id: str, at: int, after: int, behind: int) -> bool:
        """Whether it is stored; not where the timer before it is another one than ``behind`` (0 for none)."""
        headers = {
            subjects.SCHEDULE_HEADER: f"@at {format_time(at)}",
            subjects.SCHEDULE_TARGET_HEADER: subjects.plan_wake_subject(plan_id),
            subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER: str(behind),
            "Nats-TTL": "never",  # the stream's age limit is for plans that wait in the queue
        }
        body = encode(WakeMessage(plan_id=plan_id, after=after))
        try:
            await self._js.publish(subjects.plan_timer_subject(plan_id), body, headers=headers)
        except APIError as error:
            if error.err_code != _WRONG_LAST_SEQUENCE:
                raise
            return False
        return True

    async def _last_timer(self, plan_id: str) -> int:
        """Stream sequence of the timer that is set; 0 where none is."""
        try:
            last = await self._js.get_last_msg(subjects.PLANS_STREAM, subjects.plan_timer_subject(plan_id))
        except NotFoundError:
            return 0
        return last.seq or 0
