"""People whom the plan names: their addresses are found first."""

from collections.abc import AsyncIterator

import pytest
from hunter_enrich_calls import FINDER, PEOPLE, VERIFIER, digests, enrich_people, serving

from leadplan_responder import Responder
from leadplan_sandbox.world.cities import city_named
from leadplan_sandbox.world.people import people_of
from leadplan_sandbox.world.places import places_of
from leadplan_sandbox.world.trades import trade_named

COMPANIES = [place.company for place in places_of(trade_named("dentists"), city_named("Leeds"))]
KNOWN = [
    person
    for company in COMPANIES
    for person in people_of(company)
    if person.kind == "personal" and not person.mailbox.claimed and person.linkedin_handle
]
NO_MX = "no-such-company.example"


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


def nothing_more() -> dict[str, bool]:
    return {"verify": False, "enrichPerson": False, "enrichCompany": False}


async def test_a_person_is_found_by_name_and_domain(enrich, requests_to):
    person = KNOWN[0]
    wanted = {"firstName": person.first_name, "lastName": person.last_name, "domain": f"www.{person.company.domain}"}

    call = await enrich_people(enrich, wanted, **nothing_more())

    assert call.result.success, call.result.error_message
    (lead,) = call.data["leads"]
    assert lead["email"] == person.email
    assert lead["confidence"] == person.confidence
    assert lead["company"] == {"name": person.company.name, "domain": person.company.domain}
    assert lead["linkedin"] == f"https://www.linkedin.com/in/{person.linkedin_handle}"
    assert lead["sources"] == ["email-finder"]
    by = lead["provenance"]
    assert (by["firstName"], by["company.domain"]) == ("params", "params")
    assert (by["email"], by["position"], by["confidence"], by["company.name"]) == ("email-finder",) * 4
    assert call.data["creditsUsed"] == 1
    (request,) = await requests_to("/v2/")
    assert request["path"] == FINDER
    assert request["query"] == {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "domain": person.company.domain,
        "max_duration": "10",
    }


async def test_a_person_is_found_by_full_name_and_company(enrich, requests_to):
    company = next(one for one in KNOWN if one.company.city.slug == "leeds").company
    wanted = {"fullName": "Ada Hall", "company": f"{company.name} Leeds"}

    call = await enrich_people(enrich, wanted, **nothing_more())

    (request,) = await requests_to(FINDER)
    assert request["query"] == {"full_name": "Ada Hall", "company": f"{company.name} Leeds", "max_duration": "10"}
    assert len(call.data["leads"]) + len(call.data["notFound"]) == 1


@pytest.mark.parametrize("written", ["{}", "in/{}", "https://www.linkedin.com/in/{}/", "uk.linkedin.com/in/{}"])
async def test_a_person_is_found_by_their_profile_alone(enrich, requests_to, written):
    person = KNOWN[1]

    call = await enrich_people(enrich, {"linkedinHandle": written.format(person.linkedin_handle)}, **nothing_more())

    assert [lead["email"] for lead in call.data["leads"]] == [person.email]
    assert call.data["leads"][0]["company"]["domain"] == person.company.domain
    assert [request["query"]["linkedin_handle"] for request in await requests_to(FINDER)] == [person.linkedin_handle]


async def test_who_was_found_is_enriched_as_all_others(enrich):
    wanted = [{"fullName": "Valid Example", "domain": "sandbox.example"}]

    call = await enrich_people(enrich, *wanted, verifyAgain=True)

    (lead,) = call.data["leads"]
    assert lead["sources"] == ["email-finder", "email-verifier", "people-find", "companies-find"]
    assert call.data["creditsUsed"] == 4
    messages = [message for _, message in call.progress]
    assert messages == ["1 of 1 people", "1 of 1 contacts", "1 of 1 companies"]
    fractions = [fraction for fraction, _ in call.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1.0)


