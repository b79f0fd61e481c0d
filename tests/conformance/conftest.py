"""Example responders and an executor as processes of their own, a web site to visit, and running the checks."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_cli.conformance.checks import Probe

EXECUTOR = [sys.executable, "-c", "from leadplan_executor.service import run; raise SystemExit(run())"]
PAGE = b"<html><title> Dentists of Leeds </title></html>"


class Site(ThreadingHTTPServer):
    """A web site: ``/ok``, ``/missing``, ``/limited`` (429 the first time), ``/slow`` (until ``released``)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Visit)
        self.visits: Counter[str] = Counter()
        self.released = threading.Event()
        self.seconds = 0.0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A visitor that went away is no error."""


class _Visit(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        self.server.visits[self.path] += 1
        time.sleep(self.server.seconds)
        if self.path == "/slow":
            self.server.released.wait(20)
        if self.path == "/limited" and self.server.visits[self.path] == 1:
            self.send_response(429)
            self.send_header("Retry-After", "1")
        else:
            self.send_response(404 if self.path == "/missing" else 200)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    site.released.set()
    site.shutdown()
    thread.join()
    site.server_close()


class RunningProcess:
    """A process that says ``serving`` when it is ready."""

    def __init__(self, command: list[str], log: Path, environment: dict[str, str]) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    @property
    def log(self) -> str:
        return self._log.read_text()

    def is_serving(self) -> bool:
        assert self._process.poll() is None, self.log
        return "serving" in self.log

    def terminate(self) -> None:
        self._process.send_signal(signal.SIGTERM)

    async def ended(self) -> int:
        return await asyncio.to_thread(self._process.wait, 20)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


StartProcess = Callable[..., Awaitable[RunningProcess]]


@pytest.fixture
def start_process(tmp_path: Path, nats_url: str, eventually: Callable[..., Awaitable[None]]) -> Iterator[StartProcess]:
    started: list[RunningProcess] = []

    async def start(*command: str, **environment: str) -> RunningProcess:
        log = tmp_path / f"process-{len(started)}.log"
        process = RunningProcess(list(command), log, {**os.environ, "NATS_URL": nats_url, **environment})
        started.append(process)
        await eventually(process.is_serving, within=20, what=f"{command[-1]} serving")
        return process

    yield start
    for process in started:
        process.kill()


@pytest.fixture
def start_executor(start_process: StartProcess) -> StartProcess:
    async def start() -> RunningProcess:
        return await start_process(*EXECUTOR, LEADPLAN_LEASE_MS="1000", LEADPLAN_GRACE_MS="1000")

    return start


@pytest.fixture
async def executor(start_executor: StartProcess) -> RunningProcess:
    return await start_executor()


@pytest.fixture
async def probe(nc: Client) -> AsyncIterator[Callable[..., Awaitable[Probe]]]:
    """A probe that has asked the tool once."""
    started: list[Probe] = []

    async def start(tool: str, params: dict[str, Any], **options: Any) -> Probe:
        probe = Probe(nc, tool, params, **{"timeout_ms": 10_000, **options})
        await probe.start()
        started.append(probe)
        return probe

    yield start
    for one in started:
        await one.stop()
