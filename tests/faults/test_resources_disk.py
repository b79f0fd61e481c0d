"""The server's disk is full: nothing that was acknowledged is lost, nobody limps, and all goes on with new room."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from core_plans import USER
from fault_disk import Hog, full_store, small_file_system
from fault_resources import Scene, scene, sized, until
from fault_workload import plan_of
from nats.aio.client import Client

from leadplan_client import PlanClient
from leadplan_client.errors import SubmissionRefusedError, SubmissionUnconfirmedError
from leadplan_contracts import LeadGenPlan

SEED = 11
PLANS = sized(60, 600)
FULL_SECONDS = sized(3, 30)
"""Several leases, and longer than an append waits for its answer."""


def warnings(scene: Scene) -> list[str]:
    lines = [line for log in scene.folder.glob("*.log") for line in scene.log_of(log.stem)]
    return [str(line["event"]) for line in lines if line.get("level") == "warning"]


async def refused_submissions(
    nc: Client, first: int, kind: type[Exception], fill: Callable[[], Awaitable[None]] | None = None
) -> list[LeadGenPlan]:
    """Submit while there is no room; every submitter is told."""
    client = PlanClient(nc)
    plans = [plan_of(SEED, first + number) for number in range(3)]
    for plan in plans:
        if fill is not None:
            await fill()  # plans that have just ended made some room
        with pytest.raises(kind):
            await client.submit(plan, USER)
    return plans


async def test_limit_of_the_server(tmp_path: Path, record_property: Any):
    """EXPECTED: at ``max_file`` the server answers every publish with an error (10023). Submitters get
    ``SubmissionRefusedError``; executors warn, ask again and don't end; no event is lost. One that is started now
    serves, and waits as well. Without any restart everything goes on as soon as there is room, and refused plans never
    begin.
    """
    async with scene(tmp_path, max_file="64MB") as here:
        await here.tools()
        executor = await here.executor()
        plans = [plan_of(SEED, number) for number in range(PLANS)]
        await here.submit(plans)
        await until(lambda: len(here.follower.completed) > 5, 20, "the first plans' ends")
        async with full_store(here.nc) as fill:
            await until(lambda: "append not confirmed, asking again" in warnings(here), 20, "the executor to notice")
            refused = await refused_submissions(here.nc, PLANS, SubmissionRefusedError, fill)
            executor.kill()
            successor = await here.executor("successor")
            await asyncio.sleep(FULL_SECONDS)  # how long the disk is full, not what to wait for
            ended_when_full = len(here.follower.completed)
            assert successor.running
        seconds = await here.all_ended(60)
        assert ended_when_full < PLANS
        assert successor.running
        assert await here.judged() == ""
        begun = {plan_id for plan_id in here.follower.seen if plan_id in {plan.id for plan in refused}}
        assert begun == set()
    record_property("plans under way while the store was at its limit", PLANS - ended_when_full)
    record_property("seconds from room to the last plan's end", round(seconds, 1))


async def test_no_space_left_on_the_device(tmp_path: Path, record_property: Any):
    """EXPECTED: a stream whose write failed takes nothing more until nats-server is started again, also when there is
    room again, and answers nothing: submitters get ``SubmissionUnconfirmedError`` (it may be stored, sending it again
    is safe). Executors wait, through the restart too. Then every acknowledged plan ends, every event is there.
    """
    with small_file_system(tmp_path / "disk", sized(48, 256)) as disk:
        async with scene(tmp_path / "scene", store=disk) as here:
            await here.tools()
            executor = await here.executor()
            plans = [plan_of(SEED, number) for number in range(PLANS)]
            await here.submit(plans)
            await until(lambda: len(here.follower.completed) > 5, 20, "the first plans' ends")
            hog = Hog(disk)
            hog.fill()
            await until(lambda: "no space left" in here.server.log.read_text(), 20, "the server to notice")
            unconfirmed = asyncio.create_task(unconfirmed_submission(here))
            for _ in range(FULL_SECONDS * 2):
                hog.fill()  # nothing that is freed helps
                await asyncio.sleep(0.5)
            ended_when_full = len(here.follower.completed)
            assert executor.running
            hog.give_back()
            plan = await unconfirmed
            await here.server.restart()
            seconds = await here.all_ended(60)
            assert executor.running
            assert ended_when_full < PLANS
            assert "append not confirmed, asking again" in warnings(here)
            # What wasn't confirmed is sent again, as the error says, and runs once.
            await here.submit([plan])
            await here.all_ended(30)
            assert await here.judged() == ""
    record_property("plans under way while the disk was full", PLANS - ended_when_full)
    record_property("seconds from the restart to the last plan's end", round(seconds, 1))


async def unconfirmed_submission(here: Scene) -> LeadGenPlan:
    """A submission that the server doesn't confirm; one that still finds room is acknowledged, and must run."""
    client = PlanClient(here.nc)
    while True:
        plan = plan_of(SEED, len(here.submitted))
        try:
            await client.submit(plan, USER)
        except SubmissionUnconfirmedError:
            return plan
        here.submitted.append(plan)
