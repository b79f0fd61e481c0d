"""From places to domains to contacts."""

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from leadplan_hunter.api import HunterApi
from leadplan_hunter.api_answers import DomainSearch, EmailFound
from leadplan_hunter.bounded_work import work_through
from leadplan_hunter.domains import is_shared_host, is_webmail, registrable_domain
from leadplan_hunter.errors import CallFailedError, NothingKnownError, PersonObjectedError, all_failed
from leadplan_hunter.lookup_models import (
    DomainContact,
    DomainLookupParams,
    DomainLookupResult,
    DomainOutcome,
    SourcePlace,
)

Report = Callable[[float, str], Awaitable[None]]

AT_ONCE = 8
"""Searches under way at once. The rate limit bounds the pace; this bounds what a failing step has begun."""

_PAGE_LIMIT = 100
_ADDRESSES_PER_CREDIT = 10
_OUT_OF_TIME = "The step's time was over before this domain's turn. Give the step a larger timeoutMs."


@dataclass(frozen=True)
class Candidate:
    """A place with the domain to search, or with the reason why there is none to search."""

    place: SourcePlace
    domain: str | None
    skip_reason: str | None


@dataclass(frozen=True)
class SearchOutcome:
    """What all pages of one domain's search gave."""

    search: DomainSearch
    emails: list[EmailFound]
    credits: int


def choose_candidates(places: Iterable[SourcePlace]) -> list[Candidate]:
    """Decide for each place which domain to search. Each domain is searched once, for the first place that has it."""
    first_with: dict[str, SourcePlace] = {}
    return [_candidate(place, first_with) for place in places]


def _candidate(place: SourcePlace, first_with: dict[str, SourcePlace]) -> Candidate:
    if not place.website or not place.website.strip():
        return Candidate(place, None, "no website")
    domain = registrable_domain(place.website)
    if domain is None:
        return Candidate(place, None, "the website is no address on the internet")
    if is_shared_host(domain):
        return Candidate(place, domain, f"{domain} is shared by many businesses")
    if is_webmail(domain):
        return Candidate(place, domain, f"{domain} is a mail provider")
    first = first_with.setdefault(domain, place)
    if first is not place:
        return Candidate(place, domain, f"same domain as {first.name or first.website}")
    return Candidate(place, domain, None)


class DomainLookup:
    """One step's lookup.

    Args:
        api: where to ask.
        params: filters and how many contacts to take.
        report: told the share that is done, with a message.
    """

    def __init__(self, api: HunterApi, params: DomainLookupParams, report: Report) -> None:
        self._api = api
        self._params = params
        self._report = report
        self._outcomes: dict[str, SearchOutcome | CallFailedError | str] = {}

    async def run(self, places: Iterable[SourcePlace], seconds: float) -> DomainLookupResult:
        """Search the places' domains within so many seconds.

        Raises:
            StepStoppedError: Hunter refuses every call: key, permission, quota or rate limit.
            CallFailedError: every single search failed.
        """
        candidates = choose_candidates(places)
        domains = [candidate.domain for candidate in candidates if candidate.domain and not candidate.skip_reason]

        async def search(domain: str) -> None:
            self._outcomes[domain] = await self._outcome(domain)
            done = len(self._outcomes)
            await self._report(done / len(domains), f"{done} of {len(domains)} domains")

        await work_through(domains, search, at_once=AT_ONCE, seconds=seconds)
        self._raise_when_nothing_worked(domains)
        outcomes = [self._describe(candidate) for candidate in candidates]
        searched = [outcome for outcome in self._outcomes.values() if isinstance(outcome, SearchOutcome)]
        return DomainLookupResult(
            domains=outcomes,
            contacts_found=sum(len(outcome.contacts) for outcome in outcomes),
            credits_used=sum(outcome.credits for outcome in searched),
        )

    async def _outcome(self, domain: str) -> SearchOutcome | CallFailedError | str:
        try:
            return await self._search(domain)
        except CallFailedError as error:
            return error
        except NothingKnownError:
            return SearchOutcome(DomainSearch(), [], 0)
        except PersonObjectedError:
            return "objected: the owner asked that their data isn't processed"

    async def _search(self, domain: str) -> SearchOutcome:
        wanted = self._params.contacts_per_domain
        found: dict[str, EmailFound] = {}
        offset = credits_used = 0
        while True:
            limit = min(_PAGE_LIMIT, wanted - offset)
            page = await self._api.search_domain(domain, self._params.search_filters(), limit=limit, offset=offset)
            returned = page.data.emails
            found.update({email.value.lower(): email for email in returned})
            offset += len(returned)
            credits_used += math.ceil(len(returned) / _ADDRESSES_PER_CREDIT)
            total = (page.meta.results if page.meta else None) or 0
            # A page can be shorter than asked for although there is more.
            if not returned or offset >= min(wanted, total):
                return SearchOutcome(page.data, list(found.values())[:wanted], credits_used)

    def _raise_when_nothing_worked(self, domains: list[str]) -> None:
        failures = [outcome for outcome in self._outcomes.values() if isinstance(outcome, CallFailedError)]
        if failures and len(failures) == len(self._outcomes):
            raise all_failed(f"{len(failures)} domain searches", failures)
        if domains and not self._outcomes:
            raise CallFailedError("No domain could be searched in the step's time.", code="out_of_time")

    def _describe(self, candidate: Candidate) -> DomainOutcome:
        place, domain = candidate.place, candidate.domain
        described = DomainOutcome(
            domain=domain, place_id=place.place_id, company=place.name, website=place.website, outcome="skipped"
        )
        if candidate.skip_reason is not None or domain is None:
            return described.model_copy(update={"reason": candidate.skip_reason})
        outcome = self._outcomes.get(domain)
        match outcome:
            case None:
                return described.model_copy(update={"outcome": "failed", "reason": _OUT_OF_TIME})
            case CallFailedError():
                return described.model_copy(update={"outcome": "failed", "reason": outcome.message})
            case str():
                return described.model_copy(update={"reason": outcome})
            case SearchOutcome():
                return _with_contacts(described, outcome)


def _with_contacts(described: DomainOutcome, found: SearchOutcome) -> DomainOutcome:
    if found.search.webmail or found.search.disposable:
        return described.model_copy(update={"reason": "Hunter knows the domain as a mail provider"})
    return described.model_copy(
        update={
            "outcome": "found" if found.emails else "none",
            "company": described.company or found.search.organization,
            "pattern": found.search.pattern,
            "contacts": [_contact(email) for email in found.emails],
        }
    )


def _contact(found: EmailFound) -> DomainContact:
    named = found.first_name or found.last_name
    return DomainContact(
        email=found.value.lower(),
        first_name=found.first_name,
        last_name=found.last_name,
        position=found.position,
        department=found.department,
        seniority=found.seniority,
        type=found.type or ("personal" if named else "generic"),
        confidence=found.confidence or 0,
        verification_status=found.verification.status if found.verification else None,
        linkedin=found.linkedin,
        phone=found.phone_number,
    )
