"""The sandbox as a process: its log line, its settings, its end."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, SandboxStartError, serving

PROGRAM = "import sys; from leadplan_sandbox import run; sys.exit(run())"
LIMIT_SECONDS = 20


def start(**environment):
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {f"SANDBOX_{name.upper()}": str(value) for name, value in environment.items()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def process():
    running = start(port=0, hunter_key="another-key")
    yield running
    running.kill()
    running.communicate()


def first_line(process):
    watchdog = threading.Timer(LIMIT_SECONDS, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    return json.loads(line)


@pytest.mark.parametrize("stop_signal", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_stops_at_once(process, stop_signal):
    line = first_line(process)
    assert line["event"] == "listening"
    headers = {"X-API-KEY": "another-key"}
    with httpx.Client(base_url=line["url"]) as client:
        assert client.get("/healthz").status_code == 200
        assert client.get("/v2/account", headers=headers).status_code == 200
        client.post("/admin/faults", json={"path": "/v2/", "delayMs": 60_000})
        hanging = threading.Thread(target=_give_up, args=(line["url"],))
        hanging.start()
        _wait_for_request(client, 2)
        asked_at = time.monotonic()
        process.send_signal(stop_signal)
        assert process.wait(LIMIT_SECONDS) == 0
        assert time.monotonic() - asked_at < 3
        hanging.join(LIMIT_SECONDS)
    rest, errors = process.communicate()
    assert json.loads(rest)["event"] == "stopped"
    assert "Traceback" not in errors
    assert "another-key" not in rest + errors


def _give_up(url):
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{url}/v2/account", timeout=LIMIT_SECONDS)


def _wait_for_request(client, count):
    ends_at = time.monotonic() + LIMIT_SECONDS
    while len(client.get("/admin/requests").json()["requests"]) < count:
        assert time.monotonic() < ends_at, "the request didn't arrive"


def test_a_taken_port_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(port=taken.getsockname()[1])
        output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 1
    assert "SANDBOX_PORT" in json.loads(output)["error"]
    assert errors == ""


def test_a_bad_setting_is_one_clear_line_without_the_value():
    process = start(port="a-secret")
    output, errors = process.communicate(timeout=LIMIT_SECONDS)
    assert process.returncode == 2
    assert json.loads(output)["error"].startswith("SANDBOX_PORT: ")
    assert "a-secret" not in output + errors


def test_serving_takes_a_free_port_and_gives_it_back():
    with serving() as first, serving() as second:
        assert first != second
        assert httpx.get(f"{first}/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{first}/healthz")


def test_serving_says_when_it_cannot_listen():
    with serving() as url, pytest.raises(SandboxStartError, match="SANDBOX_HOST"):
        serving(SandboxSettings(port=int(url.rpartition(":")[2]))).__enter__()


def test_secrets_stay_out_of_the_settings_text():
    settings = SandboxSettings(google_key="s3cret", hunter_key="s3cret")
    assert "s3cret" not in repr(settings)
