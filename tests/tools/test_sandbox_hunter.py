"""The Hunter stand-in's searches, verifier, profiles and account, held against Hunter's documented behaviour."""

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app
from leadplan_sandbox.world.cities import city_named
from leadplan_sandbox.world.people import people_of
from leadplan_sandbox.world.places import places_of
from leadplan_sandbox.world.trades import trade_named

KEY = {"X-API-KEY": "sandbox-hunter-key"}
COMPANIES = [
    place.company
    for trade in ("dentists", "law firms", "gyms")
    for city in ("Leeds", "York", "Berlin")
    for place in places_of(trade_named(trade), city_named(city))
]
LARGE = max(COMPANIES, key=lambda company: len(people_of(company)))
PEOPLE = [person for company in COMPANIES for person in people_of(company)]


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


async def credits_used(hunter):
    return (await hunter.get("/account")).json()["data"]["requests"]["credits"]["used"]


@pytest.mark.parametrize(
    "path",
    ["/domain-search", "/email-finder", "/email-verifier", "/people/find", "/companies/find", "/combined/find",
     "/account", "/sequences", "/campaigns", "/sequences/42"],
)  # fmt: skip
@pytest.mark.parametrize("key", [None, "wrong", "ключ"])
async def test_every_path_wants_the_key(hunter, path, key):
    del hunter.headers["X-API-KEY"]
    answer = await hunter.get(path, params={"api_key": key} if key else None)
    assert answer.status_code == 401
    assert error_id(answer) == "authentication_failed"


@pytest.mark.parametrize(
    "given",
    [
        {"headers": KEY},
        {"headers": {"Authorization": "Bearer sandbox-hunter-key"}},
        {"params": {"api_key": "sandbox-hunter-key"}},
    ],
)
async def test_the_key_is_taken_in_three_ways(hunter, given):
    del hunter.headers["X-API-KEY"]
    assert (await hunter.get("/account", **given)).status_code == 200


async def test_the_public_test_key_gets_a_fixed_answer_on_three_paths_only(hunter):
    hunter.headers["X-API-KEY"] = "test-api-key"
    search = await hunter.get("/domain-search", params={"domain": "stripe.com"})
    assert search.json()["data"]["emails"]
    assert (await hunter.get("/domain-search")).status_code == 400
    other = await hunter.get("/domain-search", params={"domain": "example.com"})
    assert other.json()["data"] == search.json()["data"]
    found = await hunter.get("/email-finder", params={"domain": "x.com", "first_name": "A", "last_name": "B"})
    assert found.json()["data"]["email"]
    assert (await hunter.get("/email-verifier", params={"email": "a@b.co"})).json()["data"]["status"] == "valid"
    for path in ("/people/find", "/companies/find", "/account", "/sequences"):
        assert (await hunter.get(path)).status_code == 401


async def test_domain_search_pages_through_all_people(hunter):
    expected = [person.email for person in people_of(LARGE)]
    assert len(expected) > 20
    found = []
    for offset in range(0, len(expected), 10):
        answer = (await hunter.get("/domain-search", params={"domain": LARGE.domain, "offset": offset})).json()
        assert answer["meta"]["results"] == len(expected)
        assert (answer["meta"]["limit"], answer["meta"]["offset"]) == (10, offset)
        found += [email["value"] for email in answer["data"]["emails"]]
    assert found == expected


