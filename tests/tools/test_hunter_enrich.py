from collections.abc import AsyncIterator
from typing import Any

import pytest
from hunter_enrich_calls import COMPANIES, PEOPLE, VERIFIER, contact, domain, enrich_domains, enrich_emails, serving

from leadplan_responder import Responder

ALL_SOURCES = ["domain-search", "email-verifier", "people-find", "companies-find"]
NOTHING: dict[str, Any] = {
    "leads": [],
    "objected": [],
    "objectedWithoutAddress": 0,
    "dropped": [],
    "notFound": [],
    "incomplete": [],
    "creditsUsed": 0,
}


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


PERSON = {
    "name": {"givenName": "Ada", "familyName": "Hall"},
    "employment": {"name": "Job's Name", "title": "Owner", "role": "executive", "seniority": "senior"},
    "linkedin": {"handle": "ada-hall"},
    "phone": "+44 1",
    "timeZone": "Europe/London",
    "twitter": {"handle": "adahall"},
}
COMPANY = {
    "name": "Company's Name",
    "category": {"sector": "Health", "industry": "Dentists"},
    "metrics": {"employees": "11-50"},
    "location": "Leeds, United Kingdom",
}


async def test_a_contact_becomes_a_lead_of_all_sources(enrich):
    known = contact("valid@sandbox.example", firstName="Val", verificationStatus="unknown", phone="+44 7")
    source = domain(known, company="Place's Name", website="https://sandbox.example/", placeId="p1")

    call = await enrich_domains(enrich, source)

    assert call.result.success, call.result.error_message
    (lead,) = call.data["leads"]
    assert lead["sources"] == ALL_SOURCES
    assert lead["email"] == "valid@sandbox.example"
    assert lead["verificationStatus"] == "valid"
    assert lead["confidence"] >= 88
    assert (lead["firstName"], lead["lastName"], lead["position"]) == ("Val", "Example", "Owner")
    assert (lead["phone"], lead["website"], lead["placeId"]) == ("+44 7", "https://sandbox.example/", "p1")
    assert lead["linkedin"].startswith("https://www.linkedin.com/in/valid-example")
    assert lead["company"] == {
        "name": "Place's Name",
        "domain": "sandbox.example",
        "industry": "Computer Software",
        "employees": lead["company"]["employees"],
        "location": "San Francisco, United States",
        "foundedYear": lead["company"]["foundedYear"],
        "linkedin": "https://www.linkedin.com/company/sandbox",
    }
    assert {name: source for name, source in lead["provenance"].items() if source != "companies-find"} == {
        "email": "domain-search",
        "firstName": "domain-search",
        "lastName": "people-find",
        "position": "people-find",
        "seniority": "people-find",
        "department": "people-find",
        "location": "people-find",
        "linkedin": "people-find",
        "phone": "domain-search",
        "website": "place",
        "placeId": "place",
        "confidence": "email-verifier",
        "verificationStatus": "email-verifier",
        "verifiedOn": "email-verifier",
        "company.name": "place",
        "company.domain": "domain-search",
    }
    assert call.data["dropped"] == call.data["incomplete"] == []


async def test_what_the_domain_search_said_wins_and_the_others_fill_gaps(enrich, add_fault):
    await add_fault(PEOPLE, 200, body={"data": PERSON})
    await add_fault(COMPANIES, 200, body={"data": COMPANY})
    source = domain(contact("valid@sandbox.example", lastName="Known", linkedin="https://l/known"), placeId="p1")

    call = await enrich_domains(enrich, source, verify=False)

    assert call.data["leads"] == [
        {
            "email": "valid@sandbox.example",
            "firstName": "Ada",
            "lastName": "Known",
            "position": "Owner",
            "seniority": "senior",
            "department": "executive",
            "company": {
                "name": "Company's Name",
                "domain": "sandbox.example",
                "industry": "Dentists",
                "employees": "11-50",
                "location": "Leeds, United Kingdom",
            },
            "phone": "+44 1",
            "linkedin": "https://l/known",
            "twitter": "adahall",
            "timeZone": "Europe/London",
            "placeId": "p1",
            "confidence": 80,
            "sources": ["domain-search", "people-find", "companies-find"],
            "provenance": {
                "email": "domain-search",
                "lastName": "domain-search",
                "linkedin": "domain-search",
                "confidence": "domain-search",
                "company.domain": "domain-search",
                "placeId": "place",
                "company.name": "companies-find",
                "company.industry": "companies-find",
                "company.employees": "companies-find",
                "company.location": "companies-find",
                "firstName": "people-find",
                "position": "people-find",
                "seniority": "people-find",
                "department": "people-find",
                "phone": "people-find",
                "twitter": "people-find",
                "timeZone": "people-find",
            },
        }
    ]
    assert call.data["creditsUsed"] == 2


