"""What the step makes of each error that Hunter's documents name, on each of the calls that it makes.

One address (or person) is asked about beside the failing call. ``STOPS``: the step ends with an error.
``BUSY``: it is told to wait. ``GOES_ON``: the lead is there, and ``incomplete`` says what it lacks. ``NORMAL``: an
outcome like others, nothing is incomplete.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from hunter_enrich_calls import (
    COMPANIES,
    FINDER,
    PEOPLE,
    VERIFIER,
    digests,
    enrich_emails,
    enrich_people,
    serving,
)

from leadplan_hunter import api
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall

EMAIL = "valid@sandbox.example"
PERSON = {"fullName": "Valid Example", "domain": "sandbox.example"}
LOOKUPS = {FINDER: "email-finder", VERIFIER: "email-verifier", PEOPLE: "people-find", COMPANIES: "companies-find"}
PATHS = list(LOOKUPS)
# Hunter's words can repeat what it was asked: an address, or at the finder a name.
SENSITIVE = f"Refused for {EMAIL}"


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch, HUNTER_VERIFIER_WAIT_SECONDS="0.05") as served:
        yield served


async def enrich_with(enrich: Responder, path: str, *more: str) -> ToolCall:
    """A step that makes the call, and others beside it that work."""
    if path == FINDER:
        return await enrich_people(enrich, PERSON, {"linkedinHandle": "nobody-at-all"}, verifyAgain=True)
    return await enrich_emails(enrich, EMAIL, *more)


def errors(id_: str | None, details: str | None = SENSITIVE) -> dict[str, Any]:
    return {"errors": [{"id": id_, "code": 0, "details": details}]}


def assert_nobody_is_named(call: ToolCall) -> None:
    reasons = [entry["reason"] for entry in (call.data or {}).get("incomplete", [])]
    text = f"{call.result.error_message} {call.progress} {reasons}"
    assert EMAIL not in text
    assert "Valid Example" not in text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"status": 400, "body": errors("wrong_params")}, "Hunter refuses the request (HTTP 400)"),
        ({"status": 400, "body": errors("invalid_max_duration")}, "Hunter refuses the request (HTTP 400)"),
        ({"status": 400, "body": "<html>Bad Request</html>"}, "no explanation given"),
        ({"status": 409, "body": errors("idempotency_key_in_flight"), "retryAfter": 2}, "has a problem at the moment"),
        ({"status": 422, "body": errors("invalid_request")}, "Hunter refuses the request (HTTP 422)"),
        ({"status": 500}, "has a problem at the moment (HTTP 500)"),
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, "has a problem at the moment (HTTP 502)"),
        ({"status": 503, "retryAfter": 5}, "has a problem at the moment (HTTP 503)"),
        ({"status": 504}, "has a problem at the moment (HTTP 504)"),
        ({"status": 200, "body": "<html>a proxy's page</html>"}, "can't be read"),
        ({"status": 200, "body": {"data": None}}, "can't be read"),
        ({"status": 204}, "no result (HTTP 204)"),
    ],
)
async def test_goes_on_without_what_one_call_lacks(enrich, add_fault, path, fault, says):
    # The finder's second question works; elsewhere the other lookups of the address do.
    await add_fault(path, **fault, times=1)

    call = await enrich_with(enrich, path)

    assert call.result.success, call.result.error_message
    (missing,) = call.data["incomplete"]
    assert missing["lookups"] == [LOOKUPS[path]]
    assert says in missing["reason"]
    assert len(call.data["leads"]) == (path != FINDER)
    assert_nobody_is_named(call)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"status": 401}, "invalid_api_key", "HUNTER_API_KEY"),
        ({"status": 402}, "quota_exceeded", "used up"),
        ({"status": 403, "body": errors("no_access")}, "access_denied", "may do"),
        ({"status": 404, "body": "<html>Not Found</html>"}, "not_found", "HUNTER_BASE_URL"),
    ],
)
async def test_stops_for_good_when_nothing_was_answered(enrich, add_fault, path, fault, code, says):
    await add_fault(path, **fault)
    only = {"verify": path == VERIFIER, "enrichPerson": path == PEOPLE, "enrichCompany": path == COMPANIES}

    call = await (enrich_people(enrich, PERSON) if path == FINDER else enrich_emails(enrich, EMAIL, **only))

    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, code, False)
    assert says in (call.result.error_message or "")
    assert_nobody_is_named(call)


@pytest.mark.parametrize("path", [PEOPLE, COMPANIES])
@pytest.mark.parametrize("status", [401, 402, 403])
async def test_stops_for_good_with_what_was_answered_before(enrich, add_fault, path, status):
    await add_fault(path, status)

    call = await enrich_with(enrich, path)

    assert call.result.success, call.result.error_message
    assert call.data["leads"][0]["verificationStatus"] == "valid"
    assert LOOKUPS[path] in [lookup for entry in call.data["incomplete"] for lookup in entry["lookups"]]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "wait_ms"),
    [
        ({"status": 429, "retryAfter": 9}, 9_000),
        ({"status": 429, "body": errors("too_many_requests")}, 20_000),
        ({"status": 429, "body": "<html>Too Many Requests</html>"}, 20_000),
        ({"status": 403, "body": errors("too_many_requests"), "retryAfter": 3}, 3_000),
        ({"status": 403, "body": errors(None, "Rate limit reached")}, 20_000),
    ],
)
async def test_busy_while_hunter_asks_for_a_pause(enrich, add_fault, path, fault, wait_ms):
    await add_fault(path, **fault)

    result = (await enrich_with(enrich, path)).result

    assert (result.success, result.error_code, result.retryable) == (False, "busy", True)
    assert 0 < (result.retry_after_ms or 0) <= wait_ms
    assert "limits how fast requests may come" in (result.error_message or "")


@pytest.mark.parametrize("path", PATHS)
async def test_a_429_without_a_cause_is_the_used_up_allowance_when_the_account_says_so(enrich, add_fault, path):
    bucket = {"used": 500, "available": 500}
    await add_fault(path, 429, body=errors("usage"))
    await add_fault("/v2/account", 200, body={"data": {"requests": {"credits": bucket}, "reset_date": "2030-01-02"}})
    only = {"verify": path == VERIFIER, "enrichPerson": path == PEOPLE, "enrichCompany": path == COMPANIES}

    call = await (enrich_people(enrich, PERSON) if path == FINDER else enrich_emails(enrich, EMAIL, **only))

    assert (call.result.error_code, call.result.retryable) == ("quota_exceeded", False)
    assert "renewed on 2030-01-02" in (call.result.error_message or "")


@pytest.mark.parametrize("path", PATHS)
async def test_normal_when_nothing_is_known(enrich, add_fault, path):
    await add_fault(path, 404, body=errors("not_found"))

    call = await enrich_with(enrich, path)

    assert call.result.success, call.result.error_message
    assert call.data["incomplete"] == []
    assert len(call.data["leads"]) == (path != FINDER)


@pytest.mark.parametrize("path", [FINDER, VERIFIER, PEOPLE])
async def test_normal_when_the_person_objected(enrich, add_fault, path):
    await add_fault(path, 451, times=1)

    call = await enrich_with(enrich, path)

    assert call.data["leads"] == call.data["incomplete"] == []
    assert call.data["objected"] == ([] if path == FINDER else digests(EMAIL))
    assert call.data["objectedWithoutAddress"] == (path == FINDER)
    assert_nobody_is_named(call)


@pytest.mark.parametrize("path", [VERIFIER, PEOPLE])
async def test_normal_when_hunter_says_that_it_is_no_address(enrich, add_fault, path):
    await add_fault(path, 400, body=errors("invalid_email"), times=1)

    call = await enrich_emails(enrich, EMAIL)

    assert call.data["leads"] == call.data["incomplete"] == []
    assert call.data["dropped"] == [{"email": EMAIL, "reason": "invalid_address"}]


@pytest.mark.parametrize("id_", ["invalid_domain", "invalid_first_name", "invalid_last_name", "invalid_full_name"])
async def test_normal_when_the_finder_does_not_take_what_a_person_is_named_by(enrich, add_fault, id_):
    await add_fault(FINDER, 400, body=errors(id_))

    call = await enrich_people(enrich, PERSON)

    assert call.result.success, call.result.error_message
    assert [one["person"] for one in call.data["notFound"]] == [PERSON]
    assert call.data["incomplete"] == []


@pytest.mark.parametrize(
    ("status", "says"), [(202, "wasn't done after 0.05 seconds"), (222, "mail server gave Hunter no usable answer")]
)
async def test_goes_on_when_a_verification_never_has_a_result(enrich, add_fault, status, says):
    await add_fault(VERIFIER, status)

    call = await enrich_emails(enrich, EMAIL, enrichPerson=False, enrichCompany=False)

    assert call.result.success, call.result.error_message
    assert [lead["verificationStatus"] for lead in call.data["leads"]] == ["unknown"]
    (missing,) = call.data["incomplete"]
    assert says in missing["reason"]
    assert call.data["creditsUsed"] == 0


@pytest.mark.parametrize("path", PATHS)
async def test_goes_on_when_an_answer_does_not_come_in_time(enrich, add_fault, monkeypatch, path):
    for timeout in ("leadplan_web_apis.connection._TIMEOUT", "leadplan_hunter.api._SLOW_TIMEOUT"):
        monkeypatch.setattr(timeout, httpx.Timeout(0.5))
    await add_fault(path, delayMs=20_000, times=1)

    call = await enrich_with(enrich, path)

    assert call.result.success, call.result.error_message
    (missing,) = call.data["incomplete"]
    assert (missing["lookups"], missing["reason"]) == ([LOOKUPS[path]], "Hunter didn't answer in time.")


def test_slow_calls_may_last_as_long_as_hunter_says():
    assert api._SLOW_TIMEOUT.read is not None
    assert api._SLOW_TIMEOUT.read > 20


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ({"status": 500}, "service_unavailable", True),
        ({"status": 400, "body": errors("wrong_params")}, "invalid_request", False),
        ({"status": 200, "body": "no JSON"}, "bad_answer", True),
    ],
)
async def test_stops_when_every_call_failed(enrich, add_fault, path, fault, code, retryable):
    await add_fault("/v2/", **fault)

    call = await (enrich_people(enrich, PERSON) if path == FINDER else enrich_emails(enrich, EMAIL))

    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, code, retryable)
    assert_nobody_is_named(call)


async def test_a_refusal_that_repeats_the_name_does_not_pass_it_on(enrich, add_fault):
    await add_fault(FINDER, 422, body=errors("refused", "The name VALID EXAMPLE at sandbox.example is refused"))

    call = await enrich_people(enrich, PERSON)

    assert call.result.error_code == "invalid_request"
    assert "The name … at sandbox.example is refused." in (call.result.error_message or "")
    assert "valid example" not in (call.result.error_message or "").lower()
