"""People on their way to becoming leads: who they are, and each of them once."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

from leadplan_hunter.api_answers import Company
from leadplan_hunter.domains import is_webmail, registrable_domain
from leadplan_hunter.enrich_source import SourceDomain
from leadplan_hunter.inquiry import Inquiry, Subject
from leadplan_hunter.lead_merge import (
    COMPANY,
    NO_RESULT,
    SourcedFacts,
    facts_of_company,
    facts_of_contact,
    facts_of_person,
    facts_of_place,
    facts_of_verification,
    merge_facts,
)
from leadplan_hunter.linkedin import person_handle
from leadplan_leads.addresses import normalise_email

_RECENT = timedelta(days=30)
_CLEAR_STATUSES = frozenset({"valid", "invalid", "accept_all", "webmail", "disposable"})
_ABOUT_THE_PLACE = ("website", "placeId")
_ABOUT_THE_HUMAN = frozenset({"firstName", "lastName", "phone", "linkedin", "twitter", "location", "timeZone"})
"""What is true of somebody whichever of their addresses it was learned with."""


@dataclass
class LeadDraft:
    """An address and what was learned about who reads it.

    Attributes:
        email: in normalised form.
        facts: what the step before, the plan and the finder say, in this order of trust.
        company_domain: whose company to look up; None for a mail provider's.
        is_shared_mailbox: whether nobody in particular reads it, as with info@.
        subject: what Hunter is asked about the address.
        found_as: what the finder was asked to come by the address.
        other_emails: of the same person.
    """

    email: str
    facts: list[SourcedFacts]
    company_domain: str | None
    subject: Subject
    is_shared_mailbox: bool = False
    found_as: list[Subject] = field(default_factory=list)
    other_emails: list[str] = field(default_factory=list)

    def all_facts(self, company: Company | None = None) -> list[SourcedFacts]:
        """What all sources say, in the order in which they decide.

        The verifier comes first, for it was asked later than all others. A company's own entry names it better than the
        entry of somebody who works there.
        """
        answers = self.subject.answers
        facts = list(self.facts)
        if answers.verification is not None:
            facts.insert(0, facts_of_verification(answers.verification, answers.verified_on))
        elif "email-verifier" in self.subject.missing:
            facts.insert(0, NO_RESULT)
        if company is not None:
            facts.append(facts_of_company(company))
        if answers.person is not None:
            facts.append(facts_of_person(answers.person))
        return facts

    @property
    def confidence(self) -> int | None:
        """0 to 100."""
        confidence = merge_facts(self.all_facts()).values.get("confidence")
        return confidence if isinstance(confidence, int) else None

    @property
    def handle(self) -> str | None:
        """The person's handle at LinkedIn."""
        linkedin = merge_facts(self.all_facts()).values.get("linkedin")
        return person_handle(str(linkedin)) if linkedin else None

    @property
    def status(self) -> str | None:
        """What is known of mail to the address."""
        status = merge_facts(self.all_facts()).values.get("verificationStatus")
        return str(status) if status else None

    def is_verified_lately(self) -> bool:
        """Whether the facts hold a clear verification of the last 30 days.

        Hunter tells a status only when it is younger than about a month: so one without a day counts as recent.
        """
        known = merge_facts(self.facts).values
        verified_on = known.get("verifiedOn")
        recent = verified_on is None or date.fromisoformat(str(verified_on)) >= datetime.now(UTC).date() - _RECENT
        return known.get("verificationStatus") in _CLEAR_STATUSES and recent

    def add(self, other: "LeadDraft") -> None:
        """Let the same address from elsewhere fill gaps; what it says of another company is left out."""
        same_company = self.company_domain in (None, other.company_domain)
        self.facts += [
            facts if same_company else facts.only(name for name in facts.facts if not _is_of_the_company(name))
            for facts in other.facts
        ]
        self.company_domain = self.company_domain or other.company_domain
        self.found_as += other.found_as

    def add_other_address(self, other: "LeadDraft") -> None:
        """Let what is known of the same person with another address fill gaps."""
        self.facts += [facts.only(_ABOUT_THE_HUMAN) for facts in other.all_facts()]
        self.other_emails += [other.email, *other.other_emails]
        self.found_as += [other.subject, *other.found_as]


def _is_of_the_company(name: str) -> bool:
    return name.startswith(COMPANY) or name in _ABOUT_THE_PLACE


def company_domain_of(address: str | None) -> str | None:
    """The domain that a company owns, of a web address or a host; None for mail providers and what is no domain."""
    domain = registrable_domain(address) if address else None
    return None if domain is None or is_webmail(domain) else domain


def drafts_of_domains(
    domains: Iterable[SourceDomain], inquiry: Inquiry, reject: Callable[[str], None]
) -> Iterator[LeadDraft]:
    """A draft for each contact of the step before; what is no address is rejected."""
    for domain in domains:
        for contact in domain.contacts:
            email = normalise_email(contact.email)
            if email is None:
                reject(contact.email)
                continue
            facts = [facts_of_contact(contact, email, domain.domain), facts_of_place(domain)]
            shared = contact.type == "generic"
            yield LeadDraft(email, facts, domain.domain, inquiry.subject("contact", email), shared)


def drafts_of_emails(emails: Iterable[str], inquiry: Inquiry, reject: Callable[[str], None]) -> Iterator[LeadDraft]:
    """A draft for each address that the params name; what is no address is rejected."""
    for text in emails:
        email = normalise_email(text)
        if email is None:
            reject(text)
            continue
        domain = company_domain_of(email.rpartition("@")[2])
        facts = SourcedFacts("params", {"email": email, "company.domain": domain})
        yield LeadDraft(email, [facts], domain, inquiry.subject("contact", email))


def one_draft_an_address(drafts: Iterable[LeadDraft]) -> list[LeadDraft]:
    """Each address once, where it stands first; later ones fill gaps."""
    by_email: dict[str, LeadDraft] = {}
    for draft in drafts:
        first = by_email.setdefault(draft.email, draft)
        if first is not draft:
            first.add(draft)
    return list(by_email.values())


def one_draft_a_person(drafts: Iterable[LeadDraft]) -> list[LeadDraft]:
    """Of the addresses that lead to one LinkedIn profile only the best, in the place of the first.

    The best is the one to which mail surely arrives, then the one with the highest confidence, then the first.
    """
    people: dict[str, LeadDraft] = {}
    for draft in drafts:
        # A draft without a profile stands for itself.
        person = draft.handle or f"@{draft.email}"
        known = people.setdefault(person, draft)
        if known is draft:
            continue
        better, other = (draft, known) if _rank(draft) > _rank(known) else (known, draft)
        better.add_other_address(other)
        people[person] = better
    return list(people.values())


def _rank(draft: LeadDraft) -> tuple[bool, int]:
    return draft.status == "valid", draft.confidence or 0
