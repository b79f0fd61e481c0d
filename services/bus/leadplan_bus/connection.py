"""Connecting to NATS with settings that survive server restarts."""

import asyncio
import logging
import re
import time
from collections.abc import Callable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.access import Access
from leadplan_bus.errors import CannotConnectError, InvalidAddressError
from leadplan_bus.prompt_client import PromptClient

log = logging.getLogger(__name__)

DEFAULT_URL = "nats://127.0.0.1:4222"
PING_INTERVAL_SECONDS = 2
"""A connection on which nothing comes back is given up after the third interval: within 4 to 6 s. With less, a server
that waits for its disk would be taken for dead."""
REFUSED_SECONDS = 10.0
"""A server that has refused our credentials for so long isn't about to be given the new ones."""
_MAX_OUTSTANDING_PINGS = 2
_CLOSE_SECONDS = 2.0
_TOLD_AT_MOST = 1000
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


def _credentials(url: str) -> dict[str, str]:
    """What the addresses have in common, for those too that the client learns from the cluster: they come bare."""
    found = {credentials for _, credentials, _ in map(_parts, _addresses(url))}
    common = found.pop() if len(found) == 1 else ""
    user, colon, password = common.partition(":")
    if colon:
        return {"user": user, "password": password}
    return {"token": common} if common else {}


class _ErrorNotes:
    """What nats-py reports while it connects and reconnects: said once, and acted on where waiting doesn't help."""

    def __init__(self, nc: Client, on_denied: Callable[[str], None] | None) -> None:
        self.last: Exception | None = None
        self.established = False
        self._nc = nc
        self._on_denied = on_denied
        self._told: set[str] = set()
        self._refused_since: float | None = None
        self._closing: asyncio.Task[None] | None = None

    async def note_error(self, error: Exception) -> None:
        if not isinstance(error, NatsError | OSError):
            log.error("unexpected error in a message handler", exc_info=error)
            return
        # While there is no server this comes several times a second, for each address: what repeats says nothing new.
        if repr(error) not in self._told:
            log.warning("nats error: %s", str(error) or type(error).__name__)
        if len(self._told) < _TOLD_AT_MOST:
            self._told.add(repr(error))
        text = str(error).lower()
        refused = "authorization" in text or "authentication" in text
        if refused or self._refused_since is None:  # a server that refuses sometimes just hangs up: no news then
            self.last = error
        if refused:
            self._note_refusal()
        elif "permissions violation" in text and self._on_denied is not None:
            self._on_denied(str(error).removeprefix("nats: "))

    def _note_refusal(self) -> None:
        """Close a connection whose credentials were revoked: nats-py would try them for ever."""
        now = time.monotonic()
        self._refused_since = self._refused_since or now
        if self.established and now - self._refused_since > REFUSED_SECONDS and self._closing is None:
            self._closing = asyncio.create_task(close(self._nc), name="closing a refused connection")

    async def note_reconnected(self) -> None:
        self.last = self._refused_since = None
        self._told.clear()
        log.warning("connected to the NATS server again")


