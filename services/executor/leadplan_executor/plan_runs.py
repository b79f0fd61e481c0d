"""The plans that this process has in its hands, and how each leaves them: ended, handed back, or parked."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, NamedTuple

import structlog
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_contracts.error_codes import StepErrorCode
from leadplan_contracts.times import parse_time
from leadplan_executor.clock import now_ms
from leadplan_executor.core import GivenUp, Input, PlanRun
from leadplan_executor.core.status import plan_state
from leadplan_executor.core.waiting import idle
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.plan_execution import Ending, Limits, PlanExecution
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_timers import PlanTimers
from leadplan_executor.tool_calls import ToolCaller

log = structlog.get_logger(__name__)


_MOST_RELAYS = 2
_SETTLE_SECONDS = 0.25


class RunLimits(NamedTuple):
    """How long things may take, in milliseconds.

    Attributes:
        busy_ms: one attempt may be answered ``busy`` for so long.
        patience_ms: a plan that only waits, and for longer than this, is parked.
        longest_wait_ms: so long after its start a plan that only waits is ended, before its log ages out.
    """

    busy_ms: int
    patience_ms: int
    longest_wait_ms: int


class PlanRuns:
    """Executes plans on one connection.

    Args:
        nc: the connection.
        plan_log: logs of plans.
        tools: calls tools.
        claim_check: takes what is too large for a message.
        index: where a summary of each plan is kept.
        limits: see there.
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
    ) -> None:
        self._nc = nc
        self._plan_log = plan_log
        self._tools = tools
        self._claim_check = claim_check
        self._index = index
        self._timers = PlanTimers(nc, plan_log)
        self._limits = limits
        self._executions: dict[PlanExecution, str] = {}
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
        if run.sequence and not run.completed and now_ms() >= self._expires_at(run):
            await self.give_up(delivery, run, last_stored, first[0], self._expired(run))
            return
        execution = self._execution(run, last_stored)
        self._executions[execution] = run.plan_id
        self._latest[run.plan_id] = execution
        try:
            ending = await execution.execute_lead_generation_plan(first, on_begun)
        finally:
            del self._executions[execution]
            if self._latest.get(run.plan_id) is execution:
                del self._latest[run.plan_id]
        match ending:
            case Ending.COMPLETED:
                if run.woken:
                    await self._timers.forget(run.plan_id, execution.last_stored)
                await delivery.ack()
            case Ending.PARKED:
                await self._park(delivery, execution)
            case Ending.HANDED_BACK:
                await delivery.hand_back()

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
        expired = now_ms() >= self._expires_at(run)
        if self._draining or expired or relays >= _MOST_RELAYS or not self._may_be_parked(run):
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

    async def _park(self, delivery: PlanDelivery, execution: PlanExecution) -> None:
        """Let go of a plan that only waits: a request or its timer brings it back."""
        run, waits = execution.run, execution.idle
        expires_at = self._expires_at(run)
        wakes_at = expires_at if waits is None or waits.until is None else min(waits.until, expires_at)
        await self._timers.set(run.plan_id, wakes_at, execution.last_stored)
        await self._note(run)
        await delivery.ack()
        log.info("plan only waits, letting go of it", plan_id=run.plan_id, wakes_at=wakes_at)

    def _execution(self, run: PlanRun, last_stored: int) -> PlanExecution:
        return PlanExecution(
            run,
            last_stored,
            nc=self._nc,
            plan_log=self._plan_log,
            tools=self._tools,
            claim_check=self._claim_check,
            limits=Limits(self._limits.busy_ms, self._limits.patience_ms),
            on_change=self._note,
        )

    def _may_be_parked(self, run: PlanRun) -> bool:
        """Whether the one who stored the plan's last event may have let go of it then."""
        return run.sequence > 0 and idle(run, parse_time(run.last_at), self._limits.patience_ms) is not None

    async def _note(self, run: PlanRun) -> None:
        await self._index.note(run, plan_state(run))

    def _expires_at(self, run: PlanRun) -> int:
        return run.started_at + self._limits.longest_wait_ms

    def _expired(self, run: PlanRun) -> GivenUp:
        waited = self._limits.longest_wait_ms // 86_400_000
        return GivenUp(
            f"the plan had not ended {waited} days after its start, and its log is about to age out "
            "(LEADPLAN_PLAN_LOG_MAX_AGE_S)",
            StepErrorCode.DEADLINE_EXCEEDED,
        )
