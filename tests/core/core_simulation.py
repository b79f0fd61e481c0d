"""The executor's shell without I/O: a list as the log, a clock that jumps, and tools, people and crashes by script.

It drives the core exactly as the shell does: take an input, decide, append and evolve each event, proceed until there
is nothing more, start what is due and not under way, stop what is under way and not due; let a plan go that only waits,
and take it up again when time or a person wakes it. After each append the state is compared with the fold of what was
stored, read back from its JSON.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

from core_plans import MESSAGE, PLAN_ID, START, Tools, scripted
from core_requests_sent import Answered, check_granted, check_sent_again, judged
from core_state_rules import check_settled, check_state, snapshot
from msgspec.structs import replace

from leadplan_contracts import LeadGenExecutionResult, LeadGenStepResult, LeadPlanEventPayload, LeadToolExecutionEnv
from leadplan_contracts.control import ApproveRequest, ControlRequest, Decision, ResumeRequest, RetryRequest
from leadplan_contracts.events import PlanCompleted, StepEvent, decode_event, event_type
from leadplan_contracts.times import parse_time
from leadplan_contracts.validation import ReadSubmission
from leadplan_contracts.wire import encode
from leadplan_executor.core import (
    AttemptEnded,
    CallTool,
    Command,
    Input,
    PlanRun,
    PlanSubmitted,
    Proceed,
    TakenOver,
    decide,
    due,
    evolve,
)
from leadplan_executor.core.control import Granted, NewHolder
from leadplan_executor.core.requests import execution_env
from leadplan_executor.core.signals import TimedOut, ToolSignal
from leadplan_executor.core.transitions import PlanPhase, StepPhase
from leadplan_executor.core.waiting import idle

DOWN_MS = 5_000
_MOST_INPUTS = 20_000
_PATIENCE_MS = 1_000


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
    happened: Input | ControlRequest
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
        later_tools: what they do in the second round, in the third …; after those as in the last one.
        inputs: what people ask for, each at its time (milliseconds after the start).
        answers: what people say, by step id, once nothing happens before they do; by default they approve.
        retries: asked for one after the other, each when the plan has ended and nothing else is to come.
        crash_after: the executor dies after the append that makes the log so long.
        parks: a plan that only waits is let go.
        patience_ms: but not where time wakes it sooner than this.
        message: of the work queue, by which the plan is held when it begins.
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
        later_tools: Sequence[Tools] = (),
        inputs: Iterable[tuple[int, Input | ControlRequest]] = (),
        answers: Mapping[str, bool] | None = None,
        retries: Iterable[RetryRequest] = (),
        crash_after: Iterable[int] = (),
        parks: bool = False,
        patience_ms: int = _PATIENCE_MS,
        message: int = MESSAGE,
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
        self.answered: list[Answered] = []
        self.crashes = 0
        self.parked = 0
        self.run: PlanRun | None = None
        self._tools_of_round = [tools or scripted({}), *later_tools]
        self._answers = answers or {}
        self._retries = list(retries)
        self._crash_after = set(crash_after)
        self._parks = parks
        self._patience_ms = patience_ms
        self._message = message
        self._delivered = True
        self._wake_at: int | None = None
        self._carried: ControlRequest | None = None
        self._serving: tuple[ControlRequest, Granted] | None = None
        self._eager = eager
        self._echoes = echoes
        self._random = random
        self._order = count()
        self._ids = count()
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

    @property
    def state(self) -> PlanRun:
        """The state that was stored, whether or not somebody holds the plan."""
        return self._stored

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
        """Go on until the plan has ended and nobody wants anything of it any more."""
        for _ in range(_MOST_INPUTS):
            try:
                if not self._go_on():
                    return self
            except CrashedError:
                self._forget_everything()
        raise AssertionError(f"the plan doesn't end: {self.story()[-20:]}")

    def _go_on(self) -> bool:
        """Let one thing happen; False where nothing will any more."""
        if self.run is not None and self.run.completed:
            self._arrive_late(self.run)
            self._let_go()
        elif self.run is not None:
            self._next(self.run)
        elif self._delivered:
            self._take_up_again()
        else:
            return self._next_for_nobody()
        return True

    def _take_up(self, *asked: Input, reason: str = "crash") -> None:
        """Take the plan up from its log, by the message that was delivered, and do what is asked of it at once."""
        self.run = fold(self.log, self.plan.id)
        assert snapshot(self.run) == snapshot(self._stored)
        self._delivered = True
        executor = self._executor
        if self.run.phase is PlanPhase.UNSTARTED:
            self._take(PlanSubmitted(self.submission, self._message, executor, "00-1-2-03", MESSAGE))
        elif not self.run.completed:
            self._take(TakenOver(executor, reason, self._message), *asked)
        elif asked:
            self._take(*asked)
        else:
            return
        assert self._stored.executor == executor

    def _take_up_again(self) -> None:
        """The message is delivered again, as an executor died; what it asks for is judged again."""
        verdict = self._carried and judged(self._stored, self._carried, NewHolder(self._executor, self._message))
        if self._carried is not None and isinstance(verdict, Granted):
            self._serving = self._carried, verdict
            self._take_up(*verdict.inputs)
            self._serving = None
        else:
            self._take_up()

    @property
    def _executor(self) -> str:
        return f"executor-{self.crashes + 1}"

    def _take(self, *happened: Input) -> None:
        """Let inputs happen, then all that follows from them; see what is due, and whether the plan must be held."""
        run = self.run
        assert run is not None
        stored = [self._store(run, decide(run, each, self.now)) for each in happened]
        if self._serving is not None:
            self._check_served(run, stored)
        while events := decide(run, Proceed(), self.now):
            self._store(run, events)
        if run.phase is PlanPhase.ACTIVE:
            assert not len(run.ready) or run.occupied == run.plan.concurrency, "a step could start and doesn't"
        assert run.message == self._message
        check_settled(run, self.now, self._patience_ms)
        self._align(run)
        if self._parks and (waits := idle(run, self.now, self._patience_ms)) is not None:
            assert not any(isinstance(each.command, CallTool) for each in self._under_way.values())
            self.parked += 1
            self._wake_at = waits.until
            self._let_go()

    def _let_go(self) -> None:
        """Acknowledge the message; nobody holds the plan any more."""
        self.run = None
        self._delivered = False
        self._carried = None
        self._under_way.clear()

    def _align(self, run: PlanRun) -> None:
        self._stop_what_is_not_due(run)
        self._start_what_is_due(run)

    def _store(self, run: PlanRun, events: list[LeadPlanEventPayload]) -> list[LeadPlanEventPayload]:
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
        return events

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
        env = execution_env(run, command.step, command.attempt, self.now)
        tools = self._tools_of_round[min(run.round, len(self._tools_of_round)) - 1]
        signal, duration_ms = tools(env.step_id, env.attempt)
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
            self._ask(self._answer(run))
            return
        self.now = max(self.now, expected.at)
        if expected.command is None or expected in self._to_come:
            self._to_come.remove(expected)
        elif isinstance(expected.command, CallTool):
            self._reply_arrives(expected.command.step, expected.happened)
        else:
            del self._under_way[expected.command.step]
        if isinstance(expected.happened, ControlRequest):
            self._ask(expected.happened)
            return
        self._take(expected.happened)
        if self._echoes and isinstance(expected.happened, AttemptEnded):
            assert decide(run, expected.happened, self.now) == []

    def _next_for_nobody(self) -> bool:
        """What happens to a plan that nobody holds: it is parked or has ended."""
        expected = min(self._to_come, default=None, key=lambda one: one[:2])
        if self._wake_at is not None and (expected is None or self._wake_at <= expected.at):
            self.now = max(self.now, self._wake_at)
            before = len(self.log)
            self._wake(reason="its time has come")
            assert len(self.log) > before + 1, "time wakes it, and it has nothing to do"
        elif expected is not None:
            self.now = max(self.now, expected.at)
            self._to_come.remove(expected)
            if isinstance(expected.happened, ControlRequest):
                self._ask(expected.happened)
            elif expected.command is not None:
                assert decide(self._stored, expected.happened, self.now) == [], "an echo changes a parked plan"
            else:
                self._wake(expected.happened, reason="asked for")
        elif not self._stored.completed:
            self._ask(self._answer(self._stored))
        elif self._retries:
            self._ask(self._retries.pop(0))
        else:
            return False
        return True

    def _wake(self, *asked: Input, reason: str) -> None:
        """A new message of the work queue brings the plan to an executor."""
        self._message += 1
        self._wake_at = None
        self._take_up(*asked, reason=reason)

    def _ask(self, request: ControlRequest) -> None:
        """A person asks for something, of whoever holds the plan or of nobody."""
        if request.request_id is None:  # the control service gives it one
            request = replace(request, request_id=f"given-{next(self._ids)}")
        holder = NewHolder(self._executor, self._message + 1)
        verdict = judged(self._stored, request, holder)
        if not isinstance(verdict, Granted):
            self.answered.append(Answered(request, self.now, verdict, []))
            return
        self._serving = request, verdict
        if self.run is not None:
            self._take(*verdict.inputs)
        else:
            self._carried = request
            self._wake(*verdict.inputs, reason="asked for")
        self._serving = None
        check_sent_again(self._stored, request, holder, settled=True)

    def _check_served(self, run: PlanRun, stored: list[list[LeadPlanEventPayload]]) -> None:
        assert self._serving is not None
        request, verdict = self._serving
        kinds = [[event_type(event) for event in events] for events in stored]
        own = kinds[1:] if kinds[0] == ["PLAN_RESUMED"] else kinds
        check_granted(verdict, own)
        self.answered.append(Answered(request, self.now, verdict, [kind for each in own for kind in each]))
        check_sent_again(run, request, NewHolder(self._executor, self._message + 1), settled=False)

    def _reply_arrives(self, index: int, happened: Input | ControlRequest) -> None:
        # It stays "under way" with the shell until the state says that it isn't due any more.
        assert isinstance(happened, AttemptEnded)
        number = self._call_of[index]
        self.calls[number] = self.calls[number]._replace(signal=happened.signal)

    def _answer(self, run: PlanRun) -> ControlRequest:
        """Nothing moves: somebody has to."""
        if run.phase is PlanPhase.PAUSED:
            return ResumeRequest(plan_id=run.plan_id, by="operator")
        waiting = [step.step.id for step in run.steps if step.phase is StepPhase.WAITING]
        assert waiting, f"nothing is under way and the plan isn't completed: {self.story()}"
        decision = Decision.APPROVE if self._answers.get(waiting[0], True) else Decision.DENY
        return ApproveRequest(plan_id=run.plan_id, step_id=waiting[0], decision=decision)

    def _arrive_late(self, run: PlanRun) -> None:
        """Replies and inputs that come after the end change nothing; requests may, and are still to come."""
        late = [each for each in self._to_come if not isinstance(each.happened, ControlRequest)]
        for expected in [*late, *self._under_way.values()]:
            assert decide(run, expected.happened, self.now) == [], "something changes a plan that is over"
        for happened in (Proceed(), TakenOver("executor-9", "crash", MESSAGE)):
            assert decide(run, happened, self.now) == []
        self._to_come = [each for each in self._to_come if isinstance(each.happened, ControlRequest)]

    def _forget_everything(self) -> None:
        self.crashes += 1
        self.now += DOWN_MS
        self.run = None
        self._to_come = [expected for expected in self._to_come if expected.command is None]
        self._under_way.clear()
        if self._serving is not None and self._carried is None:  # whoever asked got no answer, and asks again
            self._to_come.append(Expected(self.now, next(self._order), self._serving[0]))
        self._serving = None


def simulate(submission: ReadSubmission, *args: Any, **kwargs: Any) -> Simulation:
    """A simulation that has run to its end."""
    return Simulation(submission, *args, **kwargs).run_to_end()
