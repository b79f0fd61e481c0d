"""Reading stored messages by batched direct get (ADR-31): requests only, no consumer to create.

Any replica of a stream answers, so the newest messages can be missing for a moment.
"""

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.errors import BusError

LAST_OF_AT_MOST = 1024
"""Subjects that the server looks up at once."""

_SEQUENCE = "Nats-Sequence"
_SUBJECT = "Nats-Subject"
_BATCH = 1000
_MAX_BYTES = 8 * 1024 * 1024
_TIMEOUT_SECONDS = 5.0
_LOOK_SECONDS = 0.5
_AIM = 900
"""Messages that a window should hold at most: somewhat fewer than a batch, so that one batch is mostly enough."""
_MARGIN = 1.05
_GROWTH = 8


class StoredMessage(NamedTuple):
    """A message of a stream."""

    stream_sequence: int
    body: bytes
    headers: dict[str, str]

    @property
    def subject(self) -> str:
        """The subject that it lies on."""
        return self.headers[_SUBJECT]


async def read_subject(
    nc: Client, stream: str, subject: str, *, start_sequence: int = 1, timeout: float = _TIMEOUT_SECONDS
) -> list[StoredMessage]:
    """Every message on a subject from a stream sequence on, in order; an empty list when there is none.

    The newest can be missing: follow with a fenced write or the feed.

    Raises:
        nats.errors.TimeoutError: no answer within ``timeout`` seconds.
        BusError: the server refused the request.
    """
    found: list[StoredMessage] = []
    async with _DirectGets(nc, stream, timeout) as gets:
        more = True
        while more:
            batch, more = await gets.batch(seq=start_sequence, next_by_subj=subject)
            found += batch
            if batch:
                start_sequence = batch[-1].stream_sequence + 1
    return found


async def read_last_of(
    nc: Client, stream: str, subjects: Sequence[str], *, timeout: float = _TIMEOUT_SECONDS
) -> AsyncIterator[StoredMessage]:
    """The last message of each subject that has any, ordered by stream sequence.

    They come in batches of some megabytes, so large ones needn't be kept all at once.

    Args:
        nc: the connection.
        stream: the stream.
        subjects: at most ``LAST_OF_AT_MOST``, without wildcards.
        timeout: seconds.

    Raises:
        nats.errors.TimeoutError: no answer within ``timeout`` seconds.
        BusError: the server refused the request.
    """
    request: dict[str, Any] = {"multi_last": list(subjects)}
    async with _DirectGets(nc, stream, timeout) as gets:
        more = bool(subjects)
        while more:
            batch, more = await gets.batch(**request)
            for message in batch:
                yield message
            if more:
                # All batches tell what was last at the moment of the first one.
                up_to = request.get("up_to_seq") or int(gets.end["Nats-UpTo-Sequence"])
                request |= {"seq": batch[-1].stream_sequence + 1, "up_to_seq": up_to}


