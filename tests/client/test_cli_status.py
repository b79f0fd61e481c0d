"""``leadplan status``, ``list`` and ``validate`` against a service that answers as each test says."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from control_stub import CommandLine, ControlStub, problem

from leadplan_cli.plan_filters import filters
from leadplan_contracts import LeadGenStepResult, LeadGenStepStatus, OverallStatus, PlanProblem, SupervisorUserContext
from leadplan_contracts.control import (
    ControlErrorCode,
    ListRequest,
    PlanPage,
    PlanState,
    PlanStatus,
    PlanSummary,
    StepStatus,
    ValidationReport,
    Waiting,
    WaitReason,
)

LONG_AGO = "2020-11-23T09:15:02.417Z"
LATER = "2020-11-23T09:16:12.417Z"
FAR_AHEAD = "2999-01-01T00:00:00.000Z"


def step(
    step_id: str, status: str, attempts: int = 1, waiting: Waiting | None = None, tool: str = "ECHO", **result: Any
) -> StepStatus:
    told = LeadGenStepResult(step_id=step_id, status=LeadGenStepStatus(status), attempts=attempts, **result)
    return StepStatus(id=step_id, tool=tool, result=told, waiting=waiting)


def plan(state: str, **more: Any) -> PlanStatus:
    return PlanStatus(plan_id="p1", state=PlanState(state), **more)


APPROVAL = Waiting(reason=WaitReason.APPROVAL, step_id="outreach", since=LONG_AGO)
WAITING = plan(
    "waiting",
    title="Dentists in Leeds",
    goal="Find dentists",
    user=SupervisorUserContext(user_id="u_7", account_id="acct_3"),
    started_at=LONG_AGO,
    deadline_at=FAR_AHEAD,
    executor="host-1",
    waiting=[APPROVAL],
    step_counts={"succeeded": 1, "pending": 1},
    steps=[
        step("search", "succeeded", started_at=LONG_AGO, finished_at=LATER),
        step("outreach", "pending", 0, APPROVAL),
    ],
)
FAILED = plan(
    "completed",
    overall_status=OverallStatus.FAILED,
    started_at=LONG_AGO,
    finished_at=LATER,
    round=2,
    steps=[
        step("search", "failed", 3, error_code="invalid_credentials", error_message="The key\x1b[2J is not valid."),
        step("save", "skipped", 0, error_message="Skipped because a dependency failed"),
    ],
)


def lines_of(leadplan: CommandLine, *arguments: str) -> list[str]:
    code, out, err = leadplan(*arguments)
    assert (code, err) == (0, "")
    return [" ".join(line.split()) for line in out.splitlines()]


def test_a_plan_that_waits_says_for_what_and_what_to_do(leadplan: CommandLine, stub: ControlStub):
    stub.answers["status"] = lambda request: WAITING
    lines = lines_of(leadplan, "status", "p1")
    assert lines[0] == "Dentists in Leeds p1 waiting"
    assert lines[1].startswith("waits for your approval of step outreach, for ")
    assert lines[1].endswith(": leadplan approve p1 outreach")
    assert "goal Find dentists" in lines
    assert "for account acct_3, user u_7" in lines
    assert any(line.startswith("started 2020-11-23 09:15:02 UTC, ") and line.endswith("by host-1") for line in lines)
    assert any(line.startswith("deadline 2999-01-01 00:00:00 UTC, in ") for line in lines)
    assert "steps 1 succeeded, 1 pending (of 2)" in lines
    assert "search succeeded ECHO 1 1 min 10 s" in lines
    assert "outreach waiting ECHO waits for your approval" in lines
    assert lines[-3:] == [
        "next: leadplan approve p1 outreach let it run",
        "leadplan deny p1 outreach refuse, which fails the step",
        "leadplan watch p1 follow it to its end",
    ]
    assert stub.requests == [("status", {"planId": "p1", "data": False})]


def test_a_plan_that_failed_says_why_and_how_to_run_it_again(leadplan: CommandLine, stub: ControlStub):
    stub.answers["status"] = lambda request: FAILED
    code, out, _ = leadplan("status", "p1")
    assert code == 0, "the exit code says whether the question was answered"
    assert "\x1b" not in out, "what tools say must not steer the terminal"
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "p1 failed"
    assert lines[1] == "failed step search after 3 attempts: The key [2J is not valid. [invalid_credentials]"
    assert "ended 2020-11-23 09:16:12 UTC, after 1 min 10 s" in lines
    assert "round 2: it was retried 1 time" in lines
    assert "save skipped ECHO Skipped because a dependency failed" in lines
    assert lines[-2:] == [
        "next: leadplan retry p1 run again what failed or was skipped",
        "leadplan result p1 what the tools returned",
    ]


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (plan("queued", submitted_at=LONG_AGO), "submitted 2020-11-23 09:15:02 UTC"),
        (plan("running", started_at=LONG_AGO), "next: leadplan watch p1"),
        (plan("cancelling", started_at=LONG_AGO), "p1 cancelling"),
        (plan("completed", overall_status=OverallStatus.SUCCEEDED), "next: leadplan result p1"),
        (plan("completed", overall_status=OverallStatus.PARTIAL), "next: leadplan retry p1"),
        (plan("completed", overall_status=OverallStatus.CANCELLED), "p1 cancelled"),
        (
            plan("rejected", problems=[PlanProblem(path="plan.id", code="invalid_id", message="no id")]),
            "problem plan.id: no id [invalid_id]",
        ),
        (
            plan("paused", waiting=[Waiting(reason=WaitReason.UNPAUSE, by="ann", message="quota", since=LONG_AGO)]),
            "it was paused by ann (quota), for",
        ),
        (plan("paused"), "next: leadplan resume p1"),
        (
            plan("waiting", waiting=[Waiting(reason=WaitReason.RETRY, step_id="a", until=LONG_AGO, message="no")]),
            "waits for the next attempt of step a now; the last one failed: no",
        ),
        (
            plan("waiting", waiting=[Waiting(reason=WaitReason.TOOL, step_id="a", until=FAR_AHEAD)]),
            "waits for somebody to serve the tool of step a; next attempt in",
        ),
        (
            plan("waiting", waiting=[Waiting(reason=WaitReason.APPROVAL, step_id=f"s{n}") for n in range(5)]),
            "next: leadplan approve p1 let all of them run",
        ),
        (
            plan("running", steps=[step("a", "pending", 2, Waiting(reason=WaitReason.RETRY, until=LONG_AGO))]),
            "a retrying ECHO 2 again now",
        ),
        (
            plan(
                "running",
                steps=[step("a", "pending", 1, Waiting(reason=WaitReason.TOOL, message="nobody serves ECHO"))],
            ),
            "a no tool ECHO 1 will be tried again: nobody serves ECHO",
        ),
        (plan("running", steps=[step("a", "running", started_at=LONG_AGO)], steps_omitted=7), "and 7 more steps that"),
    ],
)
def test_each_state_has_its_words(leadplan: CommandLine, stub: ControlStub, status: PlanStatus, said: str):
    stub.answers["status"] = lambda request: status
    assert said in "\n".join(lines_of(leadplan, "status", "p1"))


def test_every_state_and_reason_can_be_shown(leadplan: CommandLine, stub: ControlStub):
    states = [plan(state.value) for state in PlanState]
    states += [plan("completed", overall_status=outcome) for outcome in OverallStatus]
    states += [plan("waiting", waiting=[Waiting(reason=reason)]) for reason in WaitReason]
    states += [plan("waiting", steps=[step("a", "pending", 0, Waiting(reason=reason))]) for reason in WaitReason]
    states += [plan("running", steps=[step("a", status.value)]) for status in LeadGenStepStatus]
    told = iter(states)
    stub.answers["status"] = lambda request: next(told)
    for status in states:
        assert lines_of(leadplan, "status", "p1")[0] == f"p1 {status.overall_status or status.state}"


def test_of_very_many_steps_the_most_telling_are_shown(leadplan: CommandLine, stub: ControlStub):
    steps = [step(f"s{number:03}", "failed" if number == 77 else "succeeded") for number in range(100)]
    stub.answers["status"] = lambda request: plan("running", steps=steps)
    some = lines_of(leadplan, "status", "p1")
    assert any(line.startswith("s077 failed") for line in some)
    assert "and 60 more steps: --all shows them" in some
    assert [line.split()[0] for line in lines_of(leadplan, "status", "p1", "--all") if line.startswith("s0")] == [
        f"s{number:03}" for number in range(100)
    ]


def test_status_as_json_is_the_answer(leadplan: CommandLine, stub: ControlStub):
    answer = (
        b'{"planId":"p1","state":"running","sequence":3,"steps":[{"id":"a","tool":"T","result":'
        b'{"stepId":"a","status":"succeeded","attempts":1,"data":{"b": [1,\n2]}}}]}'
    )
    stub.answers["status"] = lambda request: answer
    code, out, err = leadplan("status", "p1", "--json")
    assert (code, err, len(out.splitlines())) == (0, "", 1)
    assert json.loads(out) == json.loads(answer)
    assert stub.requests[0][1]["data"] is True
    leadplan("status", "p1", "--json", "--no-data")
    assert stub.requests[1][1]["data"] is False


def test_data_that_is_missing_is_missed_only_by_those_who_want_it(leadplan: CommandLine, stub: ControlStub):
    stub.answers["status"] = lambda request: plan("completed", data_omitted=True)
    assert leadplan("status", "p1", "--json")[2].endswith("leadplan result p1 --json\n")
    assert leadplan("status", "p1", "--json", "--no-data")[2] == ""


def test_an_unknown_plan_is_told_with_a_hint(leadplan: CommandLine, stub: ControlStub):
    stub.answers["status"] = lambda request: problem(ControlErrorCode.UNKNOWN_PLAN, "there is no plan p1", plan_id="p1")
    assert leadplan("status", "p1") == (1, "", "leadplan: there is no plan p1; try leadplan list\n")
    assert leadplan("status", "a.*")[0] == 2


def test_colours_are_for_terminals(nats_url: str, stub: ControlStub):
    stub.answers["status"] = lambda request: FAILED
    command = [sys.executable, "-m", "leadplan_cli", "status", "p1"]
    environment = {**os.environ, "NATS_URL": nats_url, "TERM": "xterm-256color", "COLUMNS": "100"}
    environment.pop("NO_COLOR", None)
    plain = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=30)
    assert b"\x1b[" not in plain.stdout
    terminal, other_end = pty.openpty()
    subprocess.run(command, env=environment, stdout=other_end, check=True, timeout=30)
    os.close(other_end)
    assert b"\x1b[1;31mfailed" in os.read(terminal, 100_000)
    os.close(terminal)


# --- list


def summary(plan_id: str, state: str = "running", outcome: str | None = None, **more: Any) -> PlanSummary:
    overall_status = OverallStatus(outcome) if outcome else None
    told = {"changed_at": LONG_AGO, "overall_status": overall_status, **more}
    return PlanSummary(plan_id=plan_id, state=PlanState(state), **told)


def test_a_list_is_a_table(leadplan: CommandLine, stub: ControlStub):
    plans = [
        summary("p1", "waiting", title="Dentists\x1b[2J", account_id="acct_3", user_id="u_7", steps=6),
        summary("p2", "completed", "failed", goal="Find vets", user_id="u_8"),
        summary("p3", "rejected"),
    ]
    stub.answers["list"] = lambda request: PlanPage(plans=plans)
    lines = lines_of(leadplan, "list")
    assert lines[0] == "Plan State Changed Steps Account Title"
    assert lines[1].startswith("p1 waiting ")
    assert lines[1].endswith(" ago 6 acct_3 Dentists�[2J")
    assert lines[2].startswith("p2 failed ")
    assert lines[2].endswith(" u_8 Find vets")
    assert lines[3].startswith("p3 rejected")
    assert stub.requests == [("list", {"limit": 21})]


def test_a_list_as_json_and_as_ids(leadplan: CommandLine, stub: ControlStub):
    plans = [summary("p1"), summary("p2", "completed", "failed")]
    stub.answers["list"] = lambda request: PlanPage(plans=plans)
    _, out, _ = leadplan("list", "--json")
    assert [json.loads(line) for line in out.splitlines()] == [
        {"planId": "p1", "state": "running", "changedAt": LONG_AGO},
        {"planId": "p2", "state": "completed", "changedAt": LONG_AGO, "overallStatus": "failed"},
    ]
    assert leadplan("list", "--ids") == (0, "p1\np2\n", "")
    assert leadplan("list", "--ids", "--json")[0] == 2


def test_a_list_says_when_there_is_more(leadplan: CommandLine, stub: ControlStub):
    def pages(request: dict[str, Any]) -> PlanPage:
        first = int(request.get("cursor", 0))
        plans = [summary(f"p{number}") for number in range(first, min(first + 2, 9))]
        return PlanPage(plans=plans, next=str(first + 2) if first + 2 < 9 else None)

    stub.answers["list"] = pages
    code, out, err = leadplan("list", "--limit", "5", "--ids")
    assert (code, out.split()) == (0, ["p0", "p1", "p2", "p3", "p4"])
    assert err == "leadplan: there are more than these 5: --limit N or --all shows them\n"
    assert leadplan("list", "--limit", "5", "--json")[2] == ""
    assert leadplan("list", "--limit", "9", "--ids")[2] == ""
    assert len(leadplan("list", "--all")[1].splitlines()) == 10


def test_an_empty_list_says_so(leadplan: CommandLine, stub: ControlStub):
    stub.answers["list"] = lambda request: PlanPage(plans=[])
    assert leadplan("list") == (0, "There are no plans.\n", "")
    assert leadplan("list", "--failed") == (0, "There are no such plans.\n", "")
    assert leadplan("list", "--json") == (0, "", "")
    assert leadplan("list", "--ids") == (0, "", "")


def test_filters_go_to_the_executor(leadplan: CommandLine, stub: ControlStub):
    stub.answers["list"] = lambda request: PlanPage(plans=[])
    leadplan(
        "list", "--state", "running,paused", "--account", "acct_3", "--user", "u_7", "--text", "dent",
        "--since", "2026-11-23", "--all",
    )  # fmt: skip
    assert stub.requests[0][1] == {
        "states": ["paused", "running"],
        "accountId": "acct_3",
        "userId": "u_7",
        "text": "dent",
        "changedAfter": "2026-11-23T00:00:00.000Z",
        "limit": 500,
    }
    for age in ("30min", "2h", "7d"):
        assert leadplan("list", "--since", age)[0] == 0


@pytest.mark.parametrize("arguments", [["--state", "foo"], ["--since", "yesterday"], ["--limit", "0"]])
def test_bad_filters_are_bad_use(leadplan: CommandLine, stub: ControlStub, arguments: list[str]):
    code, out, err = leadplan("list", *arguments)
    assert (code, out) == (2, "")
    assert arguments[0] in err
    assert stub.requests == []


def answered(request: ListRequest, summaries: list[PlanSummary]) -> list[PlanSummary]:
    """What an executor lists: filters are combined, and a list means any of its values."""
    return [
        one
        for one in summaries
        if (not request.states or one.state in request.states)
        and (not request.overall_statuses or one.overall_status in request.overall_statuses)
    ]


EVERY = [
    summary("running"),
    summary("waiting", "waiting"),
    *(summary(outcome.value, "completed", outcome.value) for outcome in OverallStatus),
    summary("rejected", "rejected"),
]


@pytest.mark.parametrize(
    ("states", "failed", "expected"),
    [
        ([], False, ["running", "waiting", "succeeded", "partial", "failed", "cancelled", "rejected"]),
        (["running"], False, ["running"]),
        (["failed"], False, ["failed"]),
        (["running", "failed"], False, ["running", "failed"]),
        (["Running, rejected"], False, ["running", "rejected"]),
        (["completed", "failed"], False, ["succeeded", "partial", "failed", "cancelled"]),
        ([], True, ["partial", "failed"]),
        (["completed"], True, ["partial", "failed"]),
        (["failed", "cancelled"], True, ["failed"]),
        (["running"], True, []),
    ],
)
def test_states_and_outcomes_can_be_mixed(states: list[str], failed: bool, expected: list[str]):
    wanted = filters(states, failed=failed)
    listed = answered(wanted.request(None), EVERY)
    assert [one.plan_id for one in listed if wanted.fit(one)] == expected


# --- validate


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "plan.json"
    file.write_text(
        '{"plan": {"id": "p1", "title": "T", "goal": {"description": "g"}, "createdAt": "2026-11-23T09:15:02.417Z",'
        ' "steps": [{"id": "a", "tool": "ECHO", "params": {}}]}, "user": {"userId": "u"}}'
    )
    return file


WARNING = PlanProblem(path="plan.steps[0].tool", code="unknown_tool", message="nobody serves ECO: did you mean ECHO?")


def test_a_valid_plan_with_a_warning(leadplan: CommandLine, stub: ControlStub, file: Path):
    report = ValidationReport(valid=True, problems=[], warnings=[WARNING], plan_id="p1")
    stub.answers["validate"] = lambda request: report
    code, out, _ = leadplan("validate", str(file))
    assert code == 0
    assert out.splitlines() == [
        "warning  plan.steps[0].tool: nobody serves ECO: did you mean ECHO? [unknown_tool]",
        f"plan p1 is valid, with 1 warning; next: leadplan submit {file} --watch",
    ]
    assert stub.requests[0][1] == json.loads(file.read_text())
    assert leadplan("validate", str(file), "--strict")[0] == 1
    code, out, _ = leadplan("validate", str(file), "--json")
    assert (code, json.loads(out)["warnings"][0]["code"]) == (0, "unknown_tool")


def test_a_plan_that_would_be_rejected_fails_the_command(leadplan: CommandLine, stub: ControlStub, file: Path):
    stub.answers["validate"] = lambda request: ValidationReport(valid=False, problems=[WARNING], warnings=[])
    code, out, err = leadplan("validate", str(file))
    assert (code, err) == (1, "")
    assert out.splitlines()[-1] == "this would be rejected: 1 problem"
    assert leadplan("validate", str(file), "--json")[0] == 1


def test_offline_no_server_is_needed(leadplan: CommandLine, file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    code, out, _ = leadplan("validate", str(file), "--offline")
    assert (code, out.startswith("plan p1 is valid (its tools and their params weren't looked at)")) == (0, True)
    file.write_text('{"plan": {"id": "p1", "steps": []}}')
    code, out, _ = leadplan("validate", str(file), "--offline", "--json")
    report = json.loads(out)
    assert (code, report["valid"]) == (1, False)
    assert "plan.title" in [one["path"] for one in report["problems"]]


def test_without_an_executor_the_offline_check_is_offered(leadplan: CommandLine, file: Path):
    code, out, err = leadplan("validate", str(file))
    assert (code, out) == (1, "")
    assert f"leadplan validate {file} --offline checks what can be checked without one" in err


def test_a_file_that_can_t_be_read_is_bad_use(leadplan: CommandLine, stub: ControlStub):
    assert leadplan("validate", "/nowhere.json")[0] == 2
    assert stub.requests == []
