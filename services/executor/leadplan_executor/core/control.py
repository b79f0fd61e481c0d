"""What a control request means for a plan in its present state: refused, nothing to do, or inputs for ``decide``.

Every request is idempotent. What it asks for may be so already, because it was sent twice or because two people had the
same thought: then nothing changes and nobody is told off. One that was carried out before is known by its id, however
much has happened since.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import NamedTuple, TypeAlias

from leadplan_contracts import LeadPlanEventType, OverallStatus
from leadplan_contracts.control import (
    ApproveRequest,
    CancelRequest,
    ControlErrorCode,
    ControlRequest,
    PauseRequest,
    ResumeRequest,
    RetryRequest,
)
from leadplan_executor.core.inputs import Approve, Cancel, Deny, Input, Pause, Retry, Unpause
from leadplan_executor.core.state import PlanRun, StepRun
from leadplan_executor.core.transitions import PlanPhase, StepPhase


class Refused(NamedTuple):
    """The request can't be carried out; the message says why and what to do."""

    code: ControlErrorCode
    message: str


class Unchanged(NamedTuple):
    """Everything is so already."""

    steps: tuple[str, ...] = ()


class Granted(NamedTuple):
    """What is to be decided upon, one input after the other, and the ids of the steps concerned."""

    inputs: tuple[Input, ...]
    steps: tuple[str, ...] = ()


Verdict: TypeAlias = Refused | Unchanged | Granted


class NewHolder(NamedTuple):
    """Who would run the next round of a finished plan, and by which message of the work queue it would be held."""

    executor: str
    message: int


def judge_control(run: PlanRun, request: ControlRequest, holder: NewHolder) -> Verdict:
    """Judge a request against a plan that has begun.

    Args:
        run: the plan's state; it isn't changed.
        request: what is asked for.
        holder: of a new round, where one is granted.
    """
    if (repeated := _judge_repeat(run, request)) is not None:
        return repeated
    match request:
        case CancelRequest():
            return _judge_cancel(run, request)
        case PauseRequest():
            return _judge_pause(run, request)
        case ResumeRequest():
            return _judge_resume(run, request)
        case ApproveRequest():
            return _judge_approve(run, request)
        case RetryRequest():
            return _judge_retry(run, request, holder)


def _judge_repeat(run: PlanRun, request: ControlRequest) -> Verdict | None:
    """The verdict on a request that was carried out before, told by its id; None on any other.

    Its answer was lost, and other people may have asked for other things since: those stay.
    """
    asked = run.requests.get((_leads_to(request), request.request_id)) if request.request_id is not None else None
    if asked is None:
        return None
    if not isinstance(request, ApproveRequest):
        return Unchanged(tuple(asked.steps))
    if request.step_id is not None:
        return Unchanged((request.step_id,)) if request.step_id in asked.steps else None
    # Its executor may have died between two of the steps.
    left = [index for index in sorted(asked.waiting) if run.steps[index].phase is StepPhase.WAITING]
    if not left or run.phase is PlanPhase.CANCELLING:
        return Unchanged(tuple(asked.steps))
    return _decided(run, request, left)


def was_carried_out(run: PlanRun, request: ControlRequest) -> bool:
    """Whether the plan's log holds what this very request led to."""
    return request.request_id is not None and (_leads_to(request), request.request_id) in run.requests


def _leads_to(request: ControlRequest) -> LeadPlanEventType:
    match request:
        case CancelRequest():
            return LeadPlanEventType.PLAN_CANCELLING
        case PauseRequest():
            return LeadPlanEventType.PLAN_PAUSED
        case ResumeRequest():
            return LeadPlanEventType.PLAN_UNPAUSED
        case RetryRequest():
            return LeadPlanEventType.PLAN_RETRIED
        case ApproveRequest():
            return LeadPlanEventType.STEP_DENIED if request.is_refusal else LeadPlanEventType.STEP_APPROVED


def _judge_cancel(run: PlanRun, request: CancelRequest) -> Verdict:
    if run.outcome is not None:
        if run.outcome.overall_status is OverallStatus.CANCELLED:
            return Unchanged()
        return _completed(run, "cancel")
    if run.phase is PlanPhase.CANCELLING:
        return Unchanged()
    return Granted((Cancel(request.by, request.reason, request.request_id),))


def _judge_pause(run: PlanRun, request: PauseRequest) -> Verdict:
    if (over := _over(run, "pause")) is not None:
        return over
    if run.phase is PlanPhase.PAUSED:
        return Unchanged()
    return Granted((Pause(request.by, request.reason, request.request_id),))


def _judge_resume(run: PlanRun, request: ResumeRequest) -> Verdict:
    if (over := _over(run, "resume")) is not None:
        return over
    if run.phase is not PlanPhase.PAUSED:
        return Unchanged()
    return Granted((Unpause(request.by, request.reason, request.request_id),))


