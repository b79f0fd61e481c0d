"""Carrying out what the core decides for one plan: the shell's loop.

Take an input, ``decide``, store the events behind the fence, ``evolve``, then start what is ``due`` and not under way
and stop what is under way and not due. Nothing is decided here; no status is compared.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from enum import Enum, auto
from typing import Any, NamedTuple

import structlog
from msgspec.structs import replace
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.errors import ClaimCheckError
from leadplan_bus.limits import fits
from leadplan_bus.tokens import new_token
from leadplan_contracts import CancelNotice, LeadPlanEventPayload, ToolProgress, subjects
from leadplan_contracts.control import ControlRequest
from leadplan_contracts.events import (
    PlanCompleted,
    PlanResumed,
    PlanRetried,
    PlanStarted,
    ProgressMeta,
    StepEvent,
    StepFailed,
    StepProgress,
    StepSkipped,
    StepStarted,
    event_type,
)
from leadplan_contracts.wire import encode
from leadplan_executor.clock import now_ms, sleep_until
from leadplan_executor.control_messages import NOT_HELD, Outcome, outcome
from leadplan_executor.core import (
    AttemptEnded,
    CallTool,
    Command,
    GivenUp,
    Input,
    PlanRun,
    Proceed,
    WaitUntil,
    decide,
    due,
    evolve,
)
from leadplan_executor.core.control import Granted, NewHolder, judge_control
from leadplan_executor.core.early_calls import may_be_called_early
from leadplan_executor.core.events import emit_plan_event
from leadplan_executor.core.outcome import AskAgain, cut, unless_busy
from leadplan_executor.core.requests import execution_env, idempotency_key
from leadplan_executor.core.signals import ToolSignal
from leadplan_executor.core.state import StepRun
from leadplan_executor.core.waiting import Idle, idle
from leadplan_executor.errors import FenceLostError
from leadplan_executor.latest_progress import LatestProgress
from leadplan_executor.plan_log import PlanLog, event_headers
from leadplan_executor.tool_calls import ToolCaller

log = structlog.get_logger(__name__)

_STORE_AGAIN_SECONDS = 1.0
_TAKING_UP = (PlanStarted, PlanResumed, PlanRetried)
_ENDS_UNASKED = (StepFailed, StepSkipped)
_NO_NEW_ROUND = NewHolder("", 0)
"""Only a finished plan is granted a new round, and nobody holds such a one."""


class Ending(Enum):
    """Why an execution ended without an error; ``Idle`` beside these means that the plan only waits, and is let go."""

    COMPLETED = auto()
    HANDED_BACK = auto()


class RunLimits(NamedTuple):
    """How long things may take, in milliseconds.

    Attributes:
        busy_ms: one attempt may be answered ``busy`` for so long.
        patience_ms: a plan that only waits, and for longer than this, is let go.
        longest_wait_ms: so long after its start a plan that only waits is ended, before its log ages out.
    """

    busy_ms: int
    patience_ms: int
    longest_wait_ms: int


class PlanExecution:
    """One plan in the hands of this executor.

    Args:
        run: the plan's state.
        last_stored: stream sequence of the plan's last event; 0 where there is none.
        nc: for the live feed.
        plan_log: stores the events.
        tools: calls the tools.
        claim_check: takes a result too large for a message.
        limits: see there.
        on_change: called when the plan as a whole has changed: it was begun, taken up, steered, or has ended.
        changes_nothing: tells whether a tool is known to have no effects.
    """

    def __init__(
        self,
        run: PlanRun,
        last_stored: int,
        *,
        nc: Client,
        plan_log: PlanLog,
        tools: ToolCaller,
        claim_check: ClaimCheck,
        limits: RunLimits,
        on_change: Callable[[PlanRun], Awaitable[None]],
        changes_nothing: Callable[[str], bool],
    ) -> None:
        self.run = run
        self._last_stored = last_stored
        self._nc = nc
        self._plan_log = plan_log
        self._tools = tools
        self._claim_check = claim_check
        self._limits = limits
        self._on_change = on_change
        self._changes_nothing = changes_nothing
        self._turn = asyncio.Lock()
        self._tasks: dict[int | None, asyncio.Task[None]] = {}
        self._side_tasks: set[asyncio.Task[None]] = set()
        self._calling: set[int] = set()
        self._alarm: Command | None = None
        self._all_to_align = True
        self._ended: asyncio.Future[Ending | Idle] = asyncio.get_running_loop().create_future()
        self._draining = False
        self.got_further = False
        """Whether something came of the plan here, beyond taking it up and asking tools."""
        self._log = log.bind(plan_id=run.plan_id)
        self._debugs = self._log.is_enabled_for(logging.DEBUG)

    @property
    def last_stored(self) -> int:
        """Stream sequence of the plan's last event."""
        return self._last_stored

    async def execute_lead_generation_plan(
        self, first: Sequence[Input], on_begun: Callable[[], None] = lambda: None
    ) -> Ending | Idle:
        """Run the plan from where it is to its end, or until it is handed back or parked.

        Args:
            first: what began it here: ``PlanSubmitted``, ``TakenOver`` or ``Retry``, and what is asked of it at once.
            on_begun: called when the events of those are stored.

        Raises:
            FenceLostError: another executor took the plan over.
            EventTooLargeError: an event doesn't fit into a message.
            nats.errors.ConnectionClosedError: the connection is gone for good.
        """
        try:
            async with self._turn:
                for each in first:
                    await self._store(decide(self.run, each, now_ms()))
                on_begun()
                await self._proceed()
            return await self._ended
        finally:
            tasks = [*self._tasks.values(), *self._side_tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def give_up(self, first: Input, ending: GivenUp) -> None:
        """End the plan from where it is, without calling any tool.

        Args:
            first: ``TakenOver``.
            ending: why.

        Raises:
            FenceLostError, EventTooLargeError, nats.errors.ConnectionClosedError: as above.
        """
        async with self._turn:
            await self._store(decide(self.run, first, now_ms()))
            while events := decide(self.run, ending, now_ms()):
                await self._store(events)

    def control(self, request: ControlRequest) -> asyncio.Future[Outcome]:
        """Do what somebody asks of the plan; the outcome comes once its events are stored.

        ``NOT_HELD`` where the plan is let go in the meantime. The consequences, such as the end of a cancelled plan's
        steps, follow without being waited for.
        """
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def tell(result: Outcome) -> None:
            if not told.done():
                told.set_result(result)

        self._ended.add_done_callback(lambda _: tell(NOT_HELD))
        self._spawn_aside(self._carry_out(request, tell), "control request")
        return told

    async def _carry_out(self, request: ControlRequest, tell: Callable[[Outcome], None]) -> None:
        async with self._turn:
            if self._ended.done():
                return
            verdict = judge_control(self.run, request, _NO_NEW_ROUND)
            if isinstance(verdict, Granted):
                for each in verdict.inputs:
                    await self._store(decide(self.run, each, now_ms()))
            tell(outcome(self.run, verdict))
            await self._proceed()

    def drain(self) -> None:
        """Start nothing new; hand the plan back as soon as no attempt is with a tool."""
        self._draining = self._all_to_align = True
        self._spawn_aside(self._feed(None), "drain")

    def abandon(self) -> None:
        """Hand the plan back now; attempts in flight are left to whoever takes it over."""
        self._end(Ending.HANDED_BACK)

    async def let_go_if_lost(self) -> None:
        """End with ``FenceLostError`` where another executor has appended to the plan since we did.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        stored, by = await self._plan_log.last_append(self.run.plan_id)
        # While an append of ours is under way, the fence tells.
        if stored > self._last_stored and not self._turn.locked() and not self._ended.done():
            self._ended.set_exception(FenceLostError(self.run.plan_id, by))

    async def execute_step_with_retries(self, index: int, first: Command | None = None) -> None:
        """Carry out a step's commands one after the other: call its tool, wait, call again, as the core says.

        ``first`` is what is due once the event that is being stored is stored.
        """
        while not self._ended.done():
            command, first = first or due(self.run).get(index), None
            match command:
                case CallTool(attempt=attempt):
                    signal = await self._call_tool(index, attempt)
                    await self._feed(AttemptEnded(index, attempt, signal, random.random()))  # noqa: S311 - jitter
                case WaitUntil(at=at) if not self._draining:
                    await sleep_until(at)
                    await self._feed(None)
                case _:
                    return

    async def _await_deadline(self, at: int) -> None:
        await sleep_until(at)
        await self._feed(None)

    async def _feed(self, happened: Input | None) -> None:
        """Let an input and all its consequences happen, one input at a time; None where only time went by."""
        async with self._turn:
            if self._ended.done():
                return
            if happened is not None:
                await self._store(decide(self.run, happened, now_ms()))
            await self._proceed()

    async def _proceed(self) -> None:
        """Store what the state leads to, start and stop what is due, and see whether the plan is still to be held."""
        while not self._draining and (events := decide(self.run, Proceed(), now_ms())):
            await self._store(events)
        # A step's event changes what is due of that step, and perhaps the alarm; a plan may have thousands of others.
        self._align(due(self.run).keys() | self._tasks.keys() if self._all_to_align else (None,))
        self._all_to_align = False
        if self.run.completed:
            self._end(Ending.COMPLETED)
        elif self._draining and not self.run.attempts_in_flight:
            self._end(Ending.HANDED_BACK)
        elif (idling := idle(self.run, now_ms(), self._limits.patience_ms)) is not None:
            self._end(idling)

    def _end(self, ending: Ending | Idle) -> None:
        if not self._ended.done():
            self._ended.set_result(ending)

    async def _store(self, events: Iterable[LeadPlanEventPayload]) -> None:
        """Store events one by one, each before anything follows from it (protocol section 6, rule 5)."""
        for event in events:
            if isinstance(event, StepEvent):
                await self._store_of_step(event, self.run.index_of[event.step.id])
            else:
                await self._store_of_plan(event)

    async def _store_of_step(self, event: LeadPlanEventPayload, index: int) -> None:
        if isinstance(event, StepStarted):
            self._call_early(index, event)
        self._last_stored = await self._plan_log.append(
            event, after=self._last_stored, traceparent=self.run.traceparent
        )
        orphaned = isinstance(event, _ENDS_UNASKED) and self._is_orphaned(index)
        evolve(self.run, event)
        if self._debugs:
            self._log.debug("stored", **_of_event(event), **_of_step(self.run.steps[index]))
        if orphaned:
            self._spawn_aside(self._cancel_call(index), "cancel notice")
        self.got_further |= not isinstance(event, StepStarted)
        self._align((index,))

    async def _store_of_plan(self, event: LeadPlanEventPayload) -> None:
        trace = event.meta.traceparent if isinstance(event, PlanStarted) else self.run.traceparent
        to_store = await self._fitting(event) if isinstance(event, PlanCompleted) else event
        self._last_stored = await self._plan_log.append(to_store, after=self._last_stored, traceparent=trace)
        evolve(self.run, event)
        self._log.info("stored", **_of_event(event))
        self.got_further |= not isinstance(event, _TAKING_UP)
        self._all_to_align = True
        await self._on_change(self.run)

    def _call_early(self, index: int, begins: StepStarted) -> None:
        """Have a tool called while the event that begins its attempt is being stored, where the core lets it."""
        changes_nothing, appending = self._changes_nothing(begins.step.tool), self._plan_log.appending
        may = may_be_called_early(self.run, begins, changes_nothing=changes_nothing, appending=appending)
        if may and index not in self._tasks:
            self._start_step(index, CallTool(index, begins.result.attempts))

    def _start_step(self, index: int, first: Command | None = None) -> None:
        name = f"plan {self.run.plan_id} step {index}"
        task = self._tasks[index] = asyncio.create_task(self.execute_step_with_retries(index, first), name=name)
        task.add_done_callback(self._watch)

    def _is_orphaned(self, index: int) -> bool:
        """Whether a step's tool works for an executor before us, and must be told where the step ends."""
        return index not in self._tasks and isinstance(due(self.run).get(index), CallTool)

    async def _fitting(self, event: PlanCompleted) -> PlanCompleted:
        """The event, with the step results of a large plan in the object store instead."""
        results = encode(event.result.step_results)
        if len(results) <= subjects.MAX_INLINE_DATA_BYTES:
            return event
        while True:
            try:
                ref = await self._claim_check.put(f"{event.plan_id}/result/{new_token()}", results)
            except ClaimCheckError as error:
                self._log.warning("result can't be stored, trying again", problem=str(error))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)
            else:
                return replace(event, result=replace(event.result, step_results=[], step_results_ref=ref))

    def _align(self, keys: Iterable[int | None]) -> None:
        """Start what is due and not under way; stop what is under way and not due.

        After each event only its own step is looked at, so that a tool is called as soon as its attempt is stored. The
        rest waits until all consequences are stored: what was under way at a crash may be about to be given up.
        """
        wanted = due(self.run)
        for key in keys:
            if key is None:
                self._align_alarm(wanted.get(None))
            elif key in wanted and key not in self._tasks:
                self._start_step(key)
            elif key in self._tasks and key not in wanted:
                task = self._tasks.pop(key)
                if task is not asyncio.current_task():
                    task.cancel()
                    if key in self._calling:
                        self._spawn_aside(self._cancel_call(key), "cancel notice")

    def _align_alarm(self, command: Command | None) -> None:
        """One task waits for the earliest deadline; an earlier one, or a later one after that has gone, replaces it."""
        if command == self._alarm and None in self._tasks:
            return
        if (before := self._tasks.pop(None, None)) is not None and before is not asyncio.current_task():
            before.cancel()
        self._alarm = command
        if isinstance(command, WaitUntil) and not self._draining:
            name = f"plan {self.run.plan_id} deadline"
            task = self._tasks[None] = asyncio.create_task(self._await_deadline(command.at), name=name)
            task.add_done_callback(self._watch)

    async def _call_tool(self, index: int, attempt: int) -> ToolSignal:
        """One attempt: while the tool says that it is busy, the same request is sent again."""
        step = self.run.steps[index].step
        begun = now_ms()
        progress = LatestProgress(lambda one: self._spawn_aside(self._report_progress(index, one), "progress"))
        self._calling.add(index)
        try:
            while True:
                signal = await self._tools.run_lead_tool(
                    step.tool,
                    step.params,
                    execution_env(self.run, index, attempt, now_ms()),
                    traceparent=self.run.traceparent,
                    on_progress=progress.take,
                )
                match unless_busy(signal, now_ms() - begun, self._limits.busy_ms):
                    case AskAgain(after_ms):
                        await asyncio.sleep(after_ms / 1000)
                    case ended:
                        return ended
        finally:
            progress.close()
            self._calling.discard(index)

    async def _cancel_call(self, index: int) -> None:
        step = self.run.steps[index].step
        key = idempotency_key(self.run.plan_id, step.id)
        await self._tools.cancel(
            step.tool,
            CancelNotice(
                plan_id=self.run.plan_id,
                step_id=step.id,
                idempotency_key=key,
                round=self.run.round if self.run.round > 1 else None,
            ),
        )

    async def _report_progress(self, index: int, progress: ToolProgress) -> None:
        """Progress goes to the live feed only: it is never stored and has no sequence (protocol section 4)."""
        run = self.run
        if not isinstance(due(run).get(index), CallTool):
            async with self._turn:
                pass  # the tool was called early: its attempt begins first
        event = emit_plan_event(
            StepProgress,
            plan_id=run.plan_id,
            now=now_ms(),
            user=run.public_user,
            step=run.steps[index].reference,
            meta=ProgressMeta(progress=progress.progress, message=progress.message and cut(progress.message)),
        )
        body, headers = encode(event), event_headers(event, f"{run.plan_id}:{new_token()}", run.traceparent)
        if fits(self._nc, body, headers):
            await self._nc.publish(subjects.plan_events_subject(run.plan_id), body, headers=headers)

    def _spawn_aside(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"plan {self.run.plan_id} {name}")
        self._side_tasks.add(task)
        task.add_done_callback(self._side_tasks.discard)
        task.add_done_callback(self._watch)

    def _watch(self, task: asyncio.Task[None]) -> None:
        """An error in any of the plan's tasks ends the execution."""
        if not task.cancelled() and (error := task.exception()) is not None and not self._ended.done():
            self._ended.set_exception(error)


def _of_event(event: LeadPlanEventPayload) -> dict[str, Any]:
    return {"event_type": event_type(event), "sequence": event.sequence}


def _of_step(step: StepRun) -> dict[str, Any]:
    return {"step_id": step.step.id, "tool": step.step.tool, "attempt": step.attempts}
