"""Connecting to NATS with settings that survive server restarts."""

import asyncio
import logging
import re
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from leadplan_bus.errors import CannotConnectError, InvalidAddressError

log = logging.getLogger(__name__)

DEFAULT_URL = "nats://127.0.0.1:4222"
_SCHEMES = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}
_HOST = re.compile(r"(?P<name>[^\s:/?#@\[\]]+|\[[0-9A-Za-z:.%]+\])(:(?P<port>[0-9]{1,5}))?([/?][^:@]*)?$")
_NOT_IN_CREDENTIALS = re.compile(r"[\s/?#\[\]]")


def without_credentials(url: str) -> str:
    """The addresses without user, password or token, fit for logs; what is no address isn't shown at all."""
    return ",".join(_bare(one) for one in _addresses(url))


def _addresses(url: str) -> list[str]:
    return [stripped for one in url.split(",") if (stripped := one.strip())]


def _bare(address: str) -> str:
    scheme, _, host = _parts(address)
    if scheme not in _SCHEMES or host is None:
        return "nats://(unreadable address)"
    return f"{scheme}://{host['name']}:{host['port'] or _SCHEMES[scheme]}"


def _parts(address: str) -> tuple[str, str, re.Match[str] | None]:
    """Scheme, credentials and host. A password may hold any character: the last ``@`` ends it."""
    scheme, separator, rest = address.partition("://")
    credentials, _, host = (rest if separator else address).rpartition("@")
    return (scheme if separator else "nats"), credentials, _HOST.match(host)


def _require_addresses(url: str) -> None:
    for scheme, credentials, host in map(_parts, addresses := _addresses(url)):
        if scheme not in _SCHEMES or host is None or _NOT_IN_CREDENTIALS.search(credentials):
            raise InvalidAddressError
    if not addresses:
        raise InvalidAddressError


async def connect(
    url: str, *, name: str, within_seconds: float = 10.0, on_closed: Callable[[], None] | None = None
) -> Client:
    """Connect, and reconnect for ever after.

    Args:
        url: one address or several, separated by commas; may hold user and password.
        name: shown in the server's connection list.
        within_seconds: how long to try before giving up on the first connection.
        on_closed: called when the connection is closed for good, by us or by a server error that nats-py doesn't
            survive; a process should then end and be started anew.

    Raises:
        InvalidAddressError: ``url`` can't be read.
        CannotConnectError: no server answered in time, or it refused the credentials.
    """
    _require_addresses(url)
    nc = Client()
    last_error: list[Exception] = []
    established = False

    async def note_error(error: Exception) -> None:
        if not isinstance(error, NatsError | OSError):
            log.error("unexpected error in a message handler", exc_info=error)
            return
        # While there is no server this comes several times a second; what repeats says nothing new.
        if repr(error) != repr(last_error[0] if last_error else None):
            log.warning("nats error: %s", str(error) or type(error).__name__)
        last_error[:] = [error]

    async def note_reconnected() -> None:
        last_error.clear()
        log.warning("connected to the NATS server again")

    async def note_closed() -> None:
        if established and on_closed is not None:
            on_closed()

    options: dict[str, Any] = {
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "ping_interval": 10,
        "max_outstanding_pings": 2,
        "pending_size": 32 * 1024 * 1024,
        "error_cb": note_error,
        "reconnected_cb": note_reconnected,
        "closed_cb": note_closed,
    }
    connecting = asyncio.create_task(nc.connect(_addresses(url), **options))
    try:
        await asyncio.wait({connecting}, timeout=within_seconds)
        established = connecting.done() and connecting.exception() is None
    finally:
        await _end(connecting)
        if not established:
            await close(nc)  # a half-open connection would stay open
    if not established:
        error = last_error[0] if last_error else None if connecting.cancelled() else connecting.exception()
        if error is not None and not isinstance(error, NatsError | OSError):
            raise error
        reason = "no answer" if error is None else str(error) or type(error).__name__
        raise CannotConnectError(without_credentials(url), within_seconds, reason)
    return nc


async def _end(task: asyncio.Task[None]) -> None:
    while not task.done():  # more than once, for nats-py takes some cancellations for itself
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


async def flush(nc: Client) -> None:
    """Wait until the server has taken in everything that was sent on this connection: subscriptions are in force then.

    nats-py's own ``flush`` writes its PING past what waits in its buffer, so the PONG says nothing of that. While the
    first PONG is waited for the buffer is written, and the second PING stands behind it.

    Raises:
        nats.errors.Error: the server can't be reached.
    """
    await nc.flush()
    await nc.flush()


async def stop_receiving(nc: Client, *subscriptions: Subscription) -> None:
    """Have the server send no more on these subscriptions; what it has sent already still reaches their callbacks.

    Not ``drain()``: it asks the server to stop after its PING, and drops what comes after the PONG.

    Raises:
        nats.errors.Error: the server can't be told, for the connection is down.
    """
    for subscription in subscriptions:
        await nc._send_unsubscribe(subscription._id)
    await flush(nc)


async def close(nc: Client) -> None:
    """Close the connection if it is open; it doesn't matter whether the server is still there."""
    if nc.is_closed:
        return
    try:
        await nc.close()
    except (OSError, NatsError) as error:
        log.warning("nats error while closing: %s", str(error) or type(error).__name__)