async def connect(
    url: str,
    *,
    name: str,
    within_seconds: float = 10.0,
    access: Access | None = None,
    on_closed: Callable[[], None] | None = None,
    on_denied: Callable[[str], None] | None = None,
) -> Client:
    """Connect, and reconnect for ever after.

    Args:
        url: one address or several, separated by commas; may hold user and password.
        name: shown in the server's connection list.
        within_seconds: how long to try before giving up on the first connection.
        access: credentials and TLS. Credentials in it hold in place of those in ``url``.
        on_closed: called when the connection is closed for good: by us, by a server error that nats-py doesn't
            survive, or because the server has refused our credentials for ``REFUSED_SECONDS``. A process should then
            end and be started anew; ``last_error`` of the connection says why.
        on_denied: called with the server's text when it denies a publish or subscription; nothing else tells of it.

    Raises:
        InvalidAddressError: ``url`` can't be read.
        AccessError: ``access`` can't be used.
        CannotConnectError: no server answered in time, or it refused the credentials.
    """
    _require_addresses(url)
    access = access or Access()
    credentials = {} if access.has_credentials else _credentials(url)
    nc = PromptClient()
    nc.requires_tls = access.requires_tls
    notes = _ErrorNotes(nc, on_denied)

    async def note_closed() -> None:
        if notes.established and on_closed is not None:
            on_closed()

    options: dict[str, Any] = {
        "name": name,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.25,
        "ping_interval": PING_INTERVAL_SECONDS,
        "max_outstanding_pings": _MAX_OUTSTANDING_PINGS,
        "pending_size": 32 * 1024 * 1024,
        "error_cb": notes.note_error,
        "reconnected_cb": notes.note_reconnected,
        "closed_cb": note_closed,
        **credentials,
        **access.options(),
    }
    connecting = asyncio.create_task(nc.connect(_addresses(url), **options))
    try:
        await asyncio.wait({connecting}, timeout=within_seconds)
        notes.established = connecting.done() and connecting.exception() is None
    finally:
        await _end(connecting)
        if not notes.established:
            await close(nc)  # a half-open connection would stay open
    if not notes.established:
        error = notes.last or (None if connecting.cancelled() else connecting.exception())
        if error is not None and not isinstance(error, NatsError | OSError):
            raise error
        reason = "no answer" if error is None else str(error) or type(error).__name__
        raise CannotConnectError(without_credentials(url), within_seconds, reason)
    return nc


async def _end(task: asyncio.Task[None]) -> None:
    while not task.done():  # more than once, for nats-py takes some cancellations for itself
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)


async def listen(nc: Client, subject: str, take: Callable[[Msg], None], *, queue: str = "") -> Subscription:
    """Have a quick function called with each message on a subject, until the subscription is ended.

    On a connection of ``connect`` it is called where the message is read, without a queue and a task in between, so
    that messages on several subjects keep their order.
    """
    if isinstance(nc, PromptClient):
        return await nc.listen(subject, take, queue=queue)

    async def pass_on(message: Msg) -> None:
        take(message)

    return await nc.subscribe(subject, queue=queue, cb=pass_on)


async def flush(nc: Client, within_seconds: float = 10.0) -> None:
    """Wait until the server has taken in everything that was sent on this connection: subscriptions are in force then.

    nats-py's own ``flush`` writes its PING past what waits in its buffer, so the PONG says nothing of that. While the
    first PONG is waited for the buffer is written, and the second PING stands behind it.

    Raises:
        nats.errors.Error: the server can't be reached, or didn't answer in time.
    """
    try:
        async with asyncio.timeout(within_seconds):
            await nc.flush()
            await nc.flush()
    except TimeoutError as error:
        raise NatsTimeoutError from error


async def stop_receiving(nc: Client, *subscriptions: Subscription, within_seconds: float = 10.0) -> None:
    """Have the server send no more on these subscriptions; what it has sent already still reaches their callbacks.

    Not ``drain()``: it asks the server to stop after its PING, and drops what comes after the PONG.

    Raises:
        nats.errors.Error: the server can't be told, for the connection is down.
    """
    for subscription in subscriptions:
        await nc._send_unsubscribe(subscription._id)
    await flush(nc, within_seconds)


async def close(nc: Client) -> None:
    """Close the connection if it is open; it doesn't matter whether the server is still there."""
    if nc.is_closed:
        return
    closing = asyncio.create_task(nc.close(), name="closing the connection")
    _, unfinished = await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
    if unfinished and isinstance(nc, PromptClient):
        nc.abort()  # nothing arrives any more: what wasn't sent would be waited for
        await asyncio.wait({closing}, timeout=_CLOSE_SECONDS)
    if not closing.done():
        closing.cancel()
        log.warning("the connection to the NATS server didn't close")
    elif not closing.cancelled() and (error := closing.exception()) is not None:  # nats-py cancels even this itself
        log.warning("nats error while closing: %s", str(error) or type(error).__name__)
