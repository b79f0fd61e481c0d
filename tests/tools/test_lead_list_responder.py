import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadplan_contracts import SupervisorUserContext
from leadplan_lead_list.responder import responder
from leadplan_leads.addresses import address_digest
from leadplan_leads.database import open_database
from leadplan_leads.suppressions import list_suppressions, suppress
from leadplan_leads.transactions import account_transaction, reading
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
async def lead_list(leads_database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    """The tool on a new database: on SQLite, then on PostgreSQL."""
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", leads_database_url)
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
    **more: Any,
) -> ToolCall:
    return await call_tool(
        lead_list,
        "LEAD_LIST_SAVE",
        {"sourceStepId": "enrich", "listName": list_name},
        prior_results={"enrich": {"leads": list(leads), "dropped": [], "creditsUsed": 1, **more}},
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
    assert call.data["leftOut"] == [{"email": "not an address", "reason": "invalid_address"}]


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
        {"sourceStepId": "enrich", "listName": "Leeds\x00dentists"},
        {"sourceStepId": "enrich", "listName": "Leeds", "name": "?"},
    ],
)
async def test_bad_params_are_refused(lead_list, params):
    call = await call_tool(lead_list, "LEAD_LIST_SAVE", params, prior_results={"enrich": {"leads": [ADA]}})

    assert (call.result.success, call.result.retryable) == (False, False)


async def test_the_same_goal_next_week_adds_nobody_twice(lead_list):
    first = await save(lead_list, ADA, BEN, plan_id="plan_week1")
    repeat = await save(lead_list, ADA, BEN, plan_id="plan_week1", attempt=2)
    next_week = await save(lead_list, ADA, BEN, {"email": "eve@example.com"}, plan_id="plan_week2")

    assert repeat.data == first.data
    assert [lead["isNew"] for lead in next_week.data["leads"]] == [False, False, True]
    assert (next_week.data["leadsNew"], next_week.data["leadsUpdated"]) == (1, 2)
    assert [lead["leadId"] for lead in next_week.data["leads"][:2]] == [lead["leadId"] for lead in first.data["leads"]]


async def test_who_objected_is_erased_everywhere_and_never_saved_again(lead_list, leads_database_url):
    await save(lead_list, ADA, BEN, list_name="Leeds dentists")
    await save(lead_list, ADA, list_name="York dentists", plan_id="plan_2")
    objected = [address_digest("ada@example.com")]

    third = await save(lead_list, BEN, plan_id="plan_3", objected=objected)
    # The next enrichment doesn't know of the objection, or the provider has forgotten it.
    fourth = await save(lead_list, ADA, BEN, plan_id="plan_4", list_name="York dentists")

    assert third.data["objectedLeftOut"] == 1
    assert [lead["email"] for lead in fourth.data["leads"]] == ["ben@example.com"]
    assert (fourth.data["objectedLeftOut"], fourth.data["leftOut"]) == (1, [])
    assert "ada" not in str(fourth.data)
    engine = open_database(leads_database_url)
    with reading(engine) as connection:
        emails = set(connection.exec_driver_sql("SELECT email FROM leads").scalars())
        (entry,) = list_suppressions(connection, "acct_1")
    engine.dispose()
    assert emails == {"ben@example.com"}
    assert (entry.digest, entry.address, entry.reason) == (objected[0], None, "objected")


async def test_a_repeat_counts_those_who_objected_alike(lead_list):
    digest = address_digest("eve@example.com")
    first = await save(lead_list, ADA, {"email": "Eve@example.com"}, objected=[digest])
    repeat = await save(lead_list, ADA, {"email": "Eve@example.com"}, objected=[digest], attempt=2)

    assert first.data["objectedLeftOut"] == 1
    assert repeat.data == first.data


async def test_an_objection_in_one_account_is_none_in_another(lead_list):
    digest = address_digest("ada@example.com")
    await save(lead_list, ADA, account="acct_2")
    await save(lead_list, objected=[digest], account="acct_1", plan_id="plan_2")

    again = await save(lead_list, ADA, account="acct_2", plan_id="plan_3")

    assert (again.data["objectedLeftOut"], again.data["leadsUpdated"]) == (0, 1)


async def test_leads_that_must_not_be_contacted_are_saved_and_say_why(lead_list, leads_database_url):
    engine = open_database(leads_database_url)
    with account_transaction(engine, "acct_1") as connection:
        suppress(connection, "acct_1", ["ben@example.com"], reason="bounced")
        suppress(connection, "acct_1", ["dental.example.org"], reason="customer")
    engine.dispose()

    call = await save(lead_list, ADA, BEN, {"email": "eve@york.dental.example.org"})

    reasons = {lead["email"]: lead.get("suppressed") for lead in call.data["leads"]}
    assert reasons == {"ada@example.com": None, "ben@example.com": "bounced", "eve@york.dental.example.org": "customer"}
    assert (call.data["leadsNew"], call.data["objectedLeftOut"]) == (3, 0)


async def test_an_objection_that_is_no_digest_fails_the_step_instead_of_being_lost(lead_list):
    call = await save(lead_list, ADA, objected=["ada@example.com"])

    assert (call.result.success, call.result.retryable) == (False, False)
    assert "objected.0" in str(call.result.error_message)
    assert "ada@" not in str(call.result.error_message)


async def test_list_names_that_look_the_same_name_one_list(lead_list):
    composed = await save(lead_list, ADA, list_name="Z\u00fcrich")
    decomposed = await save(lead_list, ADA, list_name="Zu\u0308rich", plan_id="plan_2")

    assert composed.data["listId"] == decomposed.data["listId"]


async def test_texts_that_a_database_refuses_are_mended(lead_list):
    call = await save(lead_list, {**ADA, "firstName": "A\x00da", "sources": ["a\x00b"]})

    assert call.data["leads"][0]["firstName"] == "Ada"


async def test_a_date_of_another_form_costs_only_the_date(lead_list):
    call = await save(lead_list, {**ADA, "verifiedOn": "last Monday"}, {**BEN, "verifiedOn": "2026-11-02T08:00:00Z"})

    assert call.data["leadsNew"] == 2


def test_a_wrong_setting_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", "leads.db")
    with pytest.raises(ConfigurationError, match=r"LEADPLAN_LEADS_DATABASE_URL: it is no database URL"):
        responder()
    monkeypatch.setenv("LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS", "soon")
    with pytest.raises(ConfigurationError, match="LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS"):
        responder()
