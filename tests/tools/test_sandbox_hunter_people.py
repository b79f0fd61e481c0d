"""The Hunter stand-in's finder, verifier and profiles, held against Hunter's documents, and the people behind them."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app
from leadplan_sandbox.world.cities import city_named
from leadplan_sandbox.world.people import (
    RESERVED_NAMES,
    people_of,
    person_named,
    person_with_email,
    person_with_handle,
)
from leadplan_sandbox.world.places import places_of
from leadplan_sandbox.world.trades import trade_named

KEY = {"X-API-KEY": "sandbox-hunter-key"}
COMPANIES = {
    place.company.domain: place.company
    for trade in ("dentists", "law firms", "gyms", "bakeries")
    for city in ("Leeds", "York", "Berlin", "New York", "Sydney")
    for place in places_of(trade_named(trade), city_named(city))
}
PEOPLE = [person for company in COMPANIES.values() for person in people_of(company)]
PERSONS = [person for person in PEOPLE if person.kind == "personal"]
ADA = next(p for p in PERSONS if p.has_profile and p.linkedin_handle and not p.mailbox.claimed)
CLAIMED = next(person for person in PERSONS if person.mailbox.claimed and person.linkedin_handle)


def open_hunter(**settings):
    transport = httpx.ASGITransport(build_app(SandboxSettings(**settings)))
    return httpx.AsyncClient(transport=transport, base_url="http://sandbox/v2", headers=KEY)


@pytest.fixture
async def hunter():
    async with open_hunter() as client:
        yield client


def error_id(answer):
    [error] = answer.json()["errors"]
    assert error["code"] == answer.status_code
    assert error["details"]
    return error["id"]


def names_of(person):
    return {"domain": person.company.domain, "first_name": person.first_name, "last_name": person.last_name}


def test_the_world_is_large_and_has_all_kinds_of_people():
    assert len(PEOPLE) > 1_500
    shares = {
        "claimed": (0.01, 0.04),
        "slow": (0.03, 0.10),
        "unanswered": (0.003, 0.03),
        "accept_all": (0.08, 0.25),
        "accented": (0.03, 0.20),
        "on LinkedIn": (0.4, 0.7),
    }
    counts = Counter(
        kind
        for person in PEOPLE
        for kind, is_so in {
            "claimed": person.mailbox.claimed,
            "slow": person.mailbox.slow_checks > 0,
            "unanswered": person.mailbox.server_answers_wrongly,
            "accept_all": person.mailbox.status == "accept_all",
            "accented": not f"{person.first_name}{person.last_name}".isascii(),
            "on LinkedIn": person.linkedin_handle is not None,
        }.items()
        if is_so
    )
    for kind, (low, high) in shares.items():
        assert low < counts[kind] / len(PEOPLE) < high, kind
    assert {person.mailbox.slow_checks for person in PEOPLE} == {0, 1, 2}


def test_everybody_is_found_again_by_handle_and_by_name():
    with_handle = [person for person in PERSONS if person.linkedin_handle]
    assert all(person_with_handle(person.linkedin_handle) == person for person in with_handle)
    for person in PERSONS:
        assert person_named(person.company, person.first_name.upper(), person.last_name) is not None
    assert person_with_handle("ada-hall") is None
    assert person_with_handle(f"no-body-{ADA.company.domain.replace('.', '-')}") is None
    assert person_with_handle("") is None


def test_addresses_are_plain_ascii_whatever_the_name():
    assert all(person.email.isascii() and " " not in person.email and "'" not in person.email for person in PEOPLE)


@pytest.mark.parametrize("name", RESERVED_NAMES)
def test_reserved_addresses_have_handles_too(name):
    person = person_with_email(f"{name}@sandbox.example")
    assert person is not None
    assert person_with_handle(person.linkedin_handle) == person


def test_verifications_are_always_of_the_last_month():
    today = datetime.now(UTC).date()
    days = {date.fromisoformat(person.verification[0]) for person in PEOPLE if person.verification}
    assert today - timedelta(days=29) <= min(days) <= max(days) <= today
    assert len(days) > 10


async def test_the_finder_shows_the_documented_fields(hunter):
    answer = await hunter.get("/email-finder", params={**names_of(ADA), "max_duration": "20"})
    data, meta = answer.json()["data"], answer.json()["meta"]
    assert set(data) == {
        "first_name", "last_name", "email", "score", "domain", "accept_all", "position", "twitter", "linkedin_url",
        "phone_number", "company", "sources", "verification",
    }  # fmt: skip
    assert (data["email"], data["score"], data["company"]) == (ADA.email, ADA.confidence, ADA.company.name)
    assert set(data["verification"]) == {"date", "status"}
    assert meta["params"]["max_duration"] == "20"


@pytest.mark.parametrize(
    "params",
    [
        names_of(ADA),
        {"domain": ADA.company.domain, "full_name": f"{ADA.first_name} {ADA.last_name}"},
        {"linkedin_handle": ADA.linkedin_handle},
        {"linkedin_handle": ADA.linkedin_handle, "domain": "example.com"},
    ],
)
async def test_the_finder_takes_names_and_handles(hunter, params):
    assert (await hunter.get("/email-finder", params=params)).json()["data"]["email"] == ADA.email


@pytest.mark.parametrize(
    "params",
    [
        {"domain": ADA.company.domain, "full_name": "No Body"},
        {"company": "Unheard Of Limited Leeds", "full_name": "No Body"},
        {"domain": "example.com", "full_name": "No Body"},
        {"linkedin_handle": "no-body"},
    ],
)
async def test_the_finder_says_null_for_nobody_and_charges_nothing(hunter, params):
    answer = await hunter.get("/email-finder", params=params)
    assert (answer.status_code, answer.json()["data"]["email"], answer.json()["data"]["score"]) == (200, None, None)
    assert (await hunter.get("/account")).json()["data"]["requests"]["credits"]["used"] == 0


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "wrong_params"),
        ({"full_name": "Ada Hall"}, "wrong_params"),
        ({"domain": "a.com"}, "wrong_params"),
        ({"linkedin_handle": "no handle!"}, "wrong_params"),
        ({"domain": "a.com", "first_name": "Ada"}, "invalid_last_name"),
        ({"domain": "a.com", "first_name": "Ada", "last_name": "1"}, "invalid_last_name"),
        ({"domain": "a.com", "last_name": "Hall"}, "invalid_first_name"),
        ({"domain": "a.com", "first_name": "4da", "last_name": "Hall"}, "invalid_first_name"),
        ({"domain": "a.com", "full_name": "Ada"}, "invalid_full_name"),
        ({"domain": "a", "full_name": "Ada Hall"}, "invalid_domain"),
        ({"domain": "no-mail.example", "full_name": "Ada Hall"}, "invalid_domain"),
        ({"domain": "a.com", "full_name": "Ada Hall", "max_duration": "2"}, "invalid_max_duration"),
        ({"domain": "a.com", "full_name": "Ada Hall", "max_duration": "21"}, "invalid_max_duration"),
        ({"domain": "a.com", "full_name": "Ada Hall", "max_duration": "long"}, "invalid_max_duration"),
    ],
)
@pytest.mark.parametrize("key", ["sandbox-hunter-key", "test-api-key"])
async def test_the_finder_refuses_wrong_params(hunter, params, expected, key):
    answer = await hunter.get("/email-finder", params=params, headers={"X-API-KEY": key})
    assert (answer.status_code, error_id(answer)) == (400, expected)


async def test_some_domains_take_no_mail_and_some_owners_asked_to_be_left_alone(hunter):
    details = Counter()
    for company in COMPANIES.values():
        if not people_of(company):
            answer = await hunter.get("/email-finder", params={"domain": company.domain, "full_name": "Ada Hall"})
            details[answer.json()["errors"][0]["details"] if answer.status_code == 400 else "nobody"] += 1
    assert len(details) == 3
    assert min(details.values()) >= 2


async def test_the_finder_gives_the_test_key_one_fixed_answer(hunter):
    headers = {"X-API-KEY": "test-api-key"}
    one = await hunter.get("/email-finder", params=names_of(ADA), headers=headers)
    other = await hunter.get("/email-finder", params=names_of(CLAIMED), headers=headers)
    assert one.json()["data"] == other.json()["data"]
    assert one.json()["data"]["email"]


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/email-finder", names_of(CLAIMED)),
        ("/email-finder", {"linkedin_handle": CLAIMED.linkedin_handle}),
        ("/email-verifier", {"email": CLAIMED.email}),
        ("/people/find", {"email": CLAIMED.email}),
        ("/people/find", {"linkedin_handle": CLAIMED.linkedin_handle}),
        ("/combined/find", {"email": CLAIMED.email}),
        ("/combined/find", {"linkedin_handle": CLAIMED.linkedin_handle}),
        ("/people/find", {"email": "claimed-profile@sandbox.example"}),
    ],
)
async def test_somebody_who_objected_is_451_everywhere(hunter, path, params):
    answer = await hunter.get(path, params=params)
    assert (answer.status_code, error_id(answer)) == (451, "claimed_email")
    assert CLAIMED.email not in answer.text


async def test_one_reserved_address_objects_to_its_profile_alone(hunter):
    answer = await hunter.get("/email-verifier", params={"email": "claimed-profile@sandbox.example"})
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "valid")


async def test_a_verification_can_stay_under_way_for_ever(hunter):
    params = {"email": "stuck@sandbox.example"}
    assert {(await hunter.get("/email-verifier", params=params)).status_code for _ in range(20)} == {202}


async def test_the_verifier_names_where_an_address_was_seen(hunter):
    person = next(
        p for p in PERSONS if p.mailbox.status == "valid" and not p.mailbox.slow_checks and not p.mailbox.claimed
    )
    data = (await hunter.get("/email-verifier", params={"email": person.email})).json()["data"]
    assert {source["domain"] for source in data["sources"]} == {person.company.domain}
    stranger = (await hunter.get("/email-verifier", params={"email": "stranger@gmail.com"})).json()["data"]
    assert stranger["sources"] == []


@pytest.mark.parametrize("path", ["/people/find", "/combined/find"])
@pytest.mark.parametrize("clearbit", [{}, {"clearbit_format": "true"}])
async def test_profiles_are_found_by_handle_which_wins_over_the_address(hunter, path, clearbit):
    by_email = await hunter.get(path, params={"email": ADA.email, **clearbit})
    by_handle = await hunter.get(
        path, params={"linkedin_handle": ADA.linkedin_handle, "email": "nobody@example.com", **clearbit}
    )
    assert by_email.status_code == 200
    assert by_handle.json()["data"] == by_email.json()["data"]


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/people/find", {}, "wrong_params"),
        ("/people/find", {"email": "ada at abbey"}, "invalid_email"),
        ("/combined/find", {"email": "@"}, "invalid_email"),
        ("/companies/find", {}, "wrong_params"),
        ("/companies/find", {"domain": "a b"}, "invalid_domain"),
    ],
)
async def test_profiles_refuse_wrong_params(hunter, path, params, expected):
    answer = await hunter.get(path, params=params)
    assert (answer.status_code, error_id(answer)) == (400, expected)
