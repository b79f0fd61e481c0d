"""A partition parts the leader of everything from the two other nodes, while programs reach all three."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from fault_cluster import Cluster
from fault_cluster_run import ClusterRun, first_event
from fault_network import best_network
from nats.errors import Error as NatsError

from leadplan_contracts import subjects
from leadplan_contracts.events import PlanStarted
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_log import PlanLog

pytestmark = pytest.mark.asyncio(loop_scope="module")

CUT_OFF = "nats-1"
MAJORITY = "nats-2"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterRun]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    cluster = Cluster(folder, best_network(3))
    # An executor, a tool and a follower are with the node that will be cut off; their likes and the submitter aren't.
    majority = ",".join(cluster.url_of(node) for node in cluster.nodes if node != CUT_OFF)
    running = ClusterRun(folder, cluster, sides=(cluster.url_of(CUT_OFF), majority))
    try:
        await running.start()
        yield running
    finally:
        await running.stop()


async def test_a_leader_that_is_cut_off_accepts_nothing_and_plans_go_on(run: ClusterRun):
    cluster = run.cluster
    await cluster.let_lead(CUT_OFF)
    minority = PlanLog(await run.connection_at(CUT_OFF), "minority")
    majority = PlanLog(await run.connection_at(MAJORITY), "majority")
    unheard = await run.connection_at(CUT_OFF)

    async def part() -> None:
        await run.begun_by("executor-0", "slow")
        cluster.part(CUT_OFF)
        begun = run.plans_begun
        # Both want to begin the same plan, each on its side.
        appending = asyncio.create_task(
            minority.append(first_event("torn", "minority"), after=0, traceparent=None), name="append of the minority"
        )
        with pytest.raises(NatsError):
            await unheard.jetstream(timeout=1).publish(subjects.PLANS_EXECUTE, b"never acknowledged")
        await majority.append(first_event("torn", "majority"), after=0, traceparent=None)
        await run.some_plans_under_way(since=begun)
        await run.taken_over_by("executor-1", "slow")
        assert not appending.done()
        cluster.mend()
        with pytest.raises(FenceLostError) as caught:
            await appending
        assert caught.value.by == "majority"

    plans = await run.through(40, part, slow=16)
    assert not await run.violations(plans)
    assert run.never_restarted()
    assert await run.taken_over(plans[:16], by="executor-1"), "executor-0 was cut off with plans"
    (begun,) = await run.log_of("torn")
    assert isinstance(begun, PlanStarted)
    assert begun.meta.executor == "majority"
