"""Hunter.io's API v2 over HTTP."""

import asyncio
import time
from collections.abc import Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel

from leadplan_hunter.api_answers import Company, DomainSearch, EmailVerification, Envelope, Person
from leadplan_hunter.api_errors import failures_by_reach
from leadplan_hunter.settings import LookupSettings
from leadplan_responder.limits import Limit, credential_limit
from leadplan_web_apis.hunter_connection import HunterConnection

DataT = TypeVar("DataT", bound=BaseModel)

# Requests per second and per minute, from Hunter's documentation.
_SEARCH_LIMITS = (15, 500)
_VERIFIER_LIMITS = (10, 300)
_ENRICHMENT_LIMITS = (15, 500)
# The verifier talks to the recipient's mail server and may take 20 seconds.
_SLOW_TIMEOUT = httpx.Timeout(25.0, connect=5.0)

STILL_RUNNING = 202
MAIL_SERVER_FAILED = 222
UNKNOWN = EmailVerification(status="unknown")


class HunterApi:
    """Calls Hunter, within its rate limits. It owns its HTTP connections: call `aclose` at the end.

    No call is repeated here. Each raises an error of `leadplan_hunter.errors`, which says how far it reaches.

    Attributes:
        limits: of each endpoint, shared by all who use the key in this process. A 429 holds the one that it is about.
    """

    def __init__(self, settings: LookupSettings) -> None:
        self._hunter = HunterConnection(settings)
        self._poll_seconds = settings.verifier_poll_seconds
        self._wait_seconds = settings.verifier_wait_seconds
        # The documentation doesn't say whether people and companies count together, so they do here.
        enrichment = _limit("Hunter enrichment", settings, *_ENRICHMENT_LIMITS)
        self.limits = {
            "domain-search": _limit("Hunter search", settings, *_SEARCH_LIMITS),
            "email-verifier": _limit("Hunter verifier", settings, *_VERIFIER_LIMITS),
            "people/find": enrichment,
            "companies/find": enrichment,
        }

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._hunter.aclose()

    async def search_domain(
        self, domain: str, filters: Mapping[str, str], *, limit: int, offset: int
    ) -> Envelope[DomainSearch]:
        """One page of the addresses known at a domain (``/domain-search``).

        Args:
            domain: a registrable domain.
            filters: Hunter's ``type``, ``seniority`` and ``department``.
            limit: 1 to 100; Hunter charges a credit for 10 addresses that it returns.
            offset: how many addresses to leave out.
        """
        query = {"domain": domain, **filters, "limit": str(limit), "offset": str(offset)}
        return self._read(await self._get("domain-search", query), Envelope[DomainSearch])

    async def verify_email(self, email: str) -> EmailVerification:
        """Whether mail to an address arrives (``/email-verifier``).

        Asks again while Hunter says that it isn't done (202), which is counted once, up to the configured ceiling.
        Past that, and when the recipient's mail server gave no usable answer (222), the status is ``unknown``.
        """
        ends_at = time.monotonic() + self._wait_seconds
        while True:
            answer = await self._get("email-verifier", {"email": email})
            if answer.status_code == MAIL_SERVER_FAILED:
                return UNKNOWN
            if answer.status_code != STILL_RUNNING:
                return self._read(answer, Envelope[EmailVerification]).data
            if time.monotonic() + self._poll_seconds > ends_at:
                return UNKNOWN
            await asyncio.sleep(self._poll_seconds)

    async def find_person(self, email: str) -> Person:
        """What is known of the person behind an address (``/people/find``)."""
        return self._read(await self._get("people/find", {"email": email}), Envelope[Person]).data

    async def find_company(self, domain: str) -> Company:
        """What is known of the company behind a domain (``/companies/find``)."""
        return self._read(await self._get("companies/find", {"domain": domain}), Envelope[Company]).data

    async def _get(self, endpoint: str, query: Mapping[str, str]) -> httpx.Response:
        verifies = endpoint == "email-verifier"
        async with self.limits[endpoint]:
            with failures_by_reach():
                return await self._hunter.call(
                    "GET",
                    f"/{endpoint}",
                    query=query,
                    allowance="verifications" if verifies else "searches",
                    timeout=_SLOW_TIMEOUT if verifies else None,
                )

    def _read(self, answer: httpx.Response, model: type[DataT]) -> DataT:
        with failures_by_reach():
            return self._hunter.read(answer, model)


def _limit(counted_together: str, settings: LookupSettings, per_second: int, per_minute: int) -> Limit:
    # Hunter counts and doesn't mind how evenly calls come: a few lookups needn't wait for one another.
    return credential_limit(
        counted_together, key=settings.api_key, per_second=per_second, per_minute=per_minute, burst=per_second
    )
