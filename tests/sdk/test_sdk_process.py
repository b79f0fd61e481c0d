"""A responder as a process of its own: a plain script with ``responder.run()``."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.discovery import discover_tools

SCRIPT = """
import asyncio
import msgspec
from leadplan_responder import ConfigurationError, Responder, ToolContext

class Params(msgspec.Struct):
    seconds: float = 0.0

async def announce_stop():
    print("stop hook", flush=True)

async def check_settings():
    {on_start}

responder = Responder("script", version="1.0.0", description="A script", on_start=[check_settings],
                      on_stop=[announce_stop])

@responder.tool("NAP", effects="none")
async def nap(params: Params, ctx: ToolContext) -> str:
    ctx.log.info("napping", extra={{"seconds": params.seconds}})
    await asyncio.sleep(params.seconds)
    return "rested"

@responder.tool("BREAK", effects="none")
async def break_down(params: Params, ctx: ToolContext) -> None:
    if params.seconds:
        # The server ends the connection, and nats-py doesn't connect again.
        await ctx.nats.publish("any", b"x" * ctx.nats.max_payload, headers={{"Name": "value"}})
        await asyncio.sleep(10)
    raise RuntimeError("the private reason")

if __name__ == "__main__":
    {first}
    responder.run()
"""

Start = Callable[..., Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
async def start(tmp_path: Path, nats_url: str) -> AsyncIterator[Start]:
    started: list[asyncio.subprocess.Process] = []

    async def start_script(
        *, on_start: str = "pass", first: str = "", **environment: str
    ) -> asyncio.subprocess.Process:
        script = tmp_path / "script.py"
        script.write_text(SCRIPT.format(on_start=on_start, first=first))
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-W",
            "error",
            str(script),
            env={**os.environ, "NATS_URL": nats_url, **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        started.append(process)
        return process

    yield start_script
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process, within: float = 10.0) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error."""
    out, err = await asyncio.wait_for(process.communicate(), within)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def served(nc: Client, eventually: Any) -> Callable[[], Awaitable[None]]:
    async def all_tools() -> bool:
        return len(await discover_tools(nc, silence=0.05)) == 2

    return lambda: eventually(all_tools, what="the script's tools")


async def test_sigterm_answers_the_running_requests_and_exits_with_0(start: Start, caller: Any, served: Any):
    process = await start(LEADPLAN_GRACE_MS="500")
    await served()
    assert (await caller.ask("NAP"))["data"] == "rested"
    finishes = await caller.start("NAP", {"seconds": 0.2}, stepId="finishes")
    stays = await caller.start("NAP", {"seconds": 600}, stepId="stays")
    assert (await caller.ask("BREAK"))["errorCode"] == "internal_error"  # the two before it have begun by now
    process.send_signal(signal.SIGTERM)
    assert (await finishes.reply())["data"] == "rested"
    assert (await stays.reply())["errorCode"] == "stopping"
    code, out, err = await ended(process)
    assert (code, out) == (0, "stop hook\n")
    lines = err.splitlines()
    assert any("leadplan.responder: serving tools=['BREAK', 'NAP'] nats=nats://127.0.0.1:" in line for line in lines)
    assert any(
        "leadplan.tool.NAP: napping plan_id=p1 step_id=stays attempt=1 round=1 seconds=600.0" in line for line in lines
    )
    assert any("ERROR leadplan.tool.BREAK: unexpected error" in line and "error_id=" in line for line in lines)
    assert "RuntimeError: the private reason" in lines
    assert "stopped" in lines[-1]


async def test_ctrl_c_while_it_waits_for_a_server_ends_it_at_once(start: Start, nats_server: Any):
    nats_server.kill()
    process = await start()
    assert process.stderr is not None
    async with asyncio.timeout(10):
        await process.stderr.readuntil(b"[Errno ")
    process.send_signal(signal.SIGINT)
    code, out, _ = await ended(process, within=5)
    assert (code, out) == (0, "stop hook\n")


IMPATIENT = """
    import functools, leadplan_responder.serving as serving
    serving.connect = functools.partial(serving.connect, within_seconds=0.5)
"""


async def test_without_a_server_it_ends_with_one_clear_line_and_code_1(start: Start, nats_server: Any):
    nats_server.kill()
    code, out, err = await ended(await start(first=IMPATIENT))
    assert (code, out) == (1, "stop hook\n")
    lines = err.splitlines()
    assert lines[-1].startswith(f"script: no NATS server answered at {nats_server.url} within 0.5 s")
    assert len(lines) == 2, "while it tries, the reason is told once"
    assert "Traceback" not in err


async def test_a_refused_password_is_told_and_not_shown(start: Start, nats_server: Any, tmp_path: Path):
    folder = tmp_path / "locked"
    folder.mkdir()
    locked = type(nats_server)(folder)
    locked.extra = "authorization { user: u, password: right }"
    locked.start()
    try:
        code, _, err = await ended(await start(first=IMPATIENT, NATS_URL=f"nats://u:wr0ng@127.0.0.1:{locked.port}"))
    finally:
        locked.kill()
    assert code == 1
    assert err.splitlines()[-1].startswith(f"script: no NATS server answered at nats://127.0.0.1:{locked.port} within")
    assert "Authorization" in err
    assert "wr0ng" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("environment", "on_start", "line"),
    [
        ({"LEADPLAN_GRACE_MS": "soon"}, "pass", "script: LEADPLAN_GRACE_MS must be a whole number of milliseconds"),
        ({"LEADPLAN_REPLICAS": "three"}, "pass", "script: LEADPLAN_REPLICAS must be a number from 1 to 5, not 'three'"),
        ({"NATS_URL": "nats://u:se/cret@h"}, "pass", "script: NATS_URL is no NATS address: write nats://host:4222"),
        ({}, "raise ConfigurationError('X_API_KEY is missing')", "script: X_API_KEY is missing"),
    ],
)
async def test_a_bad_setting_ends_it_with_one_clear_line_and_code_2(
    start: Start, environment: dict[str, str], on_start: str, line: str
):
    code, _, err = await ended(await start(on_start=on_start, **environment))
    assert code == 2
    assert err.splitlines()[-1].startswith(line)
    assert "Traceback" not in err
    assert "cret" not in err


async def test_a_connection_that_is_closed_for_good_ends_it_with_code_1(start: Start, caller: Any, served: Any):
    process = await start(LEADPLAN_GRACE_MS="0")
    await served()
    await caller.start("BREAK", {"seconds": 1})
    code, out, err = await ended(process)
    assert (code, out) == (1, "stop hook\n")
    assert err.splitlines()[-1] == "script: the NATS connection was closed for good (nats: maximum payload violation)"