async def test_a_recent_verification_that_the_finder_brought_is_not_paid_for_again(enrich, requests_to):
    person = next(one for one in KNOWN if one.verification and one.verification[1] in ("valid", "accept_all"))

    call = await enrich_people(enrich, {"linkedinHandle": person.linkedin_handle}, enrichPerson=False)

    (lead,) = call.data["leads"]
    assert (lead["verifiedOn"], lead["verificationStatus"]) == person.verification
    assert lead["provenance"]["verificationStatus"] == "email-finder"
    assert await requests_to(VERIFIER) == []


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        ({"fullName": "No Body", "domain": KNOWN[0].company.domain}, "no address of this person"),
        ({"fullName": "No Body", "company": "Nowhere Incorporated Leeds"}, "no address of this person"),
        ({"linkedinHandle": "nobody-of-this-world"}, "no address of this person"),
        ({"fullName": "Ada Hall", "domain": NO_MX}, "takes no mail, or its owner asked to be left alone"),
        ({"fullName": "4da H4ll", "domain": "sandbox.example"}, "no person's name"),
        ({"fullName": "Ada", "domain": "sandbox.example"}, "no person's name"),
        ({"firstName": "4da", "lastName": "Hall", "domain": "sandbox.example"}, "no person's name"),
        ({"fullName": "Ada Hall", "domain": "not a domain"}, "no address on the internet"),
        ({"fullName": "Ada Hall", "domain": "https://facebook.com/ada"}, "facebook.com is shared by many"),
        ({"fullName": "Ada Hall", "domain": "gmail.com"}, "gmail.com is a mail provider"),
    ],
)
async def test_who_is_not_found_is_named_with_the_reason_and_costs_nothing(enrich, wanted, reason):
    call = await enrich_people(enrich, wanted)

    assert call.result.success, call.result.error_message
    assert call.data["leads"] == call.data["incomplete"] == []
    (missing,) = call.data["notFound"]
    assert missing["person"] == wanted
    assert reason in missing["reason"]
    assert call.data["creditsUsed"] == 0


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 404, "body": {"errors": [{"id": "not_found", "code": 404, "details": "nobody"}]}},
        {"status": 200, "body": {"data": {"email": None, "score": None}}},
        {"status": 200, "body": {"data": {"email": "no address"}}},
    ],
)
async def test_each_way_to_say_nobody_means_the_same(enrich, add_fault, answer):
    await add_fault(FINDER, **answer)

    call = await enrich_people(enrich, {"fullName": "Ada Hall", "domain": "acme.com"})

    assert [one["reason"] for one in call.data["notFound"]] == ["Hunter finds no address of this person."]
    assert call.data["creditsUsed"] == 0


async def test_a_person_who_is_named_twice_is_looked_for_once(enrich, requests_to):
    person = KNOWN[0]
    name = f"{person.first_name} {person.last_name}"
    wanted = {"fullName": name, "domain": person.company.domain}

    call = await enrich_people(
        enrich,
        wanted,
        {"fullName": name.upper(), "domain": f"https://www.{person.company.domain}/team"},
        {"linkedinHandle": person.linkedin_handle},
        **nothing_more(),
    )

    assert [lead["email"] for lead in call.data["leads"]] == [person.email]
    assert len(await requests_to(FINDER)) == 2


async def test_found_people_below_the_wanted_confidence_are_not_verified(enrich, requests_to):
    person = KNOWN[0]

    call = await enrich_people(enrich, {"linkedinHandle": person.linkedin_handle}, minConfidence=person.confidence + 1)

    assert call.data["dropped"] == [{"email": person.email, "reason": "low_confidence"}]
    assert {request["path"] for request in await requests_to("/v2/")} == {FINDER}


async def test_somebody_who_objected_before_their_address_was_known_is_only_counted(enrich, requests_to):
    objected = {"fullName": "Claimed Example", "domain": "sandbox.example"}
    checkpoint: dict[str, object] = {}

    call = await enrich_people(enrich, objected, checkpoint=checkpoint)

    assert call.data["objectedWithoutAddress"] == 1
    assert call.data["leads"] == call.data["notFound"] == call.data["objected"] == []
    for text in (str(call.data), str(checkpoint), str(call.progress)):
        assert "claimed" not in text.lower().replace("unclaimed", "")
    assert {request["path"] for request in await requests_to("/v2/")} == {FINDER}


async def test_somebody_who_objected_after_their_address_was_found_is_a_digest_in_each_attempt(enrich, requests_to):
    objected = {"fullName": "Claimed-profile Example", "domain": "sandbox.example"}
    checkpoint: dict[str, object] = {}

    first = await enrich_people(enrich, objected, checkpoint=checkpoint)
    asked = len(await requests_to("/v2/"))
    second = await enrich_people(enrich, objected, checkpoint=checkpoint)

    assert first.data == second.data
    assert first.data["objected"] == digests("claimed-profile@sandbox.example")
    assert first.data["objectedWithoutAddress"] == 0
    assert len(await requests_to("/v2/")) == asked
    assert [request["path"] for request in await requests_to(PEOPLE)] == [PEOPLE]
    assert "claimed" not in (str(first.data) + str(checkpoint) + str(first.progress)).lower()
