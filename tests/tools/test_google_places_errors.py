"""Every documented error of Text Search: what the step makes of it, and what the salesperson reads."""

import logging
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from leadplan_google_places.responder import responder
from leadplan_responder import ConfigurationError, Responder
from leadplan_responder.limits import Limit
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v1/places:searchText"
KEY = "sandbox-google-key"
KEY_VARIABLE = "GOOGLE_PLACES_API_KEY"
URL_VARIABLE = "GOOGLE_PLACES_BASE_URL"
HTML = f"<!DOCTYPE html><title>Error</title>{KEY}"

# Each row of Google's table of errors: HTTP status and canonical name.
DOCUMENTED = {
    (400, "INVALID_ARGUMENT"), (400, "FAILED_PRECONDITION"), (400, "OUT_OF_RANGE"), (401, "UNAUTHENTICATED"),
    (403, "PERMISSION_DENIED"), (404, "NOT_FOUND"), (429, "RESOURCE_EXHAUSTED"), (499, "CANCELLED"),
    (500, "INTERNAL"), (500, "UNKNOWN"), (500, "DATA_LOSS"), (501, "UNIMPLEMENTED"), (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"),
}  # fmt: skip
DOCUMENTED_REASONS = {
    "API_KEY_INVALID", "SERVICE_DISABLED", "BILLING_DISABLED", "API_KEY_SERVICE_BLOCKED",
    "API_KEY_HTTP_REFERRER_BLOCKED", "API_KEY_IP_ADDRESS_BLOCKED", "CONSUMER_SUSPENDED", "RATE_LIMIT_EXCEEDED",
    "RESOURCE_QUOTA_EXCEEDED",
}  # fmt: skip


def error(code: int, status: str, message: str, *details: dict[str, Any]) -> dict[str, Any]:
    # Each body repeats the key somewhere, for none of it may come through.
    link = {"@type": "type.googleapis.com/google.rpc.Help", "links": [{"url": f"https://example.com/?key={KEY}"}]}
    return {"error": {"code": code, "status": status, "message": f"{message} ({KEY})", "details": [*details, link]}}


def detail(kind: str, **fields: Any) -> dict[str, Any]:
    return {"@type": f"type.googleapis.com/google.rpc.{kind}", **fields}


def info(reason: str, **metadata: str) -> dict[str, Any]:
    return detail("ErrorInfo", reason=reason, domain="googleapis.com", metadata={"consumer": KEY, **metadata})


def denied(reason: str) -> dict[str, Any]:
    return error(403, "PERMISSION_DENIED", "Denied.", info(reason))


def exhausted(*details: dict[str, Any], message: str = "Quota exceeded.") -> dict[str, Any]:
    return error(429, "RESOURCE_EXHAUSTED", message, *details)


MINUTE = info("RATE_LIMIT_EXCEEDED", quota_limit="SearchTextRequestPerMinutePerProject", quota_unit="1/min/{project}")
DAY = info("RATE_LIMIT_EXCEEDED", quota_limit="SearchTextRequestPerDayPerProject", quota_unit="1/d/{project}")
DAY_BY_UNIT = info("RESOURCE_QUOTA_EXCEEDED", quota_unit="1/d/{project}")
DAY_AS_VIOLATION = detail("QuotaFailure", violations=[{"subject": "x", "description": "SearchTextRequest per day"}])
DAY_IN_WORDS = "Quota exceeded for quota metric 'SearchTextRequest' and limit 'SearchTextRequest per day' of service x"
WRONG_FIELD = detail("BadRequest", fieldViolations=[{"field": "included_type", "description": "no such type"}])
NO_FIELD = detail("BadRequest", fieldViolations=[{"field": "", "description": "Cannot find matching fields"}])
MASK_MISSING = "FieldMask is a required parameter. See the documentation"
OUTAGE = "has a problem at the moment"


@dataclass(frozen=True)
class Final:
    """An answer that another attempt wouldn't change."""

    status: int
    body: Any
    code: str
    says: str


@dataclass(frozen=True)
class Passing:
    """An answer that another attempt may not get; `wait` in seconds."""

    status: int
    body: Any
    says: str
    wait: float | None = None
    retry_after: int | None = None
    code: str = "service_unavailable"


FINAL = [
    Final(400, error(400, "INVALID_ARGUMENT", "Not valid.", info("API_KEY_INVALID")), "invalid_api_key", KEY_VARIABLE),
    Final(400, error(400, "INVALID_ARGUMENT", "API key not valid. Pass one."), "invalid_api_key", KEY_VARIABLE),
    Final(400, error(400, "INVALID_ARGUMENT", "API key expired. Renew it."), "invalid_api_key", KEY_VARIABLE),
    Final(400, error(400, "INVALID_ARGUMENT", "Bad.", WRONG_FIELD), "invalid_request", "included_type: no such type"),
    Final(400, error(400, "INVALID_ARGUMENT", "Bad.", NO_FIELD), "invalid_request", "request: Cannot find matching"),
    Final(400, error(400, "INVALID_ARGUMENT", MASK_MISSING), "invalid_request", "FieldMask is a required parameter"),
    Final(400, error(400, "FAILED_PRECONDITION", "Not now."), "invalid_request", "refuses this search: Not now."),
    Final(400, error(400, "OUT_OF_RANGE", "Too far."), "invalid_request", "Google refuses this search: Too far."),
    Final(400, HTML, "invalid_request", "no explanation given"),
    Final(401, error(401, "UNAUTHENTICATED", "Bad token."), "invalid_api_key", KEY_VARIABLE),
    Final(403, error(403, "PERMISSION_DENIED", "Unregistered callers."), "access_denied", "Unregistered callers."),
    Final(403, denied("SERVICE_DISABLED"), "access_denied", "Places API (New) is not switched on"),
    Final(403, denied("BILLING_DISABLED"), "access_denied", "has no billing account"),
    Final(403, denied("API_KEY_SERVICE_BLOCKED"), "access_denied", "restricted to other Google APIs"),
    Final(403, denied("API_KEY_HTTP_REFERRER_BLOCKED"), "access_denied", "from certain web sites only"),
    Final(403, denied("API_KEY_IP_ADDRESS_BLOCKED"), "access_denied", "this machine's IP address"),
    Final(403, denied("API_KEY_ANDROID_APP_BLOCKED"), "access_denied", "Android apps only"),
    Final(403, denied("API_KEY_IOS_APP_BLOCKED"), "access_denied", "iOS apps only"),
    Final(403, denied("CONSUMER_SUSPENDED"), "access_denied", "project is suspended"),
    Final(403, denied("CONSUMER_INVALID"), "access_denied", "no usable Google Cloud project"),
    Final(403, denied("SOMETHING_NEW"), "access_denied", "Google denies the search: Denied."),
    Final(403, HTML, "access_denied", KEY_VARIABLE),
    Final(404, error(404, "NOT_FOUND", "No."), "not_found", URL_VARIABLE),
    Final(404, HTML, "not_found", URL_VARIABLE),
    Final(429, exhausted(DAY), "quota_exceeded", "run the plan again after that"),
    Final(429, exhausted(DAY_BY_UNIT), "quota_exceeded", "Today's quota"),
    Final(429, exhausted(DAY_AS_VIOLATION), "quota_exceeded", "Today's quota"),
    Final(429, exhausted(message=DAY_IN_WORDS), "quota_exceeded", "Today's quota"),
    Final(499, error(499, "CANCELLED", "Gone."), "unexpected_answer", "(HTTP 499): Gone."),
    Final(501, error(501, "UNIMPLEMENTED", "Not here."), "unexpected_answer", "(HTTP 501): Not here."),
    Final(301, "", "unexpected_answer", URL_VARIABLE),
    Final(302, HTML, "unexpected_answer", URL_VARIABLE),
    Final(418, error(418, "TEAPOT", "Short and stout."), "unexpected_answer", "(HTTP 418): Short and stout."),
]  # fmt: skip
PASSING = [
    Passing(500, error(500, "INTERNAL", "x"), OUTAGE),
    Passing(500, error(500, "UNKNOWN", "x"), OUTAGE),
    Passing(500, error(500, "DATA_LOSS", "x"), OUTAGE),
    Passing(502, HTML, "Nothing is wrong with the search"),
    Passing(503, error(503, "UNAVAILABLE", "x"), OUTAGE),
    Passing(503, error(503, "UNAVAILABLE", "x", detail("RetryInfo", retryDelay="4s")), OUTAGE, wait=4),
    Passing(503, HTML, OUTAGE, wait=3, retry_after=3),
    Passing(504, error(504, "DEADLINE_EXCEEDED", "x"), OUTAGE),
    Passing(504, HTML, OUTAGE),
    Passing(408, HTML, OUTAGE),
    Passing(200, HTML, "can't be read", code="bad_answer"),
    Passing(200, "", "can't be read", code="bad_answer"),
    Passing(200, [1, 2], "can't be read", code="bad_answer"),
    Passing(204, "", "can't be read", code="bad_answer"),
]
THROTTLED = [
    Passing(429, exhausted(MINUTE), "", wait=30),
    Passing(429, exhausted(info("RESOURCE_QUOTA_EXCEEDED")), "", wait=30),
    Passing(429, exhausted(MINUTE, detail("RetryInfo", retryDelay="41s")), "", wait=41),
    Passing(429, exhausted(detail("RetryInfo", retryDelay="1.5s")), "", wait=1.5),
    Passing(429, exhausted(detail("RetryInfo", retryDelay="0s")), "", wait=1),
    Passing(429, exhausted(detail("RetryInfo", retryDelay="soon")), "", wait=30),
    # Of two waits the longer one is kept to.
    Passing(429, exhausted(detail("RetryInfo", retryDelay="41s")), "", wait=50, retry_after=50),
    Passing(429, exhausted(detail("RetryInfo", retryDelay="41s")), "", wait=41, retry_after=5),
    Passing(429, HTML, "", wait=7, retry_after=7),
    Passing(429, HTML, "", wait=30),
    # What is structured counts before the words.
    Passing(429, exhausted(MINUTE, message=DAY_IN_WORDS), "", wait=30),
]


def name_of(case: Final | Passing) -> str:
    body = case.body["error"]["status"] if isinstance(case.body, dict) else type(case.body).__name__
    return f"{case.status} {body} {case.says or case.wait}"


@pytest.fixture
async def places(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv(URL_VARIABLE, sandbox_url)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


@pytest.fixture
def holds(places: Responder) -> Iterator[list[float]]:
    """Seconds of every hold of the key's limit."""
    (limit,) = places.tools["GOOGLE_PLACES_SEARCH"].limits
    assert isinstance(limit, Limit)
    told: list[float] = []
    limit.tell_holds_to(told.append)
    yield told
    limit.tell_no_more(told.append)


async def search(places: Responder, **params: object) -> ToolCall:
    return await call_tool(places, "GOOGLE_PLACES_SEARCH", {"query": "dentists in Leeds", **params})


def assert_the_key_is_nowhere(call: ToolCall, caplog: pytest.LogCaptureFixture) -> None:
    assert KEY not in str(call.result)
    assert KEY not in str(call.progress)
    assert KEY not in caplog.text


def test_every_documented_error_stands_in_the_tables():
    bodies = [case.body["error"] for case in (*FINAL, *PASSING, *THROTTLED) if isinstance(case.body, dict)]
    assert {(body["code"], body["status"]) for body in bodies} >= DOCUMENTED
    assert {one.get("reason") for body in bodies for one in body["details"]} >= DOCUMENTED_REASONS


@pytest.mark.parametrize("case", FINAL, ids=name_of)
async def test_final_errors_say_what_to_do(places, add_fault, requests_to, caplog, case):
    caplog.set_level(logging.DEBUG)
    await add_fault(SEARCH, case.status, body=case.body)

    call = await search(places)

    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, case.code, False)
    assert case.says.rstrip(".") in (call.result.error_message or "")
    assert call.result.retry_after_ms is None
    assert len(await requests_to(SEARCH)) == 1
    assert_the_key_is_nowhere(call, caplog)


@pytest.mark.parametrize("case", PASSING, ids=name_of)
async def test_passing_errors_are_left_to_the_executor_and_say_when(places, add_fault, requests_to, caplog, case):
    caplog.set_level(logging.DEBUG)
    more = {} if case.retry_after is None else {"retryAfter": case.retry_after}
    await add_fault(SEARCH, case.status, body=case.body, **more)

    call = await search(places)

    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, case.code, True)
    assert case.says in (call.result.error_message or "")
    assert call.result.retry_after_ms == (None if case.wait is None else case.wait * 1000)
    assert len(await requests_to(SEARCH)) == 1
    assert_the_key_is_nowhere(call, caplog)


