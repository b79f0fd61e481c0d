"""What intake says to a submission, shared by ``plans.execute`` and ``plans.validate`` (protocol sections 1 and 2)."""

from collections.abc import Iterator, Mapping
from itertools import chain

import msgspec
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from leadplan_contracts import LeadGenPlan, PlanProblem, PlanRejectedError, subjects
from leadplan_contracts.control import ValidationReport
from leadplan_contracts.error_codes import RejectionCode, WarningCode
from leadplan_contracts.events import PlanStarted, decode_event
from leadplan_contracts.validation import ReadSubmission, as_many_as_fit, read_plan_submission
from leadplan_executor.clock import now_ms
from leadplan_executor.core import PlanRun, PlanSubmitted, decide
from leadplan_executor.near_matches import did_you_mean
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_warnings import as_many_as_are_read, plan_warnings
from leadplan_executor.tool_directory import REJECT, ToolDirectory

_LARGEST_SEQUENCE = 2**63
_MOST_AROUND_A_PLAN = 64 * 1024
"""Bytes of PLAN_STARTED and its headers but for the plan, and many more: whom it is for, who runs it, the trace."""
_A_TRACEPARENT = f"00-{'f' * 32}-{'f' * 16}-01"
_ANSWER_SECONDS = 2.0


class PlanCheck:
    """Checks plans against what runs and lies on the server.

    Args:
        nc: the connection.
        executor: this instance's id.
        plan_log: logs of plans.
        directory: knows tools and the schemas of their params.
    """

    def __init__(self, nc: Client, *, executor: str, plan_log: PlanLog, directory: ToolDirectory) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._executor = executor
        self._plan_log = plan_log
        self._directory = directory

    async def find_problems(self, submitted: PlanSubmitted) -> list[PlanProblem]:
        """Why a plan whose form is right can't begin: its size, its tools, its params. None where it can.

        Raises:
            nats.errors.Error: it can't be found out whether a tool is served.
        """
        plan = submitted.submission.plan
        return [*self._size_problems(submitted), *await self._directory.find_tool_problems(plan)]

    async def validate(self, body: bytes) -> ValidationReport:
        """What ``plans.execute`` would say to a submission now, and what looks odd in it.

        Where its form is wrong, tools and params aren't looked at, as ever. An id that another plan has is listed
        beside the other problems.

        Raises:
            nats.errors.Error: the server doesn't answer, or nobody could be asked which tools are served.
            msgspec.DecodeError: the log of an earlier plan of this id can't be read.
        """
        try:
            submission = read_plan_submission(body)
        except PlanRejectedError as rejected:
            return ValidationReport(valid=False, problems=rejected.problems, warnings=[], plan_id=rejected.plan_id)
        problems = await self.find_problems(self._as_if_submitted(submission))
        unserved: Mapping[str, tuple[str, ...]] = {}
        if self._directory.unknown_tools != REJECT:
            unserved = await self._directory.find_unserved({step.tool for step in submission.plan.steps})
        earlier: list[PlanProblem] = []
        started = await self._earlier_start(submission.plan.id)
        if started is not None and not is_same_plan(started, submission):
            problems.insert(0, duplicate_plan_problem(submission.plan.id))
        elif started is not None:
            earlier.append(_already_submitted(submission.plan.id, started))
        warnings = chain(earlier, _unknown_tools(submission.plan, unserved), plan_warnings(submission.plan))
        return ValidationReport(
            valid=not problems,
            problems=as_many_as_fit(problems),
            warnings=as_many_as_are_read(warnings),
            plan_id=submission.plan.id,
        )

    def _size_problems(self, submitted: PlanSubmitted) -> list[PlanProblem]:
        if len(memoryview(submitted.submission.plan_json)) + _MOST_AROUND_A_PLAN <= self._nc.max_payload:
            return []
        (started,) = decide(PlanRun(submitted.submission.plan.id), submitted, now_ms())
        if self._plan_log.fits(started, submitted.traceparent):
            return []
        message = f"the plan and its envelope are larger than the server's limit of {self._nc.max_payload} bytes"
        return [PlanProblem(path="plan", code=RejectionCode.PLAN_TOO_LARGE, message=message)]

    def _as_if_submitted(self, submission: ReadSubmission) -> PlanSubmitted:
        """With everything about it that isn't known yet as large as it can be."""
        return PlanSubmitted(
            submission=submission,
            message=_LARGEST_SEQUENCE,
            executor=self._executor,
            traceparent=_A_TRACEPARENT,
            submitted_as=_LARGEST_SEQUENCE - 1,
        )

    async def _earlier_start(self, plan_id: str) -> PlanStarted | None:
        """The first event of the plan that has this id; None where there is none."""
        try:
            first = await self._js.get_msg(
                subjects.PLAN_LOG_STREAM, seq=1, subject=subjects.plan_log_subject(plan_id), next=True
            )
        except NotFoundError:
            return None
        event = decode_event(first.data or b"")
        return event if isinstance(event, PlanStarted) else None


def is_same_plan(started: PlanStarted, submission: ReadSubmission) -> bool:
    """Whether a plan that has begun is the one of this submission: same plan and user, keys in any order."""
    same_plan = msgspec.json.decode(started.plan) == msgspec.json.decode(submission.plan_json)
    return same_plan and started.user == submission.user


def duplicate_plan_problem(plan_id: str) -> PlanProblem:
    """The id was given to another plan before."""
    message = f"a plan with id {plan_id!r} and other content was submitted before; it is left as it is"
    return PlanProblem(path="plan.id", code=RejectionCode.DUPLICATE_PLAN_ID, message=message)


def _already_submitted(plan_id: str, started: PlanStarted) -> PlanProblem:
    message = (
        f"this plan was submitted before and began at {started.time}: submitted again, it doesn't run again. Give it "
        f"another id to run it once more, or retry {plan_id!r} if it failed"
    )
    return PlanProblem(path="plan.id", code=WarningCode.ALREADY_SUBMITTED, message=message)


def _unknown_tools(plan: LeadGenPlan, unserved: Mapping[str, tuple[str, ...]]) -> Iterator[PlanProblem]:
    for index, step in enumerate(plan.steps):
        if (near := unserved.get(step.tool)) is not None:
            message = (
                f"nobody announces {step.tool}{did_you_mean(near) or '.'} Unless a plain subscriber serves it, its "
                "attempts fail with no_responders. Correct the name, or start the tool"
            )
            yield PlanProblem(path=f"plan.steps[{index}].tool", code=WarningCode.UNKNOWN_TOOL, message=message)
