"""PROCESS TEST: the very commands that docker-compose.yml starts, with the checked-in NATS configuration."""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from leadplan_bus.connection import connect
from leadplan_client.client import PlanClient
from leadplan_client.planner import plan_lead_generation
from leadplan_contracts import LeadGenGoal, OverallStatus, SupervisorUserContext

ROOT = Path(__file__).parent.parent.parent
SERVICES = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
BIN = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Compose:
    """What compose does, on this machine: variables filled in, each service a process, health checks asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"nats:4222": free_port(), "monitoring": free_port(), "sandbox:8090": free_port()}
        sandbox = f"http://127.0.0.1:{self.ports['sandbox:8090']}"
        self.variables = {
            "GOOGLE_PLACES_API_KEY": "sandbox-google-key",
            "GOOGLE_PLACES_BASE_URL": sandbox,
            "HUNTER_API_KEY": "sandbox-hunter-key",
            "HUNTER_BASE_URL": f"{sandbox}/v2",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        service = SERVICES[name]
        command = self._nats_command() if name == "nats" else [str(BIN / "leadplan"), *service["command"][1:]]
        environment = {"PATH": os.environ["PATH"], **self._environment(service)}
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, env=environment, cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )

    def _nats_command(self) -> list[str]:
        """The image's entry point runs nats-server with the service's command; paths and ports are moved."""
        text = (ROOT / "deploy" / "nats" / "nats.conf").read_text()
        text = text.replace('"/data"', json.dumps(str(self.folder / "data")))
        text = text.replace("0.0.0.0:8222", f"127.0.0.1:{self.ports['monitoring']}")
        text = text.replace("0.0.0.0:4222", f"127.0.0.1:{self.ports['nats:4222']}")
        config = self.folder / "nats.conf"
        config.write_text(text)
        words = [str(config) if word == "/etc/nats/nats.conf" else word for word in SERVICES["nats"]["command"]]
        return [str(BIN / "nats-server"), *words]

    def _environment(self, service: dict) -> dict[str, str]:
        return {name: self._filled(str(value)) for name, value in service.get("environment", {}).items()}

    def _filled(self, text: str) -> str:
        text = re.sub(r"\$\{(\w+):-([^}]*)\}", lambda found: self.variables.get(found[1], found[2]), text)
        text = text.replace("nats://nats:4222", f"nats://127.0.0.1:{self.ports['nats:4222']}")
        text = text.replace("sqlite:////data/", f"sqlite:///{self.folder}/")
        return {"0.0.0.0": "127.0.0.1", "8090": str(self.ports["sandbox:8090"])}.get(text, text)

    def healthy(self, name: str) -> bool:
        """Ask the service's own health check."""
        service = SERVICES[name]
        kind, *words = service["healthcheck"]["test"]
        assert kind == "CMD"
        if words[0] == "wget":
            return self._answers(words[-1].replace(":8222", f":{self.ports['monitoring']}"))
        words = [word.replace("8090", str(self.ports["sandbox:8090"])) for word in words]
        program = str(BIN / words[0])
        done = subprocess.run([program, *words[1:]], env=self._environment(service), capture_output=True, check=False)
        return done.returncode == 0

    def _answers(self, url: str) -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def wait_healthy(self, name: str, within: float = 30) -> None:
        deadline = time.monotonic() + within
        while not self.healthy(name):
            assert self.processes[name].poll() is None, f"{name} ended: {(self.folder / f'{name}.log').read_text()}"
            assert time.monotonic() < deadline, f"{name} isn't healthy: {(self.folder / f'{name}.log').read_text()}"

    def stop(self) -> dict[str, int]:
        codes = {}
        for name, process in reversed(self.processes.items()):
            process.terminate()
            codes[name] = process.wait(30)
        return codes


@pytest.fixture
def compose(tmp_path: Path):
    compose = Compose(tmp_path)
    yield compose
    for process in compose.processes.values():
        process.kill()
        process.wait()


def test_every_service_starts_is_healthy_runs_a_plan_and_stops(compose: Compose):
    for name in ("nats", "sandbox"):
        compose.start(name)
        compose.wait_healthy(name)
    rest = [name for name in SERVICES if name not in compose.processes]
    for name in rest:
        compose.start(name)
    for name in rest:
        compose.wait_healthy(name)

    result = asyncio.run(run_plan(f"nats://127.0.0.1:{compose.ports['nats:4222']}"))

    assert result.overall_status is OverallStatus.SUCCEEDED
    assert len(result.step_results) == 6
    assert (compose.folder / "leads.db").exists()
    # nats-server ends with 1 after SIGTERM unless it was told otherwise; ours must end with 0.
    codes = compose.stop()
    codes.pop("nats")
    assert set(codes.values()) == {0}


def test_a_health_check_fails_when_its_service_is_down(compose: Compose):
    compose.start("nats")
    compose.wait_healthy("nats")
    compose.start("executor")
    compose.wait_healthy("executor")
    compose.processes["executor"].terminate()
    compose.processes["executor"].wait(30)
    assert not compose.healthy("executor")


async def run_plan(url: str):
    nc = await connect(url, name="compose test")
    try:
        client = PlanClient(nc)
        goal = LeadGenGoal(description="Find dentists in Leeds and start outreach", target_count=3)
        plan = plan_lead_generation(goal, {"country": "GB", "sequenceId": 42})
        await client.submit(plan, SupervisorUserContext(user_id="u_1"))
        return await client.result(plan.id, wait_seconds=60)
    finally:
        await nc.close()
