"""Random plans, tools, people, rounds and crashes: what protocol section 6 promises always holds."""

from collections import defaultdict

from core_invariants import check_log, step_deadline
from core_plans import MESSAGE, Tools, submission
from core_requests_sent import Answered
from core_rounds import Round, rounds_of, with_everything_behind
from core_simulation import Call, Simulation, simulate
from core_strategies import BOUNDED, crashes, later, people, people_answer, retries, scenarios
from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_contracts import LeadGenPlan, LeadGenStepResult
from leadplan_contracts.control import RetryRequest
from leadplan_contracts.times import parse_time
from leadplan_executor.core.outcome import AttemptSucceeded, judge
from leadplan_executor.core.signals import DataUnavailable, TimedOut, ToolLost


def essence(result: LeadGenStepResult) -> tuple[object, ...]:
    """A result without its times."""
    return (result.status, result.attempts, result.error_code, result.error_message, result.data, result.data_ref)


def check_calls(simulation: Simulation) -> None:
    """What went to the tools fits what the log tells, and promises to tools are kept, in each round."""
    calls_of: dict[tuple[int, str], list[Call]] = defaultdict(list)
    for call in simulation.calls:
        calls_of[call.env.round or 1, call.step_id].append(call)
        assert call.env.round != 1, "the first round isn't named"
        assert call.env.idempotency_key == f"{simulation.plan.id}:{call.step_id}"
    for told in rounds_of(simulation.plan, simulation.events):
        for step in simulation.plan.steps:
            calls = calls_of.pop((told.number, step.id), [])
            assert not (calls and step.id in told.kept), "a step that isn't in the round was called"
            check_calls_of_step(told, step.id, calls)
    assert not calls_of, "calls in a round that the log doesn't tell of"


def check_calls_of_step(told: Round, step_id: str, calls: list[Call]) -> None:
    step, story = told.step_of[step_id], told.of_step(step_id)
    assert [call.attempt for call in calls] == sorted(call.attempt for call in calls)
    plan_ms = told.plan.deadline_ms
    limits = [at for at in (plan_ms and told.begun_at + plan_ms, step_deadline(step, story)) if at is not None]
    for call in calls:
        assert call.at <= parse_time(story[-1].time)
        assert parse_time(call.env.deadline) == min([call.at + call.env.timeout_ms, *limits])
    if step.at_most_once:
        assert len({call.attempt for call in calls}) == len(calls), "an attempt was sent twice"
        for call in calls[:-1]:
            assert call.signal is not None, "repeated although an executor died during it"
            assert not isinstance(call.signal, TimedOut | ToolLost | DataUnavailable)


def check_deadlines_are_met(simulation: Simulation) -> None:
    """Where no executor died, nothing goes on for longer than it may."""
    for told in rounds_of(simulation.plan, simulation.events):
        if told.plan.deadline_ms is not None:
            assert parse_time(told.events[-1].time) <= told.begun_at + told.plan.deadline_ms
        for step in told.steps:
            story = told.of_step(step.id)
            ends = step_deadline(step, story)
            assert ends is None or parse_time(story[-1].time) <= ends


@BOUNDED
@given(st.data())
def test_every_rule_holds_whatever_happens(data):
    of, tools = data.draw(scenarios(), "scenario")
    simulation = simulate(
        submission(of),
        tools,
        later_tools=later(tools),
        inputs=data.draw(people(of), "people"),
        answers=data.draw(people_answer(of), "answers"),
        retries=data.draw(retries(of), "retries"),
        crash_after=data.draw(crashes(), "crashes"),
        parks=data.draw(st.booleans(), "parks"),
        patience_ms=data.draw(st.sampled_from([1, 500, 10_000]), "patience"),
        eager=data.draw(st.booleans(), "eager"),
        echoes=data.draw(st.booleans(), "echoes"),
        random=data.draw(st.sampled_from([0.0, 0.5, 1.0]), "random"),
    )
    check_log(of, simulation.events)
    check_calls(simulation)
    if not simulation.crashes:
        check_deadlines_are_met(simulation)


# --- what each step comes to


