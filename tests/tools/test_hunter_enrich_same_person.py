"""Each person is one lead, however often they were found."""

from collections.abc import AsyncIterator

import pytest
from hunter_enrich_calls import PEOPLE, VERIFIER, contact, domain, enrich_domains, enrich_emails, serving

from leadplan_responder import Responder

PERSON = {"linkedin": {"handle": "ada-hall"}}


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


async def test_the_same_address_at_two_domains_is_one_person(enrich, requests_to):
    first = domain(contact("valid@sandbox.example"), name="one.example", company="One", placeId="p1")
    second = domain(
        contact("VALID@sandbox.example", firstName="Val", phone="+44 7"),
        name="two.example",
        company="Two",
        website="https://two.example/",
    )

    call = await enrich_domains(enrich, first, second, enrichPerson=False, enrichCompany=False)

    (lead,) = call.data["leads"]
    assert (lead["firstName"], lead["phone"]) == ("Val", "+44 7")
    assert lead["company"] == {"name": "One", "domain": "one.example"}
    assert "website" not in lead
    assert len(await requests_to(VERIFIER)) == 1


async def test_two_addresses_of_one_linkedin_profile_are_one_person(enrich, requests_to):
    home = contact(
        "home@sandbox.example", confidence=60, linkedin="https://uk.linkedin.com/in/Ada-Hall/", phone="+44 7"
    )
    work = contact("work@sandbox.example", confidence=90, linkedin="https://www.linkedin.com/in/ada-hall")

    call = await enrich_domains(enrich, domain(home, name="one.example"), domain(work), enrichCompany=False)

    (lead,) = call.data["leads"]
    assert (lead["email"], lead["phone"]) == ("work@sandbox.example", "+44 7")
    assert call.data["dropped"] == [{"email": "home@sandbox.example", "reason": "same_person"}]
    assert {request["query"]["email"] for request in await requests_to("/v2/")} == {"work@sandbox.example"}


async def test_a_profile_that_only_the_person_lookup_knows_makes_one_person_too(enrich, add_fault):
    await add_fault(PEOPLE, 200, body={"data": PERSON})

    call = await enrich_emails(enrich, "invalid@sandbox.example", "accept-all@sandbox.example", "valid@sandbox.example")

    assert [lead["email"] for lead in call.data["leads"]] == ["invalid@sandbox.example", "valid@sandbox.example"]
    assert call.data["dropped"] == [{"email": "accept-all@sandbox.example", "reason": "same_person"}]


async def test_each_address_is_worked_on_once(enrich, requests_to):
    first = domain(contact("valid@sandbox.example", firstName="First"), placeId="p1")
    second = domain(contact("Valid@Sandbox.example", firstName="Second"), placeId="p2")

    call = await enrich_domains(enrich, first, second, enrichPerson=False, enrichCompany=False)

    assert [(lead["firstName"], lead["placeId"]) for lead in call.data["leads"]] == [("First", "p1")]
    assert len(await requests_to(VERIFIER)) == 1
