"""Each kind of wake message times each kind of plan that it can come upon."""

from typing import Any

import msgspec
import pytest
from core_plans import MESSAGE, PLAN_ID, failed, plan, scripted, step, submission
from core_simulation import fold, simulate

from leadplan_contracts.control import ApproveRequest, CancelRequest, ControlRequest, RetryRequest
from leadplan_executor.core import PlanRun, TakenOver
from leadplan_executor.core.control import Granted, Refused, Unchanged
from leadplan_executor.core.inputs import Approve, Retry
from leadplan_executor.core.taking_up import Course, TakeOver, TakeUp, Void, Woken, course_of

ASKS = plan(step("ask", requires_approval=True))
BROKEN = plan(step("work"))
LAST = 77
"""Stream sequence of each plan's last event."""
WAKE = MESSAGE + 5
TAKEN = TakenOver("executor-2", "woken", WAKE)
APPROVE = ApproveRequest(plan_id=PLAN_ID, request_id="r1")
RETRY = RetryRequest(plan_id=PLAN_ID, request_id="r1")
CANCEL = CancelRequest(plan_id=PLAN_ID, request_id="r1")


def waiting() -> PlanRun:
    """A plan that waits for a person and was let go of."""
    return fold(simulate(submission(ASKS)).log[:2])


def ended() -> PlanRun:
    return fold(simulate(submission(BROKEN), scripted({"work": [failed(retryable=False)]})).log)


def cancelled() -> PlanRun:
    return fold(simulate(submission(ASKS), inputs=((50, CancelRequest(plan_id=PLAN_ID)),)).log)


def course(run: PlanRun, request: ControlRequest | None = None, *, after: int = LAST, held: bool = False) -> Course:
    """What becomes of a message, of the one that holds the plan where ``held``."""
    taken = msgspec.structs.replace(TAKEN, message=run.message) if held else TAKEN
    return course_of(run, LAST, Woken(after, request, taken))


def test_a_plan_whose_time_has_come_is_taken_up():
    assert course(waiting()) == TakeUp((TAKEN,))


def test_what_is_asked_of_a_waiting_plan_comes_after_taking_it_up():
    told = course(waiting(), APPROVE)
    assert isinstance(told, TakeUp)
    taken, approve = told.inputs
    assert taken == TAKEN
    assert isinstance(approve, Approve)
    assert told.verdict == Granted((approve,), ("ask",))


def test_a_new_round_is_held_by_the_message_that_asks_for_it():
    told = course(ended(), RETRY)
    assert isinstance(told, TakeUp)
    (retry,) = told.inputs
    assert isinstance(retry, Retry)
    assert (retry.executor, retry.message) == ("executor-2", WAKE)


@pytest.mark.parametrize("request_", [None, APPROVE, RETRY])
@pytest.mark.parametrize("make", [waiting, ended])
@pytest.mark.parametrize("after", [LAST - 1, LAST + 1])
def test_a_message_written_for_another_state_is_void_and_judges_nothing(make: Any, request_: Any, after: int):
    assert course(make(), request_, after=after) == Void()


def test_a_timer_of_a_plan_that_has_ended_is_void():
    assert course(ended()) == Void()


@pytest.mark.parametrize(
    ("make", "request_", "verdict"),
    [(waiting, RETRY, Refused), (ended, APPROVE, Refused), (cancelled, CANCEL, Unchanged)],
)
def test_a_request_that_changes_nothing_takes_no_plan_up(make: Any, request_: Any, verdict: type):
    told = course(make(), request_)
    assert isinstance(told, Void)
    assert isinstance(told.verdict, verdict)


@pytest.mark.parametrize("after", [LAST, LAST - 1])
def test_the_message_that_holds_the_plan_goes_on_with_it_however_far_it_has_come(after: int):
    run = waiting()
    assert course(run, after=after, held=True) == TakeOver(msgspec.structs.replace(TAKEN, message=run.message))
    refused = course(run, RETRY, after=after, held=True)
    assert isinstance(refused, TakeOver)
    assert isinstance(refused.verdict, Refused)
    granted = course(run, APPROVE, after=after, held=True)
    assert isinstance(granted, TakeUp), "its executor died before it did what was asked"
    assert isinstance(granted.inputs[-1], Approve)
