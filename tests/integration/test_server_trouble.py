"""Trouble with the server while plans run: the executor waits and goes on, or ends with one clear reason.

Each test plays one fault with a real server. Power cuts and full disks are elsewhere (docs/durability.md).
"""

import asyncio
import contextlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from nats.errors import Error as NatsError
from nats.js.api import StreamConfig
from structlog.testing import capture_logs

from leadplan_bus.connection import close, connect, flush
from leadplan_bus.errors import JetStreamSilentError, MessageLimitTooLowError
from leadplan_bus.server_questions import stream_info
from leadplan_bus.topology import Retention, ensure_consumer, executors_consumer, plans_stream
from leadplan_executor import server_watch
from leadplan_executor.errors import StreamLostError
from leadplan_executor.server_watch import is_needed
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings

sys.path.append(str(Path(__file__).parents[1] / "faults"))
from fault_fleet import Link

FINAL = {"STEP_SUCCEEDED", "STEP_FAILED", "STEP_SKIPPED"}
ALL_MAY = "users: [ {user: all, password: all}, {user: ex, password: ex, permissions: {publish: {allow: "


def chain(count):
    # Requests are lost with a connection, so attempts time out soon and are repeated.
    return [
        {"id": f"s{n}", "dependsOn": [f"s{n - 1}"] if n else [], "timeoutMs": 1000, "retry": {"baseDelayMs": 10}}
        for n in range(count)
    ]


@pytest.fixture
def soon(monkeypatch):
    """The watch of executors in this process looks more often."""
    monkeypatch.setattr(server_watch, "_INTERVAL_SECONDS", 0.1)
    monkeypatch.setattr(server_watch, "_INTERVAL_IN_DOUBT_SECONDS", 0.1)
    monkeypatch.setattr(server_watch, "_SEEN_SECONDS", 0.3)


@pytest.fixture
async def start_watched(nats_url):
    """Start an executor whose own end is what is tested."""
    started = []

    async def start(**settings):
        nc = await connect(nats_url, name="executor")
        executor = Executor(nc, ExecutorSettings(lease_ms=1000, **settings))
        started.append((executor, nc))
        await executor.start()
        return executor

    yield start
    for executor, nc in started:
        await executor.stop(at_once=True)
        await close(nc)


@pytest.fixture
async def link(nats_server):
    link = Link(nats_server.port)
    await link.start()
    yield link
    await link.stop()


async def slowly(request):
    await asyncio.sleep(0.05)
    return {"success": True}


async def reachable(nc):
    """Whether the server answers: after a restart a client may not have noticed yet that its connection is gone."""
    with contextlib.suppress(NatsError):
        await flush(nc, 0.5)
        return nc.is_connected
    return False


async def assert_sound(feed, plan_id):
    log = await feed.log(plan_id)
    assert [event["sequence"] for event in log] == list(range(1, len(log) + 1))
    finals = [event["step"]["id"] for event in log if event["type"] in FINAL]
    assert len(finals) == len(set(finals))
    assert log[-1]["type"] == "PLAN_COMPLETED"
    assert log[-1]["result"]["overallStatus"] == "succeeded"


@pytest.mark.parametrize("break_link", [Link.cut, Link.hold])
async def test_away_for_longer_than_its_lease_it_goes_on_with_the_plans_that_nobody_took(
    executor_process, link, feed, serve_tool, make_plan, eventually, break_link
):
    await serve_tool(behaviour=slowly)
    executor = executor_process(NATS_URL=link.url)
    await eventually(lambda: executor.serving)
    await feed.submit(make_plan("p1", chain(8)))
    await feed.until(lambda: feed.of("p1", "STEP_SUCCEEDED"))
    break_link(link)
    await feed.submit(make_plan("p2", chain(1)))
    await asyncio.sleep(1.5)  # the fault itself: the lease is 1 s
    link.mend()
    await feed.result("p1", within=20)
    await feed.result("p2", within=20)
    await assert_sound(feed, "p1")
    await assert_sound(feed, "p2")
    assert await executor.terminate() == 0