@pytest.mark.parametrize(
    ("handle", "address"),
    [
        ("ada-hall", "https://www.linkedin.com/in/ada-hall"),
        ("in/ada-hall", "https://www.linkedin.com/in/ada-hall"),
        ("https://linkedin.com/in/ada", "https://linkedin.com/in/ada"),
        (None, None),
    ],
)
async def test_linkedin_handles_become_addresses(enrich, add_fault, handle, address):
    await add_fault(PEOPLE, 200, body={"data": {"linkedin": {"handle": handle}}})

    call = await enrich_emails(enrich, "valid@sandbox.example", verify=False, enrichCompany=False)

    assert call.data["leads"][0].get("linkedin") == address


async def test_only_what_is_asked_for_is_called(enrich, requests_to):
    call = await enrich_emails(enrich, "valid@sandbox.example", verify=False, enrichPerson=False, enrichCompany=False)

    assert call.data["leads"] == [
        {
            "email": "valid@sandbox.example",
            "company": {"domain": "sandbox.example"},
            "sources": [],
            "provenance": {"email": "params", "company.domain": "params"},
        }
    ]
    assert await requests_to("/v2/") == []


async def test_nothing_known_is_no_failure(enrich, add_fault):
    nothing = {"errors": [{"id": "not_found", "code": 404, "details": "nothing"}]}
    await add_fault(PEOPLE, 404, body=nothing)
    await add_fault(COMPANIES, 404, body=nothing)

    call = await enrich_emails(enrich, "valid@sandbox.example")

    (lead,) = call.data["leads"]
    assert lead["sources"] == ["email-verifier"]
    assert call.data["incomplete"] == []
    assert call.data["creditsUsed"] == 1


async def test_the_requests_are_those_of_the_documents(enrich, requests_to):
    await enrich_emails(enrich, "valid@sandbox.example")

    asked = await requests_to("/v2/")
    assert [(request["method"], request["path"], request["query"], request["body"]) for request in asked] == [
        ("GET", VERIFIER, {"email": "valid@sandbox.example"}, None),
        ("GET", PEOPLE, {"email": "valid@sandbox.example"}, None),
        ("GET", COMPANIES, {"domain": "sandbox.example"}, None),
    ]
    assert all("x-api-key" in request["headers"] for request in asked)


async def test_a_company_is_looked_up_once_for_all_its_people(enrich, requests_to):
    people = [contact(f"person{number}@sandbox.example") for number in range(5)]

    call = await enrich_domains(enrich, domain(*people), verify=False, enrichPerson=False)

    assert len(call.data["leads"]) == 5
    assert [request["query"] for request in await requests_to(COMPANIES)] == [{"domain": "sandbox.example"}]


async def test_no_money_is_spent_on_people_that_cannot_be_known(enrich, requests_to):
    info = {**contact("info@sandbox.example"), "type": "generic"}

    call = await enrich_domains(enrich, domain(info, contact("invalid@sandbox.example")), enrichCompany=False)

    assert {lead["verificationStatus"] for lead in call.data["leads"]} == {"valid", "invalid"}
    assert await requests_to(PEOPLE) == []


async def test_webmail_addresses_have_no_company(enrich, requests_to):
    call = await enrich_emails(enrich, "somebody@gmail.com", verify=False, enrichPerson=False)

    assert call.data["leads"] == [{"email": "somebody@gmail.com", "sources": [], "provenance": {"email": "params"}}]
    assert await requests_to(COMPANIES) == []


async def test_somebody_with_a_webmail_address_has_the_company_that_they_work_for(enrich, add_fault, requests_to):
    await add_fault(PEOPLE, 200, body={"data": {"employment": {"domain": "www.acme.co.uk", "name": "Acme"}}})
    await add_fault(COMPANIES, 200, body={"data": COMPANY})

    call = await enrich_emails(enrich, "somebody@gmail.com", verify=False)

    (lead,) = call.data["leads"]
    assert (lead["company"]["name"], lead["company"]["domain"]) == ("Company's Name", "acme.co.uk")
    assert [request["query"] for request in await requests_to(COMPANIES)] == [{"domain": "acme.co.uk"}]


