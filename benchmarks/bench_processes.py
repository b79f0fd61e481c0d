"""What the benchmarks start: nats-servers with folders of their own, executors and responders, each a process."""

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from nats.aio.client import Client

from leadplan_bus.connection import close, connect
from leadplan_cli.local.nats_server import nats_server_program

_START_SECONDS = 60.0
_END_SECONDS = 15.0
_MIB = 1024 * 1024
HERE = Path(__file__).parent
EXECUTOR_CODE = "from leadplan_executor.service import run; raise SystemExit(run())"
EXECUTOR_READY = '"serving"'


def tell(line: str = "") -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def memory_mib(pid: int) -> float:
    """What of a process is in memory now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / _MIB
    return 0.0


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class MeasuredProcess:
    """A process whose start, memory and processor time can be told.

    Attributes:
        begun_at: when it was started, in seconds since 1970.
        started_in: seconds from its start until it was ready.
    """

    def __init__(self, process: subprocess.Popen[bytes], begun_at: float, started_in: float) -> None:
        self.process = process
        self.begun_at = begun_at
        self.started_in = started_in

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def memory_mib(self) -> float:
        """What of it is in memory now."""
        return memory_mib(self.pid)

    @property
    def cpu_seconds(self) -> float:
        """Processor time that it has used."""
        return cpu_seconds(self.pid)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class NatsServers(NamedTuple):
    """Servers that run: all their addresses as in ``NATS_URL``, and their processes."""

    url: str
    processes: list[MeasuredProcess]


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _configuration(node: int, ports: Sequence[int], route_ports: Sequence[int], store: Path, sync_always: bool) -> str:
    sync = ", sync_interval: always" if sync_always else ""
    lines = [
        f'listen: "127.0.0.1:{ports[node]}"',
        f"server_name: benchmark-{node + 1}",
        f'jetstream {{ store_dir: "{store}"{sync} }}',
        # nats-py's ordered consumers and object store don't know the newer form of ack subjects.
        "feature_flags { js_ack_fc_v2: false }",
    ]
    if len(ports) > 1:
        routes = ", ".join(f'"nats-route://127.0.0.1:{port}"' for port in route_ports)
        lines.append(f'cluster {{ name: benchmark, listen: "127.0.0.1:{route_ports[node]}", routes: [{routes}] }}')
    return "\n".join(lines)


@contextmanager
def nats_servers(folder: Path, *, nodes: int = 1, sync_always: bool = False) -> Iterator[NatsServers]:
    """One server, or a cluster, on what lies in ``folder``; it may not answer yet."""
    ports = _free_ports(2 * nodes)
    ports, route_ports = ports[:nodes], ports[nodes:]
    with ExitStack() as stack:
        processes = []
        for node in range(nodes):
            store = folder / f"node-{node + 1}"
            configuration = folder / f"node-{node + 1}.conf"
            configuration.write_text(_configuration(node, ports, route_ports, store, sync_always))
            command = [nats_server_program(), "-c", str(configuration)]
            with (folder / f"node-{node + 1}.log").open("wb") as log:
                process = subprocess.Popen(command, stderr=log)  # noqa: S603 - our own server
            stack.callback(_end, process)
            processes.append(MeasuredProcess(process, time.time(), 0.0))
        yield NatsServers(",".join(f"nats://127.0.0.1:{port}" for port in ports), processes)


@asynccontextmanager
async def nats_server() -> AsyncIterator[tuple[str, Client]]:
    """A fresh server: its address, and a connection to it."""
    with tempfile.TemporaryDirectory() as folder, nats_servers(Path(folder)) as servers:
        nc = await connected(servers)
        yield servers.url, nc
        await close(nc)


def _listens(address: str) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0


async def connected(servers: NatsServers) -> Client:
    """A connection to servers whose JetStream answers.

    Raises:
        RuntimeError: a server ended at once.
    """
    async with asyncio.timeout(_START_SECONDS):
        while not all(map(_listens, servers.url.split(","))):
            if any(one.process.poll() is not None for one in servers.processes):
                raise RuntimeError("a nats-server ended at once: its log lies in the folder of its store")
            await asyncio.sleep(0.02)
    nc = await connect(servers.url, name="benchmark", within_seconds=_START_SECONDS)
    async with asyncio.timeout(_START_SECONDS):
        while True:
            try:
                await nc.jetstream(timeout=1).account_info()
            except Exception:
                await asyncio.sleep(0.05)
            else:
                return nc


@contextmanager
def measured_process(
    command: Sequence[str], url: str, ready: str | None, settings: dict[str, str]
) -> Iterator[MeasuredProcess]:
    """A process, once ``ready`` stands in what it logs; its log is shown where it isn't ready in time."""
    begun_at, begun = time.time(), time.monotonic()
    environment = {**os.environ, "NATS_URL": url, **settings}
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(list(command), env=environment, stdout=log, stderr=log)  # noqa: S603 - our own code
        try:
            while ready is not None and ready not in (said := Path(log.name).read_text()):
                if process.poll() is not None or time.monotonic() - begun > _START_SECONDS:
                    raise RuntimeError(f"the process isn't ready: {said[-2000:]}")
                time.sleep(0.002)
            yield MeasuredProcess(process, begun_at, time.monotonic() - begun)
        except Exception as error:
            if process.poll() is not None:
                error.add_note(f"a process ended by itself: {Path(log.name).read_text()[-2000:]}")
            raise
        finally:
            _end(process)


def python_process(code: str, url: str, ready: str, **settings: str) -> AbstractContextManager[MeasuredProcess]:
    """A Python process with this code, once ``ready`` stands in what it logs."""
    return measured_process([sys.executable, "-c", code], url, ready, settings)


def script_process(script: str, url: str, ready: str, **settings: str) -> AbstractContextManager[MeasuredProcess]:
    """A script of this folder as a process, once ``ready`` stands in what it logs."""
    return measured_process([sys.executable, str(HERE / script)], url, ready, settings)


def executor_process(url: str, **settings: str) -> AbstractContextManager[MeasuredProcess]:
    """An executor, once it takes plans."""
    return python_process(EXECUTOR_CODE, url, EXECUTOR_READY, **settings)
