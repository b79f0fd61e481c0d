"""An executor with a known defect, to show that the checker can fail.

Usage: python fault_mutants.py MUTATION

Production code knows nothing of this: a mutation replaces one function of it in this process only.
"""

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterable
from typing import Any

from leadplan_contracts import LeadPlanEventPayload, subjects
from leadplan_executor.core import PlanRun
from leadplan_executor.core.signals import Replied, ToolSignal
from leadplan_executor.core.state import StepRun
from leadplan_executor.core.transitions import StepPhase
from leadplan_executor.plan_execution import PlanExecution
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_runs import PlanRuns
from leadplan_executor.plan_timers import PlanTimers
from leadplan_executor.service import run
from leadplan_executor.tool_calls import ToolCaller

# The package exports a function under the module's own name.
controlling = importlib.import_module("leadplan_executor.core.control")
evolving = importlib.import_module("leadplan_executor.core.evolve")


def no_fence() -> None:
    """Appends name no expected sequence, so the server takes them from anybody."""
    headers = PlanLog._headers

    def unfenced(self: PlanLog, event: LeadPlanEventPayload, after: int, traceparent: str | None) -> dict[str, str]:
        made = headers(self, event, after, traceparent)
        return {name: value for name, value in made.items() if name != subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER}

    PlanLog._headers = unfenced  # type: ignore[method-assign]


def ack_before_append() -> None:
    """A plan's message is taken off the queue before the plan is begun."""
    execute = PlanRuns.execute

    async def acknowledged_first(self: PlanRuns, delivery: Any, *rest: Any) -> None:
        await delivery.ack()
        await execute(self, delivery, *rest)

    PlanRuns.execute = acknowledged_first  # type: ignore[method-assign]


def retries_in_two_places() -> None:
    """The one place that calls tools repeats what failed, as if nobody else did."""
    call = ToolCaller.run_lead_tool

    async def stubborn(self: ToolCaller, *args: Any, **kwargs: Any) -> ToolSignal:
        signal = await call(self, *args, **kwargs)
        if isinstance(signal, Replied) and signal.reply.success is False and signal.reply.error_code != "busy":
            signal = await call(self, *args, **kwargs)
        return signal

    ToolCaller.run_lead_tool = stubborn  # type: ignore[method-assign]


def skip_not_transitive() -> None:
    """What stands behind a skipped step runs, as if the step had succeeded."""
    release = evolving._release_dependants

    def forgiving(plan_run: PlanRun, ended: StepRun) -> None:
        if ended.phase is not StepPhase.SKIPPED:
            release(plan_run, ended)
            return
        for index in plan_run.graph.dependants[ended.index]:
            dependant = plan_run.steps[index]
            dependant.open_dependencies -= 1
            if dependant.phase is StepPhase.PENDING and not dependant.spoiled and dependant.open_dependencies == 0:
                plan_run.ready.add(index)

    evolving._release_dependants = forgiving


def follow_before_store() -> None:
    """What follows from events is done before they are stored."""

    async def hasty(self: PlanExecution, events: Iterable[LeadPlanEventPayload]) -> None:
        listed = list(events)
        for event in listed:
            evolving.evolve(self.run, event)
        self._align([*range(len(self.run.steps))])
        await asyncio.sleep(0.05)
        for event in listed:
            self._last_stored = await self._plan_log.append(
                event, after=self._last_stored, traceparent=self.run.traceparent
            )

    PlanExecution._store = hasty  # type: ignore[method-assign]


def requests_forgotten() -> None:
    """What a request led to isn't remembered, so that its repeat is taken for a second one."""
    controlling._judge_repeat = lambda run, request: None  # type: ignore[attr-defined]


def parked_without_timer() -> None:
    """A plan that waits is let go of, and nothing wakes it when its time has come."""

    async def never(self: PlanTimers, plan_id: str, at: int, after: int) -> None:
        pass

    PlanTimers.set = never  # type: ignore[method-assign]


MUTATIONS: dict[str, Callable[[], None]] = {
    mutate.__name__: mutate
    for mutate in (
        no_fence,
        ack_before_append,
        retries_in_two_places,
        skip_not_transitive,
        follow_before_store,
        requests_forgotten,
        parked_without_timer,
    )
}

if __name__ == "__main__":
    MUTATIONS[sys.argv[1]]()
    raise SystemExit(run())
