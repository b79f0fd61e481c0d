"""A plan's log in JetStream: fenced appends, and reading it back (protocol section 1).

The fence is ``Nats-Expected-Last-Subject-Sequence``: an append names the stream sequence of the plan's last event, and
the server refuses it when there is a later one. Whoever is refused has lost the plan.

The hard part is an append whose answer was lost, by a time-out, a broken connection or a leader that was cut off: it
may be stored or not. So it is sent again with the same fence. Stored before, it is refused now; then the log shows our
own event, by its bytes and by the executor instance in its header, at the place where it belongs. Only when something
else stands there is the fence lost. The stream's leader is asked for that, never a replica, which may lag behind.
Nothing there means that nothing is decided yet, as while the append itself is still on its way through the cluster: it
is sent once more.
"""

import asyncio
from functools import partial
from typing import NamedTuple

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError, ConnectionDrainingError
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from leadplan_bus.limits import encoded_size, fits
from leadplan_bus.prompt_client import EncodedHeaders
from leadplan_bus.stored_messages import StoredMessage, read_subject
from leadplan_contracts import LeadPlanEventPayload, LeadPlanEventType, subjects
from leadplan_contracts.events import StepEvent, decode_event, event_type
from leadplan_contracts.wire import encode
from leadplan_executor.core import PlanRun, evolve
from leadplan_executor.errors import EventTooLargeError, FenceLostError

log = structlog.get_logger(__name__)

_WRONG_LAST_SEQUENCE = 10071
_IN_FLIGHT = 10164
_ANSWER_SECONDS = 2.0
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 1.0
_UNEXPLAINED_REFUSALS = 10
_EVENTS_AT_A_TIME = 1_000
_REQUESTS_AT_ONCE = 256
"""So many appends don't wait for one another; of those beyond, as many again are under way at once. With thousands at
once the server's answers come late, are taken for lost, and everything is sent again.
"""


class StoredEvent(NamedTuple):
    """An event of a log, and its sequence in the stream (not in the plan)."""

    stream_sequence: int
    event: LeadPlanEventPayload


class FoldedLog(NamedTuple):
    """The state that a plan's log gives.

    Attributes:
        run: the state.
        started: the plan's first event.
        last_stored: stream sequence of its last event.
    """

    run: PlanRun
    started: LeadPlanEventPayload
    last_stored: int


class LastEvent(NamedTuple):
    """The end of a plan's log: its sequence in the stream, who stored it, and what it is."""

    stream_sequence: int
    executor: str | None
    kind: LeadPlanEventType


