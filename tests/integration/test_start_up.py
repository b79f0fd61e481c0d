"""What the executor creates at start-up, and what it refuses."""

import subprocess
import sys

import pytest
from nats.js.api import StreamConfig

from leadplan_bus.errors import IncompatibleStreamError
from leadplan_bus.topology import Retention, ensure_topology


async def test_streams_are_bounded_and_made_as_the_protocol_says(executor, nc):
    js = nc.jetstream()
    plans = (await js.stream_info("PLANS")).config
    assert sorted(plans.subjects) == [
        "plans.execute",
        "plans.lane.*.*",
        "plans.schedule.*",
        "plans.timer.*",
        "plans.wake.*",
    ]
    assert plans.retention == "workqueue"
    assert plans.allow_msg_schedules
    log = (await js.stream_info("PLAN_LOG")).config
    assert (log.republish.src, log.republish.dest) == ("plans.log.*", "plans.events.{{wildcard(1)}}")
    for name in ("PLANS", "PLAN_LOG", "PLAN_REJECTS", "OBJ_PLAN_DATA"):
        assert (await js.stream_info(name)).config.max_age > 0
    filters = {"executors": "plans.execute", "wakes": "plans.wake.*"}
    for name, subject in filters.items():
        assert (await js.consumer_info("PLANS", name)).config.filter_subject == subject


async def test_a_second_start_finds_everything_in_order(executor, nc):
    await ensure_topology(nc.jetstream(), Retention())


async def test_longer_retention_set_by_the_operator_is_fine(nc):
    js = nc.jetstream()
    await ensure_topology(js, Retention(plan_log_seconds=100 * 86_400))
    await ensure_topology(js, Retention())


async def test_a_stream_with_another_configuration_is_refused_and_named(nc):
    js = nc.jetstream()
    await js.add_stream(StreamConfig(name="PLAN_LOG", subjects=["plans.log.*"], max_age=60))
    with pytest.raises(IncompatibleStreamError) as refusal:
        await ensure_topology(js, Retention())
    assert refusal.value.stream == "PLAN_LOG"
    assert any(difference.startswith("republish is None") for difference in refusal.value.differences)
    assert any(difference.startswith("allow_direct") for difference in refusal.value.differences)


async def test_the_process_ends_with_a_clear_line_when_a_stream_is_incompatible(nc, executor_process):
    await nc.jetstream().add_stream(StreamConfig(name="PLANS", subjects=["plans.*"]))
    process = executor_process()
    assert process.process.wait(20) == 1
    assert "stream PLANS exists with an incompatible configuration: subjects is ['plans.*']" in process.log


def test_the_process_says_when_jetstream_is_off(tmp_path, nats_server):
    nats_server.stop()
    nats_server.jetstream = False
    nats_server.start()
    done = run_executor(NATS_URL=nats_server.url)
    assert done.returncode == 1
    assert "JetStream is off" in done.stderr


def test_the_process_says_when_messages_are_limited_too_much(tmp_path, nats_server):
    nats_server.stop()
    nats_server.extra = "max_payload: 64KB"
    nats_server.start()
    done = run_executor(NATS_URL=nats_server.url)
    assert done.returncode == 1
    assert "max_payload is 65536 bytes; events need 524288" in done.stderr


def test_the_process_says_when_there_is_no_server():
    done = run_executor(NATS_URL="nats://user:secret@127.0.0.1:1", LEADPLAN_CONNECT_TIMEOUT_MS="300")
    assert done.returncode == 1
    assert "no NATS server answered at nats://127.0.0.1:1 within 0.3 s" in done.stderr
    assert "secret" not in done.stderr


def test_an_address_that_is_none_is_bad_use():
    done = run_executor(NATS_URL="nats://host:port:")
    assert done.returncode == 2
    assert "NATS_URL" in done.stderr


def test_a_bad_setting_is_named():
    done = run_executor(LEADPLAN_LEASE_MS="soon", LEADPLAN_MAX_PLANS="0")
    assert done.returncode == 2
    assert "LEADPLAN_LEASE_MS" in done.stderr
    assert "LEADPLAN_MAX_PLANS" in done.stderr


def run_executor(**environment):
    code = "from leadplan_executor.service import run; raise SystemExit(run())"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=False
    )
