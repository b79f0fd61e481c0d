"""A log with many finished plans: what an executor stored for one plan, stored again under other ids.

The messages are those of a real log, byte for byte but for the id: same headers, fence included, and the events of many
plans between one another, as when an executor runs those side by side. So are the entries in the index of plans.
"""

import asyncio

from bench_bed import Bed
from bench_processes import tell
from bench_recording import INDEX_STREAM, RecordedPlan
from bench_shapes import plan_id
from nats.aio.client import Client

from leadplan_contracts import subjects
from leadplan_executor.plan_index import index_subject

_PREFIX = "full-"
_SIDE_BY_SIDE = 256
_CONFIRMED_EVERY = 2_000
_PLANS_TOLD = 25_000
_STORED_SECONDS = 30.0
_LOOK_SECONDS = 0.02


async def fill(bed: Bed, plan: RecordedPlan, finished_plans: int) -> None:
    """Store the logs of so many plans.

    Raises:
        RuntimeError: the server stored something else than it was sent.
        TimeoutError: it doesn't store all.
    """
    recorded_id = plan.log[0].headers[subjects.CE_ID_HEADER].partition(":")[0]
    log, index = [await _Writer.at_end_of(bed.nc, stream) for stream in (subjects.PLAN_LOG_STREAM, INDEX_STREAM)]
    for start in range(0, finished_plans, _SIDE_BY_SIDE):
        names = [plan_id(_PREFIX, number) for number in range(start, min(start + _SIDE_BY_SIDE, finished_plans))]
        last = dict.fromkeys(names, 0)
        for event in plan.log:
            for name in names:
                body = event.body.replace(recorded_id.encode(), name.encode())
                headers = {key: value.replace(recorded_id, name) for key, value in event.headers.items()}
                headers[subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER] = str(last[name])
                last[name] = await log.store(subjects.plan_log_subject(name), body, headers)
        for name in names:
            await index.store(index_subject(name), plan.index_entry, None)
        if start and start // _PLANS_TOLD != (start - _SIDE_BY_SIDE) // _PLANS_TOLD:
            tell(f"  {start:,} finished plans stored")
    await _until_stored(bed, INDEX_STREAM, finished_plans)
    await _until_stored(bed, subjects.PLAN_LOG_STREAM, finished_plans * len(plan.log))


async def _until_stored(bed: Bed, stream: str, messages: int) -> None:
    async with asyncio.timeout(_STORED_SECONDS):
        while (stored := await bed.stored(stream)) != messages:
            if stored > messages:
                raise RuntimeError(f"{stream} has {stored} messages, not {messages}")
            await asyncio.sleep(_LOOK_SECONDS)


class _Writer:
    """Publishes to a stream on which nobody else writes, so that the next sequence is known before it is told."""

    def __init__(self, nc: Client, last: int) -> None:
        self._nc = nc
        self._last = last
        self._unconfirmed = 0

    @classmethod
    async def at_end_of(cls, nc: Client, stream: str) -> "_Writer":
        return cls(nc, (await nc.jetstream().stream_info(stream)).state.last_seq)

    async def store(self, subject: str, body: bytes, headers: dict[str, str] | None) -> int:
        """Send a message and return the sequence that it gets. Every so often the server's answer is awaited."""
        self._last += 1
        self._unconfirmed += 1
        if self._unconfirmed < _CONFIRMED_EVERY:
            # Past nats-py's own publish, which takes several times as long as the server.
            await self._nc._send_command(_on_the_wire(subject, body, headers))
            return self._last
        self._unconfirmed = 0
        ack = await self._nc.jetstream(timeout=60).publish(subject, body, headers=headers)
        if ack.seq != self._last:
            raise RuntimeError(f"the server stored {self._last - ack.seq} messages less than it was sent")
        return self._last


def _on_the_wire(subject: str, body: bytes, headers: dict[str, str] | None) -> bytes:
    if headers is None:
        return b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(body), body)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    block = f"NATS/1.0\r\n{lines}\r\n".encode()
    return b"HPUB %s %d %d\r\n%s%s\r\n" % (subject.encode(), len(block), len(block) + len(body), block, body)
