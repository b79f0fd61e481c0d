"""Each state of a plan times each request: what people are answered."""

from collections.abc import Callable
from typing import Any, get_args

import pytest
from core_invariants import check_log
from core_plans import MESSAGE, NO_RETRY, PLAN_ID, START, Attempt, failed, ok, plan, scripted, step, submission
from core_requests_sent import check_granted, check_sent_again, judged
from core_simulation import Simulation, fold, simulate

from leadplan_contracts import OverallStatus
from leadplan_contracts.control import (
    ApproveRequest,
    CancelRequest,
    ControlErrorCode,
    ControlRequest,
    Decision,
    PauseRequest,
    PlanState,
    ResumeRequest,
    RetryRequest,
)
from leadplan_contracts.events import decode_event, event_type
from leadplan_contracts.times import parse_time
from leadplan_executor.core import PlanRun, decide, evolve
from leadplan_executor.core.control import Granted, NewHolder, Refused, Unchanged, Verdict
from leadplan_executor.core.status import plan_state
from leadplan_executor.core.transitions import RUNS, PlanPhase

HOLDER = NewHolder("executor-9", MESSAGE + 9)

# --- requests

CANCEL = CancelRequest(plan_id=PLAN_ID, by="ann")
PAUSE = PauseRequest(plan_id=PLAN_ID, by="ann")
RETRY = RetryRequest(plan_id=PLAN_ID, by="ann")
REQUESTS: dict[str, ControlRequest] = {
    "cancel": CANCEL,
    "pause": PAUSE,
    "resume": ResumeRequest(plan_id=PLAN_ID),
    "retry": RETRY,
    "retry work": RetryRequest(plan_id=PLAN_ID, step_id="work"),
    "retry end": RetryRequest(plan_id=PLAN_ID, step_id="end"),
    "approve": ApproveRequest(plan_id=PLAN_ID),
    "approve ask": ApproveRequest(plan_id=PLAN_ID, step_id="ask", decision=Decision.APPROVE),
    "approve work": ApproveRequest(plan_id=PLAN_ID, step_id="work"),
    "deny": ApproveRequest(plan_id=PLAN_ID, decision=Decision.DENY),
    "deny ask": ApproveRequest(plan_id=PLAN_ID, step_id="ask", decision=Decision.DENY),
    "deny work": ApproveRequest(plan_id=PLAN_ID, step_id="work", decision=Decision.DENY),
}

# --- states: the step `ask` needs an approval; `end` depends on `ask`, and in CHAIN `ask` depends on `work`

CHAIN = plan(step("work"), step("ask", "work", requires_approval=True), step("end", "ask", optional=True))
BESIDE = plan(step("work"), step("ask", requires_approval=True), step("end", "ask", optional=True))
SLOW = [ok(duration_ms=20_000)]
BROKEN = [failed("no", retryable=False)]
LATER = [failed("later", retry_after_ms=3_600_000), ok()]


def story(of, *asked: tuple[int, ControlRequest], again: dict[str, list[Attempt]] | None = None, **script: Any):
    """What a plan comes to; ``refused=True`` for a step `ask` that isn't approved, ``again`` for a second round."""
    answers = {"ask": not script.pop("refused", False)}
    more = {} if again is None else {"retries": [RETRY], "later_tools": [scripted(again)]}
    return simulate(submission(of), scripted(script), inputs=asked, answers=answers, **more)


def up_to(simulation: Simulation, last: str) -> list[bytes]:
    """The log up to the last event that is told so: its type, and its step where it has one."""
    told = [line.split(" ", 1)[1] for line in simulation.story()]
    return simulation.log[: len(told) - told[::-1].index(last)]


