"""Whoever asked Hunter not to process their data (451) leaves nothing but a digest behind."""

import json
import logging
from collections.abc import AsyncIterator

import pytest
from hunter_enrich_calls import (
    COMPANIES,
    PEOPLE,
    VERIFIER,
    contact,
    digests,
    domain,
    enrich_domains,
    enrich_emails,
    serving,
)

from leadplan_responder import Responder

CLAIMED = "claimed@sandbox.example"
TRACES = ("claimed", "secret", "+44 9", "ada-hall")


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


def traces_in(*texts: object) -> list[str]:
    everything = json.dumps(texts, default=str).lower()
    return [trace for trace in TRACES if trace in everything]


@pytest.mark.parametrize("email", [CLAIMED, "claimed-profile@sandbox.example"])
async def test_nothing_of_them_is_left_but_a_digest(enrich, requests_to, caplog, email):
    caplog.set_level(logging.DEBUG, logger="leadplan")
    objector = contact(f" {email.title()} ", firstName="Secret", phone="+44 9", linkedin="in/ada-hall")
    checkpoint: dict[str, object] = {}

    call = await enrich_domains(enrich, domain(objector, contact("valid@sandbox.example")), checkpoint=checkpoint)

    assert call.data["objected"] == digests(email)
    assert call.data["dropped"] == call.data["incomplete"] == []
    assert [lead["email"] for lead in call.data["leads"]] == ["valid@sandbox.example"]
    logged = [vars(record) for record in caplog.records if record.name.startswith("leadplan")]
    assert logged
    assert traces_in(call.data, call.progress, checkpoint, logged) == []


async def test_no_further_call_is_made_for_them(enrich, requests_to):
    await enrich_domains(enrich, domain(contact(CLAIMED)))

    assert [request["path"] for request in await requests_to("/v2/")] == [VERIFIER]


async def test_what_an_earlier_answer_said_of_them_is_taken_out_of_the_checkpoint(enrich, add_fault, requests_to):
    checkpoint: dict[str, object] = {}
    await add_fault(PEOPLE, 500, times=1)
    first = await enrich_emails(enrich, "claimed-profile@sandbox.example", checkpoint=checkpoint)
    assert [lead["verificationStatus"] for lead in first.data["leads"]] == ["valid"]
    assert any("valid" in str(kept) for kept in checkpoint.values())

    second = await enrich_emails(enrich, "claimed-profile@sandbox.example", checkpoint=checkpoint)

    assert second.data["leads"] == []
    assert second.data["objected"] == digests("claimed-profile@sandbox.example")
    contacts = [kept for item, kept in checkpoint.items() if item.startswith("contact:")]
    assert [(kept["objected"], kept["answered"], kept["credits"]) for kept in contacts] == [(True, [], 1)]
    assert all("verification" not in kept for kept in contacts)
    # What was paid before they objected is told all the same: one verification and the company.
    assert second.data["creditsUsed"] == 2


async def test_a_later_attempt_asks_nothing_about_them(enrich, requests_to):
    checkpoint: dict[str, object] = {}
    first = await enrich_domains(enrich, domain(contact(CLAIMED)), checkpoint=checkpoint)
    second = await enrich_domains(enrich, domain(contact(CLAIMED)), checkpoint=checkpoint)

    assert first.data == second.data
    assert len(await requests_to("/v2/")) == 1


async def test_they_objected_with_all_their_addresses(enrich, requests_to):
    profile = "https://www.linkedin.com/in/ada-hall"
    both = domain(
        contact(CLAIMED, confidence=99, linkedin=profile), contact("private@sandbox.example", linkedin=profile)
    )

    call = await enrich_domains(enrich, both)

    assert call.data["leads"] == call.data["dropped"] == []
    assert call.data["objected"] == digests(CLAIMED, "private@sandbox.example")
    assert [request["query"].get("email") for request in await requests_to("/v2/")] == [CLAIMED]


async def test_a_profile_that_is_found_to_be_theirs_goes_too(enrich, add_fault):
    await add_fault(PEOPLE, 200, body={"data": {"linkedin": {"handle": "ada-hall"}}})
    checkpoint: dict[str, object] = {}

    call = await enrich_domains(
        enrich,
        domain(contact(CLAIMED, linkedin="in/ada-hall"), contact("other@sandbox.example")),
        checkpoint=checkpoint,
    )

    assert call.data["leads"] == []
    assert call.data["objected"] == digests(CLAIMED, "other@sandbox.example")
    assert traces_in(call.data, checkpoint) == []


async def test_an_objection_about_a_company_leaves_its_facts_out_and_its_people_in(enrich, add_fault):
    await add_fault(COMPANIES, 451)
    checkpoint: dict[str, object] = {}

    call = await enrich_emails(enrich, "valid@sandbox.example", checkpoint=checkpoint)
    again = await enrich_emails(enrich, "valid@sandbox.example", checkpoint=checkpoint)

    (lead,) = call.data["leads"]
    assert "companies-find" not in lead["sources"]
    assert call.data["objected"] == call.data["incomplete"] == []
    assert again.data == call.data


async def test_when_everybody_objected_the_step_succeeds_with_nobody(enrich):
    call = await enrich_emails(enrich, CLAIMED)

    assert call.result.success
    assert call.data["leads"] == []
    assert call.data["creditsUsed"] == 0
