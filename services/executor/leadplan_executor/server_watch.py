"""Watching the server while plans run: an executor waits and goes on, or ends with a clear reason; it never limps.

It asks JetStream for the streams and the shared consumer every few seconds. No answer is waited out, up to a limit; a
consumer or bucket that is gone is created again. A stream of plans that is gone, or isn't the one that it was, ends the
executor: what is held was handed out by the old one, and an acknowledgement would take a message of the new one off.
"""

import asyncio
import re
import time
from collections.abc import Mapping, Sequence
from datetime import datetime

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import ConsumerConfig, StreamConfig

from leadplan_bus.errors import ConnectionLostError, JetStreamSilentError, NoClusterLeaderError, TopologyRefusedError
from leadplan_bus.limits import require_room_for_events
from leadplan_bus.server_facts import NANOSECONDS, ConsumerFacts, StreamFacts
from leadplan_bus.server_questions import ApiRefusedError, StreamInfo, consumer_facts, stream_info
from leadplan_bus.topology import (
    STREAMS,
    Retention,
    ensure_consumer,
    ensure_topology,
    stream_differences,
)
from leadplan_contracts import subjects
from leadplan_executor.errors import StreamLostError

log = structlog.get_logger(__name__)

_INTERVAL_SECONDS = 3.0
_INTERVAL_IN_DOUBT_SECONDS = 1.0
_ROUND_SECONDS = 5.0
_SEEN_TIMES = 3
_SEEN_SECONDS = 5.0
"""A new leader may answer before it has caught up, and one that was cut off before it knows of the new one: what ends
the executor must be seen so often in a row, and for so long.
"""
_BUCKET_MISSING_TIMES = 10
"""A bucket that an operator restores or edits by deleting it first must not be created in between."""
_TELL_AGAIN_SECONDS = 30.0
_SAME_MOMENT_SECONDS = 1.0

_DENIED = re.compile(r"permissions violation for (?:publish|subscription) to \"([^\"]*)\"", re.IGNORECASE)
_NEEDED = re.compile(
    r"plans\.log\.|plans\.rejected\.|plans\.lane\.|_inbox|\$js\.ack\.|\$js\.api\.(info|consumer\."
    r"|direct\.get\.(plan_log|kv_plan_index)"
    r"|stream\.[a-z.]+\.(plans|plan_log|plan_rejects|obj_plan_data|kv_monitor_runs|kv_plan_takeovers|kv_plan_index)\b)"
    r"|\$o\.plan_data\.|\$kv\.(monitor_runs|plan_takeovers|plan_index)\.",
    re.IGNORECASE,
)


def is_needed(violation: str) -> bool:
    """Whether a subject that the server denied is one without which no plan can run.

    Tools aren't: a plan that names a tool which this user may not call must not end the executor.
    """
    denied = _DENIED.search(violation)
    return denied is not None and _NEEDED.match(denied[1]) is not None


_HOLD_PLANS = frozenset({subjects.PLANS_STREAM, subjects.PLAN_LOG_STREAM, subjects.PLAN_REJECTS_STREAM})
"""Streams without which plans are lost; the others are buckets that plans can do without for a while."""


def stream_trouble(name: str, before: StreamFacts | None, now: StreamInfo | None, wanted: StreamConfig) -> str | None:
    """Why a stream can't be relied on any more; None while it can, or can be created anew."""
    if now is None:
        return f"stream {name} is gone" if name in _HOLD_PLANS else None
    if differences := stream_differences(now.config, wanted):
        return f"stream {name} was changed: {'; '.join(differences)}"
    if before is None or name not in _HOLD_PLANS:
        return None
    created = [datetime.fromisoformat(facts.created).timestamp() for facts in (before, now.facts)]
    if abs(created[1] - created[0]) > _SAME_MOMENT_SECONDS:
        return f"stream {name} was replaced by another one (created {now.facts.created}, the old one {before.created})"
    if now.facts.state.last_seq < before.state.last_seq:
        return (
            f"stream {name} lost messages that it had acknowledged: its last sequence was {before.state.last_seq} and "
            f"is {now.facts.state.last_seq} now"
        )
    return None


