"""A process that is killed in the middle of a step: the next one goes on from the step's checkpoint."""

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.discovery import discover_tools

SCRIPT = """
import asyncio, os
import msgspec
from leadplan_responder import Responder, ToolContext

class Params(msgspec.Struct):
    names: list[str]

responder = Responder("script", version="1.0.0", description="Works on names")

async def work(params: Params, ctx: ToolContext) -> list[str]:
    done = await ctx.checkpoint.load(int)
    before = sorted(done)
    for number, name in enumerate(params.names):
        if name not in done:
            await ctx.checkpoint.keep(name, number)
            if name == os.environ.get("HANG_AFTER"):
                print("reached", flush=True)
                await asyncio.Event().wait()
    return before

responder.tool("WORK", effects="none")(work)
responder.tool("WORK_ONCE", effects="once", in_doubt="run_again")(work)

if __name__ == "__main__":
    responder.run()
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(tmp_path: Path, nats_url: str, nc: Client, eventually: Any) -> AsyncIterator[Start]:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    started: list[asyncio.subprocess.Process] = []

    async def serves() -> bool:
        return len(await discover_tools(nc, silence=0.05)) == 2

    async def start_script(**environment: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", str(script),
            env={**os.environ, "NATS_URL": nats_url, **environment}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        started.append(process)
        await eventually(serves)
        return process

    yield start_script
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("tool", ["WORK", "WORK_ONCE"])
async def test_the_next_process_goes_on_where_a_killed_one_was(start: Start, caller: Any, tool: str):
    killed = await start(HANG_AFTER="c")
    await caller.start(tool, {"names": ["a", "b", "c", "d"]})
    assert killed.stdout is not None
    async with asyncio.timeout(10):
        assert await killed.stdout.readline() == b"reached\n"
    killed.kill()
    await killed.wait()
    await start()
    reply = await caller.ask(tool, {"names": ["a", "b", "c", "d"]}, attempt=2)
    assert reply == {"success": True, "data": ["a", "b", "c"]}