class Oracle:
    """Status and attempts of each step by protocol section 3 alone: no events, no clock, no places."""

    def __init__(self, of: LeadGenPlan, tools: Tools, answers: dict[str, bool]) -> None:
        self.told: dict[str, tuple[str, int]] = {}
        self._step_of = {step.id: step for step in of.steps}
        self._plan = of
        self._tools = [tools, *later(tools)]
        self._round = 0
        self._answers = answers
        self._run_what_is_missing()

    def retry(self, request: RetryRequest) -> None:
        """A new round, where there is something that can run again."""
        if request.step_id is None:
            again = {name for name, (status, _) in self.told.items() if status != "succeeded"}
        elif not all(self._lets_run(name) for name in self._step_of[request.step_id].dependencies):
            again = set()
        else:
            again = with_everything_behind(self._plan, self._step_of[request.step_id])
        if again:
            self.told = {name: told for name, told in self.told.items() if name not in again}
            self._round += 1
            self._run_what_is_missing()

    def _run_what_is_missing(self) -> None:
        for step in self._plan.steps:
            self._tell(step.id)

    def _lets_run(self, name: str) -> bool:
        status, _ = self._tell(name)
        return status == "succeeded" or (status == "failed" and bool(self._step_of[name].optional))

    def _tell(self, name: str) -> tuple[str, int]:
        step = self._step_of[name]
        if name not in self.told:
            if not all(self._lets_run(other) for other in step.dependencies):
                self.told[name] = ("skipped", 0)
            elif step.requires_approval and not self._answers.get(name, True):
                self.told[name] = ("failed", 0)
            else:
                self.told[name] = self._run_attempts(name)
        return self.told[name]

    def _run_attempts(self, name: str) -> tuple[str, int]:
        step = self._step_of[name]
        repeats = 2 if step.retry is None or step.retry.max_retries is None else step.retry.max_retries
        for attempt in range(1, repeats + 2):
            signal, duration_ms = self._tools[min(self._round, 2)](name, attempt)
            signal = TimedOut(step.attempt_timeout_ms) if duration_ms > step.attempt_timeout_ms else signal
            outcome = judge(signal, step)
            if isinstance(outcome, AttemptSucceeded):
                return ("succeeded", attempt)
            if not outcome.retryable:
                return ("failed", attempt)
        return ("failed", repeats + 1)


@settings(BOUNDED, max_examples=50)
@given(st.data())
def test_results_are_those_of_the_protocol_with_and_without_crashes_and_parking(data):
    of, tools = data.draw(scenarios(limits=False, at_most_once=None), "scenario")
    answers = data.draw(people_answer(of), "answers")
    again = data.draw(retries(of), "retries")
    calm = simulate(submission(of), tools, later_tools=later(tools), answers=answers, retries=again)
    oracle = Oracle(of, tools, answers)
    for request in again:
        oracle.retry(request)
    assert {name: (str(result.status), result.attempts) for name, result in calm.results().items()} == oracle.told

    rough = simulate(
        submission(of),
        tools,
        later_tools=later(tools),
        answers=answers,
        retries=again,
        crash_after=data.draw(crashes(), "crashes"),
        parks=data.draw(st.booleans(), "parks"),
        echoes=True,
    )
    assert {n: essence(r) for n, r in rough.results().items()} == {n: essence(r) for n, r in calm.results().items()}
    assert rough.result.overall_status == calm.result.overall_status
    assert rough.state.round == calm.state.round
    check_log(of, rough.events)
    check_calls(rough)


@settings(BOUNDED, max_examples=50)
@given(st.data())
def test_a_plan_that_is_let_go_while_it_waits_goes_the_same_way_at_the_same_times(data):
    of, tools = data.draw(scenarios(), "scenario")
    same = {
        "later_tools": later(tools),
        "inputs": data.draw(people(of), "people"),
        "answers": data.draw(people_answer(of), "answers"),
        "retries": data.draw(retries(of), "retries"),
        "echoes": data.draw(st.booleans(), "echoes"),
    }
    held = simulate(submission(of), tools, **same)
    patience = data.draw(st.sampled_from([1, 500, 10_000]), "patience")
    parked = simulate(submission(of), tools, parks=True, patience_ms=patience, **same)
    takeovers = len(parked.story("PLAN_RESUMED"))
    assert [line for line in parked.story() if "PLAN_RESUMED" not in line] == held.story()
    assert parked.result == held.result
    assert [outline(answered) for answered in parked.answered] == [outline(answered) for answered in held.answered]
    assert takeovers <= parked.parked
    assert parked.state.message == MESSAGE + takeovers + parked.state.round - 1


def outline(answered: Answered) -> tuple[object, ...]:
    """An answer without the message that a new round would be held by."""
    return (answered.request, answered.at, type(answered.verdict), answered.verdict[-1:], answered.kinds)


@BOUNDED
@given(st.data())
def test_a_succeeded_step_never_runs_again(data):
    of, tools = data.draw(scenarios(requires_approval=None), "scenario")
    simulation = simulate(submission(of), tools, crash_after=data.draw(crashes(), "crashes"))
    for result in simulation.result.step_results:
        calls = [call for call in simulation.calls if call.step_id == result.step_id]
        if result.status == "succeeded":
            assert calls[-1].attempt == result.attempts
            assert all(call.at <= parse_time(result.finished_at or "") for call in calls)


@BOUNDED
@given(st.data())
def test_a_retry_of_all_that_failed_never_touches_what_succeeded(data):
    of, tools = data.draw(scenarios(), "scenario")
    again = [RetryRequest(plan_id=of.id, request_id=f"again-{n}") for n in range(3)]
    simulation = simulate(
        submission(of),
        tools,
        later_tools=later(tools),
        inputs=data.draw(people(of).map(without_single_steps), "people"),
        retries=again,
        crash_after=data.draw(crashes(), "crashes"),
    )
    succeeded: set[str] = set()
    for told in rounds_of(of, simulation.events):
        assert not succeeded.intersection(step.id for step in told.steps)
        succeeded = {name for name, result in told.results().items() if result.status == "succeeded"}
    check_log(of, simulation.events)


def without_single_steps(asked):
    return [(at, one) for at, one in asked if not isinstance(one, RetryRequest) or one.step_id is None]
