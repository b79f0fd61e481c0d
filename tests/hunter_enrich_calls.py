"""Calling HUNTER_ENRICH as its tests do."""

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from leadplan_hunter.enrich import responder
from leadplan_leads.addresses import address_digest
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool

FINDER, VERIFIER, PEOPLE, COMPANIES = (
    "/v2/email-finder",
    "/v2/email-verifier",
    "/v2/people/find",
    "/v2/companies/find",
)


@asynccontextmanager
async def serving(sandbox_url: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> AsyncIterator[Responder]:
    """The responder on the sandbox; it looks at slow verifications without much waiting."""
    settings = {
        "HUNTER_API_KEY": "sandbox-hunter-key",
        "HUNTER_BASE_URL": f"{sandbox_url}/v2",
        "HUNTER_VERIFIER_POLL_SECONDS": "0.01",
        **environment,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


async def enrich_emails(
    enrich: Responder,
    *emails: str,
    timeout_ms: int = 30_000,
    checkpoint: MutableMapping[str, Any] | None = None,
    **params: Any,
) -> ToolCall:
    given = {"emails": list(emails), **params}
    return await call_tool(enrich, "HUNTER_ENRICH", given, timeout_ms=timeout_ms, checkpoint=checkpoint)


async def enrich_people(
    enrich: Responder, *people: dict[str, Any], checkpoint: MutableMapping[str, Any] | None = None, **params: Any
) -> ToolCall:
    return await call_tool(enrich, "HUNTER_ENRICH", {"people": list(people), **params}, checkpoint=checkpoint)


async def enrich_domains(
    enrich: Responder, *domains: dict[str, Any], checkpoint: MutableMapping[str, Any] | None = None, **params: Any
) -> ToolCall:
    prior = {"domains": {"domains": list(domains), "contactsFound": 0, "creditsUsed": 0}}
    given = {"sourceStepId": "domains", **params}
    return await call_tool(enrich, "HUNTER_ENRICH", given, prior_results=prior, checkpoint=checkpoint)


def domain(*contacts: dict[str, Any], name: str = "sandbox.example", **more: Any) -> dict[str, Any]:
    return {"domain": name, "outcome": "found", "contacts": list(contacts), **more}


def contact(email: str, **more: Any) -> dict[str, Any]:
    return {"email": email, "type": "personal", "confidence": 80, **more}


def digests(*emails: str) -> list[str]:
    return sorted(address_digest(email) for email in emails)
