"""Following a plan: the log gives what is stored, the live feed says when to look (protocol section 4)."""

import asyncio
import logging
from collections.abc import AsyncIterator

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubscriptionError, ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import APIError, NotFoundError

from leadplan_bus.stored_messages import StoredMessage, read_subject
from leadplan_client.errors import ConnectionLostError, EventsLostError, UnreadableEventError
from leadplan_client.submission import require_stream
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import PlanCompleted, PlanRejected, PlanStarted, decode_event
from leadplan_contracts.subjects import (
    PLAN_LOG_STREAM,
    PLAN_REJECTS_STREAM,
    PLANS_STREAM,
    plan_events_subject,
    plan_log_subject,
    plan_rejected_subject,
)

log = logging.getLogger("leadplan.client")

DEFAULT_REREAD_SECONDS = 3.0
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What ``decode_event`` raises for a body that is no event."""

_LOOK_UP_SECONDS = 0.25
"""How often a reconnect, and a part of the log that hasn't reached the answering replica, is looked for."""

_MOST_WAITING_EVENTS = 10_000
_MOST_WAITING_BYTES = 8 * 1024 * 1024
"""What a caller who is slow to take events makes this process hold, at most. Beyond it the client library drops what
comes, and the gap is repaired from the log."""

_STREAM_SEQUENCE_HEADER = "Nats-Sequence"


READS_AT_ONCE = 8
"""More reads at the same time would only time out: after a lost connection every follower reads its log again."""