async def test_domain_search_shows_the_documented_fields(hunter):
    data = (await hunter.get("/domain-search", params={"domain": LARGE.domain})).json()["data"]
    assert set(data) == {
        "domain", "disposable", "webmail", "accept_all", "pattern", "organization", "linked_domains", "emails",
    }  # fmt: skip
    assert set(data["emails"][0]) == {
        "value", "type", "confidence", "sources", "first_name", "last_name", "position", "position_raw", "seniority",
        "department", "linkedin", "twitter", "phone_number", "verification",
    }  # fmt: skip
    assert data["organization"] == LARGE.name


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"type": "generic"}, lambda email: email["type"] == "generic"),
        ({"seniority": "senior,executive"}, lambda email: email["seniority"] in ("senior", "executive")),
        ({"department": "marketing"}, lambda email: email["department"] == "marketing"),
        ({"verification_status": "valid"}, lambda email: email["verification"]["status"] == "valid"),
        ({"required_field": "phone_number"}, lambda email: email["phone_number"]),
        ({"job_titles": "Sales Manager"}, lambda email: email["position"] == "Sales Manager"),
    ],
)
async def test_domain_search_filters(hunter, filters, fits):
    everybody = (await hunter.get("/domain-search", params={"domain": LARGE.domain, "limit": 100})).json()
    some = (await hunter.get("/domain-search", params={"domain": LARGE.domain, "limit": 100} | filters)).json()
    expected = [email for email in everybody["data"]["emails"] if fits(email)]
    assert some["data"]["emails"] == expected
    assert some["meta"]["results"] == len(expected)
    assert 0 < len(expected) < len(everybody["data"]["emails"])


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "wrong_params"),
        ({"domain": "no domain"}, "wrong_params"),
        ({"domain": "a.com", "type": "private"}, "invalid_type"),
        ({"domain": "a.com", "seniority": "boss"}, "invalid_seniority"),
        ({"domain": "a.com", "department": "space"}, "invalid_department"),
        ({"domain": "a.com", "limit": "101"}, "pagination_error"),
        ({"domain": "a.com", "offset": "-1"}, "pagination_error"),
        ({"domain": "a.com", "limit": "ten"}, "pagination_error"),
        ({"domain": "a.com", "type": "personal,generic"}, "invalid_type"),
        ({"domain": "a.com", "required_field": "email"}, "wrong_params"),
        ({"domain": "a.com", "verification_status": "invalid"}, "wrong_params"),
        ({"domain": "a.com", "departments": "it"}, "wrong_params"),
        ({"domain": "a.com", "location": "Leeds"}, "wrong_params"),
    ],
)
async def test_domain_search_refuses_wrong_params(hunter, params, expected):
    answer = await hunter.get("/domain-search", params=params)
    assert (answer.status_code, error_id(answer)) == (400, expected)


async def test_a_location_wants_a_post_and_filters_by_where_the_company_is(hunter):
    async def found(location):
        return (await hunter.post("/domain-search", json={"domain": LARGE.domain, "location": location})).json()

    here = {"country": LARGE.city.country.code, "city": LARGE.city.name}
    everybody = (await hunter.get("/domain-search", params={"domain": LARGE.domain})).json()
    assert (await found(None))["data"] == everybody["data"]
    assert (await found({"include": [{"city": "Nowhere"}, here]}))["data"] == everybody["data"]
    assert (await found({"include": [{"city": "Nowhere"}]}))["meta"]["results"] == 0
    assert (await found({"exclude": [here]}))["meta"]["results"] == 0


async def test_a_body_takes_the_same_parameters_as_a_query(hunter):
    query = {"domain": LARGE.domain, "limit": 100, "seniority": "senior,executive"}
    by_query = (await hunter.get("/domain-search", params=query)).json()
    by_body = (await hunter.post("/domain-search", json=query | {"seniority": ["senior", "executive"]})).json()
    assert by_body["data"] == by_query["data"]
    assert by_body["meta"]["results"] == by_query["meta"]["results"] > 0


@pytest.mark.parametrize("location", ["Leeds", {"near": []}, {"include": {}}, {"include": [{"street": "x"}]},
                                      {"include": [{}]}, {"include": [{"city": 5}]}])  # fmt: skip
async def test_a_wrong_location_is_refused(hunter, location):
    answer = await hunter.post("/domain-search", json={"domain": "a.com", "location": location})
    assert (answer.status_code, error_id(answer)) == (400, "wrong_params")


@pytest.mark.parametrize(("page", "status"), [({}, 200), ({"limit": 10}, 200), ({"limit": 4, "offset": 6}, 200),
                                              ({"limit": 11}, 400), ({"offset": 1}, 400)])  # fmt: skip
