"""``/domain-search``: the addresses of a company."""

import math
from collections.abc import Mapping
from typing import Any

from leadplan_sandbox.hunter.access import HunterAccount
from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import choices, domain_or_none, only_known, whole_number
from leadplan_sandbox.world.chance import number
from leadplan_sandbox.world.companies import Company, company_with_domain, company_with_name
from leadplan_sandbox.world.names import DISPOSABLE_HOSTS, WEBMAIL_HOSTS
from leadplan_sandbox.world.people import Person, people_of

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
_FREE_PLAN_ADDRESSES = 10
_PLACE_MEMBERS = ("continent", "business_region", "country", "state", "city")


def domain_search(query: Mapping[str, str], account: HunterAccount | None) -> dict[str, Any]:
    """``GET /domain-search``; without an account (the test key) a fixed answer that costs nothing.

    Raises:
        HunterApiError: 400 for wrong parameters, among them ``location``, which wants a POST; 402 without credits.
    """
    if "location" in query:
        raise HunterApiError(400, "wrong_params", "The location filter requires a POST request.")
    return _search(query, _Location(None), account)


def domain_search_by_body(fields: Mapping[str, Any], account: HunterAccount | None) -> dict[str, Any]:
    """``POST /domain-search``: the same parameters in a JSON object, and ``location``.

    Raises:
        HunterApiError: 400 for wrong parameters, 402 without credits.
    """
    query = {name: _as_in_a_query(value) for name, value in fields.items() if name != "location" and value is not None}
    return _search(query, _Location(fields.get("location")), account)


def _as_in_a_query(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _search(query: Mapping[str, str], location: "_Location", account: HunterAccount | None) -> dict[str, Any]:
    # Whatever Hunter does with a parameter that it doesn't have, a client that sends one has a fault.
    only_known(query, (*_ECHOED, "limit", "offset", "api_key"))
    domain = domain_or_none(query.get("domain", ""))
    if domain is None and not query.get("company", "").strip():
        raise HunterApiError(400, "wrong_params", "You are missing the domain or company parameter")
    filters = _Filters(query)
    limit, offset = whole_number(query, "limit", 10, 1, 100), whole_number(query, "offset", 0, 0, 10_000)
    if account is None:
        domain = TRY_OUT_DOMAIN
    else:
        _require_plan_for(limit + offset, account)
        account.require_credits()
    company = company_with_domain(domain) if domain else company_with_name(query["company"])
    everybody = people_of(company) if company and location.fits(company) else ()
    matching = [person for person in everybody if filters.fit(person)]
    page = matching[offset : offset + limit]
    if account is not None:
        account.charge(math.ceil(len(page) / _ADDRESSES_PER_CREDIT))
    params = {name: query.get(name) for name in _ECHOED}
    return {
        "data": _domain_facts(company.domain if company else domain, company) | {"emails": [_email(p) for p in page]},
        "meta": {"results": len(matching), "limit": limit, "offset": offset, "params": params},
    }


def _require_plan_for(addresses: int, account: HunterAccount) -> None:
    if account.is_free and addresses > _FREE_PLAN_ADDRESSES:
        text = f"Your plan is limited to {_FREE_PLAN_ADDRESSES} addresses: limit and offset can't go beyond that."
        raise HunterApiError(400, "pagination_error", text)


class _Location:
    """The filter ``{"include": [{"country": "GB"}], "exclude": [{"city": "Leeds"}]}``, checked.

    The sandbox's world has countries (by code) and cities; nobody is at a place that names anything else.
    """

    def __init__(self, given: Any) -> None:
        wanted = {} if given is None else given
        if not isinstance(wanted, dict) or not wanted.keys() <= {"include", "exclude"}:
            raise _wrong_location()
        self._include, self._exclude = (_places(wanted.get(name, [])) for name in ("include", "exclude"))

    def fits(self, company: Company) -> bool:
        """Whether a company is where it may be."""
        included = not self._include or any(_is_at(place, company) for place in self._include)
        return included and not any(_is_at(place, company) for place in self._exclude)


def _places(given: Any) -> list[dict[str, str]]:
    if not isinstance(given, list):
        raise _wrong_location()
    for place in given:
        if not isinstance(place, dict) or not place or not place.keys() <= set(_PLACE_MEMBERS):
            raise _wrong_location()
        if not all(isinstance(value, str) for value in place.values()):
            raise _wrong_location()
    return given


def _wrong_location() -> HunterApiError:
    members = ", ".join(_PLACE_MEMBERS)
    return HunterApiError(400, "wrong_params", f"'location' takes include and exclude, lists of objects of {members}.")


def _is_at(place: Mapping[str, str], company: Company) -> bool:
    known = {"country": company.city.country.code, "city": company.city.name}
    return all(known.get(name, "").lower() == value.lower() for name, value in place.items())


class _Filters:
    """The filters of a domain search, checked."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._kinds = choices(query, "type", ("personal", "generic"), "invalid_type", most=1)
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
