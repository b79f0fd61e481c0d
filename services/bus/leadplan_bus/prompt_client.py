"""nats-py's client, made to give up a dead connection promptly, and to read on whatever others have sent.

What an executor does twenty times a plan, to send a message with headers and to await the reply to a request, is also
written anew here, for nats-py spends more on it than on everything else of a message.
"""

import asyncio
import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from nats.aio.client import _HEADER_KEY_RE, Client
from nats.aio.msg import Msg
from nats.errors import BadHeaderError, BadSubjectError, ConnectionDrainingError
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

log = logging.getLogger(__name__)


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

    async def _send_publish(
        self, subject: str, reply: str, payload: bytes, payload_size: int, headers: Mapping[str, str] | None
    ) -> None:
        if not subject:
            raise BadSubjectError
        if headers is None:
            command = b"PUB %b %b %d\r\n%b\r\n" % (subject.encode(), reply.encode(), payload_size, payload)
        else:
            block = _header_block(headers)
            command = b"HPUB %b %b %d %d\r\n%b%b\r\n" % (
                subject.encode(), reply.encode(), len(block), len(block) + payload_size, block, payload,
            )  # fmt: skip
        self.stats["out_msgs"] += 1
        self.stats["out_bytes"] += payload_size
        await self._send_command(command)
        if self._flush_queue is not None and self._flush_queue.empty():
            await self._flush_pending()

    async def _request_new_style(
        self, subject: str, payload: bytes, timeout: float = 1, headers: dict[str, Any] | None = None
    ) -> Msg:
        if self.is_draining_pubs:
            raise ConnectionDrainingError
        if not self._resp_sub_prefix:
            await self._init_request_sub()
        prefix: Any = self._resp_sub_prefix
        # The inbox is this connection's own, so a number tells its requests apart.
        self._requests += 1
        token = str(self._requests)
        reply: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._resp_map[token] = reply
        try:
            await self.publish(subject, payload, reply=f"{prefix.decode()}{token}", headers=headers)
            async with asyncio.timeout(timeout):
                return await reply
        except TimeoutError:
            raise NatsTimeoutError from None
        finally:
            del self._resp_map[token]

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


def _header_block(headers: Mapping[str, str]) -> bytes:
    """The headers as they are sent; a line break in a value becomes a space, as nats-py has it.

    Raises:
        nats.errors.BadHeaderError: a name isn't one.
    """
    lines = [f"{_name(name)}: {value.strip()}" for name, value in headers.items() if name.strip()]
    text = "\r\n".join(lines)
    if text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        lines = [line.replace("\r", " ").replace("\n", " ") for line in lines]
        text = "\r\n".join(lines)
    return f"NATS/1.0\r\n{text}\r\n\r\n".encode() if lines else b"NATS/1.0\r\n\r\n"


@lru_cache(maxsize=256)
def _name(name: str) -> str:
    stripped = name.strip()
    if not _HEADER_KEY_RE.fullmatch(stripped):
        raise BadHeaderError(stripped)
    return stripped
