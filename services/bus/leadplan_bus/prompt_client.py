"""nats-py's client, made to give up a dead connection promptly, and to read on whatever others have sent."""

import logging
from typing import Any

from nats.aio.client import Client

log = logging.getLogger(__name__)


class PromptClient(Client):
    """Drops what a broken connection hasn't sent before it connects again, instead of waiting for it to be sent.

    nats-py closes the old connection and waits until its buffer is written. Where nothing arrives any more (the other
    machine lost its power, the network drops packets) and the buffer isn't empty, that is until TCP gives up: about a
    quarter of an hour in which the client neither sends nor connects again.

    A message whose header block can't be read counts as one without headers. The server passes on any bytes there, and
    nats-py stops reading from the connection at some of them: one message would make every program deaf that gets it.
    """

    async def _process_headers(self, headers: bytes | None) -> dict[str, str] | None:
        try:
            return await super()._process_headers(headers)
        except (IndexError, UnicodeDecodeError) as error:
            log.warning("headers of a message can't be read, leaving them out: %s", error)
            return None

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
