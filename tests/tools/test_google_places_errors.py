import logging
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from leadplan_google_places.responder import responder
from leadplan_responder import ConfigurationError, Responder
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v1/places:searchText"
KEY = "sandbox-google-key"


@pytest.fixture
async def places(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", sandbox_url)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


async def search(places: Responder, **params: object) -> ToolCall:
    return await call_tool(places, "GOOGLE_PLACES_SEARCH", {"query": "dentists in Leeds", **params})


def error(code: int, status: str, message: str, *details: dict[str, object]) -> dict[str, object]:
    return {"error": {"code": code, "status": status, "message": message, "details": list(details)}}


def info(reason: str, **metadata: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "metadata": metadata}


def retry_info(delay: str) -> dict[str, object]:
    return {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}


def too_many(*details: dict[str, object]) -> dict[str, object]:
    return error(429, "RESOURCE_EXHAUSTED", "Quota exceeded.", *details)


KEY_EXPIRED = error(400, "INVALID_ARGUMENT", "API key expired. Please renew the API key.")
BAD_FIELD = {
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    "fieldViolations": [{"field": "included_type", "description": "no such type"}],
}
BAD_VALUE = error(400, "INVALID_ARGUMENT", "Bad value.", BAD_FIELD)
DENIED_SITE = "Requests from referer <empty> are blocked."
PER_MINUTE = info(
    "RATE_LIMIT_EXCEEDED", quota_limit="SearchTextRequestPerMinutePerProject", quota_unit="1/min/{project}"
)
PER_DAY = info("RATE_LIMIT_EXCEEDED", quota_limit="SearchTextRequestPerDayPerProject", quota_unit="1/d/{project}")
PER_DAY_TEXT = "Quota exceeded for quota metric 'SearchTextRequest' and limit 'SearchTextRequest per day'"


async def test_a_wrong_key_is_final_and_names_the_variable(sandbox_url, monkeypatch):
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "wrong-key-1234")
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", sandbox_url)
    served = responder()

    call = await search(served)
    await served.on_stop[0]()

    assert call.result.error_code == "invalid_api_key"
    assert call.result.retryable is False
    assert "GOOGLE_PLACES_API_KEY" in (call.result.error_message or "")
    assert "wrong-key-1234" not in (call.result.error_message or "")


@pytest.mark.parametrize(
    ("status", "body", "code", "says"),
    [
        (400, KEY_EXPIRED, "invalid_api_key", "GOOGLE_PLACES_API_KEY"),
        (400, BAD_VALUE, "invalid_request", "included_type: no such type"),
        (400, error(400, "FAILED_PRECONDITION", "Not now."), "invalid_request", "Not now."),
        (400, "<html>Bad Request</html>", "invalid_request", "no explanation given"),
        (401, error(401, "UNAUTHENTICATED", "Bad token."), "invalid_api_key", "GOOGLE_PLACES_API_KEY"),
        (403, error(403, "PERMISSION_DENIED", "x", info("SERVICE_DISABLED")), "access_denied", "not switched on"),
        (403, error(403, "PERMISSION_DENIED", "x", info("BILLING_DISABLED")), "access_denied", "billing"),
        (403, error(403, "PERMISSION_DENIED", "x", info("API_KEY_IP_ADDRESS_BLOCKED")), "access_denied", "IP address"),
        (403, error(403, "PERMISSION_DENIED", DENIED_SITE), "access_denied", DENIED_SITE),
        (404, error(404, "NOT_FOUND", "x"), "not_found", "GOOGLE_PLACES_BASE_URL"),
        (429, too_many(PER_DAY), "quota_exceeded", "Today's quota"),
        (429, error(429, "RESOURCE_EXHAUSTED", PER_DAY_TEXT), "quota_exceeded", "Today's quota"),
        (499, error(499, "CANCELLED", "Gone."), "unexpected_answer", "Gone."),
        (501, error(501, "UNIMPLEMENTED", "Not here."), "unexpected_answer", "Not here."),
    ],
)  # fmt: skip
async def test_final_errors_say_what_to_do(places, add_fault, status, body, code, says):
    await add_fault(SEARCH, status, body=body)

    call = await search(places)

    assert call.result.success is False
    assert (call.result.error_code, call.result.retryable) == (code, False)
    assert says in (call.result.error_message or "")


