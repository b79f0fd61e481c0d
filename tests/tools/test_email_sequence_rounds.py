"""A plan whose e-mail step failed or was cancelled is retried: who was mailed isn't mailed again, the others are."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
from nats.aio.client import Client
from sequence_sandbox import SequenceSandbox, numbered, saved, sequence_sandbox
from tool_requests import ask_tool, tool_request

from leadplan_bus.connection import close, connect
from leadplan_email_sequence.responder import responder
from leadplan_responder.serving import Serving

PEOPLE = numbered(120)
"""Three batches of at most 50."""

SOMEBODY = "somebody@sandbox.example"

Step = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
def hunter(sandbox_server: Any) -> Iterator[SequenceSandbox]:
    with sequence_sandbox(sandbox_server) as sandbox:
        yield sandbox


@pytest.fixture
async def step(
    nc: Client, nats_url: str, hunter: SequenceSandbox, leads_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Step]:
    """Ask the tool as one step of one plan, always with the same idempotency key."""
    for name, value in {**hunter.environment, "LEADPLAN_LEADS_DATABASE_URL": leads_database_url}.items():
        monkeypatch.setenv(name, value)
    connection = await connect(nats_url, name="email-sequence")
    serving = Serving(responder(), connection, 0.0)
    await serving.start()

    async def ask(sequence: int = 42, **fields: Any) -> dict[str, Any]:
        params = {"sourceStepId": "save", "sequenceId": sequence, "start": True}
        return await ask_tool(nc, tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)}, **fields))

    yield ask
    await serving.stop()
    await close(connection)


def run_the_sequence(hunter: SequenceSandbox) -> None:
    """From now on whoever is added is mailed at once."""
    hunter.add(SOMEBODY)
    hunter.start()


def mailed(hunter: SequenceSandbox) -> dict[str, int]:
    return {email: mails for email, mails in hunter.mailed().items() if email != SOMEBODY}


async def cancel(nc: Client) -> None:
    notice = {"planId": "plan_a", "stepId": "step", "idempotencyKey": "plan_a:step"}
    await nc.publish("tools.EMAIL_SEQUENCE_SETUP.cancel", json.dumps(notice).encode())


def assert_everybody_was_mailed_once(hunter: SequenceSandbox, reply: dict[str, Any]) -> None:
    assert reply["success"], reply
    data = reply["data"]
    assert (data["recipientsAdded"], data["leftOut"], data["started"]) == (len(PEOPLE), [], True)
    assert mailed(hunter) == dict.fromkeys(PEOPLE, 1)


@pytest.mark.parametrize("batches_before", [0, 1, 2])
async def test_after_a_final_failure_exactly_those_are_mailed_who_were_not(
    step: Step, hunter: SequenceSandbox, batches_before: int
):
    run_the_sequence(hunter)
    hunter.fault("/v2/sequences/42/recipients", method="POST", status=403, after=batches_before, times=1)
    failed = await step()
    assert (failed["success"], failed["retryable"]) == (False, False)
    before = PEOPLE[: 50 * batches_before]
    assert mailed(hunter) == dict.fromkeys(before, 1)
    hunter.forget_requests()
    assert await step() == failed, "within its round the failure is final"
    assert hunter.requests() == []

    again = await step(round=2)

    assert_everybody_was_mailed_once(hunter, again)
    assert [email for batch in hunter.asked_to_add() for email in batch] == PEOPLE[len(before) :]
    hunter.forget_requests()
    assert [await step(round=2), await step(round=3)] == [again] * 2
    assert hunter.requests() == []


async def test_a_start_that_was_refused_is_tried_again_and_nobody_is_added_again(step: Step, hunter: SequenceSandbox):
    hunter.fault("/v2/sequences/42/start", method="POST", status=403, times=1)
    failed = await step()
    assert (failed["success"], failed["retryable"], mailed(hunter)) == (False, False, {})
    hunter.forget_requests()

    again = await step(round=2)

    assert_everybody_was_mailed_once(hunter, again)
    assert (hunter.asked_to_add(), hunter.starts()) == ([], 1)


@pytest.mark.parametrize("seen_by_hunter", [True, False])
async def test_after_a_cancel_hunter_is_asked_who_is_in_before_anybody_is_added(
    step: Step, nc: Client, hunter: SequenceSandbox, eventually: Any, seen_by_hunter: bool
):
    run_the_sequence(hunter)
    fault = {"bodyMs": 30_000} if seen_by_hunter else {"delayMs": 30_000}
    hunter.fault("/v2/sequences/42/recipients", method="POST", after=1, times=1, **fault)
    running = asyncio.create_task(step())
    in_by_then = 100 if seen_by_hunter else 50
    await eventually(lambda: len(hunter.asked_to_add()) == 3 and len(mailed(hunter)) == in_by_then)
    await cancel(nc)
    assert (await running)["errorCode"] == "cancelled"
    hunter.forget_requests()

    again = await step(round=2)

    assert_everybody_was_mailed_once(hunter, again)
    assert [email for batch in hunter.asked_to_add() for email in batch] == PEOPLE[in_by_then:]
    asked = [(one["method"], one["path"].rpartition("/")[2]) for one in hunter.requests()]
    assert asked.index(("GET", "recipients")) < asked.index(("POST", "recipients"))


async def test_whom_a_cancelled_step_had_not_asked_for_another_plan_can_have(
    step: Step, nc: Client, hunter: SequenceSandbox, eventually: Any
):
    hunter.fault("/v2/sequences/42/recipients", method="POST", delayMs=30_000, after=1, times=1)
    running = asyncio.create_task(step())
    await eventually(lambda: len(hunter.asked_to_add()) == 2)
    await cancel(nc)
    assert (await running)["errorCode"] == "cancelled"

    other = await step(52, planId="plan_b")

    assert (other["data"]["recipientsAdded"], hunter.recipients(52)) == (20, PEOPLE[100:])
    assert {one["reason"] for one in other["data"]["leftOut"]} == {"contacted_before"}
    again = (await step(round=2))["data"]
    assert (again["recipientsAdded"], [one["email"] for one in again["leftOut"]]) == (100, PEOPLE[100:])
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)


async def test_what_a_person_put_right_counts_in_the_next_round(step: Step, hunter: SequenceSandbox):
    hunter.fault("/v2/sequences/42", method="GET", status=200, times=1, body={"data": {"status": "archived"}})
    failed = await step()
    assert (failed["errorCode"], failed["retryable"]) == ("sequence_archived", False)
    hunter.mend()

    assert_everybody_was_mailed_once(hunter, await step(round=2))
