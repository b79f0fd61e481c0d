"""Submitting plans and fetching results over a real nats-server, with log events written by hand."""

import asyncio
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import connect
from leadplan_bus.errors import ClaimCheckError, JetStreamDisabledError
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_client import (
    PlanClient,
    PlanNotFinishedError,
    PlanTooLargeError,
    StreamsMissingError,
    SubmissionRefusedError,
    SubmissionRejectedError,
    UnknownPlanError,
    plan_lead_generation,
)
from leadplan_contracts import LeadGenGoal, LeadGenPlan, LeadGenStepResult, SupervisorUserContext
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode

TIME = "2026-11-23T09:15:02.417Z"
USER = SupervisorUserContext(user_id="u_7", email="owner@example.com")
STEP_RESULT = {"stepId": "search", "status": "succeeded", "attempts": 1, "data": {"places": [1, 2]}}


def a_plan() -> LeadGenPlan:
    return plan_lead_generation(LeadGenGoal(description="Find dentists in Leeds"), {})


@pytest.fixture
async def client(nc: Client) -> PlanClient:
    await ensure_topology(nc.jetstream(), Retention())
    return PlanClient(nc)


async def store(nc: Client, kind: str, subject: str, **more: Any) -> None:
    body = {"type": kind, "planId": "p", "time": TIME, **more}
    await nc.jetstream().publish(subject, msgspec.json.encode(body))


async def store_completed(nc: Client, **result: Any) -> None:
    whole = {"planId": "p", "overallStatus": "partial", "startedAt": TIME, "finishedAt": TIME, **result}
    await store(nc, "PLAN_COMPLETED", "plans.log.p", sequence=2, result=whole)


async def test_a_submitted_plan_lies_in_the_work_queue(client: PlanClient, nc: Client):
    plan = a_plan()
    first = await client.submit(plan, USER, message_id="m1")
    assert await client.submit(plan, USER, message_id="m1") == first
    assert await client.submit(plan, USER) == first + 1
    stored = await nc.jetstream().get_msg("PLANS", seq=first)
    read = read_plan_submission(stored.data or b"")
    assert (read.plan, read.user) == (plan, USER)


async def test_a_plan_over_the_server_s_limit_is_not_sent(client: PlanClient, nc: Client):
    # Payload and header together are over the limit, neither is alone: sent, it would close the connection.
    body = b"x" * (nc.max_payload - 10)
    with pytest.raises(PlanTooLargeError) as raised:
        await client.submit_json(body, message_id="m1")
    assert raised.value.limit == nc.max_payload < raised.value.size
    assert await client.submit_json(body) == 1


async def test_without_streams_it_says_that_no_executor_ever_ran(nc: Client):
    with pytest.raises(StreamsMissingError, match="no executor ever ran"):
        await PlanClient(nc).submit(a_plan(), USER)
    with pytest.raises(StreamsMissingError, match="no executor ever ran"):
        await PlanClient(nc).result("p")


async def test_without_jetstream_it_says_so(nats_server: Any):
    # An account that may not use JetStream meets what a server without it says.
    nats_server.stop()
    nats_server.extra = "accounts { A { users: [{user: u, password: p}] } }"
    nats_server.start()
    nc = await connect(nats_server.url.replace("//", "//u:p@"), name="test")
    try:
        with pytest.raises(JetStreamDisabledError):
            await PlanClient(nc).submit(a_plan(), USER)
        with pytest.raises(JetStreamDisabledError):
            await PlanClient(nc).result("p")
        with pytest.raises(JetStreamDisabledError):
            await anext(PlanClient(nc).follow("p"))
    finally:
        await nc.close()


async def test_what_the_server_refuses_is_told(client: PlanClient, nc: Client):
    config = (await nc.jetstream().stream_info("PLANS")).config
    config.max_msg_size = 100
    await nc.jetstream().update_stream(config)
    with pytest.raises(SubmissionRefusedError, match="size"):
        await client.submit(a_plan(), USER)


async def test_the_result_of_a_finished_plan(client: PlanClient, nc: Client):
    await store_completed(nc, stepResults=[STEP_RESULT])
    result = await client.result("p")
    assert result.overall_status == "partial"
    assert [await client.step_data(one) for one in result.step_results] == [{"places": [1, 2]}]


async def test_large_results_come_from_the_object_store(client: PlanClient, nc: Client):
    claim_check = ClaimCheck(nc.jetstream())
    data_ref = await claim_check.put("data", b'{"places": [3]}')
    steps = [STEP_RESULT, {"stepId": "save", "status": "succeeded", "attempts": 1, "dataRef": data_ref}]
    steps_ref = await claim_check.put("steps", encode(steps))
    await store_completed(nc, stepResults=[], stepResultsRef=steps_ref)
    result = await client.result("p")
    assert result.step_results == msgspec.json.decode(encode(steps), type=list[LeadGenStepResult])
    assert result.step_results_ref is None
    assert await client.step_data(result.step_results[1]) == {"places": [3]}
    await (await nc.jetstream().object_store("PLAN_DATA")).delete("steps")
    with pytest.raises(ClaimCheckError, match="steps"):
        await client.result("p")


async def test_a_plan_without_a_result_says_how_it_stands(client: PlanClient, nc: Client):
    with pytest.raises(UnknownPlanError):
        await client.result("p")
    with pytest.raises(UnknownPlanError):
        await client.result("p", wait_seconds=0.05)
    problem = {"path": "plan.steps", "code": "no_steps", "message": "there are none"}
    await store(nc, "PLAN_REJECTED", "plans.rejected.p", meta={"errors": [problem], "original": {}})
    with pytest.raises(SubmissionRejectedError, match=r"plan\.steps: there are none") as raised:
        await client.result("p", wait_seconds=5)
    assert raised.value.problems[0].code == "no_steps"
    await store(nc, "PLAN_STARTED", "plans.log.p", sequence=1, plan={}, meta={"executor": "e"})
    with pytest.raises(PlanNotFinishedError, match="PLAN_STARTED"):
        await client.result("p")


async def test_waiting_for_a_result_ends_when_the_plan_does(client: PlanClient, nc: Client):
    waiting = asyncio.create_task(client.result("p", wait_seconds=10))
    await store(nc, "PLAN_STARTED", "plans.log.p", sequence=1, plan={}, meta={"executor": "e"})
    await store_completed(nc, stepResults=[])
    assert (await asyncio.wait_for(waiting, 5)).overall_status == "partial"