class PlanFollower:
    """One reader of one plan.

    Args:
        nc: the connection.
        plan_id, submission, known_sequence, reread_seconds: see ``PlanClient.follow``.
        reads: bounds how many followers on the connection read their logs at the same time.
    """

    def __init__(
        self,
        nc: Client,
        plan_id: str,
        *,
        submission: int | None = None,
        known_sequence: int = 0,
        reread_seconds: float = DEFAULT_REREAD_SECONDS,
        reads: asyncio.Semaphore,
    ) -> None:
        self._nc = nc
        self._reads = reads
        self._js = nc.jetstream()
        self._plan_id = plan_id
        self._submission = submission
        self._reread_seconds = reread_seconds
        self._seen = 0  # sequence of the newest event that was passed on
        self._known_sequence = known_sequence
        self._announced = known_sequence  # newest sequence that is known to be stored
        self._log_position = 0  # stream sequence of the newest message of the log that was read
        self._rejects_position = 0
        self._rejection_announced = 0
        self._first_submission: int | None = None
        self._read_once = False

    async def events(self) -> AsyncIterator[LeadPlanEventPayload]:
        """Every event in order, until the plan has ended."""
        try:
            # First the feed, then the log: what is stored in between comes twice, and nothing is missed.
            subscription = await self._nc.subscribe(
                plan_events_subject(self._plan_id),
                pending_msgs_limit=_MOST_WAITING_EVENTS,
                pending_bytes_limit=_MOST_WAITING_BYTES,
            )
        except ConnectionClosedError:
            raise ConnectionLostError from None
        try:
            batch = await self._read_stored()
            while True:
                for event in batch:
                    yield event
                if batch and self._is_end(batch[-1]):
                    break
                message = await self._next_live(subscription)
                batch = await self._read_stored() if message is None else await self._take(message)
            if isinstance(batch[-1], PlanCompleted):
                for rejection in await self._own_rejection_behind_the_end():
                    yield rejection
        finally:
            if not self._nc.is_closed:
                await subscription.unsubscribe()

    def _is_end(self, event: LeadPlanEventPayload) -> bool:
        if isinstance(event, PlanRejected):
            return self._is_own(event)
        return isinstance(event, PlanCompleted) and self._seen >= self._known_sequence

    def _is_own(self, rejection: PlanRejected) -> bool:
        return self._seen == 0 if self._submission is None else rejection.meta.submission == self._submission

    async def _next_live(self, subscription: Subscription) -> Msg | None:
        """The feed's next message; None when the log is to be read again."""
        loop = asyncio.get_running_loop()
        patience = _LOOK_UP_SECONDS if self._lags else self._reread_seconds
        until = loop.time() + patience
        reconnects = self._nc.stats["reconnects"]
        while (left := until - loop.time()) > 0 and self._nc.stats["reconnects"] == reconnects:
            try:
                return await subscription.next_msg(min(left, _LOOK_UP_SECONDS))
            except NatsTimeoutError:
                continue
            except (ConnectionClosedError, BadSubscriptionError):
                raise ConnectionLostError from None
        return None

    async def _take(self, message: Msg) -> list[LeadPlanEventPayload]:
        """What a message of the feed adds: itself, nothing, or a part of the log where the feed has a gap."""
        try:
            event = decode_event(message.data)
        except UNREADABLE as error:
            log.warning("the feed of plan %s brought something that is no event: %s", self._plan_id, error)
            return await self._read_stored()
        position = _stream_sequence(message)
        if isinstance(event, PlanRejected):
            self._rejection_announced = max(self._rejection_announced, position)
            return await self._read_stored() if self._lags else []
        if event.sequence is None:
            return [event]
        self._announced = max(self._announced, event.sequence)
        if event.sequence == self._seen + 1:
            self._log_position = max(self._log_position, position)
            return [self._passed_on(event, event.sequence)]
        return await self._read_stored() if self._lags else []

    @property
    def _lags(self) -> bool:
        """Whether something is known to be stored that hasn't been read."""
        return self._announced > self._seen or self._rejection_announced > self._rejects_position

    async def _read_stored(self) -> list[LeadPlanEventPayload]:
        """What the streams hold beyond what was passed on; what ends the reading stands last."""
        first = not self._read_once
        try:
            events = await self._read_log()
            look = first or self._seen == 0 or self._rejection_announced > self._rejects_position
            rejections = await self._read_rejections() if look else []
        except NatsTimeoutError:
            if first:
                await require_stream(self._js, PLAN_LOG_STREAM)
            return []
        except ConnectionClosedError:
            raise ConnectionLostError from None
        self._read_once = True
        own = [rejection for rejection in rejections if self._is_own(rejection)][-1:]
        # Rejections of other submissions that lay there before are old news.
        others = [] if first else [rejection for rejection in rejections if not self._is_own(rejection)]
        return [*others, *events, *own]

    async def _read_log(self) -> list[LeadPlanEventPayload]:
        events: list[LeadPlanEventPayload] = []
        for message in await self._stored(PLAN_LOG_STREAM, plan_log_subject(self._plan_id), self._log_position):
            self._log_position = message.stream_sequence
            event = self._decoded(message)
            if event.sequence is None or event.sequence <= self._seen:
                continue
            if event.sequence > self._seen + 1:
                # A replica can lack a log's end, never a part before something that it has.
                raise EventsLostError(self._plan_id, self._seen + 1, event.sequence)
            events.append(self._passed_on(event, event.sequence))
        return events

    async def _read_rejections(self) -> list[PlanRejected]:
        subject = plan_rejected_subject(self._plan_id)
        messages = await self._stored(PLAN_REJECTS_STREAM, subject, self._rejects_position)
        if messages:
            self._rejects_position = messages[-1].stream_sequence
        events = [self._decoded(message) for message in messages]
        return [event for event in events if isinstance(event, PlanRejected)]

    async def _own_rejection_behind_the_end(self) -> list[LeadPlanEventPayload]:
        """After the end of a plan that an earlier submission had begun: whether this submission was rejected.

        Its message leaves the work queue when an executor has dealt with it, and a rejection is stored before that.
        """
        if self._submission is None or self._first_submission in (None, self._submission):
            return []
        while not await self._has_left_the_queue(self._submission):  # noqa: ASYNC110 - only the server knows
            await asyncio.sleep(_LOOK_UP_SECONDS)
        self._read_once, self._rejects_position = False, 0
        return await self._read_stored()

    async def _has_left_the_queue(self, submission: int) -> bool:
        try:
            await self._js.get_msg(PLANS_STREAM, seq=submission)
        except NotFoundError:
            return True
        except ConnectionClosedError:
            raise ConnectionLostError from None
        except (APIError, NatsTimeoutError):
            return False
        return False

    async def _stored(self, stream: str, subject: str, after: int) -> list[StoredMessage]:
        async with self._reads:
            return await read_subject(self._nc, stream, subject, start_sequence=after + 1)

    def _decoded(self, message: StoredMessage) -> LeadPlanEventPayload:
        try:
            return decode_event(message.body)
        except UNREADABLE as error:
            raise UnreadableEventError(self._plan_id, message.stream_sequence, str(error)) from error

    def _passed_on(self, event: LeadPlanEventPayload, sequence: int) -> LeadPlanEventPayload:
        self._seen = sequence
        if isinstance(event, PlanStarted):
            self._first_submission = event.meta.submission
        return event


def _stream_sequence(message: Msg) -> int:
    """Where the stream has the message, as the server's republish says; 0 where it doesn't."""
    text = (message.headers or {}).get(_STREAM_SEQUENCE_HEADER, "")
    return int(text) if text.isdecimal() else 0
