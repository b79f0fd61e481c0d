"""Several attempts of one step: what is answered is neither asked nor paid for again."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from hunter_enrich_calls import (
    COMPANIES,
    FINDER,
    PEOPLE,
    VERIFIER,
    contact,
    domain,
    enrich_domains,
    enrich_emails,
    enrich_people,
    serving,
)

from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


async def after_the_pause(busy: ToolCall, again: Callable[[], Awaitable[ToolCall]]) -> ToolCall:
    """The next attempt, when the executor would send it."""
    while busy.result.error_code == "busy":
        await asyncio.sleep((busy.result.retry_after_ms or 0) / 1000)
        busy = await again()
    return busy


CROWD = [f"person{number}@sandbox.example" for number in range(8)]


async def test_a_second_attempt_asks_nothing_that_was_answered_and_tells_the_same(enrich, requests_to, sandbox_admin):
    source = domain(*map(contact, CROWD), contact("smtp-failure@sandbox.example"))
    checkpoint: dict[str, object] = {}
    first = await enrich_domains(enrich, source, checkpoint=checkpoint)
    await sandbox_admin.delete("/admin/requests")

    second = await enrich_domains(enrich, source, checkpoint=checkpoint)

    # A mail server that failed is no result: it is asked again.
    assert [request["query"]["email"] for request in await requests_to("/v2/")] == ["smtp-failure@sandbox.example"]
    assert second.data == first.data
    assert first.data["creditsUsed"] == len(CROWD) + len(CROWD) + 1 + 1


async def test_nothing_known_is_an_answer_and_is_kept_as_well(enrich, requests_to):
    checkpoint: dict[str, object] = {}
    await enrich_emails(enrich, "unknown@sandbox.example", verify=False, enrichCompany=False, checkpoint=checkpoint)
    await enrich_emails(enrich, "unknown@sandbox.example", verify=False, enrichCompany=False, checkpoint=checkpoint)

    assert [request["status"] for request in await requests_to(PEOPLE)] == [404]


async def test_failures_are_not_kept(enrich, add_fault, requests_to):
    checkpoint: dict[str, object] = {}
    await add_fault(PEOPLE, 500, times=1)
    await add_fault(COMPANIES, 200, body="<html>no</html>", times=1)
    first = await enrich_emails(enrich, "valid@sandbox.example", checkpoint=checkpoint)
    second = await enrich_emails(enrich, "valid@sandbox.example", checkpoint=checkpoint)

    assert [entry["lookups"] for entry in first.data["incomplete"]] == [["people-find"], ["companies-find"]]
    assert second.data["incomplete"] == []
    assert second.data["leads"][0]["sources"] == ["email-verifier", "people-find", "companies-find"]
    assert Counter(request["path"] for request in await requests_to("/v2/")) == {VERIFIER: 1, PEOPLE: 2, COMPANIES: 2}


@pytest.mark.parametrize("path", [VERIFIER, PEOPLE, COMPANIES])
async def test_a_429_in_the_middle_costs_no_answer(enrich, add_fault, requests_to, sandbox_url, monkeypatch, path):
    checkpoint: dict[str, object] = {}
    await add_fault(path, 429, retryAfter=1, times=1)
    first = await enrich_emails(enrich, *CROWD, checkpoint=checkpoint)
    assert (first.result.success, first.result.error_code, first.result.retryable) == (False, "busy", True)
    assert 0 < (first.result.retry_after_ms or 0) <= 1_000
    assert (first.progress[-1][1] or "").endswith("; Hunter asked for a pause of 1 s")

    second = await after_the_pause(first, lambda: enrich_emails(enrich, *CROWD, checkpoint=checkpoint))

    assert [lead["email"] for lead in second.data["leads"]] == CROWD
    assert second.data["incomplete"] == []
    answered = Counter(
        (request["path"], *request["query"].values())
        for request in await requests_to("/v2/")
        if request["status"] != 429
    )
    assert set(answered.values()) == {1}
    assert len(answered) == 2 * len(CROWD) + 1
    assert second.data["creditsUsed"] == len(answered)


async def test_a_person_is_not_looked_for_again(enrich, add_fault, requests_to):
    wanted = {"fullName": "Valid Example", "domain": "sandbox.example"}
    nobody = {"fullName": "No Body", "domain": "sandbox.example"}
    checkpoint: dict[str, object] = {}
    await add_fault(PEOPLE, 429, retryAfter=1, times=1)
    first = await enrich_people(enrich, wanted, nobody, checkpoint=checkpoint)
    assert first.result.error_code == "busy"

    second = await after_the_pause(first, lambda: enrich_people(enrich, wanted, nobody, checkpoint=checkpoint))

    assert [lead["email"] for lead in second.data["leads"]] == ["valid@sandbox.example"]
    assert [one["person"] for one in second.data["notFound"]] == [nobody]
    assert len(await requests_to(FINDER)) == 2
    # Found, verified unless that was known already, person and company.
    assert second.data["creditsUsed"] == 3 + len(await requests_to(VERIFIER))


async def test_when_the_allowance_ends_in_the_middle_what_is_paid_for_is_returned(enrich, add_fault):
    await add_fault(PEOPLE, 402)

    call = await enrich_emails(enrich, "valid@sandbox.example", "pending@sandbox.example")

    assert call.result.success
    assert len(call.data["leads"]) == 2
    reasons = {lookup: entry["reason"] for entry in call.data["incomplete"] for lookup in entry["lookups"]}
    assert set(reasons) >= {"people-find", "companies-find"}
    assert all(reason.startswith("This month's allowance") for reason in reasons.values())


async def test_an_attempt_that_can_do_nothing_returns_what_earlier_ones_did(enrich, add_fault):
    checkpoint: dict[str, object] = {}
    await enrich_emails(enrich, "valid@sandbox.example", enrichPerson=False, checkpoint=checkpoint)
    await add_fault("/v2/", 503)

    call = await enrich_emails(enrich, "valid@sandbox.example", checkpoint=checkpoint)

    assert call.result.success
    assert call.data["leads"][0]["sources"] == ["email-verifier", "companies-find"]
    assert [entry["lookups"] for entry in call.data["incomplete"]] == [["people-find"]]


async def test_many_slow_verifications_starve_nobody(sandbox_url, monkeypatch, add_fault, requests_to):
    """Those that never end wait beside the others, which are all done within the step's time."""
    environment = {"HUNTER_VERIFIER_POLL_SECONDS": "30", "HUNTER_VERIFIER_WAIT_SECONDS": "60"}
    stuck = 12
    await add_fault(VERIFIER, 202, times=stuck)
    slow = [f"slow{number}@sandbox.example" for number in range(stuck)]
    async with serving(sandbox_url, monkeypatch, **environment) as served:
        call = await enrich_emails(served, *slow, *CROWD, enrichPerson=False, enrichCompany=False, timeout_ms=5_000)

    assert call.result.success
    statuses = {lead["email"]: lead.get("verificationStatus") for lead in call.data["leads"]}
    assert Counter(statuses.values()) == {"valid": len(CROWD), None: stuck}
    assert {entry["lookups"][0] for entry in call.data["incomplete"]} == {"email-verifier"}
    assert len(call.data["incomplete"]) == stuck
