"""What an attempt of a lookup leaves to the next one: what is found is neither asked for nor paid again."""

from collections.abc import AsyncIterator
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
ALL = [EIGHT, SIX, FIVE, NOBODY]


@pytest.fixture
async def lookup(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("HUNTER_API_KEY", "sandbox-hunter-key")
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


@pytest.fixture
def attempt(lookup: Responder):
    async def run(checkpoint: dict[str, Any], *domains: str, timeout_ms: int = 30_000, **params: Any) -> ToolCall:
        params = {"domains": list(domains), **params}
        return await call_tool(lookup, "HUNTER_DOMAIN_LOOKUP", params, checkpoint=checkpoint, timeout_ms=timeout_ms)

    return run


@pytest.fixture
def searched(requests_to):
    async def ask() -> list[str]:
        return sorted(request["query"]["domain"] for request in await requests_to(SEARCH))

    return ask


@pytest.fixture
def pause_is_over(lookup: Responder, eventually):
    """The executor sends the attempt again after the pause."""

    async def wait() -> None:
        await eventually(lambda: lookup.tools["HUNTER_DOMAIN_LOOKUP"].held_for_ms() == 0, what="the end of the pause")

    return wait


def page_of(start: int, size: int, total: int) -> dict[str, Any]:
    emails = [{"value": f"p{number}@acme.com", "first_name": "P"} for number in range(start, start + size)]
    return {"data": {"emails": emails, "organization": "Acme", "pattern": "{first}"}, "meta": {"results": total}}


async def test_what_was_found_is_kept_and_not_asked_again(attempt, searched, sandbox_admin):
    kept: dict[str, Any] = {}
    first = await attempt(kept, *ALL)
    assert sorted(kept) == sorted(ALL)
    await sandbox_admin.delete("/admin/requests")

    second = await attempt(kept, *ALL)

    assert second.data == first.data
    assert second.data["creditsUsed"] == 3
    assert second.progress == [(1.0, "4 of 4 domains")]
    assert await searched() == []


async def test_failures_are_asked_again(attempt, searched, add_fault, sandbox_admin):
    kept: dict[str, Any] = {}
    await add_fault(SEARCH, 503, contains=SIX, times=1)
    first = await attempt(kept, *ALL)
    assert [one["outcome"] for one in first.data["domains"]] == ["found", "failed", "found", "none"]
    await sandbox_admin.delete("/admin/requests")

    second = await attempt(kept, *ALL)

    assert await searched() == [SIX]
    assert [one["outcome"] for one in second.data["domains"]] == ["found", "found", "found", "none"]
    assert [message for _, message in second.progress] == ["3 of 4 domains", "4 of 4 domains"]


async def test_while_others_are_paused_an_attempt_asks_nothing(attempt, searched, lookup):
    lookup.tools["HUNTER_DOMAIN_LOOKUP"].limits[0].hold(30)

    call = await attempt({}, EIGHT, SIX)

    assert call.result.error_code == "busy"
    assert call.progress == [(0.0, "0 of 2 domains; Hunter asked for a pause of 30 s")]
    assert await searched() == []


async def test_owners_who_objected_and_mail_providers_are_not_asked_again(attempt, searched, add_fault, sandbox_admin):
    kept: dict[str, Any] = {}
    await add_fault(SEARCH, 451, contains=EIGHT)
    provider = {"data": {"webmail": True, "emails": [{"value": "a@acme.com"}]}, "meta": {"results": 1}}
    await add_fault(SEARCH, 200, contains=SIX, body=provider)
    first = await attempt(kept, EIGHT, SIX)
    await sandbox_admin.delete("/admin/requests")

    second = await attempt(kept, EIGHT, SIX)

    assert first.data == second.data
    assert [(one["outcome"], one["contacts"]) for one in second.data["domains"]] == [("skipped", []), ("skipped", [])]
    assert "acme.com" not in str(kept)
    assert second.data["creditsUsed"] == 1
    assert await searched() == []


async def test_a_later_attempt_goes_on_with_the_page_that_failed(
    attempt, requests_to, add_fault, sandbox_admin, pause_is_over
):
    kept: dict[str, Any] = {}
    await add_fault(SEARCH, 200, times=1, body=page_of(0, 100, 120))
    await add_fault(SEARCH, 429, times=1, retryAfter=1)
    first = await attempt(kept, "acme.com", contactsPerDomain=300)
    assert first.result.error_code == "busy"
    await sandbox_admin.delete("/admin/requests")
    await add_fault(SEARCH, 200, times=1, body=page_of(100, 20, 120))
    await pause_is_over()

    second = await attempt(kept, "acme.com", contactsPerDomain=300)

    (request,) = await requests_to(SEARCH)
    assert (request["query"]["limit"], request["query"]["offset"]) == ("100", "100")
    (domain,) = second.data["domains"]
    assert [contact["email"] for contact in domain["contacts"]] == [f"p{number}@acme.com" for number in range(120)]
    assert (domain["outcome"], domain["company"], domain["pattern"]) == ("found", "Acme", "{first}")
    assert second.data["creditsUsed"] == 12


async def test_calls_under_way_at_a_429_are_kept(attempt, searched, add_fault, sandbox_admin, pause_is_over):
    kept: dict[str, Any] = {}
    await add_fault(SEARCH, contains=EIGHT, delayMs=300)
    await add_fault(SEARCH, 429, contains=SIX, times=1, retryAfter=1)

    first = await attempt(kept, EIGHT, SIX)

    assert (first.result.error_code, first.result.retryable) == ("busy", True)
    assert list(kept) == [EIGHT]
    assert first.progress[-1] == (0.5, "1 of 2 domains; Hunter asked for a pause of 1 s")
    await sandbox_admin.delete("/admin/requests")
    await pause_is_over()
    second = await attempt(kept, EIGHT, SIX)
    assert await searched() == [SIX]
    assert [one["outcome"] for one in second.data["domains"]] == ["found", "found"]


async def test_when_the_month_is_used_up_in_the_middle_what_was_found_is_the_result(attempt, add_fault):
    kept: dict[str, Any] = {}
    await attempt(kept, EIGHT)
    await add_fault(SEARCH, 402)

    call = await attempt(kept, EIGHT, SIX, FIVE)

    assert call.result.success
    assert [one["outcome"] for one in call.data["domains"]] == ["found", "failed", "failed"]
    assert {one.get("reason") for one in call.data["domains"][1:]} == {
        "This month's allowance of the Hunter plan is used up. It is renewed on 2026-12-01."
    }
    assert call.data["creditsUsed"] == 1


async def test_a_used_up_month_with_nothing_found_fails_the_step(attempt, add_fault):
    await add_fault(SEARCH, 402)

    call = await attempt({}, EIGHT, SIX)

    assert (call.result.error_code, call.result.retryable) == ("quota_exceeded", False)


async def test_items_that_cannot_be_read_are_asked_for_again(attempt, searched):
    call = await attempt({EIGHT: {"end": "elsewhere"}, SIX: "?", FIVE: {"contacts": [{"name": "Ada"}]}}, EIGHT, SIX)

    assert [one["outcome"] for one in call.data["domains"]] == ["found", "found"]
    assert await searched() == sorted([EIGHT, SIX])
