"""Seeing and steering plans with the client library and the command line, answered by real executors."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_client import ControlRefusedError, InvalidPlanIdError, PlanClient, UnknownPlanError
from leadplan_contracts import LeadGenPlan, OverallStatus, PlanSubmission
from leadplan_contracts.control import ControlErrorCode, ListRequest, PlanState, WaitReason
from leadplan_contracts.events import PlanCompleted, PlanRetried

CommandLine = Callable[..., Awaitable[tuple[int, str, str]]]


class Gate:
    """A tool whose step ``gated`` runs until it is let through, and whose ``bad`` steps fail."""

    def __init__(self) -> None:
        self.bad: set[str] = set()
        self.opened = asyncio.Event()

    async def behave(self, request: dict[str, Any]) -> dict[str, Any]:
        if request["stepId"] == "gated":
            await self.opened.wait()
        if request["stepId"] in self.bad:
            return {
                "success": False,
                "errorMessage": "The key is not valid.",
                "errorCode": "bad_key",
                "retryable": False,
            }
        return {"success": True, "data": {"step": request["stepId"]}}


@pytest.fixture
async def gate(serve_tool: Any) -> Any:
    gate = Gate()
    gate.tool = await serve_tool("ECHO", gate.behave)  # type: ignore[attr-defined]
    return gate


@pytest.fixture
def client(nc: Client, executor: Any) -> PlanClient:
    return PlanClient(nc)


@pytest.fixture
def leadplan(nats_url: str) -> CommandLine:
    """Run the command line as a process: exit code, standard output, standard error."""

    async def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "leadplan_cli", *arguments),
            env={**os.environ, "NATS_URL": nats_url},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(stdin), 40)
        return process.returncode or 0, out.decode(), err.decode()

    return run


@pytest.fixture
def submit(client: PlanClient, make_plan: Any) -> Any:
    async def submit(plan_id: str, steps: list[dict[str, Any]], **plan: Any) -> int:
        return await client.submit_json(msgspec.json.encode(make_plan(plan_id, steps, **plan)))

    return submit


CHAIN = [{"id": "first"}, {"id": "second", "dependsOn": ["first"]}, {"id": "third", "dependsOn": ["second"]}]


async def test_a_plan_is_paused_resumed_and_cancelled(client: PlanClient, gate: Any, submit: Any, feed: Any):
    await submit("p1", [{"id": "gated"}, {"id": "next", "dependsOn": ["gated"]}])
    await feed.until(lambda: gate.tool.calls("gated"))
    paused = await client.pause("p1", by="ann", reason="quota")
    assert (paused.changed, paused.state) == (True, PlanState.PAUSED)
    assert not (await client.pause("p1")).changed
    status = await client.status("p1")
    assert status.state is PlanState.PAUSED
    assert status.user is not None
    assert (status.user.user_id, status.user.account_id) == ("u_7", "acct_3")
    (waiting,) = status.waiting or []
    assert (waiting.reason, waiting.by, waiting.message) == (WaitReason.UNPAUSE, "ann", "quota")
    assert (await client.resume("p1")).state is PlanState.RUNNING
    assert (await client.cancel("p1", reason="wrong town")).changed
    assert (await client.result("p1", wait_seconds=10)).overall_status is OverallStatus.CANCELLED
    with pytest.raises(ControlRefusedError) as raised:
        await client.pause("p1")
    assert raised.value.code is ControlErrorCode.ALREADY_COMPLETED
    with pytest.raises(UnknownPlanError):
        await client.status("p2")
    with pytest.raises(InvalidPlanIdError):
        await client.status("*")


async def test_a_failed_plan_is_retried_and_followed_to_its_next_end(client: PlanClient, gate: Any, submit: Any):
    gate.bad = {"second"}
    await submit("p1", CHAIN)
    assert (await client.result("p1", wait_seconds=10)).overall_status is OverallStatus.FAILED
    gate.bad = set()
    reply = await client.retry("p1", by="ann")
    assert reply.steps == ["second", "third"]
    events = [event async for event in client.follow("p1", known_sequence=reply.sequence)]
    ends = [event.result.overall_status for event in events if isinstance(event, PlanCompleted)]
    assert ends == [OverallStatus.FAILED, OverallStatus.SUCCEEDED]
    (retried,) = [event for event in events if isinstance(event, PlanRetried)]
    assert retried.meta.by == "ann"
    assert [len(gate.tool.calls(step)) for step in ("first", "second", "third")] == [1, 2, 1]
    status = await client.status("p1", data=False)
    assert (status.round, status.overall_status) == (2, OverallStatus.SUCCEEDED)
    again = await client.retry("p1", step_id="second")
    assert again.steps == ["second", "third"]
    assert (await client.result("p1", wait_seconds=10)).overall_status is OverallStatus.SUCCEEDED


async def test_steps_are_approved_and_denied(client: PlanClient, gate: Any, submit: Any, feed: Any):
    await submit("p1", [{"id": "a", "requiresApproval": True}, {"id": "b", "requiresApproval": True}])
    await feed.until(lambda: len(feed.of("p1", "STEP_WAITING")) == 2)
    assert (await client.approve("p1", "a", by="ann")).steps == ["a"]
    assert (await client.deny("p1", by="ben", reason="too many")).steps == ["b"]
    result = await client.result("p1", wait_seconds=10)
    assert [step.status.value for step in result.step_results] == ["succeeded", "failed"]


async def test_every_plan_is_listed_over_many_pages(client: PlanClient, gate: Any, submit: Any, feed: Any):
    for number in range(7):
        await submit(f"p{number}", [{"id": "a"}], title=f"Vets {number}")
    await feed.until(lambda: len([one for one in feed.events if one["type"] == "PLAN_COMPLETED"]) == 7)
    pages = ListRequest(limit=2, overall_statuses=[OverallStatus.SUCCEEDED])
    listed = [plan async for plan in client.list_plans(pages)]
    assert sorted(plan.plan_id for plan in listed) == [f"p{number}" for number in range(7)]
    assert {plan.account_id for plan in listed} == {"acct_3"}
    assert [plan.plan_id async for plan in client.list_plans(ListRequest(text="vets 3"))] == ["p3"]
    assert [plan async for plan in client.list_plans(ListRequest(account_id="acct_4"))] == []
    with pytest.raises(ControlRefusedError, match="cursor") as raised:
        await client.plan_page(ListRequest(cursor="no cursor"))
    assert raised.value.code is ControlErrorCode.INVALID_REQUEST


async def test_a_plan_is_validated(client: PlanClient, gate: Any, make_plan: Any):
    message = msgspec.json.encode(make_plan("p1", [{"id": "a"}, {"id": "b", "tool": "ECO"}]))
    submission = msgspec.json.decode(message, type=PlanSubmission)
    plan: LeadGenPlan = submission.plan
    report = await client.validate(plan, submission.user)
    assert report.plan_id == "p1"
    assert "ECHO" in "".join(one.message for one in [*report.warnings, *report.problems])
    report = await client.validate_json(b'{"plan": {}}')
    assert not report.valid
    assert {"plan.id", "plan.steps"} <= {problem.path for problem in report.problems}


# --- the command line


async def test_a_failed_plan_is_found_explained_and_run_again(
    leadplan: CommandLine, client: PlanClient, gate: Any, submit: Any
):
    gate.bad = {"second"}
    await submit("p1", CHAIN)
    await client.result("p1", wait_seconds=10)

    code, out, _ = await leadplan("list", "--failed", "--since", "1h")
    assert (code, out.splitlines()[1].split()[:2]) == (0, ["p1", "failed"])
    code, out, _ = await leadplan("status", "p1")
    assert code == 0
    assert "step second after 1 attempt: The key is not valid. [bad_key]" in out
    assert "leadplan retry p1" in out
    gate.bad = set()
    code, out, err = await leadplan("retry", "p1", "--watch", "--reason", "new key")
    assert (code, err) == (0, "")
    assert "plan succeeded after" in out.splitlines()[-1]
    code, out, err = await leadplan("retry", "p1")
    assert code == 1
    assert "leadplan retry p1 STEP" in err
    code, out, _ = await leadplan("list", "--state", "succeeded", "--ids")
    assert (code, out) == (0, "p1\n")


async def test_plans_are_steered_by_lists_of_ids(
    leadplan: CommandLine, client: PlanClient, gate: Any, submit: Any, feed: Any
):
    for plan_id in ("p1", "p2"):
        await submit(plan_id, [{"id": "gated"}, {"id": "next", "dependsOn": ["gated"]}])
    await feed.until(lambda: len(gate.tool.calls("gated")) == 2)
    _, ids, _ = await leadplan("list", "--state", "running", "--ids")
    code, out, err = await leadplan("pause", "-", "--by", "ann", stdin=ids.encode())
    assert (code, err, len(out.splitlines())) == (0, "", 2)
    _, out, _ = await leadplan("list", "--state", "paused", "--json")
    assert sorted(json.loads(line)["planId"] for line in out.splitlines()) == ["p1", "p2"]
    code, out, _ = await leadplan("resume", "p1", "--json")
    assert (code, json.loads(out)["state"]) == (0, "running")
    code, out, err = await leadplan("cancel", "p1", "p2", "p3")
    assert code == 1
    assert [line.split()[1] for line in out.splitlines()] == ["p1", "p2"]
    assert err.startswith("leadplan: nothing is known of plan p3")
    for plan_id in ("p1", "p2"):
        assert (await client.result(plan_id, wait_seconds=10)).overall_status is OverallStatus.CANCELLED


async def test_an_approval_is_asked_for_and_given(
    leadplan: CommandLine, client: PlanClient, gate: Any, submit: Any, feed: Any
):
    await submit("p1", [{"id": "outreach", "requiresApproval": True}])
    await feed.until(lambda: feed.of("p1", "STEP_WAITING"))
    code, out, _ = await leadplan("status", "p1")
    assert code == 0
    assert "waits for  your approval of step outreach" in out
    assert "leadplan approve p1 outreach" in out
    assert (await leadplan("approve", "p1", "outreach"))[0] == 0
    assert (await client.result("p1", wait_seconds=10)).overall_status is OverallStatus.SUCCEEDED
    code, _, err = await leadplan("deny", "p1", "outreach")
    assert (code, len(err.splitlines())) == (1, 1)


async def test_a_plan_is_validated_from_a_file(leadplan: CommandLine, executor: Any, make_plan: Any, tmp_path: Path):
    file = tmp_path / "plan.json"
    file.write_bytes(msgspec.json.encode(make_plan("p1", [{"id": "a", "dependsOn": ["b"]}])))
    code, out, _ = await leadplan("validate", str(file))
    assert code == 1
    assert "plan.steps[0].dependsOn[0]" in out
    code, _, err = await leadplan("validate", "-", stdin=b"")
    assert code == 1
    assert "Traceback" not in err
