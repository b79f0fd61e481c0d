"""The load generator: submits plans so that the number in flight stays the same, and notes when each has ended.

It follows completions by the acknowledgements with which an executor takes plans off the queue, once their
last event is stored: one small message a plan, where the live feed would be one for each event. In a process of its
own; orders are lines on the standard input (``bench_load.py``).
"""

import asyncio
import os
import sys
import time

import msgspec
import nats
import uvloop
from bench_load import Load, Measured, MemorySample
from bench_processes import cpu_seconds, memory_mib
from bench_shapes import Submissions, shape
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_contracts import subjects

_ENDED = (b"+ACK", b"")
_PAUSE_SECONDS = 0.001
_DRAIN_SECONDS = 110.0


class _PubAck(msgspec.Struct):
    seq: int = 0
    error: object = None


_pub_ack = msgspec.json.Decoder(_PubAck)


class _Window:
    """What is counted: from the end of one plan to the end of another."""

    def __init__(self, load: Load) -> None:
        self._pids = load.pids
        self.begun_at = self.ended_at = 0.0
        self.plans = self.steps = 0
        self.latencies_ms: list[float] = []
        self._cpu_before: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.memory_mib: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        return bool(self.begun_at) and not self.ended_at

    def begin(self, now: float) -> None:
        self._cpu_before = {name: cpu_seconds(pid) for name, pid in self._pids.items()}
        self.begun_at = now

    def end(self, now: float) -> None:
        self.ended_at = now
        seconds = now - self.begun_at
        self.cpu = {name: (cpu_seconds(pid) - self._cpu_before[name]) / seconds for name, pid in self._pids.items()}
        self.memory_mib = {name: memory_mib(pid) for name, pid in self._pids.items()}


class _Run:
    """One order being carried out."""

    def __init__(self, nc: Client, load: Load) -> None:
        self._nc = nc
        self._load = load
        self._shape = shape(load.shape)
        self._submissions = Submissions(self._shape)
        self._inbox = nc.new_inbox()
        self._submitted_at: dict[int, float] = {}
        self._by_sequence: dict[int, int] = {}
        self._early: dict[int, float] = {}
        self._submitted = self._ended = 0
        self._began = time.perf_counter()
        self._first_plan_at = 0.0
        self._window = _Window(load)
        self._problem: str | None = None
        self._news = asyncio.Event()

    async def carry_out(self) -> Measured:
        stored = await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_stored)
        settled = await self._nc.subscribe(f"$JS.ACK.{subjects.PLANS_STREAM}.>", cb=self._on_settled)
        await flush(self._nc)
        self._began = time.perf_counter()
        await self._ramp_up()
        memory = await self._wait_for_end()
        await stored.unsubscribe()
        await settled.unsubscribe()
        if self._problem:
            raise RuntimeError(self._problem)
        window = self._window
        return Measured(
            submitted=self._submitted,
            seconds=window.ended_at - window.begun_at,
            plans=window.plans,
            steps=window.steps,
            latencies_ms=window.latencies_ms,
            first_plan_at=self._first_plan_at,
            cpu=window.cpu,
            memory_mib=window.memory_mib,
            memory=memory,
        )

    async def _ramp_up(self) -> None:
        """Submit the first plans spread over the warm-up: all at once, they would go on in step, and end in bursts."""
        for number in range(self._load.in_flight):
            await self._submit()
            early = number / self._load.in_flight * self._load.warm_seconds - (time.perf_counter() - self._began)
            if early > _PAUSE_SECONDS:
                await asyncio.sleep(early)

    async def _wait_for_end(self) -> list[MemorySample]:
        """Wait until what is to be measured was, and all plans have ended; meanwhile memory is sampled."""
        samples: list[MemorySample] = []
        while self._problem is None and not (self._window.ended_at and self._ended == self._submitted):
            self._news.clear()
            every = self._load.sample_every if not self._window.ended_at else 0.0
            try:
                async with asyncio.timeout(every or self._load.at_most_seconds + _DRAIN_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                if not every:
                    raise
                mib = {name: memory_mib(pid) for name, pid in self._load.pids.items()}
                samples.append(MemorySample(self._window.steps, mib))
        return samples

    async def _submit(self) -> None:
        number, self._submitted = self._submitted, self._submitted + 1
        body = self._submissions.body(self._load.prefix, number)
        self._submitted_at[number] = time.perf_counter()
        await self._nc.publish(subjects.PLANS_EXECUTE, body, reply=f"{self._inbox}.{number}")

    async def _on_stored(self, message: Msg) -> None:
        ack = _pub_ack.decode(message.data)
        if ack.error is not None or not ack.seq:
            self._problem = f"a submission was refused: {message.data!r}"
            self._news.set()
            return
        number = int(message.subject.rpartition(".")[2])
        if (at := self._early.pop(ack.seq, None)) is not None:
            await self._note_end(number, at)
        else:
            self._by_sequence[ack.seq] = number

    async def _on_settled(self, message: Msg) -> None:
        if message.data not in _ENDED:
            return  # a lease was renewed
        now, sequence = time.perf_counter(), int(message.subject.split(".")[5])
        number = self._by_sequence.pop(sequence, None)
        if number is None:
            self._early[sequence] = now
        else:
            await self._note_end(number, now)

    async def _note_end(self, number: int, now: float) -> None:
        self._ended += 1
        self._first_plan_at = self._first_plan_at or time.time()
        submitted_at, window = self._submitted_at.pop(number), self._window
        if window.is_open:
            window.plans += 1
            window.steps += len(self._shape.graph_of(number).depends_on)
            window.latencies_ms.append((now - submitted_at) * 1000)
            if self._is_over(now):
                window.end(now)
        elif not window.begun_at and self._is_warm(now):
            window.begin(now)
        if window.ended_at:
            if self._ended == self._submitted:
                self._news.set()
        else:
            await self._submit()

    def _is_warm(self, now: float) -> bool:
        return self._ended >= self._load.warm_plans and now - self._began >= self._load.warm_seconds

    def _is_over(self, now: float) -> bool:
        took = now - self._window.begun_at
        wanted = took >= self._load.seconds and self._window.plans >= self._load.plans
        # As many as are in flight, or a multiple: where plans end in bursts after all, none is cut.
        return (wanted and self._window.plans % self._load.in_flight == 0) or took >= self._load.at_most_seconds


async def main() -> None:
    """Carry out orders until there are no more."""
    nc = await nats.connect(os.environ["NATS_URL"].split(","))
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
        load = msgspec.json.decode(line, type=Load)
        measured = await _Run(
            nc, msgspec.structs.replace(load, pids={**load.pids, "generator": os.getpid()})
        ).carry_out()
        sys.stdout.buffer.write(msgspec.json.encode(measured) + b"\n")
        sys.stdout.buffer.flush()
    await nc.close()


if __name__ == "__main__":
    uvloop.run(main())
