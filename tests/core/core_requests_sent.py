"""What people ask of a plan, and what must hold of every answer."""

from typing import NamedTuple

from core_state_rules import snapshot

from leadplan_contracts import LeadPlanEventType
from leadplan_contracts.control import ControlErrorCode, ControlRequest, RetryRequest
from leadplan_executor.core import PlanRun
from leadplan_executor.core.control import Granted, NewHolder, Refused, Unchanged, Verdict, judge_control


class Answered(NamedTuple):
    """A request, when it came, its verdict, and the events that it led to by itself."""

    request: ControlRequest
    at: int
    verdict: Verdict
    kinds: list[LeadPlanEventType]


def judged(run: PlanRun, request: ControlRequest, holder: NewHolder) -> Verdict:
    """The verdict on a request; judging changes nothing, and says the same each time."""
    before = snapshot(run)
    verdict = judge_control(run, request, holder)
    assert judge_control(run, request, holder) == verdict
    assert snapshot(run) == before
    if isinstance(verdict, Refused):
        assert run.plan_id in verdict.message or "depends on" in verdict.message, "it says what it is about"
    return verdict


def check_sent_again(run: PlanRun, request: ControlRequest, holder: NewHolder, *, settled: bool) -> None:
    """A granted request that is sent again changes nothing.

    Args:
        run: the state after it was carried out.
        request: the request.
        holder: of a new round, were one granted.
        settled: what follows from it has happened too.
    """
    again = judged(run, request, holder)
    match again:
        case Unchanged():
            pass
        case Refused(ControlErrorCode.NOT_COMPLETED, _):
            assert isinstance(request, RetryRequest), "only a retry can't be told from one that was granted before"
            assert request.request_id is None
        case Refused(ControlErrorCode.ALREADY_COMPLETED, _):
            assert settled, "the plan ended at once: its deadline passed in the same moment"
            assert run.completed
        case _:
            assert isinstance(request, RetryRequest), again
            assert settled
            assert run.completed
            assert request.request_id is None


def check_granted(verdict: Granted, kinds: list[list[LeadPlanEventType]]) -> None:
    """Each input of a granted request leads to one event."""
    assert verdict.inputs
    assert [len(each) for each in kinds] == [1] * len(verdict.inputs)
