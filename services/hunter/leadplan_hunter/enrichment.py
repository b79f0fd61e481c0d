"""From contacts to leads: verify, ask who the person is, ask about the company, merge."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from leadplan_hunter.api import HunterApi
from leadplan_hunter.api_answers import Company
from leadplan_hunter.bounded_work import work_through
from leadplan_hunter.domains import is_webmail, registrable_domain
from leadplan_hunter.enrich_models import (
    DroppedLead,
    DropReason,
    EnrichParams,
    EnrichResult,
    IncompleteLookup,
    LeadSource,
    SourceContact,
    SourceDomain,
)
from leadplan_hunter.errors import CallFailedError, NothingKnownError, PersonObjectedError, all_failed
from leadplan_hunter.lead_merge import LeadDraft, merge

Report = Callable[[float, str], Awaitable[None]]
T = TypeVar("T")

AT_ONCE = 10
"""Contacts worked on at once. A verification can take 20 seconds, so a few more than the rate limit alone needs."""

_CONTACTS_SHARE = 0.8
"""Of the step's time and progress; companies, of which there are fewer, get the rest."""
_CHARGED_VERIFICATIONS = frozenset({"valid", "invalid", "accept_all"})
_NOT_WORTH_A_PERSON_LOOKUP = frozenset({"invalid", "disposable"})
_OUT_OF_TIME = "The step's time was over before its turn. Give the step a larger timeoutMs."


def drafts_from_domains(domains: Iterable[SourceDomain]) -> Iterator[LeadDraft]:
    """A draft for each contact of the step before."""
    for domain in domains:
        for contact in domain.contacts:
            yield LeadDraft(contact, domain, domain.domain, searched=True)


def drafts_from_emails(emails: Iterable[str]) -> Iterator[LeadDraft]:
    """A draft for each address that the params name."""
    for email in emails:
        domain = registrable_domain(email.rpartition("@")[2])
        company_domain = None if domain is None or is_webmail(domain) else domain
        yield LeadDraft(SourceContact(email=email), SourceDomain(), company_domain, searched=False)


