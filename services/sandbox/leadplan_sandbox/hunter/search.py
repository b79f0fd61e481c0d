"""``/domain-search`` and ``/email-finder``: the addresses of a company."""

import math
from collections.abc import Mapping
from typing import Any

from leadplan_sandbox.hunter.access import HunterAccount
from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import choices, domain_or_none, whole_number
from leadplan_sandbox.world.chance import number
from leadplan_sandbox.world.companies import Company, company_with_domain, company_with_name
from leadplan_sandbox.world.names import DISPOSABLE_HOSTS, WEBMAIL_HOSTS
from leadplan_sandbox.world.people import Person, people_of, person_named

SENIORITIES = ("junior", "senior", "executive")
DEPARTMENTS = (
    "executive",
    "it",
    "finance",
    "management",
    "sales",
    "legal",
    "support",
    "hr",
    "marketing",
    "communication",
    "education",
    "design",
    "health",
    "operations",
)
_STATUSES = ("valid", "accept_all", "unknown")
_FIELDS = ("full_name", "position", "phone_number")
_ADDRESSES_PER_CREDIT = 10
_ECHOED = (
    "domain",
    "company",
    "type",
    "seniority",
    "department",
    "required_field",
    "verification_status",
    "job_titles",
)
TRY_OUT_DOMAIN = "harbour-dental-leeds.co.uk"
"""What the public test key gets, whatever it asks for."""


def domain_search(query: Mapping[str, str], account: HunterAccount | None) -> dict[str, Any]:
    """``GET /domain-search``; without an account (the test key) a fixed answer that costs nothing.

    Raises:
        HunterApiError: 400 for wrong parameters, 402 without credits.
    """
    domain = domain_or_none(query.get("domain", ""))
    if domain is None and not query.get("company", "").strip():
        raise HunterApiError(400, "wrong_params", "You are missing the domain or company parameter")
    filters = _Filters(query)
    limit, offset = whole_number(query, "limit", 10, 1, 100), whole_number(query, "offset", 0, 0, 10_000)
    if account is None:
        domain = TRY_OUT_DOMAIN
    else:
        account.require_credits()
    company = company_with_domain(domain) if domain else company_with_name(query["company"])
    matching = [person for person in people_of(company) if filters.fit(person)] if company else []
    page = matching[offset : offset + limit]
    if account is not None:
        account.charge(math.ceil(len(page) / _ADDRESSES_PER_CREDIT))
    params = {name: query.get(name) for name in _ECHOED}
    return {
        "data": _domain_facts(company.domain if company else domain, company) | {"emails": [_email(p) for p in page]},
        "meta": {"results": len(matching), "limit": limit, "offset": offset, "params": params},
    }


