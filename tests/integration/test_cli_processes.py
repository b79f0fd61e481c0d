"""PROCESS TESTS: the ``leadplan`` command as processes of its own against a real nats-server, without an executor."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_cli import watching
from leadplan_cli.local.child import Child
from leadplan_cli.local.nats_server import nats_server_command, nats_server_url
from leadplan_client import plan_lead_generation
from leadplan_contracts import LeadGenGoal, PlanSubmission, SupervisorUserContext
from leadplan_contracts.wire import encode

TIME = "2026-11-23T09:15:02.417Z"
Eventually = Callable[..., Awaitable[None]]


async def leadplan(*arguments: str, url: str, stdin: bytes = b"", **environment: str) -> tuple[int, str, str]:
    """Run the command: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "leadplan_cli",
        *arguments,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NATS_URL": url, **environment},
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), 20)
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def submission() -> bytes:
    plan = plan_lead_generation(LeadGenGoal(description="Find dentists in Leeds"), {}, plan_id="p")
    return encode(PlanSubmission(plan=plan, user=SupervisorUserContext(user_id="u")))


@pytest.fixture
async def streams(nc: Client) -> Client:
    await ensure_topology(nc.jetstream(), Retention())
    return nc


async def store(nc: Client, *events: dict[str, Any]) -> None:
    for sequence, event in enumerate(events, 1):
        body = {"planId": "p", "sequence": sequence, "time": TIME, **event}
        await nc.jetstream().publish("plans.log.p", msgspec.json.encode(body))


def a_run(submission: bytes, status: str) -> list[dict[str, Any]]:
    plan = json.loads(submission)["plan"]
    times = {"startedAt": TIME, "finishedAt": TIME}
    result = {"planId": "p", "overallStatus": status, "stepResults": [], **times}
    started = {"type": "PLAN_STARTED", "plan": plan, "meta": {"executor": "e", "submission": 1}}
    return [started, {"type": "PLAN_COMPLETED", "result": result}]


@pytest.fixture
async def responder(nc: Client) -> AsyncIterator[None]:
    def ignore(message: Msg, endpoint: Endpoint) -> None: ...

    service = MicroService(nc, name="a-service", version="1.0.0", description="")
    await service.add_endpoint("ECHO", "tools.ECHO", ignore, {"tool": "ECHO"})
    await service.start()
    await flush(nc)
    yield
    await service.stop_endpoints()
    await service.stop()


@pytest.mark.usefixtures("responder")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 0, "NATS and JetStream answer"),
        (["--service", "a-service", "--tool", "ECHO", "--tool", "echo"], 0, "ECHO answers"),
        (["--service", "another"], 1, "no instance of service another answers"),
        (["--tool", "ECHO", "--tool", "no-such"], 1, "no responder announces NO_SUCH"),
    ],
)
async def test_health(nats_url: str, arguments: list[str], code: int, said: str):
    outcome = await leadplan("health", *arguments, url=nats_url)
    assert outcome[0] == code
    assert said in outcome[1 if code == 0 else 2]
    assert len(f"{outcome[1]}{outcome[2]}".splitlines()) == 1


async def test_without_a_server_one_line_says_so():
    code, out, err = await leadplan("health", "--timeout", "0.3", url="nats://user:secret@127.0.0.1:1")
    assert (code, out) == (1, "")
    assert err.startswith("leadplan: no NATS server answered at nats://127.0.0.1:1 within 0.3 s")
    assert len(err.splitlines()) == 1
    assert "secret" not in err


async def test_submitting_where_no_executor_ever_ran(nats_url: str, submission: bytes):
    code, out, err = await leadplan("submit", "-", url=nats_url, stdin=submission)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "no executor ever ran" in err


async def test_submitting_without_watching(streams: Client, nats_url: str, submission: bytes):
    code, out, err = await leadplan("submit", "-", url=nats_url, stdin=submission)
    assert (code, err) == (0, "")
    assert "leadplan watch p" in out
    code, out, err = await leadplan("submit", "-", "--json", url=nats_url, stdin=submission)
    assert (code, json.loads(out), err) == (0, {"planId": "p", "submission": 2}, "")
    assert (await streams.jetstream().get_msg("PLANS", seq=1)).data == submission


@pytest.mark.parametrize(("status", "code"), [("succeeded", 0), ("partial", 1)])
async def test_the_exit_code_tells_how_a_watched_plan_ended(
    streams: Client, nats_url: str, submission: bytes, status: str, code: int
):
    await store(streams, *a_run(submission, status))
    outcome = await leadplan("watch", "p", url=nats_url)
    assert outcome[0] == code
    assert [line.split(" s  ")[1] for line in outcome[1].splitlines()] == [
        "plan p started: Dentists in Leeds (5 steps)",
        f"plan {status} after 0.0 s: 5 pending",
    ]


