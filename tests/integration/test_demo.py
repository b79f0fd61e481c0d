"""PROCESS TESTS: ``leadplan demo`` and ``leadplan dev``, with every process that they start (about 20 s in all)."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client

LEADPLAN = [sys.executable, "-m", "leadplan_cli"]
STEPS = ["search", "domains", "enrich", "save", "outreach", "monitor"]


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    without = {name: value for name, value in os.environ.items() if name != "NATS_URL"}
    return {**without, "TMPDIR": str(tmp_path), **more}


def run(*arguments: str, tmp_path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LEADPLAN, *arguments],
        env=environment(tmp_path, **more),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def events(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], *, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, "the condition didn't come true"
        time.sleep(0.02)


def test_the_demo_runs_six_steps_and_leaves_nothing_behind(tmp_path: Path):
    outcome = run("demo", "--target", "3", tmp_path=tmp_path)
    assert outcome.returncode == 0, outcome.stderr
    assert "plan succeeded" in outcome.stdout
    for step in STEPS:
        assert re.search(rf"^ +[0-9.]+ s  {step} +succeeded", outcome.stdout, re.MULTILINE)
        assert re.search(rf"^{step} +", outcome.stdout, re.MULTILINE)
    assert "3 places for 'dentists in Leeds'" in outcome.stdout
    assert list(tmp_path.iterdir()) == []
    _, leads, monitors, monitor_run = re.split(r"^\$ leadplan .*\n", outcome.stdout, flags=re.MULTILINE)
    assert leads.startswith("Email ")
    saved = re.search(r"^save +(\d+) new leads?, 0 updated", outcome.stdout, re.MULTILINE)
    assert saved is not None
    assert len(re.findall(r"^\S+@\S+ ", leads, re.MULTILINE)) == min(int(saved[1]), 5) > 0
    assert "-monitor  0 9 * * 1 (Europe/London), next Mon " in monitors
    assert "4 steps: search, domains, enrich, save" in monitors
    assert f"the monitor ran: 0 new leads, {saved[1]} known." in monitor_run


async def test_both_runs_are_told_as_events_and_no_monitor_stays_on_a_given_server(
    nats_url: str, nc: Client, tmp_path: Path
) -> None:
    outcome = await asyncio.to_thread(run, "demo", "--target", "2", "--json", tmp_path=tmp_path, NATS_URL=nats_url)
    assert outcome.returncode == 0, outcome.stderr
    first, *_, last = seen = events(outcome.stdout)
    assert [event["planId"] for event in seen if event["type"] == "PLAN_STARTED"] == [first["planId"], last["planId"]]
    assert last["planId"].startswith(f"{first['planId']}-monitor-")
    completed = [event["result"]["overallStatus"] for event in seen if event["type"] == "PLAN_COMPLETED"]
    assert completed == ["succeeded", "succeeded"]
    schedules = await nc.jetstream().stream_info("PLANS", subjects_filter="plans.schedule.>")
    assert not schedules.state.subjects


def test_a_failing_tool_is_retried_and_its_dependants_are_skipped(tmp_path: Path):
    outcome = run("demo", "--target", "3", "--fail", "hunter-enrich", "--json", tmp_path=tmp_path)
    assert outcome.returncode == 1, outcome.stderr
    seen = events(outcome.stdout)
    assert [event["meta"]["delayMs"] for event in seen if event["type"] == "STEP_RETRYING"] == [1000, 2000]
    final = {event["step"]["id"]: event["type"] for event in seen if "step" in event}
    assert final == {
        "search": "STEP_SUCCEEDED",
        "domains": "STEP_SUCCEEDED",
        "enrich": "STEP_FAILED",
        "save": "STEP_SKIPPED",
        "outreach": "STEP_SKIPPED",
        "monitor": "STEP_SKIPPED",
    }
    assert seen[-1]["result"]["overallStatus"] == "failed"
    sequences = [event["sequence"] for event in seen if "sequence" in event]
    assert sequences == list(range(1, len(sequences) + 1))


def test_a_process_that_dies_early_is_reported_with_its_log(tmp_path: Path):
    outcome = run("demo", tmp_path=tmp_path, SANDBOX_HUNTER_CREDITS="many")
    assert outcome.returncode == 1
    assert "leadplan: sandbox ended by itself with code 2; the end of its log:" in outcome.stderr
    assert "SANDBOX_HUNTER_CREDITS" in outcome.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def dev(tmp_path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen([*LEADPLAN, "dev"], env=environment(tmp_path), cwd=tmp_path, stdout=out, stderr=err)
    yield process
    process.kill()
    process.wait()


def exported(tmp_path: Path) -> dict[str, str]:
    """What dev tells people to export."""
    # The last line of its hints.
    wait_until(lambda: "leadplan health" in (tmp_path / "out").read_text())
    return dict(re.findall(r"export (\w+)=(\S+)", (tmp_path / "out").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="looks at its children in /proc")
def test_dev_serves_what_its_hints_say_until_ctrl_c(dev: "subprocess.Popen[bytes]", tmp_path: Path):
    hints = exported(tmp_path)
    url = hints["NATS_URL"]
    plan = run("plan", "Find vets in Hull", "--target", "2", "--sequence", "42", "-o", "plan.json", tmp_path=tmp_path)
    assert plan.returncode == 0, plan.stderr
    watched = run("submit", "plan.json", "--watch", tmp_path=tmp_path, NATS_URL=url)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    plan_id = json.loads((tmp_path / "plan.json").read_text())["plan"]["id"]
    replayed = run("watch", plan_id, "--json", tmp_path=tmp_path, NATS_URL=url)
    assert replayed.returncode == 0
    assert [event["type"] for event in events(replayed.stdout)][-1] == "PLAN_COMPLETED"

    lists = run("leads", "list", "--json", tmp_path=tmp_path, **hints)
    assert [json.loads(line)["name"] for line in lists.stdout.splitlines()] == ["Hull vets"], lists.stderr
    monitors = run("monitors", "list", "--json", tmp_path=tmp_path, **hints)
    assert [json.loads(line)["id"] for line in monitors.stdout.splitlines()] == [f"{plan_id}-monitor"], monitors.stderr

    second = run("dev", tmp_path=tmp_path)
    assert second.returncode == 1
    assert "another leadplan dev runs in" in second.stderr

    healthy = ["health", "--service", "leadplan-executor", "--tool", "HUNTER_ENRICH"]
    assert run(*healthy, tmp_path=tmp_path, NATS_URL=url).returncode == 0

    children = children_of(dev.pid)
    assert len(children) == 9
    dev.send_signal(signal.SIGINT)
    assert dev.wait(20) == 130
    assert not any(is_running(child) for child in children)
    assert (tmp_path / ".leadplan" / "leads.db").exists()
