"""Holds that the processes of one credential share: a provider that tells one of them to wait means them all.

A process that holds a limit says so on ``limits.held.<fingerprint>`` as ``{"heldMs": 20000, "by": "<its instance>"}``,
and holds what it hears of. It is a courtesy over core NATS, kept nowhere: who doesn't hear it meets the provider's own
answer instead. What is heard is never believed further than `LONGEST_HOLD_SECONDS`, and never passed on, so nothing
goes round in circles.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Final

import msgspec
from msgspec import Meta
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from leadplan_bus.connection import listen
from leadplan_contracts import subjects
from leadplan_contracts.wire import encode
from leadplan_responder.limits import LONGEST_HOLD_SECONDS, Holds, Limit

log = logging.getLogger("leadplan.responder")

_LONGEST_HOLD_MS: Final = int(LONGEST_HOLD_SECONDS * 1000)


class HoldNotice(msgspec.Struct, rename="camel", frozen=True):
    """A limit is held from now on, for so many milliseconds; ``by`` is who says so, so that it can skip its own."""

    held_ms: Annotated[int, Meta(ge=1)]
    by: str = ""


_decoder = msgspec.json.Decoder(HoldNotice)


class SharedHolds:
    """Tells others of the holds of some limits, and holds them where others tell of theirs.

    Args:
        nc: the connection.
        limits: those that a process declares; what isn't a `Limit` has no name that others could know it by.
        instance: tells this process from the others.
    """

    def __init__(self, nc: Client, limits: Iterable[Holds], *, instance: str) -> None:
        self._nc = nc
        self._instance = instance
        self._limits = {limit.fingerprint: limit for limit in limits if isinstance(limit, Limit)}
        self._subscriptions: list[Subscription] = []
        self._listeners: list[tuple[Limit, Callable[[float], None]]] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen, and tell of every hold from now on."""
        for fingerprint, limit in self._limits.items():
            subject = subjects.limit_held_subject(fingerprint)
            # As requests are listened to, so that one that comes behind a notice is answered with it in mind.
            self._subscriptions.append(await listen(self._nc, subject, partial(self._hear, limit)))
            listener = partial(self._tell, subject)
            limit.tell_holds_to(listener)
            self._listeners.append((limit, listener))

    def stop_telling(self) -> None:
        """Tell of no further hold; needs no connection."""
        for limit, listener in self._listeners:
            limit.tell_no_more(listener)
        self._listeners.clear()

    async def stop_listening(self) -> None:
        """Send what is still to be told, and listen no more.

        Raises:
            nats.errors.Error: the server can't be told.
        """
        if self._under_way:
            await asyncio.wait(self._under_way)
        for subscription in self._subscriptions:
            await subscription.unsubscribe()

    def _tell(self, subject: str, seconds: float) -> None:
        task = asyncio.create_task(self._publish(subject, seconds), name="tell of a held limit")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _publish(self, subject: str, seconds: float) -> None:
        notice = HoldNotice(held_ms=max(1, round(seconds * 1000)), by=self._instance)
        try:
            await self._nc.publish(subject, encode(notice))
        except NatsError as error:
            log.warning("others aren't told that a limit is held: %r", error)

    def _hear(self, limit: Limit, message: Msg) -> None:
        try:
            notice = _decoder.decode(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.warning("an unreadable notice of a hold was dropped: %s", error, extra={"limit": limit.name})
            return
        if notice.by != self._instance:  # one's own would lengthen the hold by the way there and back
            limit.hold_as_told(min(notice.held_ms, _LONGEST_HOLD_MS) / 1000)