async def test_no_company_is_paid_for_where_nobody_can_be_reached(enrich, requests_to):
    call = await enrich_domains(enrich, domain(contact("invalid@sandbox.example")))

    assert [lead["verificationStatus"] for lead in call.data["leads"]] == ["invalid"]
    assert await requests_to(COMPANIES) == []


async def test_what_is_no_address_is_dropped_and_named(enrich, requests_to):
    call = await enrich_domains(enrich, domain(contact("Ada at Hall"), contact("valid@sandbox.example")))

    assert call.data["dropped"] == [{"email": "Ada at Hall", "reason": "invalid_address"}]
    assert [lead["email"] for lead in call.data["leads"]] == ["valid@sandbox.example"]


async def test_leads_below_the_wanted_confidence_are_dropped_before_and_after_verifying(enrich, requests_to):
    call = await enrich_domains(
        enrich,
        domain(
            contact("low@sandbox.example", confidence=10),
            contact("invalid@sandbox.example", confidence=99),
            contact("valid@sandbox.example"),
        ),
        minConfidence=50,
        enrichPerson=False,
        enrichCompany=False,
    )

    assert [lead["email"] for lead in call.data["leads"]] == ["valid@sandbox.example"]
    assert sorted(one["email"] for one in call.data["dropped"]) == ["invalid@sandbox.example", "low@sandbox.example"]
    assert {one["reason"] for one in call.data["dropped"]} == {"low_confidence"}
    assert "low@sandbox.example" not in {request["query"]["email"] for request in await requests_to(VERIFIER)}


async def test_lookups_that_fail_leave_the_lead_and_are_named(enrich, add_fault):
    await add_fault(PEOPLE, 500)
    await add_fault(COMPANIES, 502, body="<html>Bad Gateway</html>")

    call = await enrich_emails(enrich, "valid@sandbox.example")

    assert call.result.success
    (lead,) = call.data["leads"]
    assert lead["sources"] == ["email-verifier"]
    assert call.data["incomplete"] == [
        {
            "email": "valid@sandbox.example",
            "lookups": ["people-find"],
            "reason": "Hunter has a problem at the moment (HTTP 500).",
        },
        {
            "domain": "sandbox.example",
            "lookups": ["companies-find"],
            "reason": "Hunter has a problem at the moment (HTTP 502).",
        },
    ]


async def test_when_every_lookup_fails_the_step_fails(enrich, add_fault):
    await add_fault("/v2/", 503, retryAfter=2)

    call = await enrich_emails(enrich, "a@sandbox.example", "b@sandbox.example")

    assert (call.result.error_code, call.result.retryable, call.result.retry_after_ms) == (
        "service_unavailable",
        True,
        2_000,
    )
    assert "All 5 lookups failed" in (call.result.error_message or "")


async def test_what_does_not_fit_into_the_time_is_said_and_the_rest_is_kept(enrich, add_fault):
    await add_fault(PEOPLE, delayMs=20_000)

    call = await enrich_emails(enrich, "valid@sandbox.example", timeout_ms=900, enrichCompany=False)

    assert call.result.success
    assert call.data["leads"][0]["verificationStatus"] == "valid"
    (incomplete,) = call.data["incomplete"]
    assert incomplete["lookups"] == ["people-find"]
    assert "larger timeoutMs" in incomplete["reason"]


async def test_when_nothing_fits_into_the_time_the_step_fails(enrich, add_fault):
    await add_fault("/v2/", delayMs=20_000)

    call = await enrich_emails(enrich, "valid@sandbox.example", timeout_ms=300)

    assert (call.result.error_code, call.result.retryable) == ("out_of_time", True)


async def test_progress_counts_contacts_and_then_companies(enrich):
    call = await enrich_emails(enrich, "a@sandbox.example", "b@sandbox.example")

    assert [message for _, message in call.progress] == ["1 of 2 contacts", "2 of 2 contacts", "1 of 1 companies"]
    assert [fraction for fraction, _ in call.progress] == pytest.approx([0.4, 0.8, 1.0])


async def test_a_domain_lookup_that_found_nobody_leads_to_no_leads(enrich):
    call = await enrich_domains(enrich, {"outcome": "skipped", "reason": "no website", "contacts": []})

    assert call.data == NOTHING
