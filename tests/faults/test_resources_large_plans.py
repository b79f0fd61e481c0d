"""Plans as large as the contract allows: they end with the right result, also when their executor dies."""

from pathlib import Path
from typing import Any

import pytest
from fault_resources import MIB, Scene, plan_of_steps, scene, sized, until

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep

WIDE = sized(800, 10_000)
CHAIN = sized(150, 1_000)


def wide(plan_id: str) -> LeadGenPlan:
    """Steps that don't depend on one another; as short as JSON lets them be, for a plan must fit into a message."""
    steps = [LeadGenPlanStep(id=f"s{number}", tool="LEDGER_PLAIN", params={"ms": 0}) for number in range(WIDE)]
    return plan_of_steps(plan_id, steps, max_concurrency=50)


def chain(plan_id: str) -> LeadGenPlan:
    """Each step behind the one before; the last request holds the results of all."""
    steps = [
        LeadGenPlanStep(
            id=f"s{number}",
            tool="LEDGER_ONCE",
            params={"ms": 0},
            depends_on=[f"s{number - 1}"] if number else None,
        )
        for number in range(CHAIN)
    ]
    return plan_of_steps(plan_id, steps)


def events_seen(here: Scene, plan_id: str) -> int:
    return max(here.follower.seen[plan_id], default=0)


@pytest.mark.parametrize("shape", [wide, chain])
async def test_a_large_plan_is_resumed_in_the_middle(shape: Any, tmp_path: Path, record_property: Any):
    """EXPECTED: every step succeeds once, the result holds all of them in plan order, and the executor that takes the
    plan over reads its long log and goes on where it was; it needs no more memory than the first one.
    """
    async with scene(tmp_path) as here:
        await here.tools()
        first = await here.executor("first", LEADPLAN_LEASE_MS="2000")
        before = first.memory
        plan = shape("large")
        await here.submit([plan])
        half = len(plan.steps)  # of two events each
        to_half = await until(lambda: events_seen(here, "large") > half, 120, "half of the events")
        first_memory = first.peak_memory
        first.kill()
        second = await here.executor("second", LEADPLAN_LEASE_MS="2000")
        to_end = await here.all_ended(180)
        result = await here.result_of("large")
        second_memory = second.peak_memory
        assert await here.judged() == ""
    assert [(one.step_id, one.status.value) for one in result.step_results] == [
        (step.id, "succeeded") for step in plan.steps
    ]
    record_property("steps", len(plan.steps))
    record_property("seconds to the middle, and from the kill to the end", (to_half, to_end))
    record_property(
        "MiB before, of the first executor and of the second, at most",
        (before / MIB, first_memory / MIB, second_memory / MIB),
    )
    assert second_memory < first_memory + len(plan.steps) * 8 * 1024 + 16 * MIB
    assert second_memory < before + len(plan.steps) * 32 * 1024 + 32 * MIB
