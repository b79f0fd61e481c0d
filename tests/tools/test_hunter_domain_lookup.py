from collections.abc import AsyncIterator, Sequence
from datetime import date
from itertools import chain
from typing import Any

import pytest

from leadplan_hunter.domain_lookup import responder
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v2/domain-search"
# Companies of the sandbox's world with 8, 6 and 5 addresses that Hunter knows, and one of which it knows nobody.
EIGHT = "somerset-dental-leeds.com"
SIX = "bridgewater-dental-leeds.com"
FIVE = "beacon-dental-leeds.co.uk"
NOBODY = "marlow-dental-leeds.co.uk"


@pytest.fixture
async def lookup(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("HUNTER_API_KEY", "sandbox-hunter-key")
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


async def look_up(lookup: Responder, *domains: str, timeout_ms: int = 30_000, **params: Any) -> ToolCall:
    return await call_tool(lookup, "HUNTER_DOMAIN_LOOKUP", {"domains": list(domains), **params}, timeout_ms=timeout_ms)


async def look_up_places(lookup: Responder, places: Sequence[dict[str, Any]], **params: Any) -> ToolCall:
    return await call_tool(
        lookup,
        "HUNTER_DOMAIN_LOOKUP",
        {"sourceStepId": "search", **params},
        prior_results={"search": {"query": "x", "places": list(places), "pagesFetched": 1, "closedLeftOut": 0}},
    )


def found(*emails: str, total: int | None = None, **data: Any) -> dict[str, Any]:
    listed = [{"value": email, "type": "personal", "confidence": 90} for email in emails]
    return {"data": {"emails": listed, **data}, "meta": {"results": len(emails) if total is None else total}}


async def test_contacts_of_a_domain_come_in_the_shape_that_later_steps_read(lookup):
    call = await look_up(lookup, f"https://www.{EIGHT}/team")

    assert call.result.success, call.result.error_message
    (domain,) = call.data["domains"]
    assert {name: domain[name] for name in ("domain", "website", "outcome", "pattern")} == {
        "domain": EIGHT,
        "website": f"https://www.{EIGHT}/team",
        "outcome": "found",
        "pattern": "{f}{last}",
    }
    assert domain["company"].startswith("Somerset ")
    assert len(domain["contacts"]) == call.data["contactsFound"] == 8
    assert call.data["creditsUsed"] == 1
    person = next(contact for contact in domain["contacts"] if contact["type"] == "personal")
    assert {
        "email",
        "firstName",
        "lastName",
        "position",
        "department",
        "seniority",
        "type",
        "confidence",
    } <= person.keys()
    mailbox = next(contact for contact in domain["contacts"] if contact["type"] == "generic")
    assert "firstName" not in mailbox


async def test_places_become_domains_and_each_place_gets_its_outcome(lookup, requests_to):
    places = [
        {"placeId": "p1", "name": "Somerset", "website": f"https://www.{EIGHT}/"},
        {"placeId": "p2", "name": "No site"},
        {"placeId": "p3", "name": "On Facebook", "website": "https://www.facebook.com/some-dentist"},
        {"placeId": "p4", "name": "Somerset North", "website": f"http://north.{EIGHT}/x"},
        {"placeId": "p5", "name": "Nobody", "website": f"https://{NOBODY}"},
        {"placeId": "p6", "name": "Intranet", "website": "http://dentist/"},
        {"placeId": "p7", "name": "By mail", "website": "gmail.com"},
        {"placeId": "p8", "name": "Site builder", "website": "https://some-dentist.wixsite.com/leeds"},
        {"placeId": "p9", "name": "Blank", "website": " "},
    ]
    call = await look_up_places(lookup, places)

    outcomes = call.data["domains"]
    assert [(one["placeId"], one["outcome"], one.get("reason")) for one in outcomes] == [
        ("p1", "found", None),
        ("p2", "skipped", "no website"),
        ("p3", "skipped", "facebook.com is shared by many businesses"),
        ("p4", "skipped", "same domain as Somerset"),
        ("p5", "none", None),
        ("p6", "skipped", "the website is no address on the internet"),
        ("p7", "skipped", "gmail.com is a mail provider"),
        ("p8", "skipped", "wixsite.com is shared by many businesses"),
        ("p9", "skipped", "no website"),
    ]
    assert outcomes[0]["company"] == "Somerset"
    assert [outcome["contacts"] for outcome in outcomes[1:]] == [[]] * 8
    assert sorted(request["query"]["domain"] for request in await requests_to(SEARCH)) == sorted([EIGHT, NOBODY])


async def test_progress_counts_the_domains_that_are_searched(lookup):
    call = await look_up(lookup, EIGHT, SIX, "facebook.com", NOBODY)

    assert [message for _, message in call.progress] == ["1 of 3 domains", "2 of 3 domains", "3 of 3 domains"]
    assert [fraction for fraction, _ in call.progress] == pytest.approx([1 / 3, 2 / 3, 1])


async def test_every_filter_reaches_hunter_as_its_documentation_says(lookup, requests_to):
    call = await look_up(
        lookup,
        EIGHT,
        contactsPerDomain=3,
        departments=["executive", "marketing", "executive"],
        seniorities=["executive", "senior"],
        type="personal",
        requiredFields=["full_name", "position"],
        verificationStatuses=["valid", "accept_all"],
        jobTitles=["Practice Manager", " Owner "],
    )

    assert call.result.success, call.result.error_message
    (request,) = await requests_to(SEARCH)
    assert (request["method"], request["path"], request["body"]) == ("GET", SEARCH, None)
    assert "x-api-key" in request["headers"]
    assert request["query"] == {
        "domain": EIGHT,
        "type": "personal",
        "department": "executive,marketing",
        "seniority": "executive,senior",
        "required_field": "full_name,position",
        "verification_status": "valid,accept_all",
        "job_titles": "Practice Manager,Owner",
        "limit": "3",
        "offset": "0",
    }


async def test_without_filters_none_is_sent(lookup, requests_to):
    await look_up(lookup, EIGHT)

    (request,) = await requests_to(SEARCH)
    assert request["query"] == {"domain": EIGHT, "limit": "10", "offset": "0"}


async def test_filters_choose_contacts(lookup):
    everybody = (await look_up(lookup, EIGHT)).data["domains"][0]["contacts"]
    some = (await look_up(lookup, EIGHT, seniorities=["executive", "senior"])).data["domains"][0]["contacts"]

    assert some == [contact for contact in everybody if contact.get("seniority") in ("executive", "senior")]
    assert 0 < len(some) < len(everybody)


async def test_a_recent_verification_comes_with_its_day(lookup):
    contacts = (await look_up(lookup, EIGHT)).data["domains"][0]["contacts"]

    verified = [contact for contact in contacts if "verificationStatus" in contact]
    assert verified
    assert all(date.fromisoformat(contact["verifiedOn"]) for contact in verified)
    assert not any("verifiedOn" in contact for contact in contacts if contact not in verified)


@pytest.mark.parametrize(
    ("verification", "expected"),
    [
        ({"date": "2026-11-02", "status": "valid"}, ("valid", "2026-11-02")),
        ({"date": "2026-11-02 12:00:00 UTC", "status": "accept_all"}, ("accept_all", "2026-11-02")),
        ({"date": "lately", "status": "valid"}, ("valid", None)),
        ({"date": None, "status": "unknown"}, ("unknown", None)),
        ({"date": "2026-11-02", "status": None}, (None, None)),
        (None, (None, None)),
    ],
)
async def test_whatever_form_a_verification_has(lookup, add_fault, verification, expected):
    email = {"value": "a@acme.com", "verification": verification}
    await add_fault(SEARCH, 200, body={"data": {"emails": [email]}})

    (contact,) = (await look_up(lookup, "acme.com")).data["domains"][0]["contacts"]

    assert (contact.get("verificationStatus"), contact.get("verifiedOn")) == expected


async def test_many_contacts_are_read_in_pages_of_a_hundred(lookup, add_fault, requests_to):
    pages = [[f"p{number}@acme.com" for number in range(start, start + 100)] for start in (0, 100, 200)]
    for page in pages:
        await add_fault(SEARCH, 200, times=1, body=found(*page, total=900))

    call = await look_up(lookup, "acme.com", contactsPerDomain=250)

    assert [one["email"] for one in call.data["domains"][0]["contacts"]] == list(chain(*pages))[:250]
    queries = [request["query"] for request in await requests_to(SEARCH)]
    assert [(query["limit"], query["offset"]) for query in queries] == [("100", "0"), ("100", "100"), ("50", "200")]
    assert call.data["creditsUsed"] == 30


async def test_short_pages_are_followed_up_to_the_wanted_number(lookup, add_fault, requests_to):
    await add_fault(SEARCH, 200, times=1, body=found("a@acme.com", "b@acme.com", total=5))
    await add_fault(SEARCH, 200, times=1, body=found("c@acme.com", "A@Acme.com", total=5))

    call = await look_up(lookup, "acme.com", contactsPerDomain=4)

    assert [contact["email"] for contact in call.data["domains"][0]["contacts"]] == [
        "a@acme.com",
        "b@acme.com",
        "c@acme.com",
    ]
    queries = [request["query"] for request in await requests_to(SEARCH)]
    assert [(query["limit"], query["offset"]) for query in queries] == [("4", "0"), ("2", "2")]
    assert call.data["creditsUsed"] == 2


async def test_an_empty_page_is_the_last_one_whatever_the_total_says(lookup, add_fault, requests_to):
    await add_fault(SEARCH, 200, times=1, body=found("a@acme.com", total=500))
    await add_fault(SEARCH, 200, body=found(total=500))

    call = await look_up(lookup, "acme.com", contactsPerDomain=300)

    assert call.data["contactsFound"] == 1
    assert len(await requests_to(SEARCH)) == 2


async def test_when_a_later_page_fails_what_the_pages_before_it_brought_is_the_result(lookup, add_fault):
    await add_fault(SEARCH, 200, times=1, body=found(*(f"p{number}@acme.com" for number in range(100)), total=300))
    await add_fault(SEARCH, 503)

    call = await look_up(lookup, "acme.com", contactsPerDomain=300)

    (domain,) = call.data["domains"]
    assert (domain["outcome"], len(domain["contacts"]), call.data["creditsUsed"]) == ("found", 100, 10)
    assert domain["reason"] == ("Only 100 of 300 contacts were read. Hunter has a problem at the moment (HTTP 503).")


async def test_many_contacts_cost_a_credit_for_each_ten(lookup, add_fault):
    await add_fault(SEARCH, 200, body=found(*(f"p{number}@acme.com" for number in range(21))))

    call = await look_up(lookup, "acme.com", contactsPerDomain=100)

    assert call.data["contactsFound"] == 21
    assert call.data["creditsUsed"] == 3


async def test_one_bad_domain_does_not_fail_the_step(lookup, add_fault):
    await add_fault(SEARCH, 500, times=1)

    call = await look_up(lookup, EIGHT, SIX, FIVE)

    assert call.result.success
    assert sorted(one["outcome"] for one in call.data["domains"]) == ["failed", "found", "found"]
    assert call.data["contactsFound"] == sum(len(one["contacts"]) for one in call.data["domains"]) > 0
    (failed,) = [one for one in call.data["domains"] if one["outcome"] == "failed"]
    assert "HTTP 500" in failed["reason"]
    assert call.progress[-1] == (1.0, "3 of 3 domains")


async def test_when_all_searches_fail_the_step_fails_as_they_did(lookup, add_fault):
    await add_fault(SEARCH, 503, times=1)
    await add_fault(SEARCH, 503, retryAfter=4)

    call = await look_up(lookup, EIGHT, SIX, NOBODY)

    assert (call.result.error_code, call.result.retryable) == ("service_unavailable", True)
    assert call.result.retry_after_ms == 4_000
    assert "All 3 domain searches failed" in (call.result.error_message or "")


async def test_when_all_searches_are_refused_repeating_is_pointless(lookup, add_fault):
    body = {"errors": [{"id": "pagination_error", "code": 400, "details": "limit too high"}]}
    await add_fault(SEARCH, 400, body=body)

    call = await look_up(lookup, EIGHT, SIX, contactsPerDomain=50)

    assert (call.result.error_code, call.result.retryable) == ("invalid_request", False)
    assert "set contactsPerDomain to 10" in (call.result.error_message or "")


@pytest.mark.parametrize(
    ("fault", "outcome", "reason"),
    [
        ({"status": 404, "body": {"errors": [{"id": "not_found", "code": 404}]}}, "none", None),
        ({"status": 451}, "skipped", "objected: the owner asked that their data isn't processed"),
        (
            {"status": 200, "body": found("a@acme.com", webmail=True)},
            "skipped",
            "Hunter knows the domain as a mail provider",
        ),
        ({"status": 200, "body": {"data": {}}}, "none", None),
    ],
)
async def test_answers_that_are_no_failure(lookup, add_fault, fault, outcome, reason):
    await add_fault(SEARCH, **fault)

    call = await look_up(lookup, "acme.com")

    (one,) = call.data["domains"]
    assert (one["outcome"], one.get("reason"), one["contacts"]) == (outcome, reason, [])


async def test_odd_entries_cost_themselves_and_not_the_domain(lookup, add_fault):
    emails = [
        {"value": "not an address"},
        "a text",
        {
            "value": "Ada@Acme.com",
            "type": 7,
            "confidence": "high",
            "first_name": "Ada",
            "verification": "yes",
            "new": {},
        },
        {"value": "info@acme.com", "verification": {"status": "valid"}},
    ]
    await add_fault(SEARCH, 200, body={"data": {"emails": emails, "pattern": 5}, "meta": None})

    call = await look_up(lookup, "acme.com")

    assert call.data["creditsUsed"] == 1
    assert call.data["domains"][0]["contacts"] == [
        {"email": "ada@acme.com", "firstName": "Ada", "type": "personal", "confidence": 0},
        {"email": "info@acme.com", "type": "generic", "confidence": 0, "verificationStatus": "valid"},
    ]


async def test_what_does_not_fit_into_the_time_is_said_and_the_rest_is_kept(lookup, add_fault):
    await add_fault(SEARCH, 200, times=1, body=found("a@acme.com"))
    await add_fault(SEARCH, delayMs=20_000)

    call = await look_up(lookup, EIGHT, SIX, timeout_ms=900)

    assert call.result.success
    assert sorted(one["outcome"] for one in call.data["domains"]) == ["failed", "found"]
    (failed,) = [one for one in call.data["domains"] if one["outcome"] == "failed"]
    assert "larger timeoutMs" in failed["reason"]


async def test_when_nothing_fits_into_the_time_the_step_fails(lookup, add_fault):
    await add_fault(SEARCH, delayMs=20_000)

    call = await look_up(lookup, EIGHT, timeout_ms=200)

    assert (call.result.error_code, call.result.retryable) == ("out_of_time", True)


async def test_a_search_that_found_no_places_leads_to_no_domains(lookup, requests_to):
    call = await look_up_places(lookup, [])

    assert call.data == {"domains": [], "contactsFound": 0, "creditsUsed": 0}
    assert await requests_to(SEARCH) == []


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({}, "give either sourceStepId or domains"),
        ({"sourceStepId": "search", "domains": ["acme.com"]}, "give either sourceStepId or domains"),
        ({"domains": []}, "domains"),
        ({"domains": [""]}, "domains"),
        ({"domains": ["acme.com"], "contactsPerDomain": 0}, "contactsPerDomain"),
        ({"domains": ["acme.com"], "contactsPerDomain": 1001}, "contactsPerDomain"),
        ({"domains": ["acme.com"], "departments": ["dentistry"]}, "departments"),
        ({"domains": ["acme.com"], "seniorities": ["boss"]}, "seniorities"),
        ({"domains": ["acme.com"], "type": "private"}, "type"),
        ({"domains": ["acme.com"], "requiredFields": ["email"]}, "requiredFields"),
        ({"domains": ["acme.com"], "verificationStatuses": ["invalid"]}, "verificationStatuses"),
        ({"domains": ["acme.com"], "jobTitles": ["Owner, Founder"]}, "jobTitles"),
        ({"domains": ["acme.com"], "jobTitles": [" "]}, "jobTitles"),
    ],
)
async def test_wrong_params_are_refused(lookup, params, says):
    call = await call_tool(lookup, "HUNTER_DOMAIN_LOOKUP", params)

    assert (call.result.error_code, call.result.retryable) == ("invalid_params", False)
    assert says in (call.result.error_message or "")


async def test_a_source_that_is_no_place_search_is_refused(lookup):
    call = await call_tool(
        lookup, "HUNTER_DOMAIN_LOOKUP", {"sourceStepId": "other"}, prior_results={"other": {"leads": []}}
    )

    assert (call.result.error_code, call.result.retryable) == ("unreadable_source", False)
    assert "places" in (call.result.error_message or "")
