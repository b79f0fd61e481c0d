"""``PlanControl``: seeing and steering plans through the control endpoints of the executors (protocol section 1)."""

from collections.abc import AsyncIterator

import msgspec
from nats.aio.client import Client

from leadplan_bus.tokens import new_token
from leadplan_client.control_requests import DEFAULT_CONTROL_SECONDS, ControlEndpoints
from leadplan_client.errors import UnreadableAnswerError
from leadplan_client.plan_ids import checked_plan_id
from leadplan_contracts import LeadGenPlan, PlanSubmission, SupervisorUserContext
from leadplan_contracts.control import (
    ApproveRequest,
    CancelRequest,
    ControlReply,
    Decision,
    ListRequest,
    PauseRequest,
    PlanPage,
    PlanStatus,
    PlanSummary,
    ResumeRequest,
    RetryRequest,
    StatusRequest,
    ValidationReport,
)
from leadplan_contracts.wire import encode


class PlanControl:
    """Asks any executor, whichever has the plan. ``PlanClient`` has all of this.

    A request that gets no answer is sent again until ``control_seconds`` are over: that is safe, for each is
    idempotent. ``by`` and ``reason`` stand in the event that a request leads to. Every method may raise:

    - ``InvalidPlanIdError``, ``InvalidRequestError``, ``RequestTooLargeError``: nothing was sent.
    - ``UnknownPlanError``: there is no such plan.
    - ``ControlRefusedError``: the executor says no; its ``code`` says why.
    - ``NoExecutorError``, ``ExecutorSilentError``: no executor runs, or none answers in time.
    - ``UnreadableAnswerError``: the answer isn't of this contract.
    - ``NoAnswerError``, ``ConnectionLostError``: the NATS server is away.

    Args:
        nc: an open connection; it stays the caller's to close.
        control_seconds: how long an answer is waited for in all.
    """

    def __init__(self, nc: Client, *, control_seconds: float = DEFAULT_CONTROL_SECONDS) -> None:
        self._endpoints = ControlEndpoints(nc, control_seconds)

    async def status(self, plan_id: str, *, data: bool = True) -> PlanStatus:
        """How a plan stands, and each of its steps.

        Args:
            plan_id: the plan.
            data: with what the tools returned; without it the answer is small.
        """
        request = StatusRequest(plan_id=checked_plan_id(plan_id), data=data)
        return await self._endpoints.ask("status", request, PlanStatus)

    async def plan_page(self, request: ListRequest) -> PlanPage:
        """One page of plans. It may be empty and still have a ``next``, which is the ``cursor`` of the next page."""
        return await self._endpoints.ask("list", request, PlanPage)

    async def list_plans(self, request: ListRequest | None = None) -> AsyncIterator[PlanSummary]:
        """Every plan that the request's filters let through, those that changed last first.

        Pages are fetched as they are needed: leave the loop when you have enough. A plan that changes meanwhile moves
        to the front, and may be missed.

        Args:
            request: the filters; ``limit`` is the size of a page. None lists all plans.
        """
        request = request or ListRequest()
        while True:
            page = await self.plan_page(request)
            for plan in page.plans:
                yield plan
            if page.next is None:
                return
            if page.next == request.cursor:
                raise UnreadableAnswerError("list", f"the page behind {page.next!r} is that page itself")
            request = msgspec.structs.replace(request, cursor=page.next)

    async def validate(self, plan: LeadGenPlan, user: SupervisorUserContext) -> ValidationReport:
        """What ``submit`` of this plan would lead to: all problems, and what looks odd. Nothing is stored."""
        return await self.validate_json(encode(PlanSubmission(plan=plan, user=user)))

    async def validate_json(self, body: bytes) -> ValidationReport:
        """Like ``validate``, for a submission that is JSON already, or was meant to be."""
        return await self._endpoints.ask_json("validate", body, ValidationReport)

    async def cancel(self, plan_id: str, *, by: str | None = None, reason: str | None = None) -> ControlReply:
        """Stop a plan: nothing new starts, running tools are told to stop, and it ends as ``cancelled``."""
        request = CancelRequest(plan_id=checked_plan_id(plan_id), by=by, reason=reason, request_id=new_token())
        return await self._endpoints.ask("cancel", request, ControlReply)

    async def pause(self, plan_id: str, *, by: str | None = None, reason: str | None = None) -> ControlReply:
        """Let a plan's running attempts finish and start nothing new until ``resume``."""
        request = PauseRequest(plan_id=checked_plan_id(plan_id), by=by, reason=reason, request_id=new_token())
        return await self._endpoints.ask("pause", request, ControlReply)

    async def resume(self, plan_id: str, *, by: str | None = None, reason: str | None = None) -> ControlReply:
        """Let a paused plan go on."""
        request = ResumeRequest(plan_id=checked_plan_id(plan_id), by=by, reason=reason, request_id=new_token())
        return await self._endpoints.ask("resume", request, ControlReply)

    async def retry(
        self, plan_id: str, *, step_id: str | None = None, by: str | None = None, reason: str | None = None
    ) -> ControlReply:
        """Run a finished plan again from what failed or was skipped; succeeded steps keep their results.

        Give the reply's ``sequence`` to ``PlanClient.follow`` to follow the plan to its next end.

        Args:
            plan_id: the plan.
            step_id: run this step and everything behind it again, whatever became of it before.
            by: who wants it.
            reason: why.
        """
        request = RetryRequest(
            plan_id=checked_plan_id(plan_id), step_id=step_id, by=by, reason=reason, request_id=new_token()
        )
        return await self._endpoints.ask("retry", request, ControlReply)

    async def approve(
        self, plan_id: str, step_id: str | None = None, *, by: str | None = None, reason: str | None = None
    ) -> ControlReply:
        """Let a step that waits for an approval run; without ``step_id`` all steps that wait for one."""
        return await self._decide(Decision.APPROVE, plan_id, step_id, by, reason)

    async def deny(
        self, plan_id: str, step_id: str | None = None, *, by: str | None = None, reason: str | None = None
    ) -> ControlReply:
        """Refuse a step that waits for an approval, which fails it; without ``step_id`` all that wait for one."""
        return await self._decide(Decision.DENY, plan_id, step_id, by, reason)

    async def _decide(
        self, decision: Decision, plan_id: str, step_id: str | None, by: str | None, reason: str | None
    ) -> ControlReply:
        request = ApproveRequest(
            plan_id=checked_plan_id(plan_id),
            step_id=step_id,
            decision=decision,
            by=by,
            reason=reason,
            request_id=new_token(),
        )
        return await self._endpoints.ask("approve", request, ControlReply)