class ServerWatch:
    """Looks after the server of a running executor.

    Args:
        nc: the connection.
        retention: what the streams were created with.
        consumers: those that all executors share, as this one wants them; the first one is that of new plans.
        lost_limit_seconds: how long JetStream may give no answer.
    """

    def __init__(
        self, nc: Client, *, retention: Retention, consumers: Sequence[ConsumerConfig], lost_limit_seconds: float
    ) -> None:
        self.lease_seconds = consumers[0].ack_wait or _ROUND_SECONDS
        self._nc = nc
        self._consumers = consumers
        self._lost_limit = lost_limit_seconds
        self._wanted = {str(config.name): config for config in (stream(retention) for stream in STREAMS)}
        self._seen: dict[str, StreamFacts] = {}
        self._retention = retention
        self._troubles_seen = 0
        self._troubles_since = 0.0
        self._buckets_missed = 0
        self._silent_for = 0.0
        self._told_at: float | None = None
        self._look_now = asyncio.Event()
        self._states: dict[str, bool | int] = {}

    def look_now(self) -> None:
        """Don't wait for the next round: something is wrong."""
        self._look_now.set()

    async def run(self) -> None:
        """Watch until something is wrong that waiting doesn't mend; it never ends otherwise.

        Raises:
            StreamLostError: streams are gone, or aren't the ones that they were.
            leadplan_bus.errors.JetStreamSilentError: no answer for longer than the limit.
            leadplan_bus.errors.BusError: another reason why nothing can go on.
        """
        asked_at = time.monotonic()
        while True:
            # A process that was frozen finds that hours went by, in which it couldn't have heard anything.
            took, asked_at = min(time.monotonic() - asked_at, 2 * _ROUND_SECONDS), time.monotonic()
            try:
                async with asyncio.timeout(_ROUND_SECONDS):
                    await self._look()
            except (NatsError, TimeoutError, ApiRefusedError, NoClusterLeaderError, TopologyRefusedError) as error:
                self._note_silence(took, error)
            else:
                self._note_answer()
            self._look_now.clear()
            in_doubt = self._troubles_seen or self._buckets_missed or self._silent_for
            await self._pause(_INTERVAL_IN_DOUBT_SECONDS if in_doubt else _INTERVAL_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._look_now.wait()
        except TimeoutError:
            return
        await asyncio.sleep(_INTERVAL_IN_DOUBT_SECONDS / 10)  # told again and again, it still asks ten times a second

    async def _look(self) -> None:
        if self._nc.is_closed:
            raise ConnectionLostError(self._nc.last_error)
        if not self._nc.is_connected:
            raise NatsError("the connection is down")
        require_room_for_events(self._nc)
        streams = await asyncio.gather(*(stream_info(self._nc, name) for name in self._wanted))
        found = dict(zip(self._wanted, streams, strict=True))
        self._judge_streams(found)
        if self._troubles_seen:
            return
        await self._care_for_buckets([name for name, stream in found.items() if stream is None])
        for wanted in self._consumers:
            consumer = await consumer_facts(self._nc, str(wanted.durable_name))
            if consumer is None:
                await ensure_consumer(self._nc.jetstream(), wanted, within_seconds=_ROUND_SECONDS)
                log.warning("a consumer of the executors was gone, created it again", consumer=wanted.durable_name)
                continue
            if wanted is self._consumers[0]:
                self._note_lease(consumer)
            self._note_consumer(str(wanted.durable_name), consumer)

    def _judge_streams(self, streams: Mapping[str, StreamInfo | None]) -> None:
        troubles = [
            trouble
            for name, wanted in self._wanted.items()
            if (trouble := stream_trouble(name, self._seen.get(name), streams[name], wanted)) is not None
        ]
        if troubles and not self._troubles_seen:
            self._troubles_since = time.monotonic()
        self._troubles_seen = self._troubles_seen + 1 if troubles else 0
        if self._troubles_seen >= _SEEN_TIMES and time.monotonic() - self._troubles_since >= _SEEN_SECONDS:
            raise StreamLostError(troubles)
        if not troubles:
            self._seen = {name: stream.facts for name, stream in streams.items() if stream is not None}

    async def _care_for_buckets(self, missing: Sequence[str]) -> None:
        """Say that buckets are missing, and create them in the end: what needs them waits until then."""
        if self._changed("missing buckets", len(missing)) and missing:
            log.warning("buckets are gone, what needs them waits", buckets=missing)
        self._buckets_missed = self._buckets_missed + 1 if missing else 0
        if self._buckets_missed >= _BUCKET_MISSING_TIMES:
            created = await ensure_topology(self._nc.jetstream(), self._retention, within_seconds=_ROUND_SECONDS)
            log.warning("buckets created again, empty", buckets=created)

    def _note_lease(self, consumer: ConsumerFacts) -> None:
        own, shared = self._consumers[0].ack_wait or 0.0, consumer.config.ack_wait / NANOSECONDS
        self.lease_seconds = min(own, shared)
        shared_ms = consumer.config.ack_wait * 1000 // NANOSECONDS
        if self._changed("lease", shared_ms) and shared_ms != round(own * 1000):
            log.warning(
                "another executor changed the lease for all", lease_ms=shared_ms, own_lease_ms=round(own * 1000)
            )

    def _note_consumer(self, name: str, consumer: ConsumerFacts) -> None:
        if self._changed(f"{name} paused", consumer.paused) and consumer.paused:
            log.warning("the queue is paused, no plans are taken", consumer=name)
        full = consumer.num_pending > 0 and consumer.num_ack_pending >= consumer.config.max_ack_pending
        if self._changed(f"{name} full", full) and full:
            log.warning(
                "as many plans are under way as may be, others wait", plans=consumer.num_ack_pending, consumer=name
            )

    def _changed(self, what: str, value: bool | int) -> bool:
        changed = self._states.get(what) != value
        self._states[what] = value
        return changed

    def _note_silence(self, took: float, error: Exception) -> None:
        self._silent_for += took
        reason = str(error) or type(error).__name__
        if self._silent_for > self._lost_limit:
            raise JetStreamSilentError(self._silent_for, reason) from error
        now = time.monotonic()
        if self._told_at is None or now - self._told_at > _TELL_AGAIN_SECONDS:
            self._told_at = now
            log.warning("JetStream doesn't answer, no plan goes on", seconds=round(self._silent_for), problem=reason)

    def _note_answer(self) -> None:
        if self._told_at is not None:
            log.warning("JetStream answers again", seconds=round(self._silent_for))
        self._told_at, self._silent_for = None, 0.0