async def test_a_slow_server_is_waited_for(executor_process, link, feed, serve_tool, make_plan, eventually):
    await serve_tool()
    executor = executor_process(NATS_URL=link.url)
    await eventually(lambda: executor.serving)
    link.delay_seconds = 0.1
    await feed.submit(make_plan("p1", [{"id": "a"}]))
    await feed.result("p1", within=20)
    await assert_sound(feed, "p1")


async def test_told_to_stop_while_nothing_arrives_it_stops(executor_process, link, feed, make_plan, eventually):
    executor = executor_process(NATS_URL=link.url, LEADPLAN_GRACE_MS="100")
    await eventually(lambda: executor.serving)
    await feed.submit(make_plan("p1", chain(1)))
    await feed.until(lambda: feed.of("p1", "STEP_STARTED"))
    link.hold()
    assert await executor.terminate() == 0
    assert "stopped without the server" in executor.log
    assert "Traceback" not in executor.log


async def test_a_clean_stop_hands_over_at_once(executor_process, feed, serve_tool, make_plan, eventually):
    await serve_tool(behaviour=lambda request: {"success": request["attempt"] > 1, "errorMessage": "not yet"})
    executors = [executor_process(LEADPLAN_LEASE_MS="60000") for _ in range(2)]
    for one in executors:
        await eventually(lambda one=one: one.serving)
    waiting = [{"id": "a", "retry": {"baseDelayMs": 4000}}]
    for number in range(4):
        await feed.submit(make_plan(f"p{number}", waiting))
    await feed.until(lambda: len([event for event in feed.events if event["type"] == "STEP_RETRYING"]) == 4)
    starts = [feed.of(f"p{number}", "PLAN_STARTED")[0]["meta"]["executor"] for number in range(4)]
    first = next(one for one in executors if re.search(f'"executor":"{starts[0]}",.*"serving"', one.log))
    handed = [f"p{number}" for number, by in enumerate(starts) if by == starts[0]]
    assert await first.terminate() == 0
    # With a lease of a minute only plans that were handed back are taken over: here before they are due again.
    await feed.until(lambda: all(feed.of(plan, "PLAN_RESUMED") for plan in handed), within=5)
    assert all(len(feed.of(plan, "STEP_STARTED")) == 1 for plan in handed)


async def test_a_consumer_that_was_deleted_is_created_again(start_watched, feed, serve_tool, make_plan):
    tool = await serve_tool(behaviour=slowly)
    await start_watched()
    await feed.submit(make_plan("p1", chain(10)))
    await feed.until(lambda: feed.of("p1", "STEP_SUCCEEDED"))
    await feed.nc.jetstream().delete_consumer("PLANS", "executors")
    await feed.submit(make_plan("p2", chain(2)))
    for plan in ("p1", "p2"):
        await feed.result(plan)
        await assert_sound(feed, plan)
    assert len(tool.requests) <= 12 + 1, "only what was under way is asked for again"
    consumer = await feed.nc.jetstream().consumer_info("PLANS", "executors")
    assert consumer.config.ack_wait == 1.0


@pytest.mark.parametrize("stream", ["PLANS", "PLAN_LOG", "PLAN_REJECTS"])
async def test_it_ends_when_a_stream_is_gone(start_watched, nc, soon, stream):
    executor = await start_watched()
    await nc.jetstream().delete_stream(stream)
    with pytest.raises(StreamLostError, match=f"stream {stream} is gone"):
        await asyncio.wait_for(executor.failed(), 10)


async def test_what_a_leader_says_that_was_cut_off_for_a_moment_ends_nothing(start_watched, nc, soon, monkeypatch):
    """However often it is asked: it may not know yet that another one leads."""
    monkeypatch.setattr(server_watch, "_SEEN_SECONDS", 60.0)
    executor = await start_watched()
    watch, found = executor._watch, dict.fromkeys(executor._watch._wanted)
    for _ in range(server_watch._SEEN_TIMES * 2):
        watch._judge_streams(found)
    monkeypatch.setattr(server_watch, "_SEEN_SECONDS", 0.0)
    with pytest.raises(StreamLostError, match="stream PLANS is gone"):
        watch._judge_streams(found)


