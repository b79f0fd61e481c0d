"""``/people/find``, ``/companies/find`` and ``/combined/find``: profiles. 404 means that nothing is known."""

from collections.abc import Mapping
from typing import Any

from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import domain_or_none, email_param
from leadplan_sandbox.world.chance import happens, token
from leadplan_sandbox.world.companies import Company, company_with_domain
from leadplan_sandbox.world.people import Mailbox, Person, person_with_email, person_with_handle

_ECHOED = ("email", "linkedin_handle", "domain", "clearbit_format")


def find_person(query: Mapping[str, str]) -> dict[str, Any]:
    """``GET /people/find?email=`` or ``linkedin_handle=``.

    Raises:
        HunterApiError: 400 for neither, 404 for somebody unknown, 451 for somebody who is claimed.
    """
    person = _Wanted(query).person
    if person is None:
        raise HunterApiError(404, "not_found", "No person was found for this email address or LinkedIn handle.")
    return {"data": person_json(person), "meta": _meta(query)}


def find_company(query: Mapping[str, str]) -> dict[str, Any]:
    """``GET /companies/find?domain=``.

    Raises:
        HunterApiError: 400 for no domain, 404 for an unknown company.
    """
    domain = domain_or_none(query.get("domain", ""), "invalid_domain")
    if domain is None:
        raise HunterApiError(400, "wrong_params", "You are missing the domain parameter")
    company = _known_company(domain)
    if company is None:
        raise HunterApiError(404, "not_found", "No company was found for this domain.")
    return {"data": company_json(company), "meta": _meta(query)}


def find_both(query: Mapping[str, str]) -> dict[str, Any]:
    """``GET /combined/find``: ``person`` or ``company`` is null where only the other one is known.

    Raises:
        HunterApiError: 400 for neither address nor handle, 404 when nothing is known, 451 for somebody who is claimed.
    """
    wanted = _Wanted(query)
    person, company = wanted.person, _known_company(wanted.domain)
    if person is None and company is None:
        raise HunterApiError(404, "not_found", "Nothing was found for this email address or LinkedIn handle.")
    data = {"person": person_json(person) if person else None, "company": company_json(company) if company else None}
    return {"data": data, "meta": _meta(query)}


class _Wanted:
    """Whom a request asks for: a handle wins over an address. ``clearbit_format`` changes nothing here.

    Attributes:
        person: who it is, None when Hunter knows nothing of them.
        domain: of the address, or of whoever has the handle; empty when that is nobody.

    Raises:
        HunterApiError: 400 for neither, 451 for somebody who is claimed.
    """

    def __init__(self, query: Mapping[str, str]) -> None:
        handle = query.get("linkedin_handle", "").strip()
        found = person_with_handle(handle) if handle else None
        email = (found.email if found else "") if handle else email_param(query)
        if email and Mailbox(email).profile_claimed:
            raise HunterApiError(451)
        self.person = _known_person(email)
        self.domain = email.rpartition("@")[2]


def _known_person(email: str) -> Person | None:
    person = person_with_email(email)
    return person if person is not None and person.has_profile else None


def _known_company(domain: str) -> Company | None:
    company = company_with_domain(domain)
    return company if company is not None and company.has_profile else None


def _meta(query: Mapping[str, str]) -> dict[str, Any]:
    return {"params": {name: query[name] for name in _ECHOED if name in query}}


def _geo(company: Company) -> dict[str, Any]:
    city = company.city
    return {
        "city": city.name,
        "state": None,
        "stateCode": None,
        "country": city.country.name,
        "countryCode": city.country.code,
        "lat": city.latitude,
        "lng": city.longitude,
    }


def person_json(person: Person) -> dict[str, Any]:
    """A person as Hunter's enrichment shows them (camelCase, unlike the rest of the API)."""
    company = person.company
    return {
        "id": token(24, "person", person.email),
        "name": {
            "fullName": f"{person.first_name} {person.last_name}",
            "givenName": person.first_name,
            "familyName": person.last_name,
        },
        "email": person.email,
        "location": f"{company.city.name}, {company.city.country.name}",
        "timeZone": None,
        "utcOffset": None,
        "geo": _geo(company),
        "employment": {
            "domain": company.domain,
            "name": company.name,
            "title": person.position,
            "role": person.department,
            "subRole": None,
            "seniority": person.seniority,
        },
        "twitter": {"handle": None},
        "linkedin": {"handle": person.linkedin_handle},
        "fuzzy": False,
        "emailProvider": "google.com" if happens(0.5, "provider", company.domain) else "outlook.com",
        "indexedAt": "2026-10-30",
        "phone": person.phone,
        "activeAt": "2026-09-01",
        "inactiveAt": None,
    }


def company_json(company: Company) -> dict[str, Any]:
    """A company as Hunter's enrichment shows it."""
    industry = company.trade.industry
    return {
        "id": token(24, "company", company.domain),
        "name": company.name,
        "legalName": f"{company.name} Ltd" if company.city.country.code == "GB" else None,
        "domain": company.domain,
        "category": {"sector": None, "industryGroup": industry, "industry": industry, "subIndustry": None},
        "tags": [company.trade.token],
        "description": f"{company.name} is based in {company.city.name}.",
        "foundedYear": company.founded,
        "location": f"{company.city.name}, {company.city.country.name}",
        "logo": None,
        "linkedin": {"handle": f"company/{company.domain.partition('.')[0]}"},
        "type": "private",
        "company_type": "privately held",
        "metrics": {"employees": company.employees, "trafficRank": None},
        "tech": [],
        "fundingRounds": [],
    }
