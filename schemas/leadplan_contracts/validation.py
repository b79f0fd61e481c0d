"""Reading a submission: every problem at once, each with path, code and message (protocol section 2).

A valid message is decoded once by msgspec. Only when that fails is it taken apart to list what is wrong.
"""

from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.errors import PlanProblem, PlanRejectedError
from leadplan_contracts.plan import LeadGenPlan, PlanSubmission, SupervisorUserContext
from leadplan_contracts.recurrence import Recurrence
from leadplan_contracts.shape import find_shape_problems, text_problem
from leadplan_contracts.structure import find_structure_problems, outline_of_json, outline_of_step
from leadplan_contracts.times import parse_time
from leadplan_contracts.wire import MAX_NESTING, PlanId, SubmittedPlanId, WireModel, encode, is_nested_too_deep

MAX_PROBLEMS = 1000
MAX_PROBLEM_BYTES = 256 * 1024
"""What the listed problems may take of ``PLAN_REJECTED``, so that the event always fits into a message."""


class ReadSubmission(NamedTuple):
    """A valid submission, and the plan's JSON as it was sent (unknown keys included; only the id can be another)."""

    plan: LeadGenPlan
    user: SupervisorUserContext
    plan_json: Raw
    recurrence: Recurrence | None = None


class _Envelope(WireModel, kw_only=True, frozen=True):
    plan: Raw
    user: Raw
    recurrence: Recurrence | None = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_plan_decoder = msgspec.json.Decoder(LeadGenPlan)
_user_decoder = msgspec.json.Decoder(SupervisorUserContext)
_raw_object_decoder = msgspec.json.Decoder(dict[str, Raw])


def read_plan_submission(body: bytes, *, plan_id_suffix: str = "") -> ReadSubmission:
    """Read and check a message from ``plans.execute``.

    Args:
        body: the message.
        plan_id_suffix: added to the plan's id, as for a message that a schedule fired.

    Raises:
        PlanRejectedError: with every problem of the message (the first thousand of them, if there are so many).
    """
    try:
        body.decode()
        envelope = _envelope_decoder.decode(body)
        submission = ReadSubmission(
            _plan_decoder.decode(envelope.plan),
            _user_decoder.decode(envelope.user),
            envelope.plan,
            envelope.recurrence,
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _all_problems(body, error, plan_id_suffix) from None
    plan = submission.plan
    problems = _find_deep_nesting(body) + _find_impossible_time(plan.created_at)
    problems += find_structure_problems([outline_of_step(step) for step in plan.steps])
    if plan_id_suffix:
        problems += _suffix_problems(plan.id, plan_id_suffix)
    if problems:
        raise _rejection(plan.id, plan_id_suffix, problems)
    return _with_plan_id_suffix(submission, plan_id_suffix) if plan_id_suffix else submission


def _with_plan_id_suffix(submission: ReadSubmission, suffix: str) -> ReadSubmission:
    plan = msgspec.structs.replace(submission.plan, id=submission.plan.id + suffix)
    # Only the id is written anew: the rest keeps its exact bytes.
    plan_json = {**_raw_object_decoder.decode(submission.plan_json), "id": Raw(encode(plan.id))}
    return submission._replace(plan=plan, plan_json=Raw(encode(plan_json)))


def _suffix_problems(plan_id: str, suffix: str) -> list[PlanProblem]:
    try:
        msgspec.convert(plan_id + suffix, SubmittedPlanId)
    except msgspec.ValidationError:
        message = f"with {suffix!r} added for this firing of its schedule the id is too long: at most 128 characters"
        return [PlanProblem(path="plan.id", code=RejectionCode.BAD_ID, message=message)]
    return []


def _find_deep_nesting(body: bytes) -> list[PlanProblem]:
    if not is_nested_too_deep(body):
        return []
    message = f"arrays and objects stand more than {MAX_NESTING} deep inside one another"
    return [PlanProblem(path="", code=RejectionCode.INVALID_JSON, message=message)]


def _find_impossible_time(created_at: str) -> list[PlanProblem]:
    try:
        parse_time(created_at)
    except ValueError:
        return [text_problem(created_at, "plan.createdAt", "createdAt")]
    return []


def _all_problems(body: bytes, first_error: Exception, plan_id_suffix: str) -> PlanRejectedError:
    """Take apart a message that doesn't decode and list everything that is wrong with it."""
    try:
        body.decode()
        message: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        problem = PlanProblem(path="", code=RejectionCode.INVALID_JSON, message=f"the message can't be read: {error}")
        return PlanRejectedError(None, [problem])
    problems = _find_deep_nesting(body) + find_shape_problems(message, PlanSubmission)
    plan = message.get("plan") if isinstance(message, dict) else None
    plan = plan if isinstance(plan, dict) else {}
    if isinstance(created_at := plan.get("createdAt"), str) and all(p.path != "plan.createdAt" for p in problems):
        problems += _find_impossible_time(created_at)
    if isinstance(steps := plan.get("steps"), list):
        problems += find_structure_problems([outline_of_json(step) for step in steps])
    # What msgspec refuses and the walk doesn't find is still a refusal.
    problems = problems or [PlanProblem(path="", code=RejectionCode.INVALID_FIELD, message=str(first_error))]
    return _rejection(plan.get("id"), plan_id_suffix, problems)


def _rejection(plan_id: Any, plan_id_suffix: str, problems: list[PlanProblem]) -> PlanRejectedError:
    try:
        # The suffix comes after the check: it must not make an empty id a good one.
        readable = msgspec.convert(plan_id, SubmittedPlanId)
        readable = msgspec.convert(readable + plan_id_suffix, PlanId)
    except msgspec.ValidationError:
        readable = None
    return PlanRejectedError(readable, as_many_as_fit(problems))


def as_many_as_fit(problems: list[PlanProblem]) -> list[PlanProblem]:
    """The problems, cut with a note of how many more there are, so that ``PLAN_REJECTED`` fits into a message."""
    room = MAX_PROBLEM_BYTES
    for count, problem in enumerate(problems):
        room -= len(encode(problem)) + 1
        if count == MAX_PROBLEMS or room < 0:
            message = f"and {len(problems) - count} more problems that are not listed"
            return [*problems[:count], PlanProblem(path="", code=RejectionCode.MORE_PROBLEMS, message=message)]
    return problems
