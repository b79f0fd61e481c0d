"""nats-py's client, made to give up a dead connection promptly, and to read on whatever others have sent.

What an executor does twenty times a plan, to send a message and to await what comes back, is also written anew here,
for nats-py spends more on it than on everything else of a message: a queue, two futures and two tasks that wake.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from nats.aio.client import (
    _HEADER_KEY_RE,
    _SUBJECT_INVALID_RE,
    NO_RESPONDERS_STATUS,
    Client,
    _validate_subject,
)
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import (
    BadHeaderError,
    BadSubjectError,
    ConnectionClosedError,
    ConnectionDrainingError,
    MaxPayloadError,
    NoRespondersError,
    OutboundBufferLimitError,
)
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import Header

from leadplan_bus.deadlines import Deadlines

log = logging.getLogger(__name__)

_WRITTEN_AT_ONCE_BYTES = 64 * 1024
"""With more than that waiting in the operating system's way, the flusher writes on, which waits for room."""


class EncodedHeaders(dict[str, str]):
    """Headers that have been encoded already, so that they can be measured before they are sent, and are encoded once.

    Attributes:
        block: as they are sent; a line break in a value becomes a space, as nats-py has it.

    Raises:
        nats.errors.BadHeaderError: a name isn't one.
    """

    __slots__ = ("block",)

    def __init__(self, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        form, line_breaks = _form(tuple(headers))
        text = form % tuple(headers.values())
        if text.count("\n") + text.count("\r") != line_breaks:
            text = form % tuple([value.replace("\r", " ").replace("\n", " ") for value in headers.values()])
        self.block = text.encode()


class PromptClient(Client):
    """Drops what a broken connection hasn't sent before it connects again, instead of waiting for it to be sent.

    nats-py closes the old connection and waits until its buffer is written. Where nothing arrives any more (the other
    machine lost its power, the network drops packets) and the buffer isn't empty, that is until TCP gives up: about a
    quarter of an hour in which the client neither sends nor connects again.

    A message whose header block can't be read counts as one without headers. The server passes on any bytes there, and
    nats-py stops reading from the connection at some of them: one message would make every program deaf that gets it.

    With ``requires_tls`` nothing is shown to a server that doesn't ask for TLS. nats-py would go on without, whatever
    certificates it was given: who sits in between could have the password for the asking.
    """

    requires_tls = False
    _requests = 0
    _answers = ""
    _writes_soon = False

    def __init__(self) -> None:
        super().__init__()
        self._takers: dict[int, Callable[[Msg], None]] = {}
        self._deadlines: Deadlines[asyncio.Future[Msg]] = Deadlines(_give_up)

    async def listen(self, subject: str, take: Callable[[Msg], None], *, queue: str = "") -> Subscription:
        """Have a function called with each message on a subject, at once and until the subscription is ended.

        It stands in for a subscription's queue and task, and holds up everything else that is read: it must be quick.
        Messages on all subjects that are listened to come in the order in which the server sent them.
        """
        subscription = await self.subscribe(subject, queue=queue)
        self._takers[subscription._id] = take
        while not subscription._pending_queue.empty():
            take(subscription._pending_queue.get_nowait())
        return subscription

    def _connect_command(self) -> bytes:
        if self.requires_tls and not self._server_info.get("tls_required"):
            raise NatsError("nats: certificates were given, and the server asks for no TLS")
        command: bytes = super()._connect_command()
        return command

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError) as error:
            log.warning("headers of a message can't be read, leaving them out: %s", error)
            return None

    async def publish(
        self,
        subject: str,
        payload: bytes = b"",
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """As nats-py's."""
        size = len(payload)
        if self._status != Client.CONNECTED:
            self._require_room_until_connected(size)
        if size > self._max_payload:
            raise MaxPayloadError
        if _SUBJECT_INVALID_RE.search(reply):
            raise BadSubjectError
        to, back = _subject(subject), reply.encode()
        if headers is None:
            command = b"PUB %b %b %d\r\n%b\r\n" % (to, back, size, payload)
        else:
            block = (headers if isinstance(headers, EncodedHeaders) else EncodedHeaders(headers)).block
            command = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (to, back, len(block), len(block) + size, block, payload)
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += size
        self._pending.append(command)
        self._pending_data_size += len(command)
        if not self._writes_soon:
            self._writes_soon = True
            asyncio.get_running_loop().call_soon(self._write_pending)
        if self._pending_data_size > self._max_pending_size > 0:
            await self._flush_pending(force_flush=True)

    def _require_room_until_connected(self, size: int) -> None:
        if self.is_closed:
            raise ConnectionClosedError
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self.is_connected and (
            self._max_pending_size <= 0 or size + self._pending_data_size > self._max_pending_size
        ):
            raise OutboundBufferLimitError

    def _write_pending(self) -> None:
        """Write what was sent since the loop went round; where that can't be taken in at once, the flusher does."""
        self._writes_soon = False
        if not self._pending or not self.is_connected or self._flush_queue is None:
            return  # written once the connection is there
        writer: Any = getattr(self._transport, "_io_writer", None)  # a WebSocket has none
        if writer is None or self.is_connecting or writer.transport.get_write_buffer_size() > _WRITTEN_AT_ONCE_BYTES:
            if self._flush_queue.empty():
                self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())
            return
        try:
            writer.writelines(self._pending)
        except (OSError, RuntimeError):
            return  # whoever reads notices that the connection is gone
        self._pending = []
        self._pending_data_size = 0

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        take = self._takers.get(sid)
        if take is None or sid not in self._subs:
            self._takers.pop(sid, None)  # it was ended
            await super()._process_msg(sid, subject, reply, data, headers)  # type: ignore[arg-type]
            return
        self.stats["in_msgs"] += 1
        self.stats["in_bytes"] += len(data)
        read = await self._process_headers(headers) if headers else None
        try:
            take(Msg(_client=self, subject=subject.decode(), reply=reply.decode(), data=data, headers=read))
        except Exception:
            log.exception("a message can't be taken in")

    async def _init_request_sub(self) -> None:
        prefix = self.new_inbox() + "."
        self._resp_map = {}
        self._answers = prefix
        self._answers_begin = len(prefix)
        self._resp_sub_prefix = bytearray(prefix.encode())
        await self.listen(f"{prefix}*", self._take_answer)

    def _take_answer(self, message: Msg) -> None:
        waiting = self._resp_map.get(message.subject[self._answers_begin :])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    async def request(
        self,
        subject: str,
        payload: bytes = b"",
        timeout: float = 0.5,
        old_style: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Msg:
        """As nats-py's, in the new style always."""
        if not self._resp_sub_prefix:
            await self._init_request_sub()
        # The inbox is this connection's own, so a number tells its requests apart.
        self._requests += 1
        token = str(self._requests)
        reply: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._resp_map[token] = reply
        self._deadlines.add(reply, timeout)
        try:
            await self.publish(subject, payload, reply=self._answers + token, headers=headers)
            answer = await reply
        finally:
            self._deadlines.discard(reply)
            del self._resp_map[token]
        if answer.headers and answer.headers.get(Header.STATUS) == NO_RESPONDERS_STATUS:
            raise NoRespondersError
        return answer

    async def _attempt_reconnect(self) -> None:
        self.abort()
        await super()._attempt_reconnect()

    async def _select_next_server(self) -> None:
        self.abort()  # nats-py leaves a connection open that the server has refused
        await super()._select_next_server()

    def abort(self) -> None:
        """Break the connection at once, if there is one; the client connects again unless it was closed."""
        writer: Any = getattr(self._transport, "_io_writer", None)  # a WebSocket has none
        if writer is not None:
            writer.transport.abort()


def _give_up(reply: "asyncio.Future[Msg]") -> None:
    if not reply.done():
        reply.set_exception(NatsTimeoutError())


@lru_cache(maxsize=4096)
def _subject(subject: str) -> bytes:
    _validate_subject(subject)
    return subject.encode()


@lru_cache(maxsize=256)
def _form(names: tuple[str, ...]) -> tuple[str, int]:
    """A header block with room for the values, and how many characters in it break lines."""
    stripped = [name.strip() for name in names]
    for name in stripped:
        if not _HEADER_KEY_RE.fullmatch(name):
            raise BadHeaderError(name)
    lines = [name.replace("%", "%%") + ": %s\r\n" for name in stripped]
    return "".join(["NATS/1.0\r\n", *lines, "\r\n"]), 2 * (len(names) + 2)