STATES: dict[str, Callable[[], list[bytes]]] = {
    "running": lambda: up_to(story(CHAIN), "STEP_STARTED work"),
    "running, asks": lambda: up_to(story(BESIDE, work=SLOW), "STEP_WAITING ask"),
    "running, approved": lambda: up_to(story(BESIDE, (50, REQUESTS["approve"]), work=SLOW), "STEP_SUCCEEDED ask"),
    "running, refused": lambda: up_to(story(BESIDE, (50, REQUESTS["deny"]), work=SLOW), "STEP_SKIPPED end"),
    "waits: person": lambda: up_to(story(CHAIN), "STEP_WAITING ask"),
    "waits: repeat": lambda: up_to(story(CHAIN, work=LATER), "STEP_RETRYING work"),
    "paused": lambda: up_to(story(CHAIN, (500, PAUSE), work=LATER), "PLAN_PAUSED"),
    "paused, running": lambda: up_to(story(CHAIN, (50, PAUSE)), "PLAN_PAUSED"),
    "paused, asks": lambda: up_to(story(CHAIN, (500, PAUSE)), "PLAN_PAUSED"),
    "cancelling": lambda: up_to(story(CHAIN, (50, CANCEL)), "PLAN_CANCELLING"),
    "cancelling, asks": lambda: up_to(story(CHAIN, (500, CANCEL)), "PLAN_CANCELLING"),
    "succeeded": lambda: story(CHAIN).log,
    "partial": lambda: story(CHAIN, end=BROKEN).log,
    "failed": lambda: story(CHAIN, work=BROKEN).log,
    "failed, refused": lambda: story(CHAIN, refused=True).log,
    "cancelled": lambda: story(CHAIN, (50, CANCEL)).log,
    "again: running": lambda: up_to(story(CHAIN, work=BROKEN, again={}), "STEP_STARTED work"),
    "again: asks": lambda: up_to(story(CHAIN, refused=True, again={}), "STEP_WAITING ask"),
    "again: succeeded": lambda: story(CHAIN, work=BROKEN, again={}).log,
    "again: failed": lambda: story(CHAIN, work=BROKEN, again={"work": BROKEN}).log,
}

VERDICTS = {
    "yes": Granted,
    "so": Unchanged,  # it is so already
    "runs": ControlErrorCode.NOT_COMPLETED,
    "over": ControlErrorCode.ALREADY_COMPLETED,
    "stops": ControlErrorCode.BEING_CANCELLED,
    "well": ControlErrorCode.NOTHING_TO_RETRY,
    "needs": ControlErrorCode.DEPENDENCY_NOT_MET,
    "idle": ControlErrorCode.NOT_WAITING,
    "said": ControlErrorCode.ALREADY_DECIDED,
}

# fmt: off
TABLE = """
                   |                        | retry               | approve             | deny
                   | cancel  pause   resume |       work    end   |       ask     work  |       ask     work
running            | yes     yes     so     | runs  runs    runs  | idle  idle    idle  | idle  idle    idle
running, asks      | yes     yes     so     | runs  runs    runs  | yes   yes     idle  | yes   yes     idle
running, approved  | yes     yes     so     | runs  runs    runs  | so    so      idle  | idle  said    idle
running, refused   | yes     yes     so     | runs  runs    runs  | idle  said    idle  | so    so      idle
waits: person      | yes     yes     so     | runs  runs    runs  | yes   yes     idle  | yes   yes     idle
waits: repeat      | yes     yes     so     | runs  runs    runs  | idle  idle    idle  | idle  idle    idle
paused             | yes     so      yes    | runs  runs    runs  | idle  idle    idle  | idle  idle    idle
paused, running    | yes     so      yes    | runs  runs    runs  | idle  idle    idle  | idle  idle    idle
paused, asks       | yes     so      yes    | runs  runs    runs  | yes   yes     idle  | yes   yes     idle
cancelling         | so      stops   stops  | runs  runs    runs  | stops stops   stops | stops stops   stops
cancelling, asks   | so      stops   stops  | runs  runs    runs  | stops stops   stops | stops stops   stops
succeeded          | over    over    over   | well  yes     yes   | so    so      over  | over  said    over
partial            | over    over    over   | yes   yes     yes   | so    so      over  | over  said    over
failed             | over    over    over   | yes   yes     needs | over  over    over  | over  over    over
failed, refused    | over    over    over   | yes   yes     needs | over  said    over  | so    so      over
cancelled          | so      over    over   | yes   yes     needs | over  over    over  | over  over    over
again: running     | yes     yes     so     | runs  runs    runs  | idle  idle    idle  | idle  idle    idle
again: asks        | yes     yes     so     | runs  runs    runs  | yes   yes     idle  | yes   yes     idle
again: succeeded   | over    over    over   | well  yes     yes   | so    so      over  | over  said    over
again: failed      | over    over    over   | yes   yes     needs | over  over    over  | over  over    over
"""
# fmt: on