@pytest.mark.parametrize("bucket", ["OBJ_PLAN_DATA", "KV_MONITOR_RUNS", "KV_PLAN_INDEX"])
async def test_a_bucket_that_was_deleted_is_created_again(start_watched, nc, soon, eventually, bucket):
    """Not before it was missed for a while; what fails until then: tests/faults/test_resources_object_store.py."""
    await start_watched()
    await nc.jetstream().delete_stream(bucket)

    async def is_back():
        return await stream_info(nc, bucket) is not None

    await eventually(is_back)


async def test_it_ends_when_a_stream_was_replaced_by_one_that_looks_the_same(start_watched, nc, soon, eventually):
    executor = await start_watched()
    js = nc.jetstream()
    await eventually(lambda: executor._watch._seen, what="a first look")
    await asyncio.sleep(1.1)  # two streams that were created at about the same moment count as one
    await js.delete_stream("PLANS")
    await js.add_stream(plans_stream(Retention()))
    with pytest.raises(StreamLostError, match=r"stream PLANS was replaced by another one \(created "):
        await asyncio.wait_for(executor.failed(), 10)


async def test_it_ends_when_a_stream_was_changed_so_that_the_contract_breaks(start_watched, nc, soon):
    executor = await start_watched()
    js = nc.jetstream()
    config: StreamConfig = (await js.stream_info("PLAN_LOG")).config
    await js.update_stream(config.evolve(allow_direct=False))
    with pytest.raises(StreamLostError, match=r"PLAN_LOG was changed: allow_direct is False, must be True"):
        await asyncio.wait_for(executor.failed(), 10)


async def test_acknowledged_messages_that_are_missing_after_a_restart_are_noticed(
    nats_server, start_watched, nc, soon, tmp_path, eventually
):
    """What a power cut leaves behind: the same stream, and its last messages aren't there."""
    executor = await start_watched()
    js = nc.jetstream()
    nats_server.stop()
    data, copy = tmp_path / "nats" / "data", tmp_path / "before"
    data.rename(copy)
    _copy(copy, data)
    nats_server.start()
    await eventually(lambda: reachable(nc))
    await js.publish("plans.rejected.x", b"{}", timeout=5)
    await eventually(lambda: executor._watch._seen["PLAN_REJECTS"].state.last_seq == 1, what="the message being seen")
    nats_server.kill()
    _copy(copy, data)
    nats_server.start()
    with pytest.raises(StreamLostError, match="PLAN_REJECTS lost messages that it had acknowledged"):
        await asyncio.wait_for(executor.failed(), 20)


def _copy(source, target):
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


async def test_jetstream_that_is_off_is_waited_for(
    nats_server, executor_process, feed, serve_tool, make_plan, eventually
):
    await serve_tool()
    executor = executor_process()
    await eventually(lambda: executor.serving)
    nats_server.stop()
    nats_server.jetstream = False
    nats_server.start()
    await eventually(lambda: "JetStream doesn't answer, no plan goes on" in executor.log)
    nats_server.stop()
    nats_server.jetstream = True
    nats_server.start()
    await eventually(lambda: reachable(feed.nc))
    await feed.submit(make_plan("p1", chain(2)))
    await feed.result("p1")
    await eventually(lambda: "JetStream answers again" in executor.log)


async def test_after_the_limit_a_useless_executor_ends(nats_server, start_watched, soon):
    executor = await start_watched(server_lost_limit_ms=1000)
    nats_server.stop()
    with pytest.raises(JetStreamSilentError, match=r"no usable answer for \d s \(the connection is down\)"):
        await asyncio.wait_for(executor.failed(), 20)


