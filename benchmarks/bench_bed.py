"""Where a measurement takes place: servers in a known state, a responder, a load generator, and who runs the plans."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path

import bench_floor
import msgspec
from bench_load import Load, LoadGenerator, Measured
from bench_processes import MeasuredProcess, connected, executor_process, nats_servers, script_process
from bench_recording import record
from bench_responder import TIMES_SUBJECT
from bench_shapes import shape
from nats.aio.client import Client

from leadplan_bus.connection import close
from leadplan_bus.topology import ensure_consumer, ensure_topology
from leadplan_contracts import subjects
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.start_up import shared_consumers

LEADPLAN, FLOOR = "leadplan", "floor"
_LOOK_SECONDS = 1.0
_RESPONDERS = {"plain": "bench_responder.py", "sdk": "bench_sdk_responder.py"}
_EMPTIED = (subjects.PLAN_LOG_STREAM, f"KV_{subjects.PLAN_INDEX_BUCKET}")


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """In what state the servers are.

    Attributes:
        name: what the results call it.
        title: what people read.
        nodes: how many; each stream has as many replicas.
        sync_always: each message is on the disk before it is acknowledged (``sync_interval: always``).
        finished_plans: so many lie in the log already.
    """

    name: str
    title: str
    nodes: int = 1
    sync_always: bool = False
    finished_plans: int = 0


class Bed:
    """Servers, a responder and a load generator that run.

    Attributes:
        setup: what state they are in.
        nc: a connection to the servers.
    """

    def __init__(
        self,
        setup: Setup,
        url: str,
        nc: Client,
        generator: LoadGenerator,
        running: dict[str, MeasuredProcess],
        executor_settings: dict[str, str],
    ) -> None:
        self.setup = setup
        self.nc = nc
        self._generator = generator
        self._url = url
        self._running = running
        self._executor_settings = executor_settings

    @contextmanager
    def running(
        self, variant: str, recording: Path, *, executors: int = 1, settings: dict[str, str] | None = None
    ) -> Iterator[None]:
        """Have executors, or the floor, run the plans of the workload that was recorded."""
        with contextlib.ExitStack() as stack:
            for number in range(executors):
                name = variant if executors == 1 else f"{variant}-{number + 1}"
                self._running[name] = stack.enter_context(self._runner(variant, recording, settings or {}))
                stack.callback(self._running.pop, name)
            yield

    def _runner(
        self, variant: str, recording: Path, settings: dict[str, str]
    ) -> AbstractContextManager[MeasuredProcess]:
        if variant == FLOOR:
            of_floor = {bench_floor.RECORDING_VARIABLE: str(recording), **settings}
            return script_process("bench_floor.py", self._url, "serving", **of_floor)
        return self.executor(**settings)

    def executor(self, **settings: str) -> AbstractContextManager[MeasuredProcess]:
        """An executor; ``running`` notes one for the results as well."""
        replicas = {"LEADPLAN_REPLICAS": str(self.setup.nodes)}
        return executor_process(self._url, **replicas, **self._executor_settings, **settings)

    async def run(self, load: Load) -> Measured:
        """Have the generator carry out an order, with our processes noted.

        Raises:
            RuntimeError: a process ended meanwhile.
            TimeoutError: the plans don't end.
        """
        load = msgspec.structs.replace(load, pids={name: one.pid for name, one in self._running.items()})
        generating = asyncio.create_task(self._generator.run(load))
        try:
            while not (await asyncio.wait({generating}, timeout=_LOOK_SECONDS))[0]:
                for name, one in self._running.items():
                    if one.process.poll() is not None:
                        raise RuntimeError(f"{name} ended while plans were run")
            return generating.result()
        finally:
            generating.cancel()

    async def empty(self) -> None:
        """Remove all logs, where the log is to be empty."""
        if self.setup.finished_plans:
            return
        for stream in _EMPTIED:
            await self.nc.jetstream().purge_stream(stream)

    async def stored(self, stream: str) -> int:
        """How many messages a stream has."""
        return (await self.nc.jetstream().stream_info(stream)).state.messages

    async def log_bytes(self) -> int:
        """How large the plans' logs are in the store."""
        return (await self.nc.jetstream().stream_info(subjects.PLAN_LOG_STREAM)).state.bytes

    async def start_noting_times(self) -> None:
        """Have the responder note when calls come."""
        await self.nc.request(TIMES_SUBJECT, b"start")

    async def noted_times(self) -> list[tuple[int, int]]:
        """When each call came since, and when its answer was given away, in ns since 1970."""
        answer = await self.nc.request(TIMES_SUBJECT, b"stop", timeout=10)
        return msgspec.json.decode(answer.data, type=list[tuple[int, int]])


@asynccontextmanager
async def bed(
    setup: Setup, folder: Path, *, responder: str = "plain", executor_settings: dict[str, str] | None = None
) -> AsyncIterator[Bed]:
    """Start servers on what lies in ``folder``, with our streams, a responder and a load generator."""
    with nats_servers(folder, nodes=setup.nodes, sync_always=setup.sync_always) as servers:
        nc = await connected(servers)
        settings = ExecutorSettings(replicas=setup.nodes)
        await ensure_topology(nc.jetstream(), settings.retention)
        for consumer in shared_consumers(settings):
            await ensure_consumer(nc.jetstream(), consumer)
        names = ["server"] if setup.nodes == 1 else [f"server-{number + 1}" for number in range(setup.nodes)]
        running = dict(zip(names, servers.processes, strict=True))
        with script_process(_RESPONDERS[responder], servers.url, "serving") as one:
            running["responder"] = one
            async with LoadGenerator.started(servers.url) as generator:
                yield Bed(setup, servers.url, nc, generator, running, executor_settings or {})
        await close(nc)


async def recorded(shapes: list[str], folder: Path) -> dict[str, Path]:
    """Record each workload with a real executor, in files in ``folder``."""
    files = {}
    async with bed(Setup(name="recording", title="recording"), folder) as one:
        with one.executor():
            for count, name in enumerate(shapes):
                files[name] = folder / f"{name}.recording"
                (await record(one.nc, shape(name), f"r{count:04d}")).save(files[name])
    return files
