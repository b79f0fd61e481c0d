"""Nobody is mailed twice: repeated steps, later plans, other sequences, plans at once. On SQLite and PostgreSQL."""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta

import pytest
from sequence_sandbox import numbered, saved, saved_lead, sequence_sandbox
from sqlalchemy import update
from tool_requests import ask_tool, tool_request

from leadplan_bus.connection import close, connect
from leadplan_email_sequence.responder import responder
from leadplan_leads.database import open_database
from leadplan_leads.outreach import Claimant, OutreachState, outreach_to
from leadplan_leads.tables import OutreachRow
from leadplan_leads.transactions import account_transaction, reading
from leadplan_responder.serving import Serving

ACCOUNT = "acct_3"
PEOPLE = numbered(12)
ADA = PEOPLE[0]


@pytest.fixture
def hunter(sandbox_server):
    with sequence_sandbox(sandbox_server) as sandbox:
        yield sandbox


@pytest.fixture
def database(leads_database_url):
    engine = open_database(leads_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
async def replica(nats_url, hunter, leads_database_url, monkeypatch):
    """Starts another responder, with a database connection and a NATS connection of its own."""
    for name, value in {**hunter.environment, "LEADPLAN_LEADS_DATABASE_URL": leads_database_url}.items():
        monkeypatch.setenv(name, value)
    async with AsyncExitStack() as stopping:

        async def start():
            connection = await connect(nats_url, name="email-sequence")
            stopping.push_async_callback(close, connection)
            serving = Serving(responder(), connection, 0.0)
            stopping.push_async_callback(serving.stop)
            await serving.start()

        yield start


@pytest.fixture
async def set_up(nc, replica):
    await replica()

    async def call(*leads, plan="plan_a", **params):
        given = {"sourceStepId": "save", "sequenceId": 42} | params
        request = tool_request("EMAIL_SEQUENCE_SETUP", given, {"save": saved(*leads)}, planId=plan)
        reply = await ask_tool(nc, request)
        assert reply["success"], reply
        return reply["data"]

    return call


def reasons(data):
    return sorted({left["reason"] for left in data["leftOut"]})


def entries(database, emails=PEOPLE):
    with reading(database) as connection:
        return [one for some in outreach_to(connection, ACCOUNT, emails).values() for one in some]


async def test_the_same_step_again_gets_the_same_answer_and_asks_hunter_nothing(set_up, hunter):
    first = await set_up(*PEOPLE, start=True)
    hunter.forget_requests()
    assert await set_up(*PEOPLE, start=True) == first
    assert first["recipientsAdded"] == 12
    assert hunter.requests() == []
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)


async def test_another_replica_gives_the_same_answer(set_up, replica, hunter):
    first = await set_up(*PEOPLE, start=True)
    await replica()
    assert [await set_up(*PEOPLE, start=True) for _ in range(6)] == [first] * 6
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)


async def test_the_same_goal_next_week_mails_only_who_is_new(set_up, hunter):
    await set_up(*PEOPLE, start=True)
    again = await set_up(
        *(saved_lead(one, is_new=False) for one in PEOPLE), numbered(1, 50)[0], plan="plan_b", start=True
    )
    assert (again["recipientsAdded"], reasons(again)) == (1, ["not_new"])
    assert set(hunter.mailed().values()) == {1}
    assert len(hunter.recipients()) == 13


@pytest.mark.parametrize("allow_recontact", [True, False])
async def test_another_list_into_the_same_sequence_adds_nobody_twice(set_up, hunter, allow_recontact):
    await set_up(*PEOPLE, start=True)
    hunter.forget_requests()
    again = await set_up(*PEOPLE, plan="plan_b", start=True, onlyNew=False, allowRecontact=allow_recontact)
    assert (again["recipientsAdded"], again["alreadyIn"], reasons(again)) == (0, 12, ["already_in_sequence"])
    assert hunter.asked_to_add() == []


async def test_whom_somebody_took_out_by_hand_isnt_put_in_again(set_up, hunter):
    await set_up(*PEOPLE)
    hunter.call("DELETE", "/sequences/42/recipients", {"emails": [ADA]})
    assert (await set_up(*PEOPLE, plan="plan_b"))["alreadyIn"] == 12
    assert ADA not in hunter.recipients()


async def test_the_same_people_get_no_second_sequence_unless_that_is_allowed(set_up, hunter):
    await set_up(*PEOPLE)
    other = await set_up(*PEOPLE, plan="plan_b", sequenceId=52)
    assert (other["recipientsAdded"], reasons(other)) == (0, ["contacted_before"])
    assert hunter.recipients(52) == []
    allowed = await set_up(*PEOPLE, plan="plan_c", sequenceId=52, allowRecontact=True)
    assert (allowed["recipientsAdded"], hunter.recipients(52)) == (12, PEOPLE)


async def test_of_two_plans_at_once_exactly_one_gets_each_person(nc, replica, hunter, database):
    """Both have looked at their sequence and choose at the same moment, in processes of their own as it were."""
    for _ in range(2):
        await replica()
    hunter.fault("/v2/sequences/", method="GET", delayMs=200, times=2)
    requests = [
        tool_request(
            "EMAIL_SEQUENCE_SETUP",
            {"sourceStepId": "save", "sequenceId": sequence, "start": True},
            {"save": saved(*PEOPLE)},
            planId=f"plan_{sequence}",
        )
        for sequence in (42, 52)
    ]
    replies = await asyncio.gather(*(ask_tool(nc, request) for request in requests))
    added = [reply["data"]["recipientsAdded"] for reply in replies]
    assert sorted(added) == [0, 12]
    assert [reply["data"]["started"] for reply in replies] == [number > 0 for number in added]
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)
    assert len(entries(database)) == 12


