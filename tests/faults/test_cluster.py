"""A cluster of three nodes with three replicas of everything loses nodes, leaders and answers, and no plan.

One cluster for all tests of this file, on the loopback address.
"""

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fault_cluster import CONFIGURATION, STREAMS, Cluster, until
from fault_cluster_run import ClusterRun, first_event
from fault_fleet import nats_server_program
from fault_network import Loopback
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from leadplan_contracts import subjects
from leadplan_executor.plan_log import PlanLog
from leadplan_responder.checkpoint import CheckpointBucket

pytestmark = pytest.mark.asyncio(loop_scope="module")

LEADER, OTHER = "nats-1", "nats-2"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def whole_run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterRun]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    running = ClusterRun(folder, Cluster(folder, Loopback(3)))
    try:
        await running.start(before_the_cluster=True)
        yield running
    finally:
        await running.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def run(whole_run: ClusterRun) -> AsyncIterator[ClusterRun]:
    yield whole_run
    whole_run.cluster.mend()
    whole_run.cluster.start_missing()


async def test_the_configuration_is_accepted_as_it_is():
    command = [nats_server_program(), "-t", "-c", CONFIGURATION]
    checked = await asyncio.to_thread(subprocess.run, command, check=False, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


async def test_every_node_is_healthy_and_writes_before_it_acknowledges(run: ClusterRun):
    async def healthy() -> bool:
        return all([(await run.cluster.monitoring(node, "healthz"))["status"] == "ok" for node in run.cluster.nodes])

    await until(healthy)
    for node in run.cluster.nodes:
        facts = await run.cluster.monitoring(node, "varz")
        assert (facts["server_name"], facts["jetstream"]["config"]["sync_always"]) == (node, True)
        assert (facts["max_payload"], facts["feature_flags"]["js_ack_fc_v2"]) == (1024 * 1024, False)


async def test_everything_has_three_replicas(run: ClusterRun):
    await CheckpointBucket(run.nc, replicas=3).write("step.params.item", b"{}")
    made = {info.config.name: info.config.num_replicas for info in await run.nc.jetstream().streams_info()}
    assert made.keys() >= {*STREAMS, "KV_MONITOR_RUNS", "KV_PLAN_INDEX", "KV_TOOL_CHECKPOINTS"}
    assert set(made.values()) == {3}, made


async def test_the_node_that_leads_everything_is_lost_and_comes_back(run: ClusterRun):
    await run.cluster.let_lead(LEADER)

    async def lose() -> None:
        await run.some_plans_under_way()
        run.cluster.nodes[LEADER].kill()

    plans = await run.through(40, lose)
    assert await run.cluster.leader("PLAN_LOG") != LEADER
    assert await run.cluster.consumer_leader() != LEADER
    run.cluster.nodes[LEADER].start()
    await run.cluster.caught_up()
    await run.cluster.let_lead(LEADER)
    assert not await run.violations(plans), "as the node tells it that was away"


async def test_leaders_are_asked_to_step_down_again_and_again(run: ClusterRun):
    plans = await run.through(30, lambda: run.cluster.change_leaders(3))
    assert not await run.violations(plans)


async def test_without_a_quorum_and_then_without_any_node_executors_wait_and_go_on(run: ClusterRun):
    first, second, third = run.cluster.nodes.values()
    left = await run.connection_at(LEADER)

    async def lose() -> None:
        await run.some_plans_under_way()
        second.kill()
        third.kill()
        with pytest.raises(NatsError):
            await left.jetstream(timeout=1).publish(subjects.PLANS_EXECUTE, b"never acknowledged")
        first.kill()
        run.cluster.start_missing()

    plans = await run.through(40, lose)
    assert not await run.violations(plans)
    assert run.never_restarted()


async def test_an_append_whose_answer_was_lost_is_recognised_as_our_own(
    run: ClusterRun, capsys: pytest.CaptureFixture[str]
):
    await run.cluster.caught_up()
    await run.cluster.let_lead(LEADER)
    ours, at_leader = PlanLog(await run.connection_at(OTHER), "ours"), await run.connection_at(LEADER)
    run.cluster.mute(LEADER, OTHER)
    appending = asyncio.create_task(ours.append(first_event("unanswered", "ours"), after=0, traceparent=None))
    log = at_leader.jetstream(timeout=1)

    async def stored() -> bool:
        with contextlib.suppress(NotFoundError):
            return bool(await log.get_last_msg(subjects.PLAN_LOG_STREAM, "plans.log.unanswered"))
        return False

    async def asked_again() -> bool:
        return "append not confirmed" in capsys.readouterr().out

    await until(stored)
    await until(asked_again)
    assert not appending.done()
    run.cluster.mend()
    assert await appending == (await log.get_last_msg(subjects.PLAN_LOG_STREAM, "plans.log.unanswered")).seq
