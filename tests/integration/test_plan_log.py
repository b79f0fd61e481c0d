"""Appends behind the fence: what a refusal means, told by what stands in the log."""

import asyncio
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.topology import Retention, ensure_topology
from leadplan_contracts import subjects
from leadplan_contracts.events import PlanStarted
from leadplan_contracts.validation import read_plan_submission
from leadplan_executor.core import PlanRun, PlanSubmitted, decide
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_log import PlanLog

SUBMISSION = msgspec.json.encode(
    {
        "plan": {
            "id": "p1",
            "title": "A plan",
            "goal": {"description": "Be logged"},
            "createdAt": "2026-11-23T09:15:02.417Z",
            "steps": [{"id": "s1", "tool": "TOOL", "params": {}}],
        },
        "user": {"userId": "u1"},
    }
)


def started(executor: str) -> PlanStarted:
    submitted = PlanSubmitted(read_plan_submission(SUBMISSION), 1, executor, f"00-{1:032x}-{1:016x}-01", 1)
    (event,) = decide(PlanRun("p1"), submitted, 1_800_000_000_000)
    assert isinstance(event, PlanStarted)
    return event


@pytest.fixture
async def plan_log(nc: Client) -> PlanLog:
    await ensure_topology(nc.jetstream(), Retention())
    return PlanLog(nc, "one")


async def test_an_append_that_was_stored_before_is_our_own(plan_log: PlanLog):
    first = await plan_log.append(started("one"), after=0, traceparent=None)
    assert await plan_log.append(started("one"), after=0, traceparent=None) == first


async def test_the_same_event_of_somebody_else_is_not_our_own(nc: Client, plan_log: PlanLog):
    await plan_log.append(started("one"), after=0, traceparent=None)
    with pytest.raises(FenceLostError) as caught:
        await PlanLog(nc, "two").append(started("one"), after=0, traceparent=None)
    assert caught.value.by == "one"


async def test_another_event_of_our_own_at_that_place_is_a_lost_fence_too(plan_log: PlanLog):
    await plan_log.append(started("one"), after=0, traceparent=None)
    with pytest.raises(FenceLostError):
        await plan_log.append(started("another"), after=0, traceparent=None)


async def test_a_log_whose_end_was_removed_is_let_go_of(nc: Client, plan_log: PlanLog, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("leadplan_executor.plan_log._LONGEST_WAIT_SECONDS", 0.001)
    last = await plan_log.append(started("one"), after=0, traceparent=None)
    await nc.jetstream().purge_stream("PLAN_LOG", subject=subjects.plan_log_subject("p1"))
    with pytest.raises(FenceLostError) as caught:
        await plan_log.append(started("one"), after=last, traceparent=None)
    assert caught.value.by is None


async def test_a_server_that_is_away_is_asked_until_it_is_back(plan_log: PlanLog, nats_server: Any):
    nats_server.kill()
    appending = asyncio.create_task(plan_log.append(started("one"), after=0, traceparent=None))
    await asyncio.sleep(0.3)
    assert not appending.done()
    nats_server.start()
    sequence = await appending
    assert [stored.stream_sequence for stored in await plan_log.read("p1")] == [sequence]
