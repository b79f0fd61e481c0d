"""How a plan ended (protocol section 3, rules 5 and 6)."""

from itertools import product

import pytest
from core_plans import PLAN_ID, START, plan, started, step

from leadplan_contracts import OverallStatus
from leadplan_executor.core.summary import execution_result, overall_status
from leadplan_executor.core.transitions import PlanPhase, StepPhase

S, F, K = StepPhase.SUCCEEDED, StepPhase.FAILED, StepPhase.SKIPPED


def ended(*steps: tuple[StepPhase, bool | None], phase: PlanPhase = PlanPhase.ACTIVE):
    """A plan whose steps ended so: phase and ``optional`` of each."""
    run = started(plan(*[step(f"s{n}", optional=optional) for n, (_, optional) in enumerate(steps)]))
    run.phase = phase
    for one, (step_phase, _) in zip(run.steps, steps, strict=True):
        one.phase = step_phase
    return run


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([(S, None)], "succeeded"),
        ([(S, True)], "succeeded"),
        ([(S, None), (S, False), (S, True)], "succeeded"),
        ([(F, None)], "failed"),
        ([(F, False)], "failed"),
        ([(F, True)], "partial"),
        ([(S, None), (F, True)], "partial"),
        ([(S, None), (K, None)], "partial"),
        ([(K, True)], "partial"),
        ([(F, True), (K, None)], "partial"),
        ([(F, True), (F, None)], "failed"),
        ([(S, None), (K, None), (F, False)], "failed"),
    ],
)
def test_overall_status(steps, expected):
    assert overall_status(ended(*steps)) == expected
    assert overall_status(ended(*reversed(steps))) == expected
    assert overall_status(ended(*steps, phase=PlanPhase.PAUSED)) == expected
    assert overall_status(ended(*steps, phase=PlanPhase.CANCELLING)) == "cancelled"


def test_every_combination_of_three_steps_follows_the_rule():
    for steps in product(product((S, F, K), (False, True)), repeat=3):
        status = overall_status(ended(*steps))
        if (F, False) in steps:
            assert status == OverallStatus.FAILED
        elif any(phase is K or (phase is F and optional) for phase, optional in steps):
            assert status == OverallStatus.PARTIAL
        else:
            assert status == OverallStatus.SUCCEEDED


def test_the_result_has_every_step_in_plan_order():
    run = ended((S, None), (K, None), (F, True))
    result = execution_result(run, START + 61_005)
    assert (result.plan_id, result.overall_status) == (PLAN_ID, "partial")
    assert (result.started_at, result.finished_at) == ("2026-11-23T09:15:00.000Z", "2026-11-23T09:16:01.005Z")
    assert [one.step_id for one in result.step_results] == ["s0", "s1", "s2"]
    assert result.step_results_ref is None
