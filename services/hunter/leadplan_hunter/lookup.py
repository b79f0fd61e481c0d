"""From places to domains to contacts."""

import math
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from leadplan_hunter.api import HunterApi
from leadplan_hunter.bounded_work import work_through
from leadplan_hunter.domain_search import DomainFindings, DomainSearcher
from leadplan_hunter.domains import is_webmail, registrable_domain, shared_host
from leadplan_hunter.errors import CallFailedError, StepStoppedError, all_failed
from leadplan_hunter.lookup_models import DomainLookupParams, DomainLookupResult, DomainOutcome, SourcePlace
from leadplan_responder.checkpoint import Checkpoint

Report = Callable[[float, str], Awaitable[None]]

AT_ONCE = 8
"""Searches under way at once. The rate limit bounds the pace; this bounds what a failing step has begun."""

_OUT_OF_TIME = "The step's time was over before this domain's turn. Give the step a larger timeoutMs."
_NOTHING_YET = DomainFindings()


@dataclass(frozen=True)
class Candidate:
    """A place with the domain to search, or with the reason why there is none to search."""

    place: SourcePlace
    domain: str | None
    skip_reason: str | None


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
    if shared := shared_host(place.website):
        return Candidate(place, domain, f"{shared} is shared by many businesses")
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
        checkpoint: where the findings of each domain are kept for the step's next attempt.
        report: told the share that is done, with a message.
    """

    def __init__(self, api: HunterApi, params: DomainLookupParams, checkpoint: Checkpoint, report: Report) -> None:
        self._api = api
        self._checkpoint = checkpoint
        self._report = report
        self._searcher = DomainSearcher(api, params, self._keep)
        self._domains: list[str] = []
        self._findings: dict[str, DomainFindings] = {}
        self._failures: dict[str, CallFailedError] = {}
        self._done: set[str] = set()
        self._unsearched_because = _OUT_OF_TIME

    async def run(self, places: Iterable[SourcePlace], seconds: float) -> DomainLookupResult:
        """Search the places' domains within so many seconds, but for those that an earlier attempt searched.

        When a search shows that none of those that are left can succeed, what was found so far is the result.

        Raises:
            StepStoppedError: Hunter asks for a pause, or refuses every call for want of key, permission or quota.
            CallFailedError: every single search failed.
        """
        candidates = choose_candidates(places)
        self._domains = [one.domain for one in candidates if one.domain and not one.skip_reason]
        kept = await self._checkpoint.load(DomainFindings)
        self._findings = {domain: kept[domain] for domain in self._domains if domain in kept}
        self._done = {domain for domain, findings in self._findings.items() if findings.end}
        try:
            await self._search([domain for domain in self._domains if domain not in self._done], seconds)
        except StepStoppedError as stopped:
            await self._give_way_to(stopped)
        self._raise_when_nothing_worked()
        outcomes = [self._describe(candidate) for candidate in candidates]
        return DomainLookupResult(
            domains=outcomes,
            contacts_found=sum(len(outcome.contacts) for outcome in outcomes),
            credits_used=sum(findings.credits for findings in self._findings.values()),
        )

    async def _search(self, domains: list[str], seconds: float) -> None:
        if self._done:
            await self._report_progress()

        async def search(domain: str) -> None:
            try:
                await self._searcher.search(domain, self._findings.get(domain, _NOTHING_YET))
            except CallFailedError as error:
                self._failures[domain] = error
            self._done.add(domain)
            await self._report_progress()

        limits = [self._api.limits["domain-search"]]
        await work_through(domains, search, at_once=AT_ONCE, seconds=seconds, limits=limits)

    async def _keep(self, domain: str, findings: DomainFindings) -> None:
        self._findings[domain] = findings
        await self._checkpoint.keep(domain, findings)

    async def _give_way_to(self, stopped: StepStoppedError) -> None:
        if stopped.retryable:
            pause = f" of {math.ceil(stopped.retry_after)} s" if stopped.retry_after else ""
            await self._report_progress(f"; Hunter asked for a pause{pause}")
            raise stopped
        if not self._worked:
            raise stopped
        self._unsearched_because = stopped.message

    async def _report_progress(self, and_also: str = "") -> None:
        done, total = len(self._done), len(self._domains)
        await self._report(done / total, f"{done} of {total} domains{and_also}")

    @property
    def _worked(self) -> bool:
        return any(findings.end or findings.contacts for findings in self._findings.values())

    def _raise_when_nothing_worked(self) -> None:
        if self._worked:
            return
        if self._failures:
            raise all_failed(f"{len(self._failures)} domain searches", list(self._failures.values()))
        if self._domains:
            raise CallFailedError("No domain could be searched in the step's time.", code="out_of_time")

    def _describe(self, candidate: Candidate) -> DomainOutcome:
        place, domain = candidate.place, candidate.domain
        described = DomainOutcome(
            domain=domain, place_id=place.place_id, company=place.name, website=place.website, outcome="skipped"
        )
        if candidate.skip_reason is not None or domain is None:
            return described.model_copy(update={"reason": candidate.skip_reason})
        failure = self._failures.get(domain)
        unfinished_because = failure.message if failure else self._unsearched_because
        return _with_findings(described, self._findings.get(domain, _NOTHING_YET), unfinished_because)


def _with_findings(described: DomainOutcome, found: DomainFindings, unfinished_because: str) -> DomainOutcome:
    match found.end:
        case "objected":
            return described.model_copy(update={"reason": "objected: the owner asked that their data isn't processed"})
        case "mail_provider":
            return described.model_copy(update={"reason": "Hunter knows the domain as a mail provider"})
        case "searched":
            outcome, reason = ("found" if found.contacts else "none"), None
        case None if found.contacts:
            outcome, reason = "found", f"Only {found.read} of {found.total} contacts were read. {unfinished_because}"
        case None:
            outcome, reason = "failed", unfinished_because
    return described.model_copy(
        update={
            "outcome": outcome,
            "reason": reason,
            "company": described.company or found.company,
            "pattern": found.pattern,
            "contacts": found.contacts,
        }
    )