@pytest.mark.parametrize("case", THROTTLED, ids=name_of)
async def test_a_limit_per_minute_holds_the_key_and_costs_no_attempt(
    places, holds, add_fault, requests_to, caplog, case
):
    caplog.set_level(logging.DEBUG)
    more = {} if case.retry_after is None else {"retryAfter": case.retry_after}
    await add_fault(SEARCH, 429, body=case.body, **more)

    call = await search(places)

    assert holds == [case.wait]
    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, "busy", True)
    assert 0 < call.result.retry_after_ms <= case.wait * 1000
    assert "limits the searches per minute" in (call.result.error_message or "")
    assert len(await requests_to(SEARCH)) == 1
    assert_the_key_is_nowhere(call, caplog)


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"drop": "before"}, "network_error", "can't be reached at 127.0.0.1"),
        ({"drop": "during"}, "network_error", "can't be reached at 127.0.0.1"),
        ({"answer": "garbage"}, "bad_answer", "can't be read"),
        ({"answer": "html"}, "service_unavailable", OUTAGE),
    ],
)
async def test_broken_connections_and_answers_are_left_to_the_executor(
    places, add_fault, requests_to, caplog, fault, code, says
):
    caplog.set_level(logging.DEBUG)
    await add_fault(SEARCH, **fault)

    call = await search(places)

    assert (call.result.error_code, call.result.retryable) == (code, True)
    assert says in (call.result.error_message or "")
    assert len(await requests_to(SEARCH)) == 1
    assert_the_key_is_nowhere(call, caplog)


