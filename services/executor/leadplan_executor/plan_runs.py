"""The plans that this process has in its hands, and how each leaves them: ended, handed back, or parked."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import structlog
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts.times import format_time
from leadplan_executor.clock import now_ms
from leadplan_executor.core import GivenUp, Input, PlanRun
from leadplan_executor.core.status import plan_state
from leadplan_executor.core.waiting import Idle, expiry, may_be_parked, wakes_at
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.plan_execution import Ending, PlanExecution, RunLimits
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_timers import PlanTimers
from leadplan_executor.tool_calls import ToolCaller

log = structlog.get_logger(__name__)


_MOST_RELAYS = 2
_SETTLE_SECONDS = 0.25


class PlanRuns:
    """Executes plans on one connection.

    Args:
        nc: the connection.
        plan_log: logs of plans.
        tools: calls tools.
        claim_check: takes what is too large for a message.
        index: where a summary of each plan is kept.
        limits: see there.
        changes_nothing: tells whether a tool is known to have no effects.
    """

    def __init__(
        self,
        nc: Client,
        *,
        plan_log: PlanLog,
        tools: ToolCaller,
        claim_check: ClaimCheck,
        index: PlanIndex,
        limits: RunLimits,
        changes_nothing: Callable[[str], bool],
    ) -> None:
        self._nc = nc
        self._plan_log = plan_log
        self._tools = tools
        self._claim_check = claim_check
        self._index = index
        self._timers = PlanTimers(nc, plan_log)
        self._limits = limits
        self._changes_nothing = changes_nothing
        self._executions: set[PlanExecution] = set()
        self._latest: dict[str, PlanExecution] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._draining = False

    @property
    def got_further(self) -> bool:
        """Whether something came of a plan that is held."""
        return any(execution.got_further for execution in self._executions)

    def find(self, plan_id: str) -> PlanExecution | None:
        """The execution of a plan that is held here; None where it isn't."""
        return self._latest.get(plan_id)

    def drain(self) -> None:
        """Start no attempt and no plan any more; hand plans back as their attempts end."""
        self._draining = True
        for execution in list(self._executions):
            execution.drain()

    def abandon(self) -> None:
        """Hand back what is still held, now."""
        for execution in list(self._executions):
            execution.abandon()

    async def let_go_of_lost_plans(self) -> None:
        """End the executions of plans that another executor has taken over.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        await asyncio.gather(*(execution.let_go_if_lost() for execution in self._executions))

    async def execute(
        self,
        delivery: PlanDelivery,
        run: PlanRun,
        last_stored: int,
        first: Sequence[Input],
        on_begun: Callable[[], None] = lambda: None,
    ) -> None:
        """Run a plan until it leaves these hands; its delivery is settled then.

        Args:
            delivery: what it is held by.
            run: its state.
            last_stored: stream sequence of its last event; 0 where there is none.
            first: what began it here, and what is asked of it at once.
            on_begun: called when the events of those are stored.

        Raises:
            FenceLostError: another executor has the plan; its delivery isn't settled.
            nats.errors.Error: the server didn't answer; likewise.
        """
        if self._draining:
            await delivery.hand_back()
            return
        if (expired := expiry(run, now_ms(), self._limits.longest_wait_ms)) is not None:
            await self.give_up(delivery, run, last_stored, first[0], expired)
            return
        execution = self._execution(run, last_stored)
        self._executions.add(execution)
        self._latest[run.plan_id] = execution
        try:
            ending = await execution.execute_lead_generation_plan(first, on_begun)
        finally:
            self._executions.discard(execution)
            if self._latest.get(run.plan_id) is execution:
                del self._latest[run.plan_id]
        match ending:
            case Ending.COMPLETED:
                if run.woken:
                    await self._timers.forget(run.plan_id, execution.last_stored)
                await delivery.ack()
            case Ending.HANDED_BACK:
                await delivery.hand_back()
            case Idle():
                await self._park(delivery, execution, ending)

    async def take_over(
        self, delivery: PlanDelivery, run: PlanRun, last_stored: int, first: Input, *, relays: int = 0
    ) -> None:
        """Go on with a plan whose message was delivered again.

        Whoever had it before may have parked it, and its acknowledgement may still be on its way: that takes the
        message off the queue for whoever holds it by then. So such a plan is held by a message of its own, and this
        one is settled once that has happened. Not again and again: a plan that crashes its executors while it waits
        must be known by its message.

        Args:
            delivery: what it was held by, and is held by now.
            run: its state.
            last_stored: stream sequence of its last event.
            first: ``TakenOver``.
            relays: how often it was handed on like this since somebody made something of it.

        Raises:
            FenceLostError: another executor has the plan; its delivery isn't settled.
            nats.errors.Error: the server didn't answer; likewise.
        """
        expired = expiry(run, now_ms(), self._limits.longest_wait_ms) is not None
        parked = may_be_parked(run, self._limits.patience_ms)
        if self._draining or expired or relays >= _MOST_RELAYS or not parked:
            await self.execute(delivery, run, last_stored, (first,))
            return
        await self._timers.wake(run.plan_id, last_stored, relays + 1)
        await delivery.hand_back(_SETTLE_SECONDS)

    async def give_up(
        self, delivery: PlanDelivery, run: PlanRun, last_stored: int, first: Input, ending: GivenUp
    ) -> None:
        """End a plan from where it is, without calling any tool.

        Raises:
            FenceLostError: another executor has the plan.
            nats.errors.Error: the server didn't answer.
        """
        if self._draining:
            await delivery.hand_back()
            return
        await self._execution(run, last_stored).give_up(first, ending)
        await delivery.ack()

    def aside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that nobody waits for."""
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    async def _park(self, delivery: PlanDelivery, execution: PlanExecution, idling: Idle) -> None:
        """Let go of a plan that only waits: a request or its timer brings it back."""
        run = execution.run
        at = wakes_at(run, idling, self._limits.longest_wait_ms)
        await self._timers.set(run.plan_id, at, execution.last_stored)
        await self._note(run)
        await delivery.ack()
        log.info("plan only waits, letting go of it", plan_id=run.plan_id, wakes_at=format_time(at))

    def _execution(self, run: PlanRun, last_stored: int) -> PlanExecution:
        return PlanExecution(
            run,
            last_stored,
            nc=self._nc,
            plan_log=self._plan_log,
            tools=self._tools,
            claim_check=self._claim_check,
            limits=self._limits,
            on_change=self._note,
            changes_nothing=self._changes_nothing,
        )

    async def _note(self, run: PlanRun) -> None:
        await self._index.note(run, plan_state(run))
