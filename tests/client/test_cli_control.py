"""The commands that steer plans, against a service that answers as each test says."""

import getpass
import io
import json
from typing import Any

import pytest
from control_stub import CommandLine, ControlStub, done, problem

from leadplan_cli.control_lines import reply_line
from leadplan_contracts.control import ControlErrorCode, ControlReply, PlanState


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry", "approve", "deny"])
def test_each_command_says_who_asks_and_why(leadplan: CommandLine, stub: ControlStub, action: str):
    code, out, err = leadplan(action, "p1", "--reason", "wrong town")
    assert (code, err) == (0, "")
    assert "p1" in out
    ((_, request),) = stub.requests
    assert (request["planId"], request["by"], request["reason"]) == ("p1", getpass.getuser(), "wrong town")
    leadplan(action, "p1", "--by", "ann")
    assert stub.requests[1][1]["by"] == "ann"


def test_a_machine_without_a_user_name_asks_without_one(
    leadplan: CommandLine, stub: ControlStub, monkeypatch: pytest.MonkeyPatch
):
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", fail)
    assert leadplan("cancel", "p1")[0] == 0
    assert "by" not in stub.requests[0][1]


@pytest.mark.parametrize("action", ["cancel", "pause", "resume", "retry", "approve", "deny"])
def test_json_is_the_reply(leadplan: CommandLine, stub: ControlStub, action: str):
    code, out, err = leadplan(action, "p1", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == {"planId": "p1", "changed": True, "state": "running", "sequence": 7}
    assert len(out.splitlines()) == 1


def test_several_plans_each_get_a_line_and_one_refusal_stops_none(leadplan: CommandLine, stub: ControlStub):
    def answer(request: dict[str, Any]) -> Any:
        if request["planId"] == "b":
            return problem(ControlErrorCode.ALREADY_COMPLETED, "plan b has ended", plan_id="b")
        if request["planId"] == "c":
            return problem(ControlErrorCode.UNKNOWN_PLAN, "there is no plan c", plan_id="c")
        return done(request, state=PlanState.CANCELLING)

    stub.answers["cancel"] = answer
    code, out, err = leadplan("cancel", "a", "b", "c", "d", "a")
    assert code == 1
    assert out.splitlines() == [
        "plan a is being cancelled; next: leadplan watch a",
        "plan d is being cancelled; next: leadplan watch d",
    ]
    assert err.splitlines() == [
        "leadplan: plan b has ended; try leadplan status b",
        "leadplan: there is no plan c; try leadplan list",
    ]
    assert len(stub.requests) == 4, "a plan that is named twice is asked for once"


def test_very_many_plans_are_told_in_their_order(
    leadplan: CommandLine, stub: ControlStub, monkeypatch: pytest.MonkeyPatch
):
    ids = [f"p{number}" for number in range(500)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(ids)))
    code, out, _ = leadplan("cancel", "-", "--json")
    assert (code, [json.loads(line)["planId"] for line in out.splitlines()]) == (0, ids)