def _over(run: PlanRun, what: str) -> Refused | None:
    if run.phase is PlanPhase.COMPLETED:
        return _completed(run, what)
    if run.phase is PlanPhase.CANCELLING:
        return Refused(ControlErrorCode.BEING_CANCELLED, f"plan {run.plan_id} is being cancelled")
    return None


def _completed(run: PlanRun, what: str) -> Refused:
    ended = f" ({run.outcome.overall_status})" if run.outcome is not None else ""
    return Refused(
        ControlErrorCode.ALREADY_COMPLETED,
        f"plan {run.plan_id} has completed{ended}: there is nothing to {what}",
    )


def _unknown_step(run: PlanRun, name: str) -> Refused:
    near = get_close_matches(name, run.index_of, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return Refused(ControlErrorCode.UNKNOWN_STEP, f"plan {run.plan_id} has no step {name}{hint}")


# --- approvals


def _judge_approve(run: PlanRun, request: ApproveRequest) -> Verdict:
    if request.step_id is None:
        indices = list(run.waiting)
        if not indices:
            return _none_waits(run, request)
    else:
        index = run.index_of.get(request.step_id)
        if index is None:
            return _unknown_step(run, request.step_id)
        if (settled := _settled(run, run.steps[index], request)) is not None:
            return settled
        indices = [index]
    if run.phase is PlanPhase.CANCELLING:
        return Refused(ControlErrorCode.BEING_CANCELLED, f"plan {run.plan_id} is being cancelled")
    return _decided(run, request, indices)


def _decided(run: PlanRun, request: ApproveRequest, indices: Sequence[int]) -> Granted:
    kind = Deny if request.is_refusal else Approve
    inputs = tuple(kind(index, request.by, request.reason, request.request_id) for index in indices)
    return Granted(inputs, tuple(run.steps[index].step.id for index in indices))


def _none_waits(run: PlanRun, request: ApproveRequest) -> Verdict:
    """The verdict on a request about every step that waits, where none does: it may be one that was sent again."""
    said_so = [step for step in run.steps if step.decision is not None and step.decision is not request.is_refusal]
    if said_so:
        return Unchanged(tuple(step.step.id for step in said_so))
    message = f"no step of plan {run.plan_id} waits for an approval"
    return _over(run, "approve") or Refused(ControlErrorCode.NOT_WAITING, message)


def _settled(run: PlanRun, step: StepRun, request: ApproveRequest) -> Verdict | None:
    """The verdict on a step that doesn't wait; None where it does."""
    name = step.step.id
    if step.phase is StepPhase.WAITING:
        return None
    if step.decision is None:
        message = f"step {name} of plan {run.plan_id} doesn't wait for an approval: it is {step.phase}"
        return _over(run, "approve") or Refused(ControlErrorCode.NOT_WAITING, message)
    if step.decision is not request.is_refusal:
        return Unchanged((name,))
    said = "approved" if step.decision else "refused"
    message = f"step {name} of plan {run.plan_id} was {said} before, and is {step.phase} now"
    return Refused(ControlErrorCode.ALREADY_DECIDED, message)


# --- a new round


def _judge_retry(run: PlanRun, request: RetryRequest, holder: NewHolder) -> Verdict:
    if run.phase is not PlanPhase.COMPLETED:
        message = f"plan {run.plan_id} hasn't ended ({run.phase}): only a finished plan can be retried"
        return Refused(ControlErrorCode.NOT_COMPLETED, message)
    if request.step_id is None:
        indices = [step.index for step in run.steps if step.phase is not StepPhase.SUCCEEDED]
        if not indices:
            message = f"every step of plan {run.plan_id} succeeded: name a step to run it and what is behind it again"
            return Refused(ControlErrorCode.NOTHING_TO_RETRY, message)
    else:
        index = run.index_of.get(request.step_id)
        if index is None:
            return _unknown_step(run, request.step_id)
        if (unmet := _unmet_dependency(run, index)) is not None:
            return unmet
        indices = run.graph.with_descendants(index)
    retry = Retry(tuple(indices), holder.executor, holder.message, request.by, request.reason, request.request_id)
    return Granted((retry,), tuple(run.steps[index].step.id for index in indices))


def _unmet_dependency(run: PlanRun, index: int) -> Refused | None:
    for before in run.graph.dependencies[index]:
        step = run.steps[before]
        if not step.lets_dependants_run:
            message = (
                f"step {run.steps[index].step.id} depends on {step.step.id}, which is {step.phase}: "
                f"retry {step.step.id}, and everything behind it runs again"
            )
            return Refused(ControlErrorCode.DEPENDENCY_NOT_MET, message)
    return None