async def test_another_lease_for_all_is_told_and_kept(start_watched, nc, soon, eventually):
    with capture_logs() as lines:
        executor = await start_watched()
        await ensure_consumer(nc.jetstream(), executors_consumer(0.6, 1000))
        await eventually(lambda: executor._watch.lease_seconds == 0.6)
    (told,) = [line for line in lines if line["event"] == "another executor changed the lease for all"]
    assert (told["log_level"], told["lease_ms"], told["own_lease_ms"]) == ("warning", 600, 1000)


async def test_time_in_which_the_process_was_frozen_is_no_silence(start_watched, soon, monkeypatch):
    executor = await start_watched(server_lost_limit_ms=60_000)
    watch = executor._watch
    watch._note_silence(min(3600.0, 2 * server_watch._ROUND_SECONDS), TimeoutError())
    assert watch._silent_for <= 2 * server_watch._ROUND_SECONDS


async def test_a_lowered_max_payload_ends_it(nats_server, start_watched, soon):
    executor = await start_watched()
    nats_server.stop()
    nats_server.extra = "max_payload: 64KB"
    nats_server.start()
    with pytest.raises(MessageLimitTooLowError):
        await asyncio.wait_for(executor.failed(), 10)


async def test_a_denied_subject_ends_it_with_the_subject(
    nats_server, executor_process, serve_tool, make_plan, eventually
):
    """The permission is taken away while it runs, as by a reload of the server's configuration."""
    address = f"127.0.0.1:{nats_server.port}"
    nats_server.stop()
    nats_server.extra = "authorization { " + ALL_MAY + '">"}}} ] }'
    nats_server.start()
    executor = executor_process(NATS_URL=f"nats://ex:ex@{address}")
    await eventually(lambda: executor.serving)
    nats_server.stop()
    nats_server.extra = "authorization { " + ALL_MAY + '">", deny: "plans.log.>"}}} ] }'
    nats_server.start()
    nc = await connect(f"nats://all:all@{address}", name="test")
    await nc.jetstream().publish("plans.execute", json.dumps(make_plan("p1", chain(1))).encode())
    assert await asyncio.to_thread(executor.process.wait, 20) == 1
    last = executor.log.splitlines()[-1]
    assert 'lacks a permission: permissions violation for publish to "plans.log.p1"' in last
    await nc.close()


def test_without_the_api_it_says_so_at_start(nats_server, executor_process):
    nats_server.stop()
    nats_server.extra = "authorization { " + ALL_MAY + '">", deny: "$JS.API.>"}}} ] }'
    nats_server.start()
    executor = executor_process(NATS_URL=f"nats://ex:ex@127.0.0.1:{nats_server.port}")
    assert executor.process.wait(20) == 1
    assert 'publish to "$js.api.' in executor.log.splitlines()[-1]


@pytest.mark.parametrize(
    ("violation", "needed"),
    [
        ('permissions violation for publish to "plans.log.p1"', True),
        ('Permissions Violation for Publish to "$JS.ACK.PLANS.executors.1.2.3.4.5"', True),
        ('permissions violation for subscription to "_inbox.abc.*"', True),
        ('permissions violation for publish to "$js.api.stream.info.plan_log"', True),
        ('permissions violation for publish to "$js.api.consumer.msg.next.plans.executors"', True),
        ('permissions violation for publish to "$js.api.stream.info.kv_plan_index"', True),
        ('permissions violation for publish to "$js.api.direct.get.kv_plan_index"', True),
        ('permissions violation for publish to "$kv.plan_index.p1"', True),
        ('permissions violation for publish to "$js.api.stream.info.kv_tool_results"', False),
        ('permissions violation for publish to "$sys.req.account.ping.connz"', False),
        ('permissions violation for publish to "tools.any_tool_that_a_plan_names"', False),
        ('permissions violation for subscription to "$srv.ping"', False),
        ("authorization violation", False),
    ],
)
def test_only_subjects_that_every_plan_needs_end_an_executor(violation, needed):
    assert is_needed(violation) is needed
