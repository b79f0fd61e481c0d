"""What a tool is told of its step (protocol section 5)."""

import json

import msgspec
import pytest
from core_plans import PLAN_ID, START, USER, failed, ok, plan, scripted, started, step, submission
from core_simulation import Simulation, simulate
from msgspec import Raw

from leadplan_contracts import RetryPolicy
from leadplan_contracts.times import format_time, parse_time
from leadplan_executor.core.requests import execution_env, plan_for_tools

KIB_32 = 32 * 1024


def plan_of_size(size: int, *, character: str = "x") -> Raw:
    """A plan's JSON of exactly so many bytes."""
    text = '{"id":"p","title":"t","mine":1.50,"steps":[{"id":"a","tool":"ECHO","params":{"text":"%s"}}]}'
    room = size - len(text % "")
    width = len(character.encode())
    body = (text % (character * (room // width) + "x" * (room % width))).encode()
    assert len(body) == size
    return Raw(body)


@pytest.mark.parametrize("size", [200, KIB_32 - 1, KIB_32])
@pytest.mark.parametrize("character", ["x", "é"])
def test_a_plan_of_at_most_32_kib_goes_along_as_it_is(size, character):
    plan_json = plan_of_size(size, character=character)
    assert bytes(plan_for_tools(plan_json)) == bytes(plan_json)


@pytest.mark.parametrize("size", [KIB_32 + 1, 1_000_000])
@pytest.mark.parametrize("character", ["x", "é"])
def test_a_larger_plan_goes_along_without_its_steps(size, character):
    assert bytes(plan_for_tools(plan_of_size(size, character=character))) == b'{"id":"p","title":"t","mine":1.50}'


def test_steps_inside_the_context_stay():
    plan_json = Raw(encode_json({"id": "p", "steps": ["x" * KIB_32], "context": {"steps": [1]}}))
    assert json.loads(bytes(plan_for_tools(plan_json))) == {"id": "p", "context": {"steps": [1]}}


def encode_json(value: object) -> bytes:
    return msgspec.json.encode(value)


def test_the_run_keeps_the_plan_for_its_requests():
    large = plan(step("a", params={"text": "x" * KIB_32}), context={"country": "GB"})
    env = execution_env(begun(started(large)), 0, 1, START)
    assert "steps" not in msgspec.json.decode(env.plan)
    assert msgspec.json.decode(env.plan)["context"] == {"country": "GB"}


def begun(run):
    """The run with its first step running."""
    simulation = Simulation(submission(run.plan))
    simulation._take_up()
    return simulation.run


def test_prior_results_are_those_of_ancestors_at_any_depth_only():
    of = plan(
        step("late", "left", "right"),
        step("root"),
        step("left", "root"),
        step("right", "root"),
        step("aside", "root"),
        step("alone"),
        step("last", "late"),
    )
    calls = {call.step_id: call for call in simulate(submission(of)).calls}
    priors = {name: set(call.env.prior_results) for name, call in calls.items()}
    assert priors == {
        "root": set(),
        "alone": set(),
        "left": {"root"},
        "right": {"root"},
        "aside": {"root"},
        "late": {"root", "left", "right"},
        "last": {"root", "left", "right", "late"},
    }


def test_prior_results_are_the_final_results_of_failures_too():
    of = plan(step("a", optional=True), step("b", "a"))
    simulation = simulate(submission(of), scripted({"a": [failed("no", retryable=False, error_code="gone")]}))
    (prior,) = simulation.calls[-1].env.prior_results.values()
    assert prior == simulation.results()["a"]
    assert (prior.status, prior.error_code, prior.attempts) == ("failed", "gone", 1)


def test_every_attempt_carries_the_same_key_and_its_number():
    of = plan(step("a", retry=RetryPolicy(max_retries=3, base_delay_ms=0)))
    tools = scripted({"a": [failed(), failed(), failed(), ok()]})
    simulation = simulate(submission(of), tools, crash_after={2, 5, 6})
    assert simulation.crashes == 3
    assert {call.env.idempotency_key for call in simulation.calls} == {f"{PLAN_ID}:a"}
    assert sorted({call.env.attempt for call in simulation.calls}) == [1, 2, 3, 4]
    assert {(call.env.plan_id, call.env.step_id, call.env.user) for call in simulation.calls} == {(PLAN_ID, "a", USER)}


@pytest.mark.parametrize(
    ("timeout_ms", "deadline_ms", "after_ms", "ends_after_ms"),
    [
        (None, None, 0, 30_000),
        (1_234, None, 500, 1_734),
        (5_000, 60_000, 0, 5_000),
        (5_000, 5_000, 0, 5_000),
        (5_000, 3_000, 0, 3_000),
        (None, 10_000, 9_999, 10_000),
    ],
)
def test_an_attempt_ends_with_its_timeout_or_with_the_plan(timeout_ms, deadline_ms, after_ms, ends_after_ms):
    run = begun(started(plan(step("a", timeout_ms=timeout_ms), deadline_ms=deadline_ms)))
    env = execution_env(run, 0, 1, START + after_ms)
    assert parse_time(env.deadline) - START == ends_after_ms
    assert env.timeout_ms == (timeout_ms or 30_000)
    assert env.deadline == format_time(START + ends_after_ms)
