"""Making one lead of what several sources say.

The source that came first wins, later ones fill gaps: the domain search (with the place behind it), then the person,
then the company. Verification status and confidence are the verifier's where it was asked.
"""

from dataclasses import dataclass, field

from leadplan_hunter.api_answers import Company, EmailVerification, Employment, Person, PersonName, SocialHandle
from leadplan_hunter.enrich_models import Lead, LeadCompany, LeadSource, SourceContact, SourceDomain


@dataclass
class LeadDraft:
    """A contact and what was learned about it so far.

    Attributes:
        contact, place: from the step before; ``place`` is empty for addresses given in the params.
        company_domain: whose company to look up; None for webmail addresses.
        searched: whether the contact came from a domain search.
    """

    contact: SourceContact
    place: SourceDomain
    company_domain: str | None
    searched: bool
    verification: EmailVerification | None = None
    person: Person | None = None
    missing: dict[LeadSource, str] = field(default_factory=dict)

    @property
    def email(self) -> str:
        """The address in lower case."""
        return self.contact.email.strip().lower()

    @property
    def confidence(self) -> int | None:
        """0 to 100. A verification without a clear result says nothing about the address."""
        verified = self.verification
        if verified is not None and verified.score is not None and verified.status not in (None, "unknown"):
            return verified.score
        return self.contact.confidence


def merge(draft: LeadDraft, company: Company | None) -> Lead:
    """The lead that a draft and its company make."""
    contact, person = draft.contact, draft.person or Person()
    name, job = person.name or PersonName(), person.employment or Employment()
    return Lead(
        email=draft.email,
        first_name=contact.first_name or name.given_name,
        last_name=contact.last_name or name.family_name,
        position=contact.position or job.title,
        seniority=contact.seniority or job.seniority,
        department=contact.department or job.role,
        company=_company(draft, job, company),
        phone=contact.phone or person.phone,
        linkedin=contact.linkedin or _linkedin_address(person.linkedin),
        website=draft.place.website,
        place_id=draft.place.place_id,
        confidence=draft.confidence,
        verification_status=draft.verification.status if draft.verification else contact.verification_status,
        sources=_sources(draft, company),
    )


def _company(draft: LeadDraft, job: Employment, company: Company | None) -> LeadCompany | None:
    known = company or Company()
    employees = known.metrics.employees if known.metrics else None
    merged = LeadCompany(
        name=draft.place.company or known.name or job.name,
        domain=draft.company_domain,
        industry=(known.category.industry or known.category.sector) if known.category else None,
        employees=None if employees is None else str(employees),
        location=known.location,
    )
    return merged if merged != LeadCompany() else None


def _sources(draft: LeadDraft, company: Company | None) -> list[LeadSource]:
    asked: list[tuple[LeadSource, bool]] = [
        ("domain-search", draft.searched),
        ("email-verifier", draft.verification is not None),
        ("people-find", draft.person is not None),
        ("companies-find", company is not None),
    ]
    return [source for source, used in asked if used]


def _linkedin_address(profile: SocialHandle | None) -> str | None:
    handle = (profile.handle or "").strip("/") if profile else ""
    if not handle or "://" in handle:
        return handle or None
    return f"https://www.linkedin.com/{handle if '/' in handle else f'in/{handle}'}"
