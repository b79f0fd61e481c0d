"""What an executor learns of a real server when it starts, and what it makes of it."""

import asyncio
import json
import socket
import subprocess
import sys

import pytest
from nats.js.api import PersistMode, StorageType

from leadplan_bus.errors import IncompatibleStreamError
from leadplan_bus.server_checks import Wanted, check_server
from leadplan_bus.server_questions import gather_server_facts
from leadplan_bus.topology import Retention, ensure_topology, plan_log_stream
from leadplan_executor.errors import UnfitServerError
from leadplan_executor.service import run
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.start_up import prepare_server


@pytest.fixture
def monitoring_url(nats_server):
    """The monitoring port of the test's server, which is restarted with one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    nats_server.stop()
    nats_server.extra = f'http: "127.0.0.1:{port}"'
    nats_server.start()
    return f"http://127.0.0.1:{port}"


async def test_an_empty_server_tells_about_itself(monitoring_url, nc):
    facts = await gather_server_facts(nc, monitoring_url)
    (node,) = facts.nodes
    assert node.name == "test"
    assert node.version in str(nc.connected_server_version)
    assert node.feature_flags["js_ack_fc_v2"] is False
    assert abs(node.clock_ahead_seconds) <= node.clock_error_seconds + 0.01, "the same machine has one clock"
    assert facts.account.api.level >= 4
    assert not facts.clustered
    assert facts.consumer is None
    assert set(facts.streams.values()) == {None}
    assert (facts.sync.always, facts.sync.interval_seconds) == (False, 120.0)


async def test_streams_and_the_shared_consumer_are_seen(executor, nc):
    facts = await gather_server_facts(nc)
    assert facts.streams["PLAN_LOG"].config.storage == "file"
    assert facts.streams["PLANS"].config.retention == "workqueue"
    assert facts.streams["KV_TOOL_RESULTS"] is None
    assert facts.consumer.config.ack_wait == 1_000_000_000
    assert facts.sync is None
    assert facts.sync_problem is None
    settings = ExecutorSettings(lease_ms=1000)
    wanted = Wanted(replicas=1, lease_seconds=1.0, max_ack_pending=settings.max_plans_in_queue_group)
    assert [finding.check for finding in check_server(facts, wanted)] == ["sync"]


async def test_a_monitoring_port_that_does_not_answer_is_a_finding_and_no_error(nc):
    facts = await gather_server_facts(nc, "http://127.0.0.1:1")
    assert facts.sync is None
    assert "Connection refused" in facts.sync_problem


async def test_a_stream_that_acknowledges_before_it_writes_is_seen(nc):
    wanted = plan_log_stream(Retention())
    wanted.persist_mode = PersistMode.ASYNC
    await nc.jetstream().add_stream(wanted)
    facts = await gather_server_facts(nc)
    assert facts.streams["PLAN_LOG"].config.persist_mode == "async"


@pytest.mark.parametrize("checks", ["warn", "off"])
async def test_memory_storage_is_never_accepted(nc, checks):
    wanted = plan_log_stream(Retention())
    wanted.storage = StorageType.MEMORY
    await nc.jetstream().add_stream(wanted)
    with pytest.raises(IncompatibleStreamError, match="storage is 'memory', must be 'file'"):
        await prepare_server(nc, ExecutorSettings(server_checks=checks))


async def test_unsafe_servers_are_refused_where_that_is_asked_for(monitoring_url, nc):
    settings = ExecutorSettings(server_checks="refuse", nats_monitoring_url=monitoring_url)
    with pytest.raises(UnfitServerError, match=r"writes to disk every 120 s.*power cut.*sync_interval: always"):
        await prepare_server(nc, settings)
    assert [one async for one in _names(nc)] == [], "nothing was created"
    await prepare_server(nc, settings.model_copy(update={"server_checks": "warn"}))


async def _names(nc):
    for stream in await nc.jetstream().streams_info():
        yield stream.config.name


async def test_what_cannot_be_seen_is_no_reason_to_refuse(nc):
    await prepare_server(nc, ExecutorSettings(server_checks="refuse"))


async def test_a_log_that_is_gone_is_told_before_it_is_created_anew(nc):
    await ensure_topology(nc.jetstream(), Retention())
    await nc.jetstream().delete_stream("PLAN_LOG")
    with pytest.raises(UnfitServerError, match="stream PLAN_LOG is missing, others are there"):
        await prepare_server(nc, ExecutorSettings(server_checks="refuse"))


async def test_another_lease_is_a_warning_that_names_both_values(nc, executor_process, eventually):
    await prepare_server(nc, ExecutorSettings(lease_ms=2000))
    second = executor_process(LEADPLAN_LEASE_MS="3000", LEADPLAN_SERVER_CHECKS="refuse")
    await eventually(lambda: second.serving)
    (told,) = [json.loads(line) for line in second.log.splitlines() if '"shared consumer"' in line]
    assert told["level"] == "warning"
    assert told["what"] == "LEADPLAN_LEASE_MS is 3000 here, and 2000 for the executors until now"


async def test_the_process_refuses_with_a_line_for_each_finding(monitoring_url, nats_url, tmp_path):
    command = [sys.executable, "-c", "from leadplan_executor.service import run; raise SystemExit(run())"]
    environment = {
        "NATS_URL": nats_url,
        "LEADPLAN_SERVER_CHECKS": "refuse",
        "LEADPLAN_NATS_MONITORING_URL": monitoring_url,
    }
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    last, reason = done.stderr.splitlines()[-1], "LEADPLAN_SERVER_CHECKS is refuse, and the NATS server isn't safe:"
    assert f"leadplan executor: {reason}" in done.stderr
    assert last.startswith("  - the server writes to disk every 120 s")


def test_a_wrong_choice_is_named(monkeypatch, capsys):
    monkeypatch.setenv("LEADPLAN_SERVER_CHECKS", "maybe")
    assert run() == 2
    assert "LEADPLAN_SERVER_CHECKS" in capsys.readouterr().err
