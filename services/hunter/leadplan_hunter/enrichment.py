"""From people, addresses or contacts to leads: find, verify, ask who the person is, ask about the company, merge."""

from collections.abc import Iterable, Iterator, Sequence

from leadplan_hunter.api import HunterApi
from leadplan_hunter.api_answers import Company
from leadplan_hunter.enrich_models import (
    DroppedLead,
    DropReason,
    EnrichParams,
    EnrichResult,
    IncompleteLookup,
    LookupKind,
)
from leadplan_hunter.enrich_source import SourceDomain
from leadplan_hunter.errors import CallFailedError, PersonObjectedError, all_failed
from leadplan_hunter.finding_people import FoundPeople, PeopleFinder
from leadplan_hunter.inquiry import Inquiry, Subject
from leadplan_hunter.lead_drafts import (
    LeadDraft,
    company_domain_of,
    drafts_of_domains,
    drafts_of_emails,
    one_draft_a_person,
    one_draft_an_address,
)
from leadplan_hunter.lead_merge import lead_of
from leadplan_hunter.step_work import StepWork
from leadplan_leads.addresses import address_digest

_COMPANIES_SHARE = 0.2
"""Of the step's time: there are fewer companies than contacts."""
_NO_MAIL = frozenset({"invalid", "disposable"})