ROWS = {
    line.split("|", 1)[0].strip(): line.split("|", 1)[1].replace("|", " ").split() for line in TABLE.splitlines()[3:]
}
CELLS = [
    pytest.param(state, request, cell, id=f"{state}-{request}")
    for state, cells in ROWS.items()
    for request, cell in zip(REQUESTS, cells, strict=True)
]


def test_no_cell_is_missing():
    assert list(ROWS) == list(STATES)
    assert {len(cells) for cells in ROWS.values()} == {len(REQUESTS)}
    assert {cell for cells in ROWS.values() for cell in cells} == set(VERDICTS), "each verdict has its case"
    assert {type(request) for request in REQUESTS.values()} == set(get_args(ControlRequest))
    never_of_a_plan_that_has_begun = {PlanState.QUEUED, PlanState.REJECTED}
    runs = [fold(log()) for log in STATES.values()]
    assert {plan_state(run) for run in runs} == set(PlanState) - never_of_a_plan_that_has_begun
    assert {run.phase for run in runs} == {*RUNS, PlanPhase.COMPLETED}
    assert {run.outcome.overall_status for run in runs if run.outcome} == set(OverallStatus)
    assert {run.round for run in runs} == {1, 2}


@pytest.mark.parametrize(("state", "request_name", "cell"), CELLS)
def test_each_state_times_each_request(state, request_name, cell):
    run, request = fold(STATES[state]()), REQUESTS[request_name]
    verdict = judged(run, request, HOLDER)
    expected = VERDICTS[cell]
    if isinstance(expected, ControlErrorCode):
        assert isinstance(verdict, Refused), verdict
        assert verdict.code is expected
    else:
        assert isinstance(verdict, expected), verdict
    if isinstance(verdict, Granted):
        kinds = carry_out(run, verdict)
        check_granted(verdict, kinds)
        check_sent_again(run, request, HOLDER, settled=False)


def carry_out(run: PlanRun, verdict: Granted) -> list[list[str]]:
    """Let the events of a granted request happen; their types, input by input."""
    kinds = []
    for happened in verdict.inputs:
        events = decide(run, happened, parse_time(run.last_at))
        kinds.append([event_type(event) for event in events])
        for event in events:
            evolve(run, event)
    return kinds


@pytest.mark.parametrize("request_name", REQUESTS)
@pytest.mark.parametrize("state", STATES)
def test_a_plan_ends_by_the_rules_whatever_it_is_asked_in_any_state(state, request_name):
    log = STATES[state]()
    since = parse_time(decode_event(log[-1]).time) - START
    of = BESIDE if state.startswith("running, ") else CHAIN
    simulation = simulate(submission(of), log=log, inputs=[(since, REQUESTS[request_name])])
    check_log(of, simulation.events)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("decision", [None, Decision.DENY])
def test_a_step_that_is_not_there_is_told_as_such(state, decision):
    run = fold(STATES[state]())
    asked = judged(run, ApproveRequest(plan_id=PLAN_ID, step_id="aks", decision=decision), HOLDER)
    assert asked == Refused(ControlErrorCode.UNKNOWN_STEP, f"plan {PLAN_ID} has no step aks; did you mean ask?")
    retried = judged(run, RetryRequest(plan_id=PLAN_ID, step_id="nobody"), HOLDER)
    assert isinstance(retried, Refused)
    expected = ControlErrorCode.UNKNOWN_STEP if run.completed else ControlErrorCode.NOT_COMPLETED
    assert retried.code is expected


