import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from leadplan_contracts import SupervisorUserContext
from leadplan_lead_list.responder import responder
from leadplan_leads.database import open_database
from leadplan_responder import ConfigurationError, Responder
from leadplan_responder.testing import TEST_PLAN, ToolCall, call_tool

ADA = {
    "email": "Ada@Example.com",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "position": "Owner",
    "company": {"name": "Bright Dental", "domain": "example.com", "employees": "11-50"},
    "confidence": 97,
    "verificationStatus": "valid",
    "sources": ["domain-search", "email-verifier"],
}
BEN = {"email": "ben@example.com"}


@pytest.fixture
async def lead_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", f"sqlite:///{tmp_path}/data/leads.db")
    opened = responder()
    yield opened
    for stop in opened.on_stop:
        await stop()


async def save(
    lead_list: Responder,
    *leads: dict[str, object],
    plan_id: str = "plan_1",
    list_name: str = "Leeds dentists",
    account: str | None = "acct_1",
    attempt: int = 1,
) -> ToolCall:
    return await call_tool(
        lead_list,
        "LEAD_LIST_SAVE",
        {"sourceStepId": "enrich", "listName": list_name},
        prior_results={"enrich": {"leads": list(leads), "dropped": [], "creditsUsed": 1}},
        user=SupervisorUserContext(user_id="u_1", account_id=account),
        plan={**TEST_PLAN, "id": plan_id},
        attempt=attempt,
    )


async def test_first_save_makes_the_list_and_says_that_all_leads_are_new(lead_list):
    call = await save(lead_list, ADA, BEN)

    assert call.result.success
    ada, ben = call.data["leads"]
    assert ada == {
        "leadId": ada["leadId"],
        "email": "ada@example.com",
        "firstName": "Ada",
        "lastName": "Lovelace",
        "company": "Bright Dental",
        "position": "Owner",
        "verificationStatus": "valid",
        "isNew": True,
    }
    assert ben == {"leadId": ben["leadId"], "email": "ben@example.com", "isNew": True}
    assert call.data["listName"] == "Leeds dentists"
    assert (call.data["leadsNew"], call.data["leadsUpdated"], call.data["leftOut"]) == (2, 0, [])


async def test_another_plan_updates_known_leads_and_tells_the_new_ones(lead_list):
    first = await save(lead_list, ADA)
    second = await save(lead_list, {"email": "ADA@example.COM ", "position": "Director"}, BEN, plan_id="plan_2")

    ada, ben = second.data["leads"]
    assert ada["leadId"] == first.data["leads"][0]["leadId"]
    assert (ada["isNew"], ben["isNew"]) == (False, True)
    # What the second plan knew is taken over; what it didn't know stays.
    assert (ada["position"], ada["firstName"], ada["verificationStatus"]) == ("Director", "Ada", "valid")
    assert (second.data["leadsNew"], second.data["leadsUpdated"]) == (1, 1)
    assert second.data["listId"] == first.data["listId"]


async def test_repeat_of_a_step_gives_the_same_answer(lead_list):
    await save(lead_list, BEN, plan_id="plan_0")
    first = await save(lead_list, ADA, BEN, plan_id="plan_1")
    repeat = await save(lead_list, ADA, BEN, plan_id="plan_1", attempt=2)

    assert [lead["isNew"] for lead in first.data["leads"]] == [True, False]
    assert repeat.data == first.data


async def test_the_same_address_twice_in_a_save_is_one_lead(lead_list):
    call = await save(lead_list, ADA, {"email": "ada@EXAMPLE.com", "phone": "+44 113 496 0000", "position": "Dentist"})

    assert [lead["position"] for lead in call.data["leads"]] == ["Dentist"]
    assert call.data["leads"][0]["firstName"] == "Ada"
    assert call.data["leadsNew"] == 1


async def test_what_is_no_address_is_left_out_with_the_reason(lead_list):
    call = await save(lead_list, BEN, {"email": "not an address"})

    assert [lead["email"] for lead in call.data["leads"]] == ["ben@example.com"]
    assert call.data["leftOut"] == [{"email": "not an address", "reason": "it is no e-mail address"}]


async def test_an_empty_enrichment_still_makes_the_list(lead_list):
    call = await save(lead_list)

    assert call.result.success
    assert call.data["leads"] == []
    assert call.data["listId"] == (await save(lead_list, ADA)).data["listId"]


@pytest.mark.parametrize(("account", "same_list"), [("acct_1", True), ("acct_2", False), (None, False)])
async def test_accounts_dont_share_lists(lead_list, account, same_list):
    first = await save(lead_list, ADA, account="acct_1")
    second = await save(lead_list, ADA, account=account, plan_id="plan_2")

    assert (first.data["listId"] == second.data["listId"]) is same_list
    assert second.data["leads"][0]["isNew"] is not same_list


async def test_lists_of_one_account_are_told_apart_by_name(lead_list):
    first = await save(lead_list, ADA, list_name="Leeds dentists")
    second = await save(lead_list, ADA, list_name="  York dentists ", plan_id="plan_2")

    assert second.data["listName"] == "York dentists"
    assert second.data["listId"] != first.data["listId"]
    assert second.data["leads"][0]["isNew"]