class _Filters:
    """The filters of a domain search, checked."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._kinds = choices(query, "type", ("personal", "generic"), "invalid_type")
        self._seniorities = choices(query, "seniority", SENIORITIES, "invalid_seniority")
        self._departments = choices(query, "department", DEPARTMENTS, "invalid_department")
        self._statuses = choices(query, "verification_status", _STATUSES, "wrong_params")
        self._required = choices(query, "required_field", _FIELDS, "wrong_params")
        titles = query.get("job_titles", "").split(",")
        self._titles = [title.strip().lower() for title in titles if title.strip()]

    def fit(self, person: Person) -> bool:
        """Whether a person passes all of them."""
        present = {"full_name": person.first_name, "position": person.position, "phone_number": person.phone}
        wanted = (
            (self._kinds, person.kind),
            (self._seniorities, person.seniority),
            (self._departments, person.department),
            (self._statuses, person.verification[1] if person.verification else None),
            (self._titles, (person.position or "").lower()),
        )
        return all(not allowed or value in allowed for allowed, value in wanted) and all(
            present[name] for name in self._required
        )


def _domain_facts(domain: str | None, company: Company | None) -> dict[str, Any]:
    return {
        "domain": domain,
        "disposable": domain in DISPOSABLE_HOSTS,
        "webmail": domain in WEBMAIL_HOSTS,
        "accept_all": company.accepts_all_mail if company else False,
        "pattern": company.pattern if company and company.people_known else None,
        "organization": company.name if company else None,
        "linked_domains": [],
    }


def _email(person: Person) -> dict[str, Any]:
    verification = person.verification
    return {
        "value": person.email,
        "type": person.kind,
        "confidence": person.confidence,
        "sources": sources(person),
        "first_name": person.first_name,
        "last_name": person.last_name,
        "position": person.position,
        "position_raw": person.position,
        "seniority": person.seniority,
        "department": person.department,
        "linkedin": f"https://www.linkedin.com/in/{person.linkedin_handle}" if person.linkedin_handle else None,
        "twitter": None,
        "phone_number": person.phone,
        "verification": {
            "date": verification[0] if verification else None,
            "status": verification[1] if verification else None,
        },
    }


def sources(person: Person) -> list[dict[str, Any]]:
    """Where Hunter says that it saw the address."""
    domain = person.company.domain
    pages = ("about", "team", "contact")[: number(1, 3, "sources", person.email)]
    return [
        {
            "domain": domain,
            "uri": f"https://{domain}/{page}",
            "extracted_on": "2026-02-11",
            "last_seen_on": "2026-10-30",
            "still_on_page": True,
        }
        for page in pages
    ]


def email_finder(query: Mapping[str, str], account: HunterAccount | None) -> dict[str, Any]:
    """``GET /email-finder``: the address of a named person, ``email: null`` when there is none.

    Raises:
        HunterApiError: 400 for wrong parameters, 402 without credits, 451 for somebody who is claimed.
    """
    domain = domain_or_none(query.get("domain", ""), "invalid_domain")
    if domain is None and not query.get("company", "").strip():
        raise HunterApiError(400, "wrong_params", "You are missing the domain or company parameter")
    whole_number(query, "max_duration", 10, 3, 20)
    first, last = _name(query)
    if account is None:
        person = people_of(company_with_domain(TRY_OUT_DOMAIN) or _no_company())[0]
    else:
        account.require_credits()
        company = company_with_domain(domain) if domain else company_with_name(query["company"])
        found = person_named(company, first, last) if company else None
        if found is None:
            return _nobody(first, last, domain, query)
        if found.mailbox.claimed:
            raise HunterApiError(451)
        account.charge(1)
        person = found
    return {"data": _found(person), "meta": {"params": _finder_params(query)}}


def _no_company() -> Company:
    message = f"the try-out domain {TRY_OUT_DOMAIN} is no company of the sandbox"
    raise LookupError(message)


def _name(query: Mapping[str, str]) -> tuple[str, str]:
    full = query.get("full_name", "").split()
    first, last = query.get("first_name", "").strip(), query.get("last_name", "").strip()
    if full and not (first and last):
        if len(full) == 1:
            raise HunterApiError(400, "invalid_full_name", "The full name needs a first and a last name.")
        return full[0], " ".join(full[1:])
    if not first:
        raise HunterApiError(400, "invalid_first_name" if last else "wrong_params", "You are missing the first name.")
    if not last:
        raise HunterApiError(400, "invalid_last_name", "You are missing the last name.")
    return first, last


def _finder_params(query: Mapping[str, str]) -> dict[str, Any]:
    return {
        name: query.get(name) for name in ("first_name", "last_name", "full_name", "domain", "company", "max_duration")
    }


def _nobody(first: str, last: str, domain: str | None, query: Mapping[str, str]) -> dict[str, Any]:
    nothing = ("email", "score", "accept_all", "position", "twitter", "linkedin_url", "phone_number", "company")
    data: dict[str, Any] = dict.fromkeys(nothing)
    data |= {"first_name": first, "last_name": last, "domain": domain, "sources": []}
    return {
        "data": data | {"verification": {"date": None, "status": None}},
        "meta": {"params": _finder_params(query)},
    }


def _found(person: Person) -> dict[str, Any]:
    email = _email(person)
    copied = ("first_name", "last_name", "position", "twitter", "phone_number", "sources", "verification")
    return {name: email[name] for name in copied} | {
        "email": person.email,
        "score": person.confidence,
        "domain": person.company.domain,
        "accept_all": person.company.accepts_all_mail,
        "linkedin_url": email["linkedin"],
        "company": person.company.name,
    }