async def test_json_output_is_events_and_nothing_else(streams: Client, nats_url: str, submission: bytes):
    await store(streams, *a_run(submission, "succeeded"))
    code, out, err = await leadplan("submit", "-", "--watch", "--json", url=nats_url, stdin=submission)
    assert (code, err) == (0, "")
    assert [json.loads(line)["type"] for line in out.splitlines()] == ["PLAN_STARTED", "PLAN_COMPLETED"]


async def test_a_rejection_is_shown_with_its_problems(streams: Client, nats_url: str):
    problem = {"path": "plan.steps[0].params", "code": "invalid_params", "message": "no query"}
    body = {"type": "PLAN_REJECTED", "planId": "p", "time": TIME, "meta": {"errors": [problem], "original": {}}}
    await streams.jetstream().publish("plans.rejected.p", msgspec.json.encode(body))
    code, out, err = await leadplan("watch", "p", url=nats_url)
    assert code == 1
    assert "plan.steps[0].params: no query [invalid_params]" in out
    assert err == "leadplan: plan p was rejected with 1 problem\n"


async def test_ctrl_c_ends_the_watching(streams: Client, nats_url: str, submission: bytes):
    await store(streams, a_run(submission, "succeeded")[0])
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", "watch", "p"),
        stdout=subprocess.PIPE,
        env={**os.environ, "NATS_URL": nats_url},
    )
    assert process.stdout is not None
    assert b"plan p started" in await asyncio.wait_for(process.stdout.readline(), 10)
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 10) == 130


async def test_a_plan_that_nothing_is_known_of_gets_a_hint(
    streams: Client,
    submission: bytes,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.setattr(watching, "_PATIENCE_SECONDS", 0.01)
    watched = asyncio.create_task(watching.watch(streams, "p", as_json=True))
    await eventually(lambda: "nothing is known of plan p" in capsys.readouterr().err)
    await store(streams, *a_run(submission, "cancelled"))
    assert watching.exit_code(await asyncio.wait_for(watched, 10)) == 1


async def test_a_tool_with_a_bad_setting_exits_with_2():
    environment = {"LEADPLAN_LOG_LEVEL": "loud"}
    code, _, err = await leadplan("tool", "monitor-setup", url="nats://127.0.0.1:1", **environment)
    assert (code, err.count("\n")) == (2, 1)
    assert "LEADPLAN_LOG_LEVEL" in err


async def test_the_embedded_server_has_jetstream_and_a_free_port(tmp_path: Path, eventually: Eventually):
    child = await Child.start(
        "nats-server", nats_server_command(tmp_path, "test"), log_path=tmp_path / "log", environment=os.environ
    )
    try:
        url = await asyncio.wait_for(nats_server_url(tmp_path), 10)
        assert url.startswith("nats://127.0.0.1:")
        assert (await leadplan("health", url=url))[0] == 0
        assert "js_ack_fc_v2: false" in (tmp_path / "nats.conf").read_text()
    finally:
        await child.stop(5)
    assert "Server Exiting" in child.last_lines()


async def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path, eventually: Eventually):
    code = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    log = tmp_path / "log"
    child = await Child.start("deaf", [sys.executable, "-c", code], log_path=log, environment=os.environ)
    await eventually(lambda: "deaf" in log.read_text())
    await child.stop(0.1)
    error = await child.died()
    assert (error.name, error.returncode) == ("deaf", -signal.SIGKILL)
    assert "deaf ended by itself with code -9; the end of its log:\n  deaf" in str(error)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends orphans on Linux only")
async def test_no_child_outlives_a_parent_that_is_killed(tmp_path: Path, eventually: Eventually):
    code = f"""
import asyncio, os, sys
from pathlib import Path
from leadplan_cli.local.child import Child

async def main():
    await Child.start("sleeper", ["sleep", "60"], log_path=Path({str(tmp_path / "log")!r}), environment=os.environ)
    print("started", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    assert await asyncio.wait_for(parent.stdout.readline(), 10) == b"started\n"
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()  # noqa: ASYNC240 - a test
    parent.kill()
    await parent.wait()

    def ended() -> bool:
        status = Path(f"/proc/{child}/status")
        # Nobody may be there to collect its exit code: a zombie has ended too.
        return not status.exists() or "State:\tZ" in status.read_text()

    await eventually(ended, what="the child's end")
