"""Tools as processes of their own, as they are run for real: ``leadplan tool NAME``."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

from nats.aio.client import Client

from leadplan_bus.discovery import discover_tools

ALL_TOOLS = (
    "GOOGLE_PLACES_SEARCH",
    "HUNTER_DOMAIN_LOOKUP",
    "HUNTER_ENRICH",
    "LEAD_LIST_SAVE",
    "EMAIL_SEQUENCE_SETUP",
    "MONITOR_SETUP",
)
_READY_SECONDS = 40.0
_STOP_SECONDS = 10.0


def start_process(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> "subprocess.Popen[bytes]":
    """Start a command; all that it writes goes to ``<folder>/<name>.log``."""
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=dict(environment))


@contextlib.contextmanager
def running_process(
    name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process as `start_process` starts it, stopped at the end of the block."""
    process = start_process(name, command, folder, environment)
    try:
        yield process
    finally:
        process.terminate()
        _end(process)


def leadplan(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "leadplan_cli", *arguments]


@contextlib.asynccontextmanager
async def tool_processes(
    nc: Client, tools: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> AsyncIterator[None]:
    """Serve tools until the block is left; they are all announced when it begins."""
    running = {
        tool: start_process(tool, leadplan("tool", tool), folder, {**os.environ, **environment}) for tool in tools
    }
    try:
        await until_announced(nc, running, folder)
        yield
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            await asyncio.to_thread(_end, process)


async def until_announced(nc: Client, running: "Mapping[str, subprocess.Popen[bytes]]", folder: Path) -> None:
    """Wait until each tool is announced; a process that ends before that is an error with its log."""
    async with asyncio.timeout(_READY_SECONDS):
        while not set(running) <= {found.tool for found in await discover_tools(nc)}:
            for tool, process in running.items():
                assert process.poll() is None, f"{tool} ended: {(folder / f'{tool}.log').read_text()[-2000:]}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
