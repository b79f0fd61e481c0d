"""Large plans: an event costs the same in a plan of ten steps as in one of thousands.

Counted, not timed: how often the core looks at a step's phase, which every walk over the steps has to do.
"""

from collections import deque

import pytest
from core_plans import START, Attempt, failed, ok, plan, started, step

from leadplan_contracts import LeadGenPlan, RetryPolicy
from leadplan_contracts.events import StepStarted
from leadplan_executor.core import AttemptEnded, PlanRun, Proceed, decide, due, evolve
from leadplan_executor.core.state import StepRun

STEPS = 5_000
_LOOKS_PER_EVENT = 12


class _Counter:
    """Stands before a slot and counts how often it is read."""

    def __init__(self, slot) -> None:
        self._slot = slot
        self.looks = 0

    def __get__(self, instance, owner):
        self.looks += 1
        return self._slot.__get__(instance, owner)

    def __set__(self, instance, value) -> None:
        self._slot.__set__(instance, value)


@pytest.fixture
def looks(monkeypatch):
    counter = _Counter(StepRun.phase)
    monkeypatch.setattr(StepRun, "phase", counter)
    return counter


def run_through(of: LeadGenPlan, first: Attempt, then: Attempt) -> PlanRun:
    """The plan to its end, in the order in which attempts start."""
    run, now = started(of), START
    begun: deque[tuple[int, int]] = deque()
    while not run.completed:
        while events := decide(run, Proceed(), now):
            for event in events:
                evolve(run, event)
                if isinstance(event, StepStarted):
                    begun.append((run.index_of[event.step.id], event.result.attempts))
        if begun:
            index, attempt = begun.popleft()
            signal = (first if attempt == 1 else then).signal
            for event in decide(run, AttemptEnded(index, attempt, signal, 0.0), now):
                evolve(run, event)
        elif not run.completed:
            now = min(command.at for command in due(run).values())
    return run


def chain() -> LeadGenPlan:
    return plan(step("s0"), *[step(f"s{n}", f"s{n - 1}") for n in range(1, STEPS)])


def wide(**fields) -> LeadGenPlan:
    return plan(*[step(f"s{n}") for n in range(STEPS)], **fields)


def star() -> LeadGenPlan:
    return plan(
        step("first"), *[step(f"s{n}", "first") for n in range(STEPS)], step("last", *[f"s{n}" for n in range(STEPS)])
    )


@pytest.mark.parametrize(
    ("of", "first"),
    [
        (chain(), ok()),
        (chain(), failed(retryable=False)),
        (wide(), ok()),
        (wide(), failed()),
        (wide(max_concurrency=STEPS), ok()),
        (star(), ok()),
    ],
    ids=["chain", "chain that fails", "wide", "wide with repeats", "all at once", "star"],
)
def test_running_a_large_plan_looks_at_each_step_a_few_times(looks, of, first):
    run = run_through(of, first, ok())
    # Completion looks at each step twice more: for the status, and for the last of them.
    assert looks.looks <= _LOOKS_PER_EVENT * run.sequence + 3 * len(run.steps)


def test_repeating_all_steps_of_a_large_plan_again_and_again_stays_linear(looks):
    of = plan(
        *[step(f"s{n}", retry=RetryPolicy(max_retries=4, base_delay_ms=0)) for n in range(STEPS // 5)],
    )
    run = run_through(of, failed(), failed())
    assert run.sequence == 2 + STEPS * 2
    assert looks.looks <= _LOOKS_PER_EVENT * run.sequence
