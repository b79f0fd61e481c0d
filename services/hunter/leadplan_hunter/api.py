"""Hunter.io's API v2 over HTTP."""

import asyncio
import time
from collections.abc import Mapping
from typing import TypeVar

import httpx
from pydantic import BaseModel

from leadplan_hunter.api_answers import (
    Company,
    DomainSearch,
    EmailFoundByName,
    EmailVerification,
    Envelope,
    NoVerification,
    Person,
)
from leadplan_hunter.api_errors import failures_by_reach
from leadplan_hunter.bounded_work import interruptible, turn
from leadplan_hunter.errors import CallFailedError
from leadplan_hunter.settings import LookupSettings
from leadplan_responder.limits import Limit, credential_limit
from leadplan_web_apis.hunter_connection import HunterConnection

DataT = TypeVar("DataT", bound=BaseModel)

# Requests per second and per minute, from Hunter's documentation.
_SEARCH_LIMITS = (15, 500)
_VERIFIER_LIMITS = (10, 300)
_ENRICHMENT_LIMITS = (15, 500)
_FINDER_LIMITS = (15, 500)
# The verifier talks to the recipient's mail server, the finder searches: both may take 20 seconds.
_SLOW_TIMEOUT = httpx.Timeout(25.0, connect=5.0)

STILL_RUNNING = 202
MAIL_SERVER_FAILED = 222
_SLOW = frozenset({"email-verifier", "email-finder"})
_NAMES = frozenset({"first_name", "last_name", "full_name", "linkedin_handle"})


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
        self._finder_seconds = settings.finder_seconds
        # The documentation doesn't say whether people and companies count together, so they do here.
        enrichment = _limit("Hunter enrichment", settings, *_ENRICHMENT_LIMITS)
        self.limits = {
            "domain-search": _limit("Hunter search", settings, *_SEARCH_LIMITS),
            "email-finder": _limit("Hunter finder", settings, *_FINDER_LIMITS),
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
            filters: Hunter's own, such as ``type`` and ``seniority``.
            limit: 1 to 100; Hunter charges a credit for 10 addresses that it returns.
            offset: how many addresses to leave out.
        """
        query = {"domain": domain, **filters, "limit": str(limit), "offset": str(offset)}
        return self._read(await self._get("domain-search", query), Envelope[DomainSearch])

    async def find_email(self, who: Mapping[str, str]) -> EmailFoundByName:
        """The address of a person (``/email-finder``); ``email`` is None where there is none.

        Args:
            who: ``linkedin_handle``, or ``domain`` or ``company`` with ``first_name`` and ``last_name`` or
                ``full_name``.
        """
        query = {**who, "max_duration": str(self._finder_seconds)}
        return self._read(await self._get("email-finder", query), Envelope[EmailFoundByName]).data

    async def verify_email(self, email: str) -> EmailVerification | NoVerification:
        """Whether mail to an address arrives (``/email-verifier``).

        Asks again while Hunter says that it isn't done (202), which is counted once, until the configured time after
        the first such answer is over. Only a 200 is a result.
        """
        ends_at: float | None = None
        while True:
            answer = await self._get("email-verifier", {"email": email})
            if answer.status_code == MAIL_SERVER_FAILED:
                return NoVerification("The recipient's mail server gave Hunter no usable answer.")
            if answer.status_code != STILL_RUNNING:
                return self._read(answer, Envelope[EmailVerification]).data
            ends_at = ends_at or time.monotonic() + self._wait_seconds
            if time.monotonic() + self._poll_seconds > ends_at:
                return NoVerification(f"Hunter's verification wasn't done after {self._wait_seconds:g} seconds.")
            with interruptible():
                await asyncio.sleep(self._poll_seconds)

    async def find_person(self, email: str) -> Person:
        """What is known of the person behind an address (``/people/find``)."""
        return self._read(await self._get("people/find", {"email": email}), Envelope[Person]).data

    async def find_company(self, domain: str) -> Company:
        """What is known of the company behind a domain (``/companies/find``)."""
        return self._read(await self._get("companies/find", {"domain": domain}), Envelope[Company]).data

    async def _get(self, endpoint: str, query: Mapping[str, str]) -> httpx.Response:
        # An error's text can repeat what was asked for; mail addresses are taken out of all of them.
        private = [value for name, value in query.items() if name in _NAMES]
        async with turn(self.limits[endpoint]):
            with failures_by_reach(private):
                return await self._hunter.call(
                    "GET",
                    f"/{endpoint}",
                    query=query,
                    allowance="verifications" if endpoint == "email-verifier" else "searches",
                    timeout=_SLOW_TIMEOUT if endpoint in _SLOW else None,
                )

    def _read(self, answer: httpx.Response, model: type[DataT]) -> DataT:
        if answer.status_code != httpx.codes.OK:
            # Other 2xx statuses say that something is still to come, or went wrong elsewhere.
            message = f"Hunter gave no result (HTTP {answer.status_code})."
            raise CallFailedError(message, code="bad_answer")
        with failures_by_reach():
            return self._hunter.read(answer, model)


def _limit(counted_together: str, settings: LookupSettings, per_second: int, per_minute: int) -> Limit:
    # Hunter counts and doesn't mind how evenly calls come: a few lookups needn't wait for one another.
    return credential_limit(
        counted_together,
        key=settings.api_key,
        per_second=per_second,
        per_minute=per_minute,
        burst=per_second,
        share=settings.rate_share,
    )
