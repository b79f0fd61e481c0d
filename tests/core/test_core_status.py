"""How a plan stands, told from its state."""

import msgspec
import pytest
from core_plans import NO_RETRY, PLAN_ID, Attempt, failed, ok, plan, scripted, step, submission
from core_simulation import Simulation, fold, simulate

from leadplan_contracts.control import CancelRequest, PauseRequest, PlanState, PlanStatus, RetryRequest, WaitReason
from leadplan_contracts.wire import encode
from leadplan_executor.core.signals import NoResponders
from leadplan_executor.core.status import plan_state, plan_status

PAUSE = PauseRequest(plan_id=PLAN_ID, by="ann", reason="lunch")
BOTH = plan(
    step("work", label="Look"),
    step("ask", requires_approval=True),
    step("end", "work", "ask", retry=NO_RETRY),
)


def status_after(simulation: Simulation, count: int | None = None) -> PlanStatus:
    """The status after so many events, as it arrives at whoever asked."""
    run = fold(simulation.log[: len(simulation.log) if count is None else count])
    status = plan_status(run)
    assert msgspec.json.decode(encode(status), type=PlanStatus) == status
    assert status.state is plan_state(run)
    return status


def test_a_running_plan():
    status = status_after(simulate(submission(BOTH), scripted({"work": [ok(duration_ms=900)]})), 3)
    assert (status.plan_id, status.title, status.goal) == (PLAN_ID, "t", "Find dentists in Leeds")
    assert (status.state, status.overall_status, status.finished_at) == (PlanState.RUNNING, None, None)
    assert (status.executor, status.sequence, status.round) == ("executor-1", 3, 1)
    assert status.started_at == status.last_event_at == "2026-11-23T09:15:00.000Z"
    assert status.step_counts == {"pending": 2, "running": 1}
    assert [(one.id, one.tool, one.label, one.depends_on) for one in status.steps or []] == [
        ("work", "ECHO", "Look", None),
        ("ask", "ECHO", None, None),
        ("end", "ECHO", None, ["work", "ask"]),
    ]


def test_nobodys_address_stands_in_a_status():
    status = status_after(simulate(submission(BOTH)))
    assert status.user is not None
    assert (status.user.user_id, status.user.account_id, status.user.email) == ("u_7", "acct_3", None)
    assert b"@" not in encode(status)


def test_a_step_that_waits_for_a_person_is_told_beside_what_runs():
    status = status_after(simulate(submission(BOTH), scripted({"work": [ok(duration_ms=900)]})), 3)
    (waiting,) = status.waiting or []
    assert (waiting.reason, waiting.step_id, waiting.until) == (WaitReason.APPROVAL, "ask", None)
    assert waiting.since == "2026-11-23T09:15:00.000Z"
    assert [one.waiting for one in status.steps or []] == [None, waiting, None]


@pytest.mark.parametrize(
    ("step_ms", "plan_ms", "until"), [(None, 5_000, 5), (7_000, None, 7), (3_000, 5_000, 3), (7_000, 5_000, 5)]
)
def test_a_wait_for_a_person_ends_with_the_first_deadline(step_ms, plan_ms, until):
    of = plan(step("ask", requires_approval=True, deadline_ms=step_ms), deadline_ms=plan_ms)
    status = status_after(simulate(submission(of)), 2)
    assert status.state is PlanState.WAITING
    (waiting,) = status.waiting or []
    assert waiting.until == f"2026-11-23T09:15:0{until}.000Z"


@pytest.mark.parametrize(
    ("attempt", "reason", "message"),
    [
        (failed("quota", retry_after_ms=5_000), WaitReason.RETRY, "quota"),
        (Attempt(NoResponders()), WaitReason.TOOL, "no responder listens for ECHO"),
    ],
)
def test_a_step_that_waits_for_its_repeat_tells_until_when_and_how_it_failed(attempt, reason, message):
    status = status_after(simulate(submission(plan(step("a"))), scripted({"a": [attempt, ok()]})), 3)
    assert (status.state, status.step_counts) == (PlanState.WAITING, {"running": 1})
    (waiting,) = status.waiting or []
    assert (waiting.reason, waiting.message, waiting.since) == (reason, message, "2026-11-23T09:15:00.100Z")
    assert waiting.until == ("2026-11-23T09:15:05.100Z" if reason is WaitReason.RETRY else "2026-11-23T09:15:01.100Z")


def test_a_plan_whose_only_place_is_held_by_a_step_that_waits_is_waiting():
    of = plan(step("a"), step("b"), max_concurrency=1)
    status = status_after(simulate(submission(of), scripted({"a": [failed(), ok()]})), 3)
    assert status.state is PlanState.WAITING


def test_a_paused_plan_tells_who_paused_it_and_why():
    simulation = simulate(submission(plan(step("a"), step("b", "a"), deadline_ms=9_000)), inputs=[(50, PAUSE)])
    for count, running in [(3, 1), (4, 0)]:
        status = status_after(simulation, count)
        assert status.state is PlanState.PAUSED
        (waiting,) = status.waiting or []
        assert (waiting.reason, waiting.by, waiting.message) == (WaitReason.UNPAUSE, "ann", "lunch")
        assert (waiting.since, waiting.until) == ("2026-11-23T09:15:00.050Z", "2026-11-23T09:15:09.000Z")
        assert (status.step_counts or {}).get("running", 0) == running
    assert status_after(simulation).waiting is None


def test_a_pause_outlives_its_executor():
    simulation = simulate(submission(plan(step("a"), step("b", "a"))), inputs=[(50, PAUSE)], crash_after={4})
    status = status_after(simulation, 5)
    assert (status.state, status.executor) == (PlanState.PAUSED, "executor-2")
    assert [one.by for one in status.waiting or []] == ["ann"]


def test_a_plan_that_is_being_cancelled_waits_for_nobody():
    simulation = simulate(submission(BOTH), inputs=[(500, CancelRequest(plan_id=PLAN_ID))])
    at = [line.split()[1] for line in simulation.story()].index("PLAN_CANCELLING") + 1
    assert status_after(simulation, at).state is PlanState.CANCELLING


def test_a_completed_plan_has_its_results_and_waits_for_nothing():
    simulation = simulate(submission(plan(*BOTH.steps, deadline_ms=60_000)), answers={"ask": False})
    status = status_after(simulation)
    assert (status.state, status.overall_status) == (PlanState.COMPLETED, "failed")
    assert status.finished_at == simulation.result.finished_at == status.last_event_at
    assert (status.waiting, status.deadline_at) == (None, None)
    assert status.step_counts == {"succeeded": 1, "failed": 1, "skipped": 1}
    assert [one.result for one in status.steps or []] == simulation.result.step_results


def test_a_retried_plan_is_running_again_with_the_results_that_it_keeps():
    of = plan(step("a"), step("b", "a"), deadline_ms=60_000)
    broken = scripted({"b": [failed(retryable=False)]})
    retries = [RetryRequest(plan_id=PLAN_ID)]
    simulation = simulate(submission(of), broken, later_tools=[scripted({})], retries=retries)
    at = [line.split()[1] for line in simulation.story()].index("PLAN_RETRIED") + 1
    status = status_after(simulation, at)
    assert (status.state, status.round, status.overall_status, status.finished_at) == (PlanState.RUNNING, 2, None, None)
    assert status.step_counts == {"pending": 1, "succeeded": 1}
    assert status.started_at == "2026-11-23T09:15:00.000Z"
    assert status.deadline_at == "2026-11-23T09:16:00.200Z", "counted from the new round"
    assert (status_after(simulation).overall_status, status_after(simulation).round) == ("succeeded", 2)
