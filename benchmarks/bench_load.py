"""The load generator as a process: orders go to it, and what it measured comes back, a line of JSON each."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

import msgspec
from bench_processes import HERE

_LONGEST_LINE = 64 * 1024 * 1024
_EXTRA_SECONDS = 120.0


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """An order: keep so many plans in flight, and measure from the end of the warm-up.

    Attributes:
        shape: name of the workload.
        prefix: what the plans' ids begin with, five characters.
        in_flight: plans submitted and not ended.
        warm_seconds, warm_plans: the warm-up lasts for both.
        seconds, plans: what is measured lasts for both. It begins and ends with the end of a plan, and holds as many
            plans as are in flight, or a multiple.
        at_most_seconds: the longest time, in place of the former.
        pids: the processes whose processor time and memory are noted, by name.
        sample_every: seconds between samples of the memory; 0 for those at the end only.
    """

    shape: str
    prefix: str
    in_flight: int
    warm_seconds: float
    warm_plans: int
    seconds: float
    plans: int
    pids: dict[str, int] = {}
    at_most_seconds: float = 120.0
    sample_every: float = 0.0


class MemorySample(msgspec.Struct, frozen=True):
    """What was in memory, in MiB by process, when so many steps had been run."""

    steps: int
    mib: dict[str, float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an order.

    Attributes:
        submitted: plans, those of the warm-up included; all have ended.
        seconds: how long what was measured took.
        plans, steps: how many ended in that time.
        latencies_ms: of these, from handing the submission to the client until its message was seen to leave the queue.
        first_plan_at: when the first plan of all was seen to end, in seconds since 1970.
        cpu: cores used in that time, by process.
        memory_mib: at its end, by process.
        memory: samples, where they were asked for.
    """

    submitted: int
    seconds: float
    plans: int
    steps: int
    latencies_ms: list[float]
    first_plan_at: float
    cpu: dict[str, float]
    memory_mib: dict[str, float]
    memory: list[MemorySample] = []


class LoadGenerator:
    """A generator process that runs."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @property
    def pid(self) -> int:
        """Its process number."""
        return self._process.pid

    @classmethod
    @asynccontextmanager
    async def started(cls, url: str) -> AsyncIterator[Self]:
        """Start one, connected to these servers, and end it."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(HERE / "bench_generator.py"),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "NATS_URL": url},
            limit=_LONGEST_LINE,
        )
        try:
            yield cls(process)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()

    async def run(self, load: Load) -> Measured:
        """Carry out an order; every plan has ended then.

        Raises:
            TimeoutError: the plans don't end.
            RuntimeError: the generator failed; what with stands on the standard error output.
        """
        assert self._process.stdin is not None  # noqa: S101 - as it was started
        assert self._process.stdout is not None  # noqa: S101
        self._process.stdin.write(msgspec.json.encode(load) + b"\n")
        async with asyncio.timeout(load.at_most_seconds + _EXTRA_SECONDS):
            line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the load generator ended with exit code {await self._process.wait()}")
        return msgspec.json.decode(line, type=Measured)
