"""Pulling plans from the work queue: never more than there are free slots (protocol section 1).

nats-py's ``fetch`` waits for a whole batch or for its time-out before it hands over the first message. This keeps pull
requests open for the free slots, and each message is taken as it comes.
"""

import asyncio
import json
import time
from collections.abc import Callable
from typing import NamedTuple

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from leadplan_bus.connection import flush, stop_receiving
from leadplan_contracts import subjects

log = structlog.get_logger(__name__)

# Short, for the server answers the open requests of a frozen executor with the very plans that it has lost.
_EXPIRES_SECONDS = 1.0
_HEARTBEAT_SECONDS = 0.4
_SILENCE_SECONDS = 2.5
_STOP_SECONDS = 2.0
_NANOSECONDS = 1_000_000_000


class Delivery:
    """A plan's message as the queue handed it to us. Holding it is holding the lease on the plan.

    Attributes:
        body, headers: the message.
        stream_sequence: its place in the stream, the same at each delivery.
        delivered: how often it has been delivered, this time included.
    """

    def __init__(self, nc: Client, message: Msg) -> None:
        metadata = message.metadata
        self.body = message.data
        self.headers = message.headers or {}
        self.stream_sequence = metadata.sequence.stream
        self.delivered = metadata.num_delivered
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


class PlanIntake:
    """Keeps pull requests open for the free slots and hands each message over as it comes.

    Args:
        nc: the connection.
        slots: how many deliveries may be held at once.
        take: called with each delivery; ``release`` must be called once it is settled.
        lease_seconds: tells how long a lease is now.
        on_trouble: called when the queue refuses, for its consumer may be gone.
    """

    def __init__(
        self,
        nc: Client,
        slots: int,
        take: Callable[[Delivery], None],
        *,
        lease_seconds: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self._nc = nc
        self._slots = slots
        self._take = take
        self._lease_seconds = lease_seconds
        self._on_trouble = on_trouble
        self._trouble: str | None = None
        self._inbox = nc.new_inbox()
        self._held = 0
        self._asked = 0
        self._heard_at = time.monotonic()
        self._slot_free = asyncio.Event()
        self._stopped = False
        self._subscription: Subscription | None = None
        self._catching_up: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Pull until stopped."""
        self._subscription = await self._nc.subscribe(self._inbox, cb=self._on_message)
        while not self._stopped:
            self._slot_free.clear()
            await self._ask_for_free_slots()
            try:
                await asyncio.wait_for(self._slot_free.wait(), _HEARTBEAT_SECONDS)
            except TimeoutError:
                self._notice_silence()

    async def stop(self) -> None:
        """Take no more plans; what the server has sent already is handed back.

        Without a listener the server drops our open requests. Else it would answer them with the very plans that we
        hand back, and those would lie until their lease ran out.
        """
        self._stopped = True
        self._slot_free.set()
        if self._subscription is not None and self._nc.is_connected:
            await stop_receiving(self._nc, self._subscription, within_seconds=_STOP_SECONDS)

    def release(self) -> None:
        """A delivery was settled: its slot is free."""
        self._held -= 1
        self._slot_free.set()

    async def _ask_for_free_slots(self) -> None:
        free = self._slots - self._held - self._asked
        # Asking again only once half of the free slots aren't asked for keeps requests few under load.
        if free <= 0 or (self._asked and free < self._asked):
            return
        request = {
            "batch": free,
            "expires": int(_EXPIRES_SECONDS * _NANOSECONDS),
            "idle_heartbeat": int(_HEARTBEAT_SECONDS * _NANOSECONDS),
        }
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.PLANS_STREAM}.{subjects.EXECUTORS_CONSUMER}"
        try:
            await self._nc.publish(subject, json.dumps(request).encode(), reply=self._inbox)
        except NatsError as error:
            log.warning("can't ask for plans", problem=repr(error))
            return
        self._asked += free
        self._heard_at = time.monotonic()

    def _notice_silence(self) -> None:
        self._notice_gap()
        if self._asked and time.monotonic() - self._heard_at > _SILENCE_SECONDS:
            # No heartbeat: the server forgot our requests, as after a restart.
            self._tell("the queue went silent, asking again")
            self._asked = 0

    def _tell(self, trouble: str, **details: str) -> None:
        """Say what is wrong once, not with every request, until the queue is heard again."""
        said, self._trouble = self._trouble, f"{trouble} {details}"
        if said != self._trouble:
            log.warning(trouble, **details)

    def _notice_gap(self) -> None:
        """See that we, or the network, stood still for longer than a lease: what lies in the buffers is stale then.

        Others have been given those plans since. To take one would be to take it from its new owner, and so would be
        handing it back, for the server knows a delivery by its message. So nothing is taken or settled of what it sent
        before it answers us again. Where that is still ours, the queue delivers it again when its lease runs out.
        """
        silent = time.monotonic() - self._heard_at
        if self._asked and silent > self._lease_seconds() and self._catching_up is None:
            log.warning("nothing was heard for longer than a lease", seconds=round(silent, 1))
            self._catching_up = asyncio.create_task(self._catch_up(), name="catching up with the queue")

    async def _catch_up(self) -> None:
        try:
            await flush(self._nc)
            while self._subscription is not None and self._subscription.pending_msgs:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)
        except NatsError as error:
            log.warning("the server doesn't answer yet", problem=repr(error))
        finally:
            self._catching_up = None
            self._asked = 0
            self._slot_free.set()

    async def _on_message(self, message: Msg) -> None:
        self._notice_gap()
        self._heard_at = time.monotonic()
        headers = message.headers or {}
        if (code := headers.get(subjects.STATUS_HEADER)) is not None and not message.reply:
            pending = headers.get("Nats-Pending-Messages")
            self._on_status(_Status(code, headers.get("Description", ""), int(pending) if pending else None))
            return
        self._trouble = None
        self._asked = max(0, self._asked - 1)
        delivery = Delivery(self._nc, message)
        if self._catching_up is not None:
            log.warning("a delivery that lay too long is left to the queue", message=delivery.stream_sequence)
            return
        if self._stopped:
            await delivery.hand_back()
            return
        self._held += 1
        self._take(delivery)
        self._slot_free.set()

    def _on_status(self, status: _Status) -> None:
        if status.code == "100":
            self._trouble = None
            return  # idle heartbeat
        self._asked = 0 if status.pending is None else max(0, self._asked - status.pending)
        if status.code in ("404", "408"):
            self._slot_free.set()  # the request ran out: ask anew
        else:
            # Asked anew after a heartbeat's time, so that a missing consumer isn't asked for in a tight loop.
            self._tell("the queue refused", status=status.code, description=status.description)
            self._on_trouble()
