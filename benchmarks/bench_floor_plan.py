"""One plan of the floor: what an executor sent for it, sent again without an executor.

The events are appended one after the other behind the fence; each step's request is sent and its reply awaited. Bodies
and headers are those that an executor sent for the same plan (``bench_recording.py``), as they are. No plan is read,
nothing is checked, encoded, logged or kept.
"""

import asyncio
from collections import deque
from typing import NamedTuple

import msgspec
from bench_recording import Recorded, RecordedPlan
from bench_shapes import TOOL
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_contracts import subjects

_TOOL = subjects.tool_subject(TOOL)
_FENCE = subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER
_FENCE_BYTES = _FENCE.encode()
_APPENDS_AT_ONCE = 256
"""As an executor has it: of thousands that were sent at once, some were never answered."""
_IN_FLIGHT = 10164
"""A cluster that acknowledged the append before, and isn't quite done with it."""
_AGAIN_SECONDS = 0.005


class _Refusal(msgspec.Struct):
    err_code: int = 0
    description: str = ""


class _PubAck(msgspec.Struct):
    seq: int = 0
    error: _Refusal | None = None


_pub_ack = msgspec.json.Decoder(_PubAck)


class Outgoing(NamedTuple):
    """A message as it is sent: its headers as nats-py takes them, and as they go over the wire, without their end."""

    body: bytes
    headers: dict[str, str]
    block: bytes


def outgoing(recorded: Recorded) -> Outgoing:
    """Made once for each message, so that nothing is encoded while it counts."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in recorded.headers.items())
    return Outgoing(recorded.body, recorded.headers, f"NATS/1.0\r\n{lines}".encode())


class Bus:
    """Requests on one connection, whose answers all come on one subscription.

    Args:
        nc: the connection.
        raw: whether messages are put into its buffer past nats-py's own ``publish``, which checks and encodes each
            header again.

    Attributes:
        room: to be held while an append is under way.
    """

    def __init__(self, nc: Client, *, raw: bool) -> None:
        self._nc = nc
        self._send = self._send_raw if raw else self._publish
        self._inbox = nc.new_inbox()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        self._count = 0
        self.room = asyncio.Semaphore(_APPENDS_AT_ONCE)
        self._create_future = asyncio.get_running_loop().create_future

    async def start(self) -> None:
        """Listen for answers."""
        await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_answer, pending_msgs_limit=0, pending_bytes_limit=0)

    async def request(self, subject: str, message: Outgoing, fence: int | None = None) -> bytes:
        """Send, and wait for the one answer."""
        self._count += 1
        reply = f"{self._inbox}.{self._count}"
        future = self._waiting[reply] = self._create_future()
        await self._send(subject, reply, message, fence)
        answer: bytes = (await future).data
        return answer

    async def _publish(self, subject: str, reply: str, message: Outgoing, fence: int | None) -> None:
        headers = message.headers if fence is None else {**message.headers, _FENCE: str(fence)}
        await self._nc.publish(subject, message.body, reply, headers)

    async def _send_raw(self, subject: str, reply: str, message: Outgoing, fence: int | None) -> None:
        end = b"\r\n" if fence is None else b"%s: %d\r\n\r\n" % (_FENCE_BYTES, fence)
        size = len(message.block) + len(end)
        sizes = b"%d %d" % (size, size + len(message.body))
        first = b"HPUB %s %s %s\r\n" % (subject.encode(), reply.encode(), sizes)
        await self._nc._send_command(b"".join((first, message.block, end, message.body, b"\r\n")))
        if self._nc._flush_queue is not None and self._nc._flush_queue.empty():
            await self._nc._flush_pending()

    async def _on_answer(self, message: Msg) -> None:
        self._waiting.pop(message.subject).set_result(message)


class FloorStep(NamedTuple):
    """What is sent for a step, and how many others it waits for."""

    started: Outgoing
    request: Outgoing
    succeeded: Outgoing
    waits_for: int
    behind: list[int]


class Script:
    """What is sent for a plan, made ready once."""

    def __init__(self, plan: RecordedPlan) -> None:
        self.at_once = plan.at_once
        self.started, self.completed = outgoing(plan.started), outgoing(plan.completed)
        self.steps = [
            FloorStep(
                outgoing(step.started), outgoing(step.request), outgoing(step.succeeded), len(step.depends_on), []
            )
            for step in plan.steps
        ]
        for index, step in enumerate(plan.steps):
            for needed in step.depends_on:
                self.steps[needed].behind.append(index)


class FloorPlan:
    """One plan on its way."""

    def __init__(self, bus: Bus, plan: Script, plan_id: str, *, overlap: bool) -> None:
        self._bus = bus
        self._plan = plan
        self._subject = subjects.plan_log_subject(plan_id)
        self._overlap = overlap
        self._last = 0
        self._turn = asyncio.Lock()
        self._missing = [step.waits_for for step in plan.steps]
        self._ready = deque(index for index, missing in enumerate(self._missing) if not missing)
        self._workers: set[asyncio.Task[None]] = set()
        self._left = len(plan.steps)
        self._all_done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """From its first event to its last."""
        await self._append(self._plan.started)
        self._start_workers(self._plan.at_once)
        await self._all_done
        await self._append(self._plan.completed)

    async def _append(self, event: Outgoing) -> None:
        async with self._turn, self._bus.room:
            while True:
                ack = _pub_ack.decode(await self._bus.request(self._subject, event, self._last))
                if ack.error is None:
                    self._last = ack.seq
                    return
                if ack.error.err_code != _IN_FLIGHT:
                    raise RuntimeError(f"an append was refused: {ack.error}")
                await asyncio.sleep(_AGAIN_SECONDS)

    def _start_workers(self, at_most: int) -> None:
        for _ in range(min(at_most, len(self._ready))):
            worker = asyncio.create_task(self._work(self._ready.popleft()))
            self._workers.add(worker)
            worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        if not worker.cancelled() and (error := worker.exception()) is not None and not self._all_done.done():
            self._all_done.set_exception(error)

    async def _work(self, index: int) -> None:
        """Do a step, and go on with one that is ready then."""
        while True:
            step = self._plan.steps[index]
            request = self._bus.request(_TOOL, step.request)
            if self._overlap:
                await asyncio.gather(self._append(step.started), request)
            else:
                await self._append(step.started)
                await request
            await self._append(step.succeeded)
            for behind in step.behind:
                self._missing[behind] -= 1
                if not self._missing[behind]:
                    self._ready.append(behind)
            self._left -= 1
            if not self._left:
                self._all_done.set_result(None)
            if not self._ready:
                return
            index = self._ready.popleft()
            self._start_workers(self._plan.at_once - len(self._workers))