async def test_saves_at_the_same_time_double_nothing(lead_list):
    leads = [{"email": f"lead{number}@example.com"} for number in range(50)]
    # Each plan has all the leads, in an order of its own.
    calls = await asyncio.gather(
        *(save(lead_list, *leads[start:], *leads[:start], plan_id=f"plan_{start}") for start in range(0, 50, 5))
    )

    assert all(call.result.success for call in calls)
    assert sum(call.data["leadsNew"] for call in calls) == 50
    assert len({lead["leadId"] for call in calls for lead in call.data["leads"]}) == 50
    assert len({call.data["listId"] for call in calls}) == 1


async def test_many_leads_are_saved_in_one_go(lead_list):
    leads = [{**ADA, "email": f"lead{number}@example.com"} for number in range(2500)]

    first = await save(lead_list, *leads)
    again = await save(lead_list, *reversed(leads), plan_id="plan_2")

    assert (first.data["leadsNew"], again.data["leadsUpdated"]) == (2500, 2500)
    assert again.data["leads"][0]["email"] == "lead2499@example.com"


async def test_a_source_without_leads_fails_for_good(lead_list):
    call = await call_tool(
        lead_list,
        "LEAD_LIST_SAVE",
        {"sourceStepId": "domains", "listName": "Leeds"},
        prior_results={"domains": {"domains": []}},
    )

    assert (call.result.success, call.result.retryable) == (False, False)
    assert "leads: Field required" in str(call.result.error_message)


@pytest.mark.parametrize(
    "params",
    [
        {"sourceStepId": "enrich"},
        {"listName": "Leeds"},
        {"sourceStepId": "enrich", "listName": "  "},
        {"sourceStepId": "enrich", "listName": "x" * 201},
        {"sourceStepId": "enrich", "listName": "Leeds", "name": "?"},
    ],
)
async def test_bad_params_are_refused(lead_list, params):
    call = await call_tool(lead_list, "LEAD_LIST_SAVE", params, prior_results={"enrich": {"leads": [ADA]}})

    assert (call.result.success, call.result.retryable) == (False, False)


async def test_a_locked_database_is_a_retryable_failure_that_names_no_lead(tmp_path, monkeypatch):
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", f"sqlite:///{tmp_path}/leads.db")
    monkeypatch.setenv("LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS", "0.05")
    impatient = responder()
    other = open_database(f"sqlite:///{tmp_path}/leads.db")
    try:
        with other.begin() as connection:
            connection.exec_driver_sql("UPDATE lead_lists SET name = name")
            locked = await save(impatient, ADA)
        assert (locked.result.success, locked.result.error_code) == (False, "database_unavailable")
        assert locked.result.retryable is not False
        assert locked.result.retry_after_ms == 2000
        assert "locked" in str(locked.result.error_message)
        assert "ada" not in str(locked.result.error_message).lower()
        assert (await save(impatient, ADA, attempt=2)).data["leadsNew"] == 1
    finally:
        other.dispose()
        for stop in impatient.on_stop:
            await stop()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("leads.db", "no database URL"),
        ("mysql://someone:secret@localhost/leads", "mysql isn't supported"),
        ("sqlite://", "in memory"),
        ("sqlite:////dev/null/leads.db", "can't be opened"),
        ("postgresql+nodriver://someone:secret@localhost/leads", "no such database driver"),
        ("postgresql+pg8000://someone:secret@localhost/leads", "'pg8000' isn't installed"),
    ],
)
def test_a_bad_url_is_one_clear_error_without_the_password(url, complaint, monkeypatch):
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", url)

    with pytest.raises(ConfigurationError, match=f"LEADPLAN_LEADS_DATABASE_URL: .*{complaint}") as caught:
        responder()
    assert "secret" not in str(caught.value)


def test_a_bad_lock_timeout_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS", "soon")

    with pytest.raises(ConfigurationError, match="LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS"):
        responder()


_SAVE_IN_A_PROCESS = """
import sys
from leadplan_leads.database import open_database
from leadplan_lead_list.models import EnrichedLead
from leadplan_lead_list.store import LeadStore

print("ready", flush=True)
url, key = sys.stdin.readline().split()
engine = open_database(url)
leads = [EnrichedLead(email=f"lead{number}@example.com") for number in range(40)]
print(LeadStore(engine).save(account="acct_1", list_name="Leeds", leads=leads, saved_by=key).leads_new)
engine.dispose()
"""


def test_replicas_may_start_at_once_on_a_new_database(tmp_path):
    # Processes, since each replica is one: SQLite's locks work between them. They load first, then go at once.
    command = [sys.executable, "-c", _SAVE_IN_A_PROCESS]
    replicas = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        assert [replica.stdout.readline() for replica in replicas] == ["ready\n"] * 4
        for number, replica in enumerate(replicas):
            replica.stdin.write(f"sqlite:///{tmp_path}/leads.db plan_{number}:save\n")
            replica.stdin.flush()
        answers = [replica.communicate(timeout=60) for replica in replicas]
    finally:
        for replica in replicas:
            replica.kill()
            replica.wait()
    assert sorted(new.strip() for new, _ in answers) == ["0", "0", "0", "40"], answers