class _AckError(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _Ack(msgspec.Struct):
    seq: int = 0
    error: _AckError | None = None


_ack_decoder = msgspec.json.Decoder(_Ack)


def event_headers(event: LeadPlanEventPayload, event_id: str, traceparent: str | None) -> dict[str, str]:
    """The CloudEvents attributes of an event in binary mode, and the trace that it belongs to (protocol section 4)."""
    headers = {
        subjects.CE_SPECVERSION_HEADER: "1.0",
        subjects.CE_ID_HEADER: event_id,
        subjects.CE_SOURCE_HEADER: subjects.CE_SOURCE,
        subjects.CE_TYPE_HEADER: subjects.CE_TYPE_PREFIX + event_type(event),
        subjects.CE_TIME_HEADER: event.time,
        subjects.CE_DATACONTENTTYPE_HEADER: "application/json",
    }
    if isinstance(event, StepEvent):
        headers[subjects.CE_SUBJECT_HEADER] = event.step.id
    if traceparent is not None:
        headers[subjects.TRACEPARENT_HEADER] = traceparent
    return headers


class PlanLog:
    """Reads and appends the logs of plans, as one executor instance.

    Args:
        nc: the connection.
        executor: this instance's id, written into every append.

    Attributes:
        appending: how many appends are under way.
    """

    def __init__(self, nc: Client, executor: str) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._executor = executor
        self.appending = 0
        self._in_flight = asyncio.Semaphore(_REQUESTS_AT_ONCE)

    async def read(self, plan_id: str) -> list[StoredEvent]:
        """All events of a plan, in order; an empty list for a plan that never began.

        Raises:
            nats.errors.TimeoutError: the server doesn't answer.
            msgspec.DecodeError: the log holds what is no event.
        """
        return [
            StoredEvent(message.stream_sequence, decode_event(message.body)) for message in await self._read(plan_id, 1)
        ]

    async def fold(self, plan_id: str) -> FoldedLog | None:
        """The state that a plan's log gives; None for a plan that never began.

        Raises:
            nats.errors.TimeoutError: the server doesn't answer.
            msgspec.DecodeError: the log holds what is no event.
            leadplan_executor.core.errors.CoreError: the log holds what no executor writes.
        """
        stored = await self.read(plan_id)
        if not stored:
            return None
        run = PlanRun(plan_id)
        for count, (_, event) in enumerate(stored, 1):
            evolve(run, event)
            if count % _EVENTS_AT_A_TIME == 0:
                await asyncio.sleep(0)  # other plans have their turn while a long log is folded
        return FoldedLog(run, stored[0].event, stored[-1].stream_sequence)

    async def last_event(self, plan_id: str) -> LastEvent | None:
        """A plan's last event, as the stream's leader has it; None for a plan that never began.

        Raises:
            nats.errors.Error: the stream's leader doesn't answer.
            msgspec.DecodeError: what is stored is no event.
        """
        try:
            async with self._in_flight:
                last = await self._js.get_last_msg(subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
        except NotFoundError:
            return None
        executor = (last.headers or {}).get(subjects.EXECUTOR_HEADER)
        return LastEvent(last.seq or 0, executor, event_type(decode_event(last.data or b"")))

    async def last_append(self, plan_id: str) -> tuple[int, str | None]:
        """Stream sequence of a plan's last event, and the executor that stored it; (0, None) where there is none.

        Raises:
            nats.errors.Error: the stream's leader doesn't answer.
        """
        try:
            async with self._in_flight:
                last = await self._js.get_last_msg(subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
        except NotFoundError:
            return 0, None
        return last.seq or 0, (last.headers or {}).get(subjects.EXECUTOR_HEADER)

    def fits(self, event: LeadPlanEventPayload, traceparent: str | None) -> bool:
        """Whether the server would take the event in one message."""
        return fits(self._nc, encode(event), self._headers(event, 2**63, traceparent))

    async def append(self, event: LeadPlanEventPayload, *, after: int, traceparent: str | None) -> int:
        """Store an event behind the one with stream sequence ``after`` (0 for a plan's first), and wait until it is.

        A server that doesn't answer or can't store is asked again until it does.

        Returns:
            The event's own stream sequence.

        Raises:
            FenceLostError: another executor appended behind ``after``.
            EventTooLargeError: the event is over the server's limit; nothing was sent.
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        body = encode(event)
        headers = EncodedHeaders(self._headers(event, after, traceparent))
        if not fits(self._nc, body, headers):
            raise EventTooLargeError(event.plan_id, encoded_size(body, headers), self._nc.max_payload)
        self.appending += 1
        try:
            return await self._append(event.plan_id, body, headers, after)
        finally:
            self.appending -= 1

    async def _append(self, plan_id: str, body: bytes, headers: EncodedHeaders, after: int) -> int:
        subject = subjects.plan_log_subject(plan_id)
        send = partial(self._nc.request, subject, body, timeout=_ANSWER_SECONDS, headers=headers)
        wait, unexplained = _FIRST_WAIT_SECONDS, 0
        while True:
            try:
                if self.appending <= _REQUESTS_AT_ONCE:
                    reply = await send()
                else:
                    async with self._in_flight:
                        reply = await send()
                ack = _ack_decoder.decode(reply.data)
                if ack.error is None:
                    return ack.seq
                if ack.error.err_code in (_WRONG_LAST_SEQUENCE, _IN_FLIGHT):
                    if (own := await self._own_append(plan_id, body, after)) is not None:
                        return own
                    unexplained += ack.error.err_code == _WRONG_LAST_SEQUENCE
                problem = ack.error.description
            except (ConnectionClosedError, ConnectionDrainingError):
                raise
            except (NatsError, msgspec.DecodeError) as error:
                problem = repr(error)
            if unexplained == _UNEXPLAINED_REFUSALS:
                raise FenceLostError(plan_id, None)  # the log ends before ``after``: somebody removed its end
            log.warning("append not confirmed, asking again", plan_id=plan_id, problem=problem)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _own_append(self, plan_id: str, body: bytes, after: int) -> int | None:
        """The stream sequence of our own event behind ``after``; None where nothing stands there.

        Raises:
            FenceLostError: something else stands there.
            nats.errors.Error: the stream's leader doesn't answer.
        """
        try:
            behind = await self._js.get_msg(
                subjects.PLAN_LOG_STREAM, seq=after + 1, subject=subjects.plan_log_subject(plan_id), next=True
            )
        except NotFoundError:
            return None
        by = (behind.headers or {}).get(subjects.EXECUTOR_HEADER)
        if by == self._executor and behind.data == body:
            return behind.seq
        raise FenceLostError(plan_id, by)

    async def _read(self, plan_id: str, start: int) -> list[StoredMessage]:
        return await read_subject(
            self._nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id), start_sequence=start
        )

    def _headers(self, event: LeadPlanEventPayload, after: int, traceparent: str | None) -> dict[str, str]:
        headers = event_headers(event, f"{event.plan_id}:{event.sequence}", traceparent)
        headers[subjects.EXECUTOR_HEADER] = self._executor
        headers[subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER] = str(after)
        return headers