async def test_the_sandbox_s_own_refusal_of_a_wrong_key_is_understood(sandbox_url, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv(KEY_VARIABLE, "wrong-key-1234")
    monkeypatch.setenv(URL_VARIABLE, sandbox_url)
    served = responder()

    call = await search(served)
    await served.on_stop[0]()

    assert (call.result.error_code, call.result.retryable) == ("invalid_api_key", False)
    assert call.result.error_message == f"Google doesn't accept the API key. Check {KEY_VARIABLE}."
    assert "wrong-key-1234" not in caplog.text


async def test_the_sandbox_s_own_rate_limit_is_understood(places, holds, add_fault):
    await add_fault(SEARCH, 429)  # with the body that the sandbox itself gives to a 429

    call = await search(places)

    assert call.result.error_code == "busy"
    assert holds == [30]


async def test_an_api_that_cannot_be_reached_is_retryable_and_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv(URL_VARIABLE, f"http://127.0.0.1:{port}")
    served = responder()

    call = await search(served)
    await served.on_stop[0]()

    assert (call.result.error_code, call.result.retryable) == ("network_error", True)
    assert "127.0.0.1 (ConnectError)" in (call.result.error_message or "")


async def test_an_api_that_does_not_answer_in_time_is_retryable(places, monkeypatch, add_fault):
    monkeypatch.setattr("leadplan_web_apis.connection._TIMEOUT", httpx.Timeout(0.1))
    await add_fault(SEARCH, delayMs=5_000)

    call = await search(places)

    assert (call.result.error_code, call.result.retryable) == ("api_timeout", True)


async def test_the_key_stands_in_no_log_and_no_progress_of_a_search_that_succeeds(places, caplog):
    caplog.set_level(logging.DEBUG)

    call = await search(places)

    assert call.result.success
    assert call.progress
    assert caplog.records
    assert_the_key_is_nowhere(call, caplog)


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_the_tool_does_not_start_and_names_the_variable(monkeypatch, value):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    if value is not None:
        monkeypatch.setenv(KEY_VARIABLE, value)

    with pytest.raises(ConfigurationError, match=r"^GOOGLE_PLACES_API_KEY is not set"):
        responder()


@pytest.mark.parametrize(("setting", "per_minute"), [(None, 600), ("", 600), ("45", 45)])
def test_searches_a_minute_are_limited_by_key(monkeypatch, setting, per_minute):
    monkeypatch.setenv(KEY_VARIABLE, f"a-key-of-its-own-{setting}")
    if setting is not None:
        monkeypatch.setenv("GOOGLE_PLACES_PER_MINUTE", setting)

    limits = [served.tools["GOOGLE_PLACES_SEARCH"].limits for served in (responder(), responder())]

    assert limits[0] == limits[1]
    assert limits[0][0].rates.per_minute == per_minute


@pytest.mark.parametrize("setting", ["0", "-1", "many"])
def test_a_rate_that_cannot_be_kept_stops_the_start_and_names_the_variable(monkeypatch, setting):
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    monkeypatch.setenv("GOOGLE_PLACES_PER_MINUTE", setting)

    with pytest.raises(ConfigurationError, match=r"^GOOGLE_PLACES_PER_MINUTE "):
        responder()