async def test_the_free_plan_ends_at_ten_addresses(page, status):
    async with open_hunter(hunter_plan="free") as hunter:
        answer = await hunter.get("/domain-search", params={"domain": LARGE.domain, **page})
        assert answer.status_code == status
        assert status == 200 or error_id(answer) == "pagination_error"
        assert (await hunter.get("/account")).json()["data"]["plan_name"] == "Free"


async def test_a_domain_in_another_script_is_one(hunter):
    answer = await hunter.get("/domain-search", params={"domain": "xn--80agxcjcbsjd.xn--p1ai"})
    assert (answer.status_code, answer.json()["meta"]["results"]) == (200, 0)


async def test_domain_search_costs_a_credit_for_ten_addresses(hunter):
    assert await credits_used(hunter) == 0
    await hunter.get("/domain-search", params={"domain": LARGE.domain, "limit": 11})
    assert await credits_used(hunter) == 2
    await hunter.get("/domain-search", params={"domain": "example.com"})
    assert await credits_used(hunter) == 2


async def test_an_unknown_domain_has_no_people(hunter):
    answer = await hunter.get("/domain-search", params={"domain": "example.com"})
    assert answer.status_code == 200
    assert (answer.json()["data"]["emails"], answer.json()["data"]["organization"]) == ([], None)
    assert (await hunter.get("/domain-search", params={"domain": "gmail.com"})).json()["data"]["webmail"]


async def test_a_company_is_searched_by_name_and_the_domain_wins(hunter):
    by_name = await hunter.get("/domain-search", params={"company": "Harbour Dental Care Leeds"})
    assert by_name.json()["data"]["domain"].startswith("harbour-dental-leeds.")
    both = await hunter.get("/domain-search", params={"company": "Harbour Dental Care Leeds", "domain": LARGE.domain})
    assert both.json()["data"]["domain"] == LARGE.domain


@pytest.mark.parametrize("status", [402, 429])
async def test_without_credits_nothing_more_is_found(status):
    async with open_hunter(hunter_credits=1, hunter_quota_status=status) as hunter:
        assert (await hunter.get("/domain-search", params={"domain": LARGE.domain})).status_code == 200
        answer = await hunter.get("/domain-search", params={"domain": LARGE.domain})
        assert answer.status_code == status
        assert "Retry-After" not in answer.headers
        account = (await hunter.get("/account")).json()["data"]
        assert account["requests"]["credits"] == {"used": 1.0, "available": 1.0}
        assert account["reset_date"]


async def test_email_finder_finds_by_name(hunter):
    person = next(p for p in people_of(LARGE) if p.kind == "personal" and not p.mailbox.claimed)
    names = {"domain": LARGE.domain, "first_name": person.first_name, "last_name": person.last_name.upper()}
    data = (await hunter.get("/email-finder", params=names)).json()["data"]
    assert (data["email"], data["company"]) == (person.email, LARGE.name)
    full = {"domain": LARGE.domain, "full_name": f"{person.first_name} {person.last_name}"}
    assert (await hunter.get("/email-finder", params=full)).json()["data"] == data
    nobody = await hunter.get("/email-finder", params={"domain": LARGE.domain, "full_name": "No Body"})
    assert (nobody.status_code, nobody.json()["data"]["email"]) == (200, None)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, "wrong_params"),
        ({"domain": "a.com"}, "wrong_params"),
        ({"domain": "a.com", "first_name": "Ada"}, "invalid_last_name"),
        ({"domain": "a.com", "last_name": "Hall"}, "invalid_first_name"),
        ({"domain": "a.com", "full_name": "Ada"}, "invalid_full_name"),
        ({"domain": "a", "full_name": "Ada Hall"}, "invalid_domain"),
    ],
)
async def test_email_finder_refuses_wrong_params(hunter, params, expected):
    answer = await hunter.get("/email-finder", params=params)
    assert (answer.status_code, error_id(answer)) == (400, expected)


@pytest.mark.parametrize("status", ["valid", "invalid", "accept_all", "unknown"])
async def test_the_verifier_knows_every_status(hunter, status):
    person = next(
        p
        for p in PEOPLE
        if p.mailbox.status == status and p.mailbox.slow_checks == 0 and not _never_verified(p.mailbox)
    )
    answer = await hunter.get("/email-verifier", params={"email": person.email})
    data = answer.json()["data"]
    assert (answer.status_code, data["status"], data["email"]) == (200, status, person.email)
    assert await credits_used(hunter) == (0 if status == "unknown" else 0.5)