class BackwardsReading:
    """A stream from its end to its beginning, in windows, with whatever gaps deleted messages have left.

    The server reads forwards only: so a window's size in sequences is chosen by how many messages the one before held.

    Args:
        nc: the connection.
        stream: the stream.
        before: only messages of lower sequence; None for all.
        timeout: seconds that an answer may take.

    Attributes:
        before: messages from this sequence on were read, those below it weren't.
    """

    def __init__(
        self, nc: Client, stream: str, *, before: int | None = None, timeout: float = _TIMEOUT_SECONDS
    ) -> None:
        self._nc = nc
        self._stream = stream
        self._timeout = timeout
        self._gets = _DirectGets(nc, stream, timeout)
        self._first = 1
        self._density = 1.0
        self.before = before or 0

    async def __aenter__(self) -> Self:
        """Look where the stream begins and ends.

        Raises:
            nats.errors.Error: no such stream, or no answer.
        """
        state = (await self._nc.jetstream(timeout=self._timeout).stream_info(self._stream)).state
        self._first = max(state.first_seq, 1)
        self.before = min(self.before or state.last_seq + 1, state.last_seq + 1)
        await self._gets.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._gets.__aexit__(kind, error, trace)

    @property
    def exhausted(self) -> bool:
        """Whether everything was read."""
        return self.before <= self._first

    async def next_window(self, aim: int = _AIM) -> list[StoredMessage]:
        """Messages before those that were read, newest first; it can be empty although more follow.

        Args:
            aim: about how many to read.

        Raises:
            nats.errors.TimeoutError: no answer in time.
            BusError: the server refused the request.
        """
        end, aim = self.before, min(aim, _AIM)
        start = max(self._first, end - math.ceil(aim / self._density))
        found: list[StoredMessage] = []
        at, more = start, True
        while more and at < end:
            # The server sends what lies behind the window as well, until the batch is full.
            likely = math.ceil((end - at) * self._density * _MARGIN) + 1
            batch, more = await self._gets.batch(seq=at, next_by_subj=">", batch=min(_BATCH, end - at, likely))
            found += [message for message in batch if message.stream_sequence < end]
            at = batch[-1].stream_sequence + 1 if batch else end
        # At most so much larger is the next one: its end isn't known to be as empty.
        self._density = max(len(found), aim / _GROWTH) / max(end - start, 1)
        self.before = start
        found.reverse()
        return found


class _DirectGets:
    """One batch after the other, on one inbox."""

    def __init__(self, nc: Client, stream: str, timeout: float) -> None:
        self._nc = nc
        self._subject = f"$JS.API.DIRECT.GET.{stream}"
        self._timeout = timeout
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._found: list[StoredMessage] = []
        self._ended = asyncio.Event()
        self.end: dict[str, str] = {}
        """Headers of what ended the last batch."""

    async def __aenter__(self) -> Self:
        self._subscription = await self._nc.subscribe(self._inbox, cb=self._take)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._subscription is not None and not self._nc.is_closed:
            await self._subscription.unsubscribe()

    async def batch(self, **request: Any) -> tuple[list[StoredMessage], bool]:
        """Ask for a batch: the messages, and whether more follow."""
        self._found, self.end = [], {}
        self._ended.clear()
        body = json.dumps({"batch": _BATCH, "max_bytes": _MAX_BYTES, **request}).encode()
        await self._nc.publish(self._subject, body, reply=self._inbox)
        await self._answered()
        more = _more_follows(self.end)
        if more and not self._found:
            asked = request.get("next_by_subj", "subjects")
            raise BusError(f"direct get of {asked} says that more messages follow, and sends none")
        return self._found, more

    async def _answered(self) -> None:
        count, quiet_since = 0, time.monotonic()
        while not self._ended.is_set():
            try:
                async with asyncio.timeout(min(self._timeout, _LOOK_SECONDS)):
                    await self._ended.wait()
            except TimeoutError:
                if self._nc.is_closed:
                    raise ConnectionClosedError from None
                if len(self._found) > count:
                    count, quiet_since = len(self._found), time.monotonic()
                elif time.monotonic() - quiet_since >= self._timeout:
                    raise NatsTimeoutError from None

    # A callback, for asking nats-py for one message after the other takes several times as long.
    async def _take(self, message: Msg) -> None:
        headers = message.headers or {}
        # The server adds the sequence to stored messages only; a status may also be a stored message's own header.
        if _SEQUENCE in headers:
            self._found.append(StoredMessage(int(headers[_SEQUENCE]), message.data, headers))
        else:
            self.end = headers
            self._ended.set()


def _more_follows(headers: Mapping[str, str]) -> bool:
    status = headers.get("Status", "without a status")
    if status == "204":
        return int(headers.get("Nats-Num-Pending", "0")) > 0
    if status == "404":
        return False
    if status == "503":
        raise NatsTimeoutError  # no leader or no stream at the moment: the caller waits and asks again
    raise BusError(f"direct get refused: {status} {headers.get('Description', '')}")
