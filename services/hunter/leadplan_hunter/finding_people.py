"""From people as the plan names them to their addresses, with Hunter's email finder."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from leadplan_hunter.api import HunterApi
from leadplan_hunter.domains import is_webmail, registrable_domain, shared_host
from leadplan_hunter.enrich_models import IncompleteLookup, PersonNotFound, WantedPerson
from leadplan_hunter.errors import PersonObjectedError
from leadplan_hunter.inquiry import Inquiry, Subject
from leadplan_hunter.lead_drafts import LeadDraft, company_domain_of
from leadplan_hunter.lead_merge import facts_of_found, facts_of_wanted
from leadplan_hunter.linkedin import bare_handle
from leadplan_hunter.step_work import StepWork
from leadplan_leads.addresses import normalise_email

_SHARE = 0.3
_NOBODY_FOUND = "Hunter finds no address of this person."


class CannotBeFoundError(Exception):
    """A person can't be looked for; the text says why, for people."""


@dataclass(frozen=True)
class Search:
    """The search for one person.

    Attributes:
        person: as the plan names them.
        query: what the finder is asked.
        subject: where its answer is kept.
        domain: of the company, where the plan names one.
    """

    person: WantedPerson
    query: Mapping[str, str]
    subject: Subject
    domain: str | None


@dataclass
class FoundPeople:
    """What came of all searches.

    Attributes:
        drafts: one for each address.
        not_found: those without one.
        incomplete: searches without an answer.
        digests: of the addresses of those who, in an earlier attempt, turned out to have objected.
        objected_without_address: how many objected before their address was known.
    """

    drafts: list[LeadDraft] = field(default_factory=list)
    not_found: list[PersonNotFound] = field(default_factory=list)
    incomplete: list[IncompleteLookup] = field(default_factory=list)
    digests: set[str] = field(default_factory=set)
    objected_without_address: int = 0


class PeopleFinder:
    """Looks for people, each of them once."""

    def __init__(self, api: HunterApi, inquiry: Inquiry, work: StepWork) -> None:
        self._api = api
        self._inquiry = inquiry
        self._work = work

    async def find(self, people: Iterable[WantedPerson]) -> FoundPeople:
        """Look for all of them.

        Raises:
            StepStoppedError: Hunter refuses every call for a while.
        """
        outcome = FoundPeople()
        searches: dict[str, Search] = {}
        for person in people:
            try:
                search = self._search_for(person)
            except CannotBeFoundError as error:
                outcome.not_found.append(PersonNotFound(person=person.as_given(), reason=str(error)))
            else:
                searches.setdefault(search.subject.item, search)
        await self._work.on("people", list(searches.values()), self._ask, endpoints=["email-finder"], share=_SHARE)
        for search in searches.values():
            self._note(search, outcome)
        return outcome

    def _search_for(self, person: WantedPerson) -> Search:
        """By their profile, else by the domain, else by the company's name."""
        domain = None
        if person.linkedin_handle:
            query = {"linkedin_handle": bare_handle(person.linkedin_handle)}
            domain = company_domain_of(person.domain)
        elif person.domain:
            domain = _own_domain(person.domain)
            query = {"domain": domain, **_name(person)}
        else:
            query = {"company": person.company or "", **_name(person)}
        subject = self._inquiry.subject("search", json.dumps(query, sort_keys=True).casefold())
        return Search(person, query, subject, domain)

    async def _ask(self, search: Search) -> None:
        if search.subject.answers.objected:
            return
        try:
            await self._inquiry.ask(search.subject, "email-finder", lambda: self._api.find_email(search.query))
        except PersonObjectedError:
            await self._inquiry.forget(search.subject)

    def _note(self, search: Search, outcome: FoundPeople) -> None:
        subject, given = search.subject, search.person.as_given()
        if subject.answers.objected:
            outcome.digests.update(subject.answers.digests)
            outcome.objected_without_address += not subject.answers.digests
        elif draft := self._draft_of(search):
            outcome.drafts.append(draft)
        elif subject.refused or not subject.lacks("email-finder"):
            reason = subject.refused or _NOBODY_FOUND
            outcome.not_found.append(PersonNotFound(person=given, reason=reason))
        else:
            reason = subject.missing.get("email-finder", self._work.why_unasked)
            missing = IncompleteLookup(person=given, lookups=["email-finder"], reason=reason)
            outcome.incomplete.append(missing)

    def _draft_of(self, search: Search) -> LeadDraft | None:
        found = search.subject.answers.found
        email = normalise_email(found.email) if found and found.email else None
        if found is None or email is None:
            return None
        domain = search.domain or company_domain_of(found.domain or email.rpartition("@")[2])
        facts = [facts_of_wanted(search.person, search.domain), facts_of_found(found, email, domain)]
        return LeadDraft(email, facts, domain, self._inquiry.subject("contact", email), found_as=[search.subject])


def _own_domain(address: str) -> str:
    domain = registrable_domain(address)
    if domain is None:
        raise CannotBeFoundError(f"{address} is no address on the internet.")
    if host := shared_host(address):
        raise CannotBeFoundError(f"{host} is shared by many businesses: give the company's own domain, or its name.")
    if is_webmail(domain):
        raise CannotBeFoundError(f"{domain} is a mail provider: give the company's domain, or its name.")
    return domain


def _name(person: WantedPerson) -> dict[str, str]:
    if person.first_name and person.last_name:
        return {"first_name": person.first_name, "last_name": person.last_name}
    return {"full_name": person.full_name or ""}