class Enrichment:
    """One step's enrichment.

    Args:
        api: where to ask.
        params: what to ask for.
        work: works through lists within the step's time.
        inquiry: what was asked and answered, in earlier attempts too.
    """

    def __init__(self, api: HunterApi, params: EnrichParams, work: StepWork, inquiry: Inquiry) -> None:
        self._api = api
        self._params = params
        self._work = work
        self._inquiry = inquiry
        self._found = FoundPeople()
        self._dropped: list[DroppedLead] = []
        self._objected: set[str] = set()
        self._objected_handles: set[str] = set()
        self._companies: dict[str, Subject] = {}

    async def run(self, domains: Sequence[SourceDomain] = ()) -> EnrichResult:
        """Find people, enrich each of them once, then ask about the companies of those that are left.

        Args:
            domains: of the source step, where the params name one.

        Raises:
            StepStoppedError: Hunter refuses every call for a while; or for good, and nothing was answered.
            CallFailedError: every single call failed.
        """
        await self._inquiry.restore()
        drafts = self._confident_ones(one_draft_a_person(one_draft_an_address(await self._drafts(domains))))
        await self._ask_about_contacts(drafts)
        drafts = await self._without_objectors(drafts)
        drafts = self._confident_ones(one_draft_a_person(self._with_address(drafts)))
        await self._ask_about_companies(drafts)
        incomplete = [
            *self._found.incomplete,
            *self._incomplete_contacts(drafts),
            *self._incomplete_companies(),
        ]
        self._raise_when_nothing_worked(incomplete)
        return EnrichResult(
            leads=[lead_of(draft.all_facts(self._company_of(draft))) for draft in drafts],
            objected=sorted(self._objected | self._found.digests),
            objected_without_address=self._found.objected_without_address,
            dropped=[*self._dropped, *_other_addresses(drafts)],
            not_found=self._found.not_found,
            incomplete=incomplete,
            credits_used=self._inquiry.credits_used,
        )

    async def _drafts(self, domains: Sequence[SourceDomain]) -> list[LeadDraft]:
        if self._params.people is not None:
            self._found = await PeopleFinder(self._api, self._inquiry, self._work).find(self._params.people)
            return self._found.drafts
        if self._params.emails is not None:
            return list(drafts_of_emails(self._params.emails, self._inquiry, self._reject))
        return list(drafts_of_domains(domains, self._inquiry, self._reject))

    def _reject(self, text: str) -> None:
        self._drop(text, "invalid_address")

    def _drop(self, email: str, reason: DropReason) -> None:
        self._dropped.append(DroppedLead(email=email, reason=reason))

    def _confident_ones(self, drafts: Iterable[LeadDraft]) -> list[LeadDraft]:
        kept = []
        for draft in drafts:
            if draft.confidence is not None and draft.confidence < self._params.min_confidence:
                self._drop(draft.email, "low_confidence")
            else:
                kept.append(draft)
        return kept

    async def _ask_about_contacts(self, drafts: list[LeadDraft]) -> None:
        share = 1.0 - _COMPANIES_SHARE if self._params.enrich_company else 1.0
        endpoints = ["email-verifier", "people/find"]
        await self._work.on("contacts", drafts, self._ask_about, endpoints=endpoints, share=share)

    async def _ask_about(self, draft: LeadDraft) -> None:
        subject, email = draft.subject, draft.email
        if subject.answers.objected:
            return
        try:
            if self._wants_verification(draft):
                await self._inquiry.ask(subject, "email-verifier", lambda: self._api.verify_email(email))
            if self._wants_person(draft):
                await self._inquiry.ask(subject, "people-find", lambda: self._api.find_person(email))
        except PersonObjectedError:
            await self._forget(draft)

    def _wants_verification(self, draft: LeadDraft) -> bool:
        return self._params.verify and (self._params.verify_again or not draft.is_verified_lately())

    def _wants_person(self, draft: LeadDraft) -> bool:
        # Nobody in particular reads info@, and nobody at all reads an address that doesn't exist.
        return self._params.enrich_person and not draft.is_shared_mailbox and draft.status not in _NO_MAIL

    async def _forget(self, draft: LeadDraft) -> None:
        if handle := draft.handle:
            self._objected_handles.add(handle)
        await self._inquiry.forget(draft.subject)
        for subject in draft.found_as:
            await self._inquiry.forget(subject, _digests(draft))

    async def _without_objectors(self, drafts: list[LeadDraft]) -> list[LeadDraft]:
        """Those who are left. Whoever objected with one address did so with every address of theirs."""
        for draft in drafts:
            if draft.subject.answers.objected and draft.handle:
                self._objected_handles.add(draft.handle)
        left = []
        for draft in drafts:
            if draft.handle in self._objected_handles:
                await self._forget(draft)
            if draft.subject.answers.objected:
                self._objected.update(_digests(draft))
            else:
                left.append(draft)
        return left

    def _with_address(self, drafts: Iterable[LeadDraft]) -> Iterator[LeadDraft]:
        for draft in drafts:
            if draft.subject.refused:
                self._reject(draft.email)
            else:
                yield draft

    async def _ask_about_companies(self, drafts: list[LeadDraft]) -> None:
        """Ask about each company where somebody can be reached, once for each domain."""
        if not self._params.enrich_company:
            return
        reachable = (draft for draft in drafts if draft.status not in _NO_MAIL)
        domains = list(dict.fromkeys(domain for draft in reachable if (domain := _company_domain(draft))))
        self._companies = {domain: self._inquiry.subject("company", domain) for domain in domains}
        await self._work.on("companies", domains, self._ask_about_company, endpoints=["companies/find"], share=1.0)

    async def _ask_about_company(self, domain: str) -> None:
        company = self._companies[domain]
        if company.answers.objected:
            return
        try:
            await self._inquiry.ask(company, "companies-find", lambda: self._api.find_company(domain))
        except PersonObjectedError:
            # Its owner did; the people who work there didn't.
            await self._inquiry.forget(company)

    def _company_of(self, draft: LeadDraft) -> Company | None:
        company = self._companies.get(_company_domain(draft) or "")
        return company.answers.company if company else None

    def _raise_when_nothing_worked(self, incomplete: Sequence[IncompleteLookup]) -> None:
        if self._inquiry.has_answers:
            return
        if self._work.stopped_by is not None:
            raise self._work.stopped_by
        if failures := self._inquiry.failures:
            raise all_failed(f"{len(failures)} lookups", failures)
        if incomplete:
            raise CallFailedError("Nothing could be looked up in the step's time.", code="out_of_time")

    def _incomplete_contacts(self, drafts: Iterable[LeadDraft]) -> Iterator[IncompleteLookup]:
        for draft in drafts:
            subject, missing = draft.subject, dict(draft.subject.missing)
            if self._wants_verification(draft) and subject.lacks("email-verifier"):
                missing.setdefault("email-verifier", self._work.why_unasked)
            if self._wants_person(draft) and subject.lacks("people-find"):
                missing.setdefault("people-find", self._work.why_unasked)
            for reason, lookups in _by_reason(missing).items():
                yield IncompleteLookup(email=draft.email, lookups=lookups, reason=reason)

    def _incomplete_companies(self) -> Iterator[IncompleteLookup]:
        for domain, company in self._companies.items():
            if company.lacks("companies-find") and not (company.refused or company.answers.objected):
                reason = company.missing.get("companies-find", self._work.why_unasked)
                yield IncompleteLookup(domain=domain, lookups=["companies-find"], reason=reason)


def _digests(draft: LeadDraft) -> list[str]:
    return [address_digest(email) for email in (draft.email, *draft.other_emails)]


def _other_addresses(drafts: Iterable[LeadDraft]) -> Iterator[DroppedLead]:
    for draft in drafts:
        for email in draft.other_emails:
            yield DroppedLead(email=email, reason="same_person")


def _company_domain(draft: LeadDraft) -> str | None:
    """The company to ask about; of an address at a mail provider the one that the person works for."""
    person = draft.subject.answers.person
    job = person.employment if person else None
    return draft.company_domain or company_domain_of(job.domain if job else None)


def _by_reason(missing: dict[LookupKind, str]) -> dict[str, list[LookupKind]]:
    lookups: dict[str, list[LookupKind]] = {}
    for kind, reason in missing.items():
        lookups.setdefault(reason, []).append(kind)
    return lookups