@pytest.mark.parametrize(
    ("fault", "code", "retry_after_ms"),
    [
        ({"status": 429, "body": too_many(PER_MINUTE)}, "rate_limited", 30_000),
        ({"status": 429, "body": too_many(PER_MINUTE, retry_info("41s"))}, "rate_limited", 41_000),
        ({"status": 429, "body": too_many(retry_info("1.5s"))}, "rate_limited", 1_500),
        ({"status": 429, "body": "<html>slow down</html>", "retryAfter": 7}, "rate_limited", 7_000),
        ({"status": 500, "body": error(500, "INTERNAL", "x")}, "service_unavailable", None),
        ({"status": 502, "body": "<!DOCTYPE html><title>Bad Gateway</title>"}, "service_unavailable", None),
        ({"status": 503, "body": error(503, "UNAVAILABLE", "x"), "retryAfter": 3}, "service_unavailable", 3_000),
        ({"status": 504, "body": error(504, "DEADLINE_EXCEEDED", "x")}, "service_unavailable", None),
        ({"status": 200, "body": "<html>a proxy's page</html>"}, "bad_answer", None),
        ({"status": 200, "body": [1, 2]}, "bad_answer", None),
    ],
)  # fmt: skip
async def test_passing_errors_are_retryable_and_say_when(places, add_fault, fault, code, retry_after_ms):
    await add_fault(SEARCH, **fault)

    call = await search(places)

    assert call.result.success is False
    assert (call.result.error_code, call.result.retryable) == (code, True)
    assert call.result.retry_after_ms == retry_after_ms


async def test_a_failed_call_is_not_repeated_by_the_tool(places, add_fault, requests_to):
    await add_fault(SEARCH, 503, times=1)

    call = await search(places)

    assert call.result.success is False
    assert len(await requests_to(SEARCH)) == 1


async def test_a_later_page_that_fails_fails_the_attempt(places, sandbox_admin, add_fault):
    await add_fault(SEARCH, 200, times=1, body={"places": [{"id": "p1"}], "nextPageToken": "t"})
    await add_fault(SEARCH, 503, times=1)

    call = await search(places)

    assert call.result.error_code == "service_unavailable"
    assert call.data is None


async def test_an_api_that_cannot_be_reached_is_retryable_and_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", f"http://127.0.0.1:{port}")
    served = responder()

    call = await search(served)
    await served.on_stop[0]()

    assert (call.result.error_code, call.result.retryable) == ("network_error", True)
    assert "127.0.0.1 (ConnectError)" in (call.result.error_message or "")


async def test_an_api_that_does_not_answer_in_time_is_retryable(sandbox_url, monkeypatch, add_fault):
    monkeypatch.setattr("leadplan_web_apis.connection._TIMEOUT", httpx.Timeout(0.1))
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", KEY)
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", sandbox_url)
    await add_fault(SEARCH, delayMs=5_000)
    served = responder()

    call = await search(served)
    await served.on_stop[0]()

    assert (call.result.error_code, call.result.retryable) == ("api_timeout", True)


async def test_the_key_stands_in_no_log_and_no_error_even_when_the_api_repeats_it(places, add_fault, caplog):
    caplog.set_level(logging.DEBUG)
    await search(places)
    await add_fault(SEARCH, 400, body=error(400, "INVALID_ARGUMENT", f"key {KEY} may not do this"))

    call = await search(places)

    assert "may not do this" in (call.result.error_message or "")
    assert KEY not in (call.result.error_message or "")
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize("value", [None, "", "  "])
def test_without_a_key_the_tool_does_not_start_and_names_the_variable(monkeypatch, value):
    monkeypatch.delenv("GOOGLE_PLACES_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("GOOGLE_PLACES_API_KEY", value)

    with pytest.raises(ConfigurationError, match=r"^GOOGLE_PLACES_API_KEY is not set"):
        responder()