# --- what is said


def said(of, request: ControlRequest, *, to: list[bytes] | None = None, **script: Any) -> Verdict:
    return judged(fold(story(of, **script).log if to is None else to), request, HOLDER)


@pytest.mark.parametrize(
    ("state", "request_name", "message"),
    [
        ("running", "retry", "plan_01HZX4 hasn't ended (active): only a finished plan can be retried"),
        ("failed", "cancel", "plan_01HZX4 has completed (failed): there is nothing to cancel"),
        ("cancelled", "resume", "plan_01HZX4 has completed (cancelled): there is nothing to resume"),
        ("cancelling", "pause", "plan_01HZX4 is being cancelled"),
        ("succeeded", "retry", "name a step to run it and what is behind it again"),
        ("failed", "retry end", "step end depends on ask, which is skipped: retry ask, and everything behind it runs"),
        ("waits: person", "approve work", "step work of plan plan_01HZX4 doesn't wait for an approval: it is succeed"),
        ("running", "approve", "no step of plan plan_01HZX4 waits for an approval"),
        ("failed, refused", "approve ask", "step ask of plan plan_01HZX4 was refused before, and is failed now"),
        ("running, approved", "deny ask", "step ask of plan plan_01HZX4 was approved before, and is succeeded now"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(state, request_name, message):
    verdict = judged(fold(STATES[state]()), REQUESTS[request_name], HOLDER)
    assert isinstance(verdict, Refused)
    assert message in verdict.message


def test_an_approval_of_all_names_those_that_wait_and_sent_again_those_that_were_approved():
    of = plan(*[step(name, requires_approval=True) for name in ("a", "b", "c")])
    asked = simulate(submission(of), answers={"c": False})
    run = fold(up_to(asked, "STEP_WAITING c"))
    verdict = judged(run, REQUESTS["approve"], HOLDER)
    assert isinstance(verdict, Granted)
    assert verdict.steps == ("a", "b", "c")
    carry_out(run, verdict)
    assert judged(run, REQUESTS["approve"], HOLDER) == Unchanged(("a", "b", "c"))
    assert said(of, REQUESTS["approve"], to=asked.log) == Unchanged(("a", "b"))
    assert said(of, REQUESTS["deny"], to=asked.log) == Unchanged(("c",))


def test_a_retry_names_what_runs_again_in_plan_order():
    of = plan(step("end", "b"), step("a"), step("b", "a", retry=NO_RETRY), step("other"))
    assert said(of, RETRY, b=[failed()])[1] == ("end", "b")
    assert said(of, REQUESTS["retry end"])[1] == ("end",)
    assert said(of, RetryRequest(plan_id=PLAN_ID, step_id="a"))[1] == ("end", "a", "b")


def test_a_step_behind_an_optional_failure_can_run_again_but_not_behind_an_optional_step_that_was_skipped():
    of = plan(step("a", optional=True), step("b", "a"))
    again = RetryRequest(plan_id=PLAN_ID, step_id="b")
    assert isinstance(said(of, again, a=BROKEN), Granted)
    of = plan(step("root"), step("a", "root", optional=True), step("b", "a"))
    refused = said(of, again, root=BROKEN)
    assert isinstance(refused, Refused)
    assert refused.code is ControlErrorCode.DEPENDENCY_NOT_MET


def test_only_a_request_id_tells_a_retry_that_is_sent_again_from_a_second_one():
    named = RetryRequest(plan_id=PLAN_ID, request_id="r1")
    for lasts in (False, True):
        simulation = simulate(submission(CHAIN), scripted({"work": BROKEN}), retries=[named])
        run = fold(simulation.log if lasts else up_to(simulation, "STEP_STARTED work"))
        assert run.round == 2
        assert judged(run, named, HOLDER) == Unchanged(("work", "ask", "end"))
    again = judged(run, RetryRequest(plan_id=PLAN_ID, request_id="r2"), HOLDER)
    assert isinstance(again, Granted)
    assert isinstance(judged(run, RETRY, HOLDER), Granted)
