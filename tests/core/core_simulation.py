"""The executor's shell without I/O: a list as the log, a clock that jumps, and tools, people and crashes by script.

It drives the core exactly as the shell does: take an input, decide, append and evolve each event, proceed until there
is nothing more, start what is due and not under way, stop what is under way and not due. After each append the state is
compared with the fold of what was stored, read back from its JSON.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any, NamedTuple

from core_invariants import check_state, snapshot
from core_plans import PLAN_ID, START, Tools, scripted

from leadplan_contracts import LeadGenExecutionResult, LeadGenStepResult, LeadPlanEventPayload, LeadToolExecutionEnv
from leadplan_contracts.events import PlanCompleted, StepEvent, decode_event, event_type
from leadplan_contracts.times import parse_time
from leadplan_contracts.validation import ReadSubmission
from leadplan_contracts.wire import encode
from leadplan_executor.core import (
    Approve,
    AttemptEnded,
    CallTool,
    Command,
    Deny,
    Input,
    PlanRun,
    PlanSubmitted,
    Proceed,
    TakenOver,
    Unpause,
    decide,
    due,
    evolve,
)
from leadplan_executor.core.requests import execution_env
from leadplan_executor.core.signals import TimedOut, ToolSignal
from leadplan_executor.core.transitions import PlanPhase, StepPhase

DOWN_MS = 5_000
_MOST_INPUTS = 20_000


class CrashedError(Exception):
    """The executor died after an append."""


class Call(NamedTuple):
    """A request that went to a tool. ``signal`` is what came of it; None if the executor died before it knew."""

    step_id: str
    attempt: int
    at: int
    env: LeadToolExecutionEnv
    signal: ToolSignal | None


class Expected(NamedTuple):
    """Something that will happen at its time."""

    at: int
    order: int
    happened: Input
    command: Command | None = None


def fold(log: Iterable[bytes], plan_id: str = PLAN_ID) -> PlanRun:
    """The state that a log gives to an executor that reads it."""
    run = PlanRun(plan_id)
    for body in log:
        evolve(run, decode_event(body))
    return run


class Simulation:
    """One plan from its submission to its end.

    Args:
        submission: the plan.
        tools: what they do; by default each attempt succeeds.
        inputs: what people send, each at its time (milliseconds after the start).
        answers: what people say, by step id, once nothing happens before they do; by default they approve.
        crash_after: the executor dies after the append that makes the log so long.
        eager: start and stop after each append already, not only once nothing more follows from an input.
        echoes: each tool reply comes twice, and a stopped call's reply still comes.
        random: for jitter.
        log: begin as an executor that takes this over.
    """

    def __init__(
        self,
        submission: ReadSubmission,
        tools: Tools | None = None,
        *,
        inputs: Iterable[tuple[int, Input]] = (),
        answers: Mapping[str, bool] | None = None,
        crash_after: Iterable[int] = (),
        eager: bool = False,
        echoes: bool = False,
        random: float = 0.0,
        log: Iterable[bytes] = (),
    ) -> None:
        self.submission = submission
        self.plan = submission.plan
        self.log = list(log)
        self.now = parse_time(decode_event(self.log[-1]).time) if self.log else START
        self.calls: list[Call] = []
        self.crashes = 0
        self.run: PlanRun | None = None
        self._tools = tools or scripted({})
        self._answers = answers or {}
        self._crash_after = set(crash_after)
        self._eager = eager
        self._echoes = echoes
        self._random = random
        self._order = count()
        self._to_come = [Expected(START + after, next(self._order), happened) for after, happened in inputs]
        self._under_way: dict[int | None, Expected] = {}
        self._call_of: dict[int | None, int] = {}
        self._stored = fold(self.log, self.plan.id)

    # --- what tests look at

    @property
    def events(self) -> list[LeadPlanEventPayload]:
        return [decode_event(body) for body in self.log]

    @property
    def result(self) -> LeadGenExecutionResult:
        completed = self.events[-1]
        assert isinstance(completed, PlanCompleted)
        return completed.result

    def results(self) -> dict[str, LeadGenStepResult]:
        return {result.step_id: result for result in self.result.step_results}

    def statuses(self) -> dict[str, str]:
        return {name: str(result.status) for name, result in self.results().items()}

    def story(self, *only: str) -> list[str]:
        """Each event as ``<ms since the start> <type> <step>``; only of these types, if there are any."""
        told = []
        for event in self.events:
            kind = event_type(event)
            if not only or kind in only:
                words = [str(parse_time(event.time) - START), str(kind)]
                told.append(" ".join([*words, event.step.id] if isinstance(event, StepEvent) else words))
        return told

    # --- the shell

    def run_to_end(self) -> "Simulation":
        """Go on until PLAN_COMPLETED; then let everything that is still to come arrive, too late."""
        for _ in range(_MOST_INPUTS):
            try:
                if self.run is None:
                    self._take_up()
                elif self.run.completed:
                    self._arrive_late(self.run)
                    return self
                else:
                    self._next(self.run)
            except CrashedError:
                self._forget_everything()
        raise AssertionError(f"the plan doesn't end: {self.story()[-20:]}")

    def _take_up(self) -> None:
        self.run = fold(self.log, self.plan.id)
        assert snapshot(self.run) == snapshot(self._stored)
        executor = f"executor-{self.crashes + 1}"
        if self.run.phase is PlanPhase.UNSTARTED:
            self._take(PlanSubmitted(self.submission, message=17, executor=executor, traceparent="00-1-2-03"))
        else:
            self._take(TakenOver(executor, "crash"))

    def _take(self, happened: Input) -> None:
        run = self.run
        assert run is not None
        self._store(run, decide(run, happened, self.now))
        while events := decide(run, Proceed(), self.now):
            self._store(run, events)
        if run.phase is PlanPhase.ACTIVE:
            assert not len(run.ready) or run.occupied == run.plan.concurrency, "a step could start and doesn't"
        self._align(run)

    def _align(self, run: PlanRun) -> None:
        self._stop_what_is_not_due(run)
        self._start_what_is_due(run)

    def _store(self, run: PlanRun, events: list[LeadPlanEventPayload]) -> None:
        for event in events:
            self.log.append(encode(event))
            assert evolve(run, event) is run
            evolve(self._stored, decode_event(self.log[-1]))
            assert snapshot(run) == snapshot(self._stored), "the log doesn't give the state that the executor has"
            check_state(run)
            if len(self.log) in self._crash_after:
                self._crash_after.discard(len(self.log))
                raise CrashedError
            if self._eager:
                self._align(run)

    def _stop_what_is_not_due(self, run: PlanRun) -> None:
        for key, expected in list(self._under_way.items()):
            if due(run).get(key) != expected.command:
                del self._under_way[key]
                if self._echoes and isinstance(expected.command, CallTool):
                    self._to_come.append(expected)

    def _start_what_is_due(self, run: PlanRun) -> None:
        for key, command in due(run).items():
            if key not in self._under_way:
                if isinstance(command, CallTool):
                    self._under_way[key] = self._call(run, command)
                else:
                    at = max(command.at, self.now)
                    self._under_way[key] = Expected(at, next(self._order), Proceed(), command)

    def _call(self, run: PlanRun, command: CallTool) -> Expected:
        env = execution_env(run, command.step, self.now)
        signal, duration_ms = self._tools(env.step_id, env.attempt)
        if duration_ms > env.timeout_ms:
            signal, duration_ms = TimedOut(env.timeout_ms), env.timeout_ms
        self._call_of[command.step] = len(self.calls)
        self.calls.append(Call(env.step_id, env.attempt, self.now, env, None))
        ended = AttemptEnded(command.step, command.attempt, signal, self._random)
        return Expected(self.now + duration_ms, next(self._order), ended, command)

    # --- the world around it

    def _next(self, run: PlanRun) -> None:
        expected = min([*self._under_way.values(), *self._to_come], default=None, key=lambda one: one[:2])
        if expected is None:
            self._take(self._answer(run))
            return
        self.now = max(self.now, expected.at)
        if expected.command is None or expected in self._to_come:
            self._to_come.remove(expected)
        elif isinstance(expected.command, CallTool):
            self._reply_arrives(expected.command.step, expected.happened)
        else:
            del self._under_way[expected.command.step]
        self._take(expected.happened)
        if self._echoes and isinstance(expected.happened, AttemptEnded):
            assert decide(run, expected.happened, self.now) == []

    def _reply_arrives(self, index: int, happened: Input) -> None:
        # It stays "under way" with the shell until the state says that it isn't due any more.
        assert isinstance(happened, AttemptEnded)
        number = self._call_of[index]
        self.calls[number] = self.calls[number]._replace(signal=happened.signal)

    def _answer(self, run: PlanRun) -> Input:
        """Nothing moves: somebody has to."""
        if run.phase is PlanPhase.PAUSED:
            return Unpause(by="operator")
        waiting = [step for step in run.steps if step.phase is StepPhase.WAITING]
        assert waiting, f"nothing is under way and the plan isn't completed: {self.story()}"
        asked = waiting[0]
        return Approve(asked.index) if self._answers.get(asked.step.id, True) else Deny(asked.index)

    def _arrive_late(self, run: PlanRun) -> None:
        for expected in [*self._to_come, *self._under_way.values()]:
            assert decide(run, expected.happened, self.now) == [], "something changes a plan that is over"
        for happened in (Proceed(), TakenOver("executor-9", "crash")):
            assert decide(run, happened, self.now) == []

    def _forget_everything(self) -> None:
        self.crashes += 1
        self.now += DOWN_MS
        self.run = None
        self._to_come = [expected for expected in self._to_come if expected.command is None]
        self._under_way.clear()


def simulate(submission: ReadSubmission, *args: Any, **kwargs: Any) -> Simulation:
    """A simulation that has run to its end."""
    return Simulation(submission, *args, **kwargs).run_to_end()
