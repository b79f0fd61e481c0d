"""Pages that were paid for: kept over failed attempts, and returned when the rest can't be had."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from leadplan_google_places.responder import responder
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool
from leadplan_sandbox import SandboxSettings, serving

SEARCH = "/v1/places:searchText"
KEY = "sandbox-google-key"
PER_DAY = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota exceeded: per day"}}
PER_MINUTE = {
    "error": {
        "code": 429,
        "status": "RESOURCE_EXHAUSTED",
        "message": "Quota exceeded: per minute",
        "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}],
    }
}
KEY_REFUSED = {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "API key not valid."}}


@pytest.fixture
async def places(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "sandbox-google-key")
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", sandbox_url)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


@pytest.fixture
def attempt(places):
    """Attempts of one step: what one keeps, the next finds."""
    kept: dict[str, Any] = {}

    async def run(**params: Any) -> ToolCall:
        wanted = {"query": "dentists in Leeds", "maxResults": 60, **params}
        return await call_tool(places, "GOOGLE_PLACES_SEARCH", wanted, checkpoint=kept)

    return run


def ids(call: ToolCall) -> list[str]:
    return [place["placeId"] for place in call.data["places"]]


async def answered(requests_to: Any) -> list[int]:
    return [request["status"] for request in await requests_to(SEARCH)]


@pytest.mark.parametrize("fails_at", [1, 2])
async def test_pages_of_a_failed_attempt_are_not_fetched_and_not_paid_for_again(
    places, attempt, add_fault, requests_to, fails_at
):
    undisturbed = await call_tool(places, "GOOGLE_PLACES_SEARCH", {"query": "dentists in Leeds", "maxResults": 60})
    await add_fault(SEARCH, 503, after=fails_at, times=1)

    first = await attempt()
    second = await attempt()

    assert (first.result.error_code, first.data) == ("service_unavailable", None)
    assert second.data == undisturbed.data
    assert second.data["pagesFetched"] == 3
    # Three of the undisturbed search, then three paid ones in all.
    assert await answered(requests_to) == [200] * (3 + fails_at) + [503] + [200] * (3 - fails_at)


async def test_an_attempt_that_goes_on_says_so_in_its_progress(attempt, add_fault):
    await add_fault(SEARCH, 503, after=1, times=1)
    await attempt(includeClosed=True)

    second = await attempt(includeClosed=True)

    assert second.progress == [
        (20 / 60, "page 1 (kept from an earlier attempt): 20 of up to 60 places"),
        (40 / 60, "page 2: 40 of up to 60 places"),
        (1.0, "page 3: 60 of up to 60 places"),
    ]


async def test_a_limit_in_the_middle_is_answered_busy_and_loses_no_page(attempt, add_fault, requests_to, monkeypatch):
    monkeypatch.setattr("leadplan_google_places.api_errors.SHORTEST_RATE_LIMIT_WAIT_SECONDS", 0.5)
    await add_fault(SEARCH, 429, body=PER_MINUTE, after=1, times=1)

    first = await attempt()
    second = await attempt()

    assert (first.result.error_code, first.result.retryable) == ("busy", True)
    assert 0 < (first.result.retry_after_ms or 0) <= 500
    assert second.result.success
    assert await answered(requests_to) == [200, 429, 200, 200]


async def test_an_attempt_that_gets_no_turn_in_time_is_answered_busy_and_keeps_its_pages(monkeypatch):
    with serving(SandboxSettings.model_construct(port=0, google_key=SecretStr("a-slow-key"))) as url:
        monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "a-slow-key")
        monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", url)
        monkeypatch.setenv("GOOGLE_PLACES_PER_MINUTE", "1")
        served = responder()
        kept: dict[str, Any] = {}
        params = {"query": "dentists in Leeds", "maxResults": 60}

        call = await call_tool(served, "GOOGLE_PLACES_SEARCH", params, checkpoint=kept, timeout_ms=10_100)
        await served.on_stop[0]()

    assert (call.result.error_code, call.result.retryable, call.result.retry_after_ms) == ("busy", True, 5_000)
    assert "goes on when there is room" in (call.result.error_message or "")
    assert kept["pages"]["pages"] == 1


async def test_a_search_whose_last_page_was_kept_costs_nothing_more(attempt, requests_to):
    first = await attempt()
    again = await attempt()

    assert again.data == first.data
    assert len(await requests_to(SEARCH)) == 3


async def test_a_token_that_google_has_forgotten_makes_the_search_begin_anew(
    attempt, add_fault, requests_to, sandbox_admin
):
    await add_fault(SEARCH, 503, after=1, times=1)
    await attempt()
    before = await answered(requests_to)
    await sandbox_admin.post("/admin/reset")  # the sandbox knows none of its tokens any more

    second = await attempt()

    assert before == [200, 503]
    assert await answered(requests_to) == [400, 200, 200, 200]
    assert len(set(ids(second))) + second.data["closedLeftOut"] == 60
    assert second.data["pagesFetched"] == 4  # the first one was paid for twice, and the result says so
    assert "incomplete" not in second.data


async def test_beginning_anew_is_tried_once_and_a_passing_failure_keeps_the_pages(
    attempt, add_fault, requests_to, sandbox_admin
):
    await add_fault(SEARCH, 503, after=1, times=1)
    await attempt()
    await sandbox_admin.post("/admin/reset")
    await add_fault(SEARCH, 503, after=1, times=1)

    second = await attempt()
    await add_fault(SEARCH, 429, body=PER_DAY, after=1, times=1)
    third = await attempt()

    assert (second.result.error_code, second.result.retryable) == ("service_unavailable", True)
    assert await answered(requests_to) == [400, 503, 400, 429]
    # The day's quota is used up, but the page of the first attempt is still there.
    assert third.result.success
    assert third.data["pagesFetched"] == 1
    assert len(third.data["places"]) + third.data["closedLeftOut"] == 20
    assert "Today's quota" in third.data["incomplete"]


@pytest.mark.parametrize(
    ("status", "body", "because"),
    [
        (429, PER_DAY, "Today's quota of Google Places searches is used up"),
        (400, KEY_REFUSED, "Check GOOGLE_PLACES_API_KEY"),
        (400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "No."}}, "refuses this search: No."),
        (403, {"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "No."}}, "Google denies the search"),
        (404, "<html>", "GOOGLE_PLACES_BASE_URL"),
        (302, "", "GOOGLE_PLACES_BASE_URL"),
    ],
)  # fmt: skip
async def test_paid_pages_are_returned_when_a_later_one_is_not_to_be_had(
    attempt, add_fault, requests_to, status, body, because
):
    await add_fault(SEARCH, status, body=body, after=2)

    call = await attempt()

    assert call.result.success
    assert call.data["pagesFetched"] == 2
    assert len(call.data["places"]) + call.data["closedLeftOut"] == 40
    assert call.data["incomplete"].startswith("Page 3 couldn't be had, so places may be missing. ")
    assert because in call.data["incomplete"]
    assert KEY not in call.data["incomplete"]
    assert call.progress[-1] == (1.0, f"{len(call.data['places'])} places; page 3 couldn't be had")
    assert await answered(requests_to) == [200, 200, status]


async def test_without_a_first_page_a_final_error_is_the_step_s_error(attempt, add_fault):
    await add_fault(SEARCH, 429, body=PER_DAY)

    call = await attempt()

    assert (call.result.error_code, call.result.retryable, call.data) == ("quota_exceeded", False, None)


async def test_a_checkpoint_of_another_shape_is_passed_over(places, requests_to):
    kept = {"pages": {"places": "many", "nextPageToken": "t"}, "something else": 5}

    params = {"query": "dentists in Leeds", "maxResults": 3}
    call = await call_tool(places, "GOOGLE_PLACES_SEARCH", params, checkpoint=kept)

    assert len(call.data["places"]) == 3
    assert await answered(requests_to) == [200]
    assert "sandbox-google-key" not in str(kept)