async def test_many_plans_at_once_into_one_sequence_add_everybody_once(nc, replica, hunter, database):
    for _ in range(2):
        await replica()
    requests = [
        tool_request(
            "EMAIL_SEQUENCE_SETUP",
            {"sourceStepId": "save", "sequenceId": 42, "start": True},
            {"save": saved(*PEOPLE[first:], *PEOPLE[:first])},
            planId=f"plan_{first}",
        )
        for first in range(6)
    ]
    replies = await asyncio.gather(*(ask_tool(nc, request) for request in requests))
    assert sum(reply["data"]["recipientsAdded"] for reply in replies) == 12
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)
    assert {str(one.state) for one in entries(database)} == {"added"}


async def test_a_429_in_the_middle_costs_no_attempt_and_no_work(set_up, hunter):
    people = numbered(70)
    hunter.fault("/v2/sequences/42/recipients", method="POST", status=429, retryAfter=1, after=1, times=1)
    data = await set_up(*people, start=True)
    assert (data["recipientsAdded"], data["started"]) == (70, True)
    assert hunter.asked_to_add() == [people[:50], people[50:], people[50:]]
    assert hunter.mailed() == dict.fromkeys(people, 1)


async def test_an_attempt_that_ran_out_of_time_is_looked_up_by_the_next_one(nc, replica, hunter):
    await replica()
    hunter.fault("/v2/sequences/42/recipients", method="POST", bodyMs=30_000, times=1)
    params = {"sourceStepId": "save", "sequenceId": 42, "start": True}
    request = tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)})
    late = await ask_tool(nc, {**request, "timeoutMs": 1_500})
    assert (late["errorCode"], late["retryable"]) == ("timeout", True)
    data = (await ask_tool(nc, {**request, "attempt": 2}))["data"]
    assert (data["recipientsAdded"], data["started"]) == (12, True)
    assert len(hunter.asked_to_add()) == 1
    assert hunter.mailed() == dict.fromkeys(PEOPLE, 1)


async def test_a_sequence_that_has_run_to_its_end_meanwhile_was_started(nc, replica, hunter):
    await replica()
    hunter.fault("/v2/sequences/42/start", method="POST", bodyMs=30_000, times=1)
    params = {"sourceStepId": "save", "sequenceId": 42, "start": True}
    request = tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)})
    await ask_tool(nc, {**request, "timeoutMs": 1_500})
    hunter.fault("/v2/sequences/42", method="GET", status=200, times=1, body={"data": {"status": "completed"}})
    data = (await ask_tool(nc, {**request, "attempt": 2}))["data"]
    assert (data["recipientsAdded"], data["started"]) == (12, True)
    assert hunter.starts() == 1


LONG_AGO = datetime.now(UTC) - timedelta(days=2)


def leave_behind(database, *, sequence, asked, at=LONG_AGO):
    """What a step leaves that claimed Ada, and perhaps asked Hunter, and then died."""
    dead = Claimant(ACCOUNT, sequence, "plan_dead:outreach")
    with account_transaction(database, ACCOUNT) as connection:
        dead.claim(connection, [ADA])
        if asked:
            dead.ask(connection, [ADA])
        connection.execute(update(OutreachRow).values(claimed_at=at))


async def test_a_claim_of_a_dead_step_that_hunter_has_counts_as_contacted(set_up, hunter, database):
    leave_behind(database, sequence=52, asked=True)
    hunter.add(ADA, to=52)
    assert reasons(await set_up(ADA)) == ["contacted_before"]
    [entry] = entries(database)
    assert (entry.sequence_id, entry.state) == (52, OutreachState.ADDED)
    assert hunter.recipients() == []


@pytest.mark.parametrize("asked", [True, False])
async def test_a_claim_of_a_dead_step_that_hunter_never_got_is_taken_over(set_up, hunter, database, asked):
    leave_behind(database, sequence=52, asked=asked)
    assert (await set_up(ADA))["recipientsAdded"] == 1
    looked_up = [one["path"] for one in hunter.requests("GET", "/v2/sequences/52")]
    assert looked_up == (["/v2/sequences/52/recipients"] if asked else [])
    assert [(one.sequence_id, str(one.state)) for one in entries(database)] == [(42, "added")]


@pytest.mark.parametrize("asked", [True, False])
async def test_a_young_claim_for_another_sequence_is_respected(set_up, hunter, database, asked):
    leave_behind(database, sequence=52, asked=asked, at=datetime.now(UTC) - timedelta(hours=23))
    assert reasons(await set_up(ADA)) == ["contacted_before"]
    assert hunter.asked_to_add() == []


async def test_a_claim_for_a_sequence_that_is_gone_is_respected(set_up, hunter, database):
    leave_behind(database, sequence=999, asked=True)
    assert reasons(await set_up(ADA)) == ["contacted_before"]
    assert hunter.asked_to_add() == []


async def test_in_the_same_sequence_a_claim_left_behind_is_looked_up_whatever_its_age(set_up, hunter, database):
    leave_behind(database, sequence=42, asked=True, at=datetime.now(UTC))
    hunter.add(ADA)
    assert reasons(await set_up(ADA)) == ["already_in_sequence"]
    assert (await set_up(*PEOPLE, plan="plan_b"))["recipientsAdded"] == 11


async def test_in_the_same_sequence_a_claim_that_hunter_never_got_is_taken_over(set_up, hunter, database):
    leave_behind(database, sequence=42, asked=True, at=datetime.now(UTC))
    assert (await set_up(ADA))["recipientsAdded"] == 1
    assert hunter.recipients() == [ADA]
