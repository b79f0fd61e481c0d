"""The book of take-overs on the server: one entry for each message of the queue that was delivered again.

``core.takeovers`` decides; here the facts are asked for, and every change is stored by compare-and-set. Whoever is
delivered a plan writes its entry first of all. So an entry that was changed by somebody else says that the plan is
theirs now.
"""

import asyncio

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import KeyNotFoundError, KeyWrongLastSequenceError
from nats.js.kv import KeyValue

from leadplan_contracts import subjects
from leadplan_contracts.wire import encode
from leadplan_executor.core.takeovers import FIRST_DELIVERY, Holder, Taken, TakeOvers, take_over

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 2.0
_PING_SECONDS = 0.5


class Entry:
    """A message's entry as this executor knows it.

    Attributes:
        sequence: of the message in the queue's stream.
        taken: what was decided about the delivery.
        revision: the entry's revision on the server; None where nothing is stored of it.
    """

    def __init__(self, sequence: int, taken: Taken, revision: int | None) -> None:
        self.sequence = sequence
        self.taken = taken
        self.revision = revision


class TakeOverBook:
    """Reads and writes the book as one executor instance.

    Args:
        nc: the connection.
        holder: this instance.
        most: after how many tries a plan is ended.
    """

    def __init__(self, nc: Client, holder: Holder, most: int) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._holder = holder
        self._most = most
        self._bucket: KeyValue | None = None
        self._opening = asyncio.Lock()

    def first_delivery(self, sequence: int) -> Entry:
        """The entry of a message that was never delivered before: nothing is stored unless it goes badly."""
        return Entry(sequence, FIRST_DELIVERY, None)

    async def look(self, sequence: int) -> Entry:
        """Decide about a message that was delivered again; the entry must be stored before anything else is done.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        before, revision = await self._read(sequence)
        gone = before is not None and before.holder is not None and await self._is_gone(before.holder)
        return Entry(sequence, take_over(before, self._holder, holder_gone=gone, most=self._most), revision)

    async def store(self, entry: Entry, now: TakeOvers) -> bool:
        """Store a change of an entry, unless somebody else has taken the plan in the meantime.

        Returns:
            Whether it was stored.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        bucket, key = await self._open(), str(entry.sequence)
        try:
            if entry.revision is None:
                entry.revision = await bucket.create(key, encode(now))
            else:
                entry.revision = await bucket.update(key, encode(now), last=entry.revision)
        except KeyWrongLastSequenceError:
            return False
        entry.taken = entry.taken._replace(entry=now)
        return True

    async def was_taken_by_another(self, entry: Entry) -> bool:
        """Whether the plan was delivered to somebody else since the entry was stored.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        _, revision = await self._read(entry.sequence)
        return revision not in (None, entry.revision)  # no entry: it aged out, or the bucket is new

    async def _is_gone(self, holder: Holder) -> bool:
        """Whether an executor doesn't answer: it died, or it is frozen or cut off."""
        if holder == self._holder:
            return False
        subject = f"$SRV.PING.{subjects.EXECUTOR_SERVICE_NAME}.{holder.service}"
        try:
            await self._nc.request(subject, timeout=_PING_SECONDS)
        except (NoRespondersError, NatsTimeoutError):
            return True
        return False

    async def _read(self, sequence: int) -> tuple[TakeOvers | None, int | None]:
        try:
            entry = await (await self._open()).get(str(sequence))
        except KeyNotFoundError:
            return None, None
        try:
            return msgspec.json.decode(entry.value or b"", type=TakeOvers), entry.revision
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning(
                "entry of a plan's take-overs can't be read, replacing it", message=sequence, problem=str(error)
            )
            return None, entry.revision

    async def _open(self) -> KeyValue:
        async with self._opening:  # one question, though an executor's plans are all delivered again at once
            if self._bucket is None:
                self._bucket = await self._js.key_value(subjects.PLAN_TAKEOVERS_BUCKET)
            return self._bucket
