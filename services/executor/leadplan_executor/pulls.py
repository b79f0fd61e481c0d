"""Pulling plans from one consumer of the work queue, message by message.

nats-py's ``fetch`` waits for a whole batch or for its time-out before it hands over the first message. This sends pull
requests, and each message is handed over as it comes.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple, Required, TypedDict

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from leadplan_bus.connection import flush, listen, stop_receiving
from leadplan_contracts import subjects
from leadplan_executor.deliveries import submitted_as

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 0.4
"""How often the server says that a request is still open; and how often whoever pulls looks after its requests."""
_SILENCE_SECONDS = 2.5
_STOP_SECONDS = 2.0
_NANOSECONDS = 1_000_000_000
# Short, for the server answers the open requests of a frozen executor with the very plans that it has lost.
_EXPIRES = 1 * _NANOSECONDS
_HEARTBEAT = int(HEARTBEAT_SECONDS * _NANOSECONDS)


class Delivery:
    """A plan's message as the queue handed it to us. Holding it is holding the lease on the plan.

    Attributes:
        body, headers: the message.
        subject: where it was published.
        stream_sequence: its place in the stream, the same at each delivery.
        submitted_as: the place that it was submitted as.
        delivered: how often it has been delivered, this time included.
        received_at: when it came, by ``time.monotonic``.
        left_behind: how many messages of its consumer had never been delivered then.
    """

    def __init__(self, nc: Client, message: Msg) -> None:
        metadata = message.metadata
        self.body = message.data
        self.headers = message.headers or {}
        self.stream_sequence = metadata.sequence.stream
        self.subject = message.subject
        self.submitted_as = submitted_as(self.subject, self.headers, self.stream_sequence)
        self.delivered = metadata.num_delivered
        self.received_at = time.monotonic()
        self.left_behind = metadata.num_pending
        self._nc = nc
        self._reply = message.reply

    async def ack(self) -> None:
        """The plan is done: take its message off the queue."""
        await self._nc.publish(self._reply, b"+ACK")

    async def hand_back(self, delay_seconds: float = 0.0) -> None:
        """Let another executor have the plan, at once or after a while."""
        delay = json.dumps({"delay": int(delay_seconds * _NANOSECONDS)}) if delay_seconds else ""
        await self._nc.publish(self._reply, f"-NAK {delay}".rstrip().encode())

    async def renew_lease(self) -> None:
        """Say that the plan is still being worked on."""
        await self._nc.publish(self._reply, b"+WPI")


class _Status(NamedTuple):
    code: str
    description: str
    pending: int | None


class _Request(TypedDict, total=False):
    batch: Required[int]
    expires: int
    idle_heartbeat: int
    no_wait: bool


class PlanPull:
    """Pull requests to one consumer, and what comes of them.

    Args:
        nc: the connection.
        consumer: which of the queue's consumers.
        take: called with each delivery.
        on_ended: called when a request has ended, so that another one may be due; with whether it ran out, for there
            were fewer messages.
        lease_seconds: tells how long a lease is now.
        on_trouble: called when the queue refuses, for its consumer may be gone.

    Attributes:
        asked: how many messages were asked for and haven't come.
    """

    def __init__(
        self,
        nc: Client,
        consumer: str,
        take: Callable[[Delivery], None],
        *,
        on_ended: Callable[[bool], None],
        lease_seconds: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self.asked = 0
        self._nc = nc
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.PLANS_STREAM}.{consumer}"
        self._take = take
        self._on_ended = on_ended
        self._lease_seconds = lease_seconds
        self._on_trouble = on_trouble
        self._log = log.bind(consumer=consumer)
        self._trouble: str | None = None
        self._inbox = nc.new_inbox()
        self._heard_at = time.monotonic()
        self._stopped = False
        self._handing_back: list[asyncio.Task[None]] = []
        self._subscription: Subscription | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listen; nothing comes before it is asked for."""
        self._subscription = await listen(self._nc, self._inbox, self._on_message)

    async def stop(self) -> None:
        """Take no more plans; what the server has sent already is handed back.

        Without a listener the server drops our open requests. Else it would answer them with the very plans that we
        hand back, and those would lie until their lease ran out.
        """
        self._stopped = True
        if self._subscription is not None and self._nc.is_connected:
            await stop_receiving(self._nc, self._subscription, within_seconds=_STOP_SECONDS)
        await asyncio.gather(*self._handing_back, return_exceptions=True)

    async def ask(self, batch: int) -> None:
        """Ask for messages; the request is open until they have all come, or it has run out after a second."""
        await self._ask({"batch": batch, "expires": _EXPIRES, "idle_heartbeat": _HEARTBEAT})

    async def ask_for_present(self, batch: int) -> None:
        """Ask for messages that are there; the request runs out at once where they are fewer."""
        await self._ask({"batch": batch, "no_wait": True})

    async def _ask(self, request: _Request) -> None:
        self._notice_gap()
        if self._stopped or self._catching_up is not None:
            return
        try:
            await self._nc.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)
        except NatsError as error:
            self._log.warning("can't ask for plans", problem=repr(error))
            return
        self.asked += request["batch"]
        self._heard_at = time.monotonic()

    def notice_silence(self) -> None:
        """See whether the server has forgotten our requests; to be called every ``HEARTBEAT_SECONDS``."""
        self._notice_gap()
        if self.asked and time.monotonic() - self._heard_at > _SILENCE_SECONDS:
            # No heartbeat: the server forgot our requests, as after a restart.
            self._tell("the queue went silent, asking again")
            self.asked = 0

    def _tell(self, trouble: str, **details: str) -> None:
        """Say what is wrong once, not with every request, until the queue is heard again."""
        said, self._trouble = self._trouble, f"{trouble} {details}"
        if said != self._trouble:
            self._log.warning(trouble, **details)

    def _notice_gap(self) -> None:
        """See that we, or the network, stood still for longer than a lease: what lies in the buffers is stale then.

        Others have been given those plans since. To take one would be to take it from its new owner, and so would be
        handing it back, for the server knows a delivery by its message. So nothing is taken or settled of what it sent
        before it answers us again. Where that is still ours, the queue delivers it again when its lease runs out.
        """
        silent = time.monotonic() - self._heard_at
        if self.asked and silent > self._lease_seconds() and self._catching_up is None:
            self._log.warning("nothing was heard for longer than a lease", seconds=round(silent, 1))
            self._catching_up = asyncio.create_task(self._catch_up(), name="catching up with the queue")

    async def _catch_up(self) -> None:
        try:
            await flush(self._nc)
        except NatsError as error:
            self._log.warning("the server doesn't answer yet", problem=repr(error))
        finally:
            self._catching_up = None
            self.asked = 0
            self._on_ended(True)

    def _on_message(self, message: Msg) -> None:
        self._notice_gap()
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        if (code := headers.get(subjects.STATUS_HEADER)) is not None and not message.reply:
            pending = headers.get("Nats-Pending-Messages")
            self._on_status(_Status(code, headers.get("Description", ""), int(pending) if pending else None))
            return
        self._trouble = None
        self.asked = max(0, self.asked - 1)
        delivery = Delivery(self._nc, message)
        if self._catching_up is not None:
            self._log.warning("a delivery that lay too long is left to the queue", message=delivery.stream_sequence)
            return
        if self._stopped:
            self._handing_back.append(asyncio.create_task(delivery.hand_back()))
            return
        self._take(delivery)
        if not self.asked:
            self._on_ended(False)

    def _on_status(self, status: _Status) -> None:
        if status.code == "100":
            self._trouble = None
            return  # idle heartbeat
        self.asked = 0 if status.pending is None else max(0, self.asked - status.pending)
        if status.code in ("404", "408"):
            self._on_ended(True)  # the request ran out: ask anew
        else:
            # Asked anew after a heartbeat's time, so that a missing consumer isn't asked for in a tight loop.
            self._tell("the queue refused", status=status.code, description=status.description)
            self._on_trouble()
