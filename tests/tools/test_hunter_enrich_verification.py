"""When the verifier is asked, and what its answers mean."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from hunter_enrich_calls import VERIFIER, contact, domain, enrich_domains, enrich_emails, serving

from leadplan_responder import Responder


@pytest.fixture
async def enrich(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    async with serving(sandbox_url, monkeypatch) as served:
        yield served


async def test_a_verification_that_still_runs_is_asked_for_again(enrich, requests_to):
    call = await enrich_emails(enrich, "pending@sandbox.example", enrichPerson=False, enrichCompany=False)

    assert call.data["leads"][0]["verificationStatus"] == "valid"
    assert [request["status"] for request in await requests_to(VERIFIER)] == [202, 202, 200]


async def test_a_verification_that_never_ends_counts_as_unknown_after_the_ceiling(
    sandbox_url, monkeypatch, requests_to
):
    async with serving(sandbox_url, monkeypatch, HUNTER_VERIFIER_WAIT_SECONDS="0.1") as served:
        source = domain(contact("stuck@sandbox.example"))
        call = await enrich_domains(served, source, enrichPerson=False, enrichCompany=False)

    (lead,) = call.data["leads"]
    assert (lead["verificationStatus"], lead["confidence"]) == ("unknown", 80)
    assert call.data["incomplete"] == [
        {
            "email": "stuck@sandbox.example",
            "lookups": ["email-verifier"],
            "reason": "Hunter's verification wasn't done after 0.1 seconds.",
        }
    ]
    assert {request["status"] for request in await requests_to(VERIFIER)} == {202}
    assert len(await requests_to(VERIFIER)) > 1
    assert call.data["creditsUsed"] == 0


async def test_a_mail_server_that_answers_wrongly_makes_the_status_unknown(enrich, requests_to):
    call = await enrich_emails(enrich, "smtp-failure@sandbox.example", enrichPerson=False, enrichCompany=False)

    assert call.data["leads"][0]["verificationStatus"] == "unknown"
    assert call.data["incomplete"] == [
        {
            "email": "smtp-failure@sandbox.example",
            "lookups": ["email-verifier"],
            "reason": "The recipient's mail server gave Hunter no usable answer.",
        }
    ]
    assert [request["status"] for request in await requests_to(VERIFIER)] == [222]


@pytest.mark.parametrize(
    ("known", "asked"),
    [
        ({"verificationStatus": "valid", "verifiedOn": "DAY-0"}, False),
        ({"verificationStatus": "accept_all", "verifiedOn": "DAY-30"}, False),
        ({"verificationStatus": "valid", "verifiedOn": "DAY-31"}, True),
        ({"verificationStatus": "valid"}, False),
        ({"verificationStatus": "valid", "verifiedOn": "soon"}, False),
        ({"verificationStatus": "unknown", "verifiedOn": "DAY-1"}, True),
        ({"verifiedOn": "DAY-1"}, True),
        ({}, True),
    ],
)
@pytest.mark.parametrize("again", [False, True])
async def test_a_recent_verification_is_not_paid_for_again(enrich, requests_to, known, asked, again):
    known = {name: _day(value) if value.startswith("DAY-") else value for name, value in known.items()}

    source = domain(contact("accept-all@sandbox.example", **known))
    call = await enrich_domains(enrich, source, enrichPerson=False, enrichCompany=False, verifyAgain=again)

    assert len(await requests_to(VERIFIER)) == (asked or again)
    (lead,) = call.data["leads"]
    if asked or again:
        assert (lead["verificationStatus"], lead["verifiedOn"]) == ("accept_all", _day("DAY-0"))
        assert lead["provenance"]["verificationStatus"] == "email-verifier"
    else:
        assert (lead["verificationStatus"], lead["confidence"]) == (known["verificationStatus"], 80)
        assert lead["provenance"]["verificationStatus"] == "domain-search"
    assert call.data["creditsUsed"] == (asked or again)


def _day(days_ago: str) -> str:
    return (datetime.now(UTC).date() - timedelta(days=int(days_ago.removeprefix("DAY-")))).isoformat()
