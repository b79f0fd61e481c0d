"""Making one lead of what several sources say, and noting which one said what.

Each source gives facts by the names of the lead's fields; those of the company stand behind ``company.``. The first
source that knows a fact decides it, later ones fill gaps.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeAlias, get_args

from leadplan_hunter.api_answers import Company, EmailFoundByName, EmailVerification, Employment, Person, PersonName
from leadplan_hunter.domains import registrable_domain
from leadplan_hunter.enrich_models import FactSource, Lead, LeadSource, WantedPerson
from leadplan_hunter.enrich_source import SourceContact, SourceDomain
from leadplan_hunter.linkedin import profile_address

Fact: TypeAlias = str | int
COMPANY = "company."
"""What stands before the names of a company's facts."""


@dataclass(frozen=True)
class SourcedFacts:
    """What one source says of a person; what it doesn't know is None or empty."""

    source: FactSource
    facts: Mapping[str, Fact | None]

    @property
    def known(self) -> dict[str, Fact]:
        """Those that it does know."""
        return {name: value for name, value in self.facts.items() if value is not None and value != ""}

    def only(self, names: Iterable[str]) -> "SourcedFacts":
        """Those with these names."""
        return SourcedFacts(self.source, {name: self.facts[name] for name in names if name in self.facts})


@dataclass(frozen=True)
class MergedFacts:
    """What is known of a person: ``values`` and, under the same names, the ``provenance`` of each."""

    values: Mapping[str, Fact]
    provenance: Mapping[str, FactSource]


def merge_facts(sources: Iterable[SourcedFacts]) -> MergedFacts:
    """Take each fact from the first source that knows it; the day of a verification from where its status is from."""
    values: dict[str, Fact] = {}
    provenance: dict[str, FactSource] = {}
    for sourced in sources:
        new = {name: value for name, value in sourced.known.items() if name not in values}
        if "verificationStatus" not in new:
            new.pop("verifiedOn", None)
        values |= new
        provenance |= dict.fromkeys(new, sourced.source)
    return MergedFacts(values, provenance)


def lead_of(sources: Sequence[SourcedFacts]) -> Lead:
    """The lead that facts make; one of them is the address (``email``)."""
    merged = merge_facts(sources)
    fields: dict[str, Any] = {name: value for name, value in merged.values.items() if not name.startswith(COMPANY)}
    company = {name.removeprefix(COMPANY): merged.values[name] for name in merged.values if name.startswith(COMPANY)}
    asked = {sourced.source for sourced in sources}
    return Lead.model_validate(
        fields
        | {
            "company": company or None,
            "sources": [source for source in get_args(LeadSource) if source in asked],
            "provenance": merged.provenance,
        }
    )


def facts_of_contact(contact: SourceContact, email: str, domain: str | None) -> SourcedFacts:
    """What the domain search said of a contact."""
    return SourcedFacts(
        "domain-search",
        {
            "email": email,
            "firstName": contact.first_name,
            "lastName": contact.last_name,
            "position": contact.position,
            "seniority": contact.seniority,
            "department": contact.department,
            "phone": contact.phone,
            "linkedin": contact.linkedin,
            "confidence": contact.confidence,
            "verificationStatus": contact.verification_status,
            "verifiedOn": _day(contact.verified_on),
            "company.domain": domain,
        },
    )


def facts_of_place(domain: SourceDomain) -> SourcedFacts:
    """What the step before says of the company behind a domain: the place's facts, where a place led to it."""
    return SourcedFacts(
        "place" if domain.place_id else "domain-search",
        {"company.name": domain.company, "website": domain.website, "placeId": domain.place_id},
    )


def facts_of_wanted(person: WantedPerson, domain: str | None) -> SourcedFacts:
    """What the plan itself says of a person."""
    return SourcedFacts(
        "params",
        {
            "firstName": person.first_name,
            "lastName": person.last_name,
            "company.name": person.company,
            "company.domain": domain,
            "linkedin": profile_address(person.linkedin_handle),
        },
    )


def facts_of_found(found: EmailFoundByName, email: str, domain: str | None) -> SourcedFacts:
    """What the email finder says."""
    verification = found.verification
    status = verification.status if verification else None
    return SourcedFacts(
        "email-finder",
        {
            "email": email,
            "firstName": found.first_name,
            "lastName": found.last_name,
            "position": found.position,
            "phone": found.phone_number,
            "linkedin": profile_address(found.linkedin_url),
            "twitter": found.twitter,
            "company.name": found.company,
            "company.domain": domain,
            "confidence": found.score,
            "verificationStatus": status,
            "verifiedOn": _day(verification.date if verification else None),
        },
    )


NO_RESULT = SourcedFacts("email-verifier", {"verificationStatus": "unknown"})
"""What a verification without a result says: it was wanted because an older one doesn't count."""


def facts_of_verification(verification: EmailVerification, verified_on: date | None) -> SourcedFacts:
    """What the verifier says; an unclear result says nothing about how good the address is."""
    clear = verification.status not in (None, "unknown")
    return SourcedFacts(
        "email-verifier",
        {
            "confidence": verification.score if clear else None,
            "verificationStatus": verification.status,
            "verifiedOn": _day(verified_on),
        },
    )


def facts_of_person(person: Person) -> SourcedFacts:
    """What the person enrichment says."""
    name, job = person.name or PersonName(), person.employment or Employment()
    return SourcedFacts(
        "people-find",
        {
            "firstName": name.given_name,
            "lastName": name.family_name,
            "position": job.title,
            "seniority": job.seniority,
            "department": job.role,
            "phone": person.phone,
            "linkedin": profile_address(person.linkedin.handle if person.linkedin else None),
            "twitter": person.twitter.handle if person.twitter else None,
            "location": person.location,
            "timeZone": person.time_zone,
            "company.name": job.name,
            "company.domain": registrable_domain(job.domain) if job.domain else None,
        },
    )


def _day(day: date | None) -> str | None:
    return day.isoformat() if day else None


def facts_of_company(company: Company) -> SourcedFacts:
    """What the company enrichment says."""
    category, metrics = company.category, company.metrics
    employees = metrics.employees if metrics else None
    return SourcedFacts(
        "companies-find",
        {
            "company.name": company.name,
            "company.domain": company.domain,
            "company.legalName": company.legal_name,
            "company.industry": (category.industry or category.sector) if category else None,
            "company.employees": None if employees is None else str(employees),
            "company.location": company.location,
            "company.foundedYear": company.founded_year,
            "company.linkedin": profile_address(company.linkedin.handle if company.linkedin else None),
        },
    )