class Enrichment:
    """One step's enrichment.

    Args:
        api: where to ask.
        params: what to ask for.
        report: told the share that is done, with a message.
        seconds_left: of the attempt.
    """

    def __init__(self, api: HunterApi, params: EnrichParams, report: Report, seconds_left: Callable[[], float]) -> None:
        self._api = api
        self._params = params
        self._report = report
        self._seconds_left = seconds_left
        self._dropped: list[DroppedLead] = []
        self._companies: dict[str, Company | None] = {}
        self._company_failures: dict[str, str] = {}
        self._failures: list[CallFailedError] = []
        self._answers = 0
        self._credits = 0

    async def run(self, contacts: Iterable[LeadDraft]) -> EnrichResult:
        """Enrich each address once, people first, then the companies of those that are left.

        Raises:
            StepStoppedError: Hunter refuses every call: key, permission, quota or rate limit.
            CallFailedError: every single call failed.
        """
        once: dict[str, LeadDraft] = {}
        for contact in contacts:
            once.setdefault(contact.email, contact)
        drafts = self._confident_ones(once.values())
        drafts = self._confident_ones(await self._ask_about_contacts(drafts))
        if self._params.enrich_company:
            await self._ask_about_companies(drafts)
        self._raise_when_nothing_worked(drafts)
        return EnrichResult(
            leads=[merge(draft, self._company_of(draft)) for draft in drafts],
            dropped=self._dropped,
            incomplete=[*self._incomplete_contacts(drafts), *self._incomplete_companies(drafts)],
            credits_used=self._credits,
        )

    def _raise_when_nothing_worked(self, drafts: list[LeadDraft]) -> None:
        if self._answers:
            return
        if self._failures:
            raise all_failed(f"{len(self._failures)} lookups", self._failures)
        if self._company_failures or any(draft.missing for draft in drafts):
            raise CallFailedError("Nothing could be looked up in the step's time.", code="out_of_time")

    def _drop(self, draft: LeadDraft, reason: DropReason) -> None:
        self._dropped.append(DroppedLead(email=draft.email, reason=reason))

    def _confident_ones(self, drafts: Iterable[LeadDraft]) -> list[LeadDraft]:
        kept = []
        for draft in drafts:
            if draft.confidence is not None and draft.confidence < self._params.min_confidence:
                self._drop(draft, "low_confidence")
            else:
                kept.append(draft)
        return kept

    async def _ask_about_contacts(self, drafts: list[LeadDraft]) -> list[LeadDraft]:
        """Ask for each contact what the params want. Returns those who didn't object."""
        objected: set[str] = set()
        done: set[str] = set()
        share = _CONTACTS_SHARE if self._params.enrich_company else 1.0

        async def ask(draft: LeadDraft) -> None:
            try:
                await self._ask_about(draft)
            except PersonObjectedError:
                self._answers += 1
                objected.add(draft.email)
                self._drop(draft, "objected")
            done.add(draft.email)
            await self._report(share * len(done) / len(drafts), f"{len(done)} of {len(drafts)} contacts")

        await work_through(drafts, ask, at_once=AT_ONCE, seconds=share * self._seconds_left())
        for draft in drafts:
            if draft.email not in done:
                draft.missing.update(dict.fromkeys(self._unasked(draft), _OUT_OF_TIME))
        return [draft for draft in drafts if draft.email not in objected]

    async def _ask_about(self, draft: LeadDraft) -> None:
        if self._params.verify:
            draft.verification = await self._answer(draft, "email-verifier", self._api.verify_email(draft.email))
            if draft.verification and draft.verification.status in _CHARGED_VERIFICATIONS:
                self._credits += 1
        if self._wants_person(draft):
            draft.person = await self._answer(draft, "people-find", self._api.find_person(draft.email))
            self._credits += draft.person is not None

    def _wants_person(self, draft: LeadDraft) -> bool:
        # Nobody in particular reads info@, and nobody at all reads an address that doesn't exist.
        status = draft.verification.status if draft.verification else None
        person_like = draft.contact.type != "generic" and status not in _NOT_WORTH_A_PERSON_LOOKUP
        return self._params.enrich_person and person_like

    def _unasked(self, draft: LeadDraft) -> Iterator[LeadSource]:
        if self._params.verify and draft.verification is None:
            yield "email-verifier"
        if self._wants_person(draft) and draft.person is None:
            yield "people-find"

    async def _answer(self, draft: LeadDraft, source: LeadSource, call: Awaitable[T]) -> T | None:
        try:
            found = await call
        except CallFailedError as error:
            self._failures.append(error)
            draft.missing[source] = error.message
            return None
        except NothingKnownError:
            found = None
        self._answers += 1
        return found

    async def _ask_about_companies(self, drafts: list[LeadDraft]) -> None:
        domains = list(dict.fromkeys(draft.company_domain for draft in drafts if draft.company_domain))

        async def ask(domain: str) -> None:
            await self._ask_about_company(domain)
            done = len(self._companies) + len(self._company_failures)
            fraction = _CONTACTS_SHARE + (1 - _CONTACTS_SHARE) * done / len(domains)
            await self._report(fraction, f"{done} of {len(domains)} companies")

        await work_through(domains, ask, at_once=AT_ONCE, seconds=self._seconds_left())
        for domain in domains:
            if domain not in self._companies:
                self._company_failures.setdefault(domain, _OUT_OF_TIME)

    async def _ask_about_company(self, domain: str) -> None:
        try:
            self._companies[domain] = await self._api.find_company(domain)
            self._credits += 1
        except CallFailedError as error:
            self._failures.append(error)
            self._company_failures[domain] = error.message
            return
        except (NothingKnownError, PersonObjectedError):
            self._companies[domain] = None
        self._answers += 1

    def _company_of(self, draft: LeadDraft) -> Company | None:
        return self._companies.get(draft.company_domain) if draft.company_domain else None

    def _incomplete_contacts(self, drafts: list[LeadDraft]) -> Iterator[IncompleteLookup]:
        for draft in drafts:
            if draft.missing:
                reason = next(iter(draft.missing.values()))
                yield IncompleteLookup(email=draft.email, lookups=list(draft.missing), reason=reason)

    def _incomplete_companies(self, drafts: list[LeadDraft]) -> Iterator[IncompleteLookup]:
        for domain, reason in self._company_failures.items():
            yield IncompleteLookup(domain=domain, lookups=["companies-find"], reason=reason)