def test_ids_are_read_from_standard_input(leadplan: CommandLine, stub: ControlStub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("b\n\n  c\n"))
    assert leadplan("pause", "a", "-", "d")[0] == 0
    assert sorted(request["planId"] for _, request in stub.requests) == ["a", "b", "c", "d"]
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert leadplan("pause", "-") == (0, "", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cancel"], "PLAN"),
        (["cancel", "a", "b.*"], "'b.*' is no plan id"),
        (["pause", "-", "-"], "give - once"),
        (["retry", "a.b"], "'a.b' is no plan id"),
        (["retry", "a", "no step"], "stepId"),
        (["approve", "a", "*"], "stepId"),
        (["deny", "a", "--reason", "x" * 5000], "reason"),
        (["resume", "a", "--by", "x" * 500], "by"),
    ],
)
def test_bad_use_is_told_and_nothing_is_done(leadplan: CommandLine, stub: ControlStub, arguments: list[str], said: str):
    code, out, err = leadplan(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert stub.requests == []


@pytest.mark.parametrize("code", [code for code in ControlErrorCode if code is not ControlErrorCode.UNAVAILABLE])
def test_each_refusal_is_one_line_that_ends_with_what_to_do(
    leadplan: CommandLine, stub: ControlStub, code: ControlErrorCode
):
    stub.answers["retry"] = lambda request: problem(code, "it can't be done", plan_id="p1")
    exit_code, out, err = leadplan("retry", "p1", "--json")
    assert (exit_code, out) == (1, "")
    assert err.startswith("leadplan: it can't be done")
    assert len(err.splitlines()) == 1
    without_hint = {ControlErrorCode.INVALID_REQUEST, ControlErrorCode.INTERNAL}
    assert ("; try leadplan " in err) == (code not in without_hint)


def test_without_an_executor_it_is_said_how_to_start_one(leadplan: CommandLine):
    code, out, err = leadplan("cancel", "a", "b")
    assert (code, out) == (1, "")
    assert err.startswith("leadplan: no executor answers on plans.cancel: start one (leadplan executor)")
    assert len(err.splitlines()) == 1


def test_a_step_can_be_named(leadplan: CommandLine, stub: ControlStub):
    stub.answers["retry"] = stub.answers["approve"] = lambda request: done(request, steps=[request["stepId"]])
    assert leadplan("retry", "p1", "enrich")[1] == "plan p1 runs again from step enrich; next: leadplan watch p1\n"
    assert leadplan("approve", "p1", "send")[1] == "step send of plan p1: approved; next: leadplan watch p1\n"
    assert leadplan("deny", "p1", "send")[1] == "step send of plan p1: denied; next: leadplan watch p1\n"
    assert [request.get("decision") for _, request in stub.requests] == [None, "approve", "deny"]


@pytest.mark.parametrize(
    ("action", "more", "line"),
    [
        ("cancel", {"state": "cancelling"}, "plan p is being cancelled; next: leadplan watch p"),
        ("cancel", {"state": "completed"}, "plan p is cancelled"),
        ("cancel", {"state": "cancelling", "changed": False}, "plan p was being cancelled already; next: "),
        ("cancel", {"state": "completed", "changed": False}, "plan p was cancelled already"),
        ("pause", {"state": "paused"}, "plan p is paused: what runs finishes, nothing new starts; next: leadplan re"),
        ("pause", {"state": "paused", "changed": False}, "plan p was paused already; next: leadplan resume p"),
        ("resume", {}, "plan p goes on; next: leadplan watch p"),
        ("resume", {"changed": False}, "plan p was not paused; next: leadplan status p"),
        ("retry", {}, "plan p runs again; next: leadplan watch p"),
        ("retry", {"steps": list("abcdef")}, "plan p runs again from 6 steps; next"),
        ("retry", {"changed": False}, "plan p runs again already; next: leadplan watch p"),
        ("approve", {"steps": ["a", "b"]}, "steps a, b of plan p: approved; next: leadplan watch p"),
        ("approve", {"steps": ["a"], "changed": False}, "step a of plan p: approved already; next"),
        ("deny", {}, "plan p: denied; next: leadplan watch p"),
    ],
)
def test_the_line_says_what_happened(action: str, more: dict[str, Any], line: str):
    values = {"changed": True, "state": "running", "sequence": 3, **more}
    reply = ControlReply(plan_id="p", **{**values, "state": PlanState(values["state"])})
    assert reply_line(action, reply).startswith(line)


@pytest.mark.parametrize(
    "command", ["cancel", "pause", "resume", "retry", "approve", "deny", "status", "list", "validate"]
)
def test_help_has_an_example_and_the_options_on_the_server(leadplan: CommandLine, command: str):
    code, out, _ = leadplan(command, "--help")
    assert code == 0
    assert f"leadplan {command}" in out.partition("Example")[2]
    assert "--json" in out
    assert "--server" in out
