"""One door for every message of the queue: submissions and wake messages, each to its handler."""

from collections.abc import Callable

import msgspec
import structlog
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts import PlanProblem, subjects
from leadplan_contracts.error_codes import RejectionCode
from leadplan_executor.core import GivenUp
from leadplan_executor.core.errors import CoreError
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.errors import FenceLostError, crash_of
from leadplan_executor.plan_check import PlanCheck
from leadplan_executor.plan_execution import RunLimits
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_runs import PlanRuns
from leadplan_executor.rejections import Rejections
from leadplan_executor.submissions import SubmissionHandler
from leadplan_executor.tool_calls import ToolCaller
from leadplan_executor.tool_directory import ToolDirectory
from leadplan_executor.wakes import WakeHandler

log = structlog.get_logger(__name__)

_WAKES = subjects.plan_wake_subject("")


class PlanHandler:
    """Settles deliveries from the work queue, each to its end, as one executor instance.

    Args:
        nc: the connection.
        executor: this instance's id.
        tools: calls tools.
        directory: knows what tools do, and the schemas of their params.
        limits: how long things may take.
        on_plan_read: called with a plan's id once its message was read.

    Attributes:
        plan_log: logs of plans, as this instance writes them.
        runs: the plans that are held.
        check: what is said to a plan before it begins.
    """

    def __init__(
        self,
        nc: Client,
        *,
        executor: str,
        tools: ToolCaller,
        claim_check: ClaimCheck,
        directory: ToolDirectory,
        limits: RunLimits,
        on_plan_read: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.plan_log = PlanLog(nc, executor)
        index = PlanIndex(nc)
        self.runs = PlanRuns(
            nc,
            plan_log=self.plan_log,
            tools=tools,
            claim_check=claim_check,
            index=index,
            limits=limits,
            changes_nothing=directory.changes_nothing,
        )
        self.check = PlanCheck(nc, executor=executor, plan_log=self.plan_log, directory=directory)
        self._rejections = Rejections(nc, claim_check, index)
        self._submissions = SubmissionHandler(
            nc,
            executor=executor,
            plan_log=self.plan_log,
            runs=self.runs,
            check=self.check,
            rejections=self._rejections,
        )
        self._wakes = WakeHandler(
            nc, executor=executor, plan_log=self.plan_log, runs=self.runs, rejections=self._rejections
        )
        self._on_plan_read = on_plan_read

    async def handle(self, delivery: PlanDelivery) -> None:
        """Settle one delivery: it is acknowledged, handed back, or let go of because another executor has the plan.

        Raises:
            nats.errors.Error: the server didn't answer; the delivery isn't settled.
            leadplan_executor.core.errors.CoreError: the plan's log holds what no executor writes.
            msgspec.DecodeError: likewise.
        """
        try:
            if (plan_id := woken_plan(delivery)) is not None:
                self._on_plan_read(plan_id)
                await self._wakes.handle(delivery)
            elif (submission := await self._submissions.read(delivery)) is not None:
                self._on_plan_read(submission.plan.id)
                await self._submissions.handle(delivery, submission)
        except FenceLostError as error:
            log.info("plan is run by another executor, letting go", message=delivery.stream_sequence, by=error.by)

    async def give_up(self, delivery: PlanDelivery, reason: str) -> None:
        """End a delivery's plan because handling it crashed again and again.

        A plan that has begun ends in the ordinary way, with ``poison_plan`` for what hadn't ended. One that never did,
        or whose log can't be read, is rejected with that code.

        Raises:
            nats.errors.Error: the server didn't answer; the delivery isn't settled.
        """
        plan_id = woken_plan(delivery)
        log.error("plan is given up", plan_id=plan_id, message=delivery.stream_sequence, reason=reason)
        try:
            if plan_id is not None:
                self._on_plan_read(plan_id)
                await self._wakes.handle(delivery, GivenUp(reason))
            elif (submission := await self._submissions.read(delivery)) is not None:
                plan_id = submission.plan.id
                self._on_plan_read(plan_id)
                await self._submissions.give_up(delivery, submission, GivenUp(reason))
        except FenceLostError as error:
            log.info("plan is run by another executor, letting go", plan_id=plan_id, by=error.by)
        except (CoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
            await self.reject_unread(delivery, plan_id, f"{reason}. Its log can't be read: {crash_of(error)}")

    async def reject_unread(self, delivery: PlanDelivery, plan_id: str | None, reason: str) -> None:
        """Reject a message, for handling it crashed again and again; it isn't looked into.

        Raises:
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        problem = PlanProblem(path="", code=RejectionCode.POISON_PLAN, message=reason)
        await self._rejections.reject(delivery, plan_id or woken_plan(delivery), [problem])


def woken_plan(delivery: PlanDelivery) -> str | None:
    """The plan that a wake message is about, by its subject; None for a submission."""
    return delivery.subject.removeprefix(_WAKES) if delivery.subject.startswith(_WAKES) else None
