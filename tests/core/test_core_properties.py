"""Random plans, tools, people and crashes: what protocol section 6 promises always holds."""

from collections import defaultdict

from core_invariants import check_log
from core_plans import START, Tools, submission
from core_simulation import Call, Simulation, simulate
from core_strategies import BOUNDED, crashes, people, people_answer, scenarios
from hypothesis import given
from hypothesis import strategies as st

from leadplan_contracts import LeadGenPlan, LeadGenStepResult
from leadplan_contracts.times import parse_time
from leadplan_executor.core.outcome import AttemptSucceeded, judge
from leadplan_executor.core.signals import DataUnavailable, TimedOut, ToolLost


def essence(result: LeadGenStepResult) -> tuple[object, ...]:
    """A result without its times."""
    return (result.status, result.attempts, result.error_code, result.error_message, result.data, result.data_ref)


def check_calls(simulation: Simulation) -> None:
    """What went to the tools fits what the log tells, and promises to tools are kept."""
    calls_of: dict[str, list[Call]] = defaultdict(list)
    for call in simulation.calls:
        calls_of[call.step_id].append(call)
    final_time = {result.step_id: parse_time(result.finished_at or "") for result in simulation.result.step_results}
    deadline_ms = simulation.plan.deadline_ms
    plan_ends = None if deadline_ms is None else START + deadline_ms
    for step in simulation.plan.steps:
        calls = calls_of[step.id]
        assert {call.env.idempotency_key for call in calls} <= {f"{simulation.plan.id}:{step.id}"}
        assert [call.attempt for call in calls] == sorted(call.attempt for call in calls)
        assert all(call.at <= final_time[step.id] for call in calls)
        for call in calls:
            ends_at = call.at + call.env.timeout_ms
            assert parse_time(call.env.deadline) == min(ends_at, ends_at if plan_ends is None else plan_ends)
        if step.at_most_once:
            assert len({call.attempt for call in calls}) == len(calls), "an attempt was sent twice"
            for call in calls[:-1]:
                assert call.signal is not None, "repeated although an executor died during it"
                assert not isinstance(call.signal, TimedOut | ToolLost | DataUnavailable)


@BOUNDED
@given(st.data())
def test_every_rule_holds_whatever_happens(data):
    of, tools = data.draw(scenarios(), "scenario")
    simulation = simulate(
        submission(of),
        tools,
        inputs=data.draw(people(of), "people"),
        answers=data.draw(people_answer(of), "answers"),
        crash_after=data.draw(crashes(), "crashes"),
        eager=data.draw(st.booleans(), "eager"),
        echoes=data.draw(st.booleans(), "echoes"),
        random=data.draw(st.sampled_from([0.0, 0.5, 1.0]), "random"),
    )
    check_log(of, simulation.events)
    check_calls(simulation)


def expected_results(of: LeadGenPlan, tools: Tools, answers: dict[str, bool]) -> dict[str, tuple[str, int]]:
    """Status and attempts of each step by protocol section 3 alone: no events, no clock, no places."""
    step_of = {step.id: step for step in of.steps}
    told: dict[str, tuple[str, int]] = {}

    def tell(name: str) -> tuple[str, int]:
        step = step_of[name]
        if name not in told:
            before = [(tell(other)[0], step_of[other].optional) for other in step.dependencies]
            if any(status == "skipped" or (status == "failed" and not optional) for status, optional in before):
                told[name] = ("skipped", 0)
            elif step.requires_approval and not answers.get(name, True):
                told[name] = ("failed", 0)
            else:
                told[name] = run_attempts(name)
        return told[name]

    def run_attempts(name: str) -> tuple[str, int]:
        step = step_of[name]
        repeats = 2 if step.retry is None or step.retry.max_retries is None else step.retry.max_retries
        for attempt in range(1, repeats + 2):
            signal, duration_ms = tools(name, attempt)
            signal = TimedOut(step.attempt_timeout_ms) if duration_ms > step.attempt_timeout_ms else signal
            outcome = judge(signal, step)
            if isinstance(outcome, AttemptSucceeded):
                return ("succeeded", attempt)
            if not outcome.retryable:
                return ("failed", attempt)
        return ("failed", repeats + 1)

    return {step.id: tell(step.id) for step in of.steps}


@BOUNDED
@given(st.data())
def test_results_are_those_of_the_protocol_with_and_without_crashes(data):
    of, tools = data.draw(scenarios(deadlines=False, at_most_once=None), "scenario")
    answers = data.draw(people_answer(of), "answers")
    calm = simulate(submission(of), tools, answers=answers)
    told = {name: (str(result.status), result.attempts) for name, result in calm.results().items()}
    assert told == expected_results(of, tools, answers)

    rough = simulate(submission(of), tools, answers=answers, crash_after=data.draw(crashes(), "crashes"), echoes=True)
    assert {n: essence(r) for n, r in rough.results().items()} == {n: essence(r) for n, r in calm.results().items()}
    assert rough.result.overall_status == calm.result.overall_status
    check_log(of, rough.events)


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