def _never_verified(mailbox):
    return mailbox.claimed or mailbox.server_answers_wrongly


@pytest.mark.parametrize("email", ["webmail@sandbox.example", "disposable@sandbox.example"])
async def test_webmail_and_disposable_have_a_fixed_score_and_are_free(hunter, email):
    data = (await hunter.get("/email-verifier", params={"email": email})).json()["data"]
    assert (data["score"], data["status"]) == (50, email.partition("@")[0])
    assert await credits_used(hunter) == 0


async def test_a_slow_verification_is_202_until_it_is_done_and_counted_once(hunter):
    params = {"email": "pending@sandbox.example"}
    statuses = [(await hunter.get("/email-verifier", params=params)).status_code for _ in range(4)]
    assert statuses == [202, 202, 200, 200]


async def test_a_mail_server_that_answers_wrongly_is_222(hunter):
    answer = await hunter.get("/email-verifier", params={"email": "smtp-failure@sandbox.example"})
    assert answer.status_code == 222
    assert answer.is_success


async def test_the_verifier_refuses_wrong_params(hunter):
    missing = await hunter.get("/email-verifier")
    malformed = await hunter.get("/email-verifier", params={"email": "ada at abbey"})
    assert (missing.status_code, error_id(missing)) == (400, "wrong_params")
    assert (malformed.status_code, error_id(malformed)) == (400, "invalid_email")


@pytest.mark.parametrize("path", ["/email-verifier", "/people/find", "/combined/find"])
async def test_somebody_who_is_claimed_is_451(hunter, path):
    claimed = next(person for person in PEOPLE if person.mailbox.claimed)
    for email in (claimed.email, "claimed@sandbox.example"):
        answer = await hunter.get(path, params={"email": email})
        assert (answer.status_code, error_id(answer)) == (451, "claimed_email")


async def test_a_known_person_has_a_profile_in_camel_case(hunter):
    person = next(p for p in PEOPLE if p.has_profile and not p.mailbox.claimed)
    data = (await hunter.get("/people/find", params={"email": person.email})).json()["data"]
    assert data["name"]["givenName"] == person.first_name
    assert data["employment"]["domain"] == person.company.domain
    assert data["geo"]["city"] == person.company.city.name


async def test_a_known_company_has_a_profile(hunter):
    company = next(company for company in COMPANIES if company.has_profile)
    data = (await hunter.get("/companies/find", params={"domain": company.domain})).json()["data"]
    assert (data["name"], data["metrics"]["employees"]) == (company.name, company.employees)


async def test_what_is_unknown_is_404(hunter):
    person = next(p for p in PEOPLE if not p.has_profile and not p.mailbox.claimed)
    company = next(company for company in COMPANIES if not company.has_profile)
    for path, params in [
        ("/people/find", {"email": person.email}),
        ("/people/find", {"email": "nobody@example.com"}),
        ("/people/find", {"linkedin_handle": "nobody"}),
        ("/companies/find", {"domain": company.domain}),
        ("/companies/find", {"domain": "example.com"}),
        ("/combined/find", {"email": "nobody@example.com"}),
    ]:
        answer = await hunter.get(path, params=params)
        assert (answer.status_code, error_id(answer)) == (404, "not_found")


async def test_combined_has_either_or_both(hunter):
    person = next(p for p in PEOPLE if not p.has_profile and p.company.has_profile and not p.mailbox.claimed)
    data = (await hunter.get("/combined/find", params={"email": person.email})).json()["data"]
    assert data["person"] is None
    assert data["company"]["domain"] == person.company.domain


async def test_profiles_refuse_wrong_params(hunter):
    for path in ("/people/find", "/companies/find", "/combined/find"):
        answer = await hunter.get(path)
        assert (answer.status_code, error_id(answer)) == (400, "wrong_params")


async def test_an_unknown_path_is_a_web_page(hunter):
    answer = await hunter.get("/domain-search/found")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
