"""The object store is gone: what needs it fails or waits as documented, and nothing else notices."""

from pathlib import Path
from typing import Any

import pytest
from fault_resources import Scene, plan_of_steps, scene, until

from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, RetryPolicy

BUCKET_STREAM = "OBJ_PLAN_DATA"
LARGE = {"answer_bytes": 300_000}
IMPATIENT = RetryPolicy(max_retries=1, base_delay_ms=50)
PATIENT = RetryPolicy(max_retries=200, base_delay_ms=50, max_delay_ms=200)


def large(plan_id: str, retry: RetryPolicy) -> LeadGenPlan:
    """The second step's request needs the first one's data."""
    step = LeadGenPlanStep(id="large", tool="LEDGER_IDEMPOTENT", params=LARGE, retry=retry)
    reads = LeadGenPlanStep(id="reads", tool="LEDGER_PLAIN", params={}, depends_on=["large"], retry=retry)
    return plan_of_steps(plan_id, [step, reads])


def small(plan_id: str) -> LeadGenPlan:
    return plan_of_steps(plan_id, [LeadGenPlanStep(id="only", tool="LEDGER_ONCE", params={})])


def large_result(plan_id: str) -> LeadGenPlan:
    """No step's data is large; all together are."""
    params = {"answer_bytes": 60_000}
    steps = [LeadGenPlanStep(id=f"s{n}", tool="LEDGER_PLAIN", params=params) for n in range(6)]
    return plan_of_steps(plan_id, steps)


def seen(here: Scene, plan_id: str, text: bytes) -> bool:
    return any(text in body for body in here.follower.seen[plan_id].values())


def logged(here: Scene, event: str) -> bool:
    return any(line["event"] == event for line in here.log_of("executor"))


async def test_the_bucket_is_deleted_while_plans_run(tmp_path: Path, record_property: Any):
    """EXPECTED: a step with large data fails its attempts with ``claim_check_failed``, and for good when its retries
    are used up; a plan whose result is too large for a message stays under way (``result can't be stored``); plans
    without large data end as ever. When the bucket is back, the next attempts and the waiting result find it.
    """
    async with scene(tmp_path) as here:
        js = here.nc.jetstream()
        await here.tools()
        executor = await here.executor()
        await js.delete_stream(BUCKET_STREAM)
        await here.submit([large("gives-up", IMPATIENT), large("waits", PATIENT), large_result("waits-too")])
        await here.submit([small(f"small-{number}") for number in range(30)])
        ended = {"gives-up", *(f"small-{number}" for number in range(30))}
        seconds = await until(lambda: ended <= here.follower.completed, 30, "the end of all others")
        await until(lambda: seen(here, "waits", b'"claim_check_failed"'), 20, "a failed attempt")
        await until(lambda: logged(here, "result can't be stored, trying again"), 20, "the warning")
        assert {"waits", "waits-too"}.isdisjoint(here.follower.completed)
        await ensure_topology(js, Retention())  # as the start of another executor does
        await here.all_ended(30)
        assert executor.running
        assert await here.judged() == ""
        results = {plan.id: await PlanClient(here.nc).result(plan.id) for plan in here.submitted}
    record_property("seconds until all that needed no store had ended", seconds)
    gave_up = results.pop("gives-up").step_results
    assert [(one.status.value, one.error_code, one.attempts) for one in gave_up] == [
        ("failed", "claim_check_failed", 2),
        ("skipped", "dependency_failed", 0),
    ]
    assert {result.overall_status.value for result in results.values()} == {"succeeded"}


async def test_stored_data_is_gone_when_it_is_asked_for(tmp_path: Path):
    """EXPECTED: what was stored and is gone can't come back. Whoever reads it is told so, at once; an executor that
    starts creates the missing bucket anew, and data is stored again.
    """
    async with scene(tmp_path) as here:
        js, client = here.nc.jetstream(), PlanClient(here.nc)
        await here.tools()
        first = await here.executor("first")
        await here.submit([large("gone", IMPATIENT), large_result("gone-result")])
        await here.all_ended(20)
        assert await here.judged() == ""
        await first.terminate()
        await js.delete_stream(BUCKET_STREAM)
        result = await client.result("gone")
        with pytest.raises(ClaimCheckError, match="PLAN_DATA"):
            await client.step_data(result.step_results[0])
        with pytest.raises(ClaimCheckError, match="PLAN_DATA"):
            await client.result("gone-result")
        await here.executor()
        with pytest.raises(ClaimCheckError, match="may have aged out"):
            await client.step_data(result.step_results[0])
        await here.submit([large("after", IMPATIENT)])
        await here.all_ended(20)
        data = await client.step_data((await client.result("after")).step_results[0])
    assert len(data["filling"]) == LARGE["answer_bytes"]
