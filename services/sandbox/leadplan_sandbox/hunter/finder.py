"""``/email-finder``: the address of a person who is known by name, or by their LinkedIn handle."""

import re
from collections.abc import Mapping
from typing import Any

from leadplan_sandbox.hunter.access import HunterAccount
from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import domain_or_none
from leadplan_sandbox.hunter.search import TRY_OUT_DOMAIN, sources
from leadplan_sandbox.world.chance import happens
from leadplan_sandbox.world.companies import RESERVED_DOMAIN, Company, company_with_domain, company_with_name
from leadplan_sandbox.world.people import Person, people_of, person_named, person_with_handle

_ECHOED = ("first_name", "last_name", "full_name", "domain", "company", "linkedin_handle", "max_duration")
_HANDLE = re.compile(r"[\w%-]{2,150}")
_NAME = re.compile(r"[^\W\d_][\w .'’-]{0,99}")
_NO_MAIL_ENDINGS = (".example", ".invalid", ".localhost", ".test")


def email_finder(query: Mapping[str, str], account: HunterAccount | None) -> dict[str, Any]:
    """``GET /email-finder``; ``email: null`` when there is none. The test key gets a fixed answer that costs nothing.

    Raises:
        HunterApiError: 400 for wrong parameters, for a domain without MX record and for one whose owner asked to be
            left alone (all three ``invalid_domain``), 402 without credits, 451 for somebody who is claimed.
    """
    wanted = _Wanted(query)
    if account is None:
        return _answer(_try_out_person(), query)
    account.require_credits()
    person = wanted.person()
    if person is None:
        return {"data": wanted.nobody(), "meta": _meta(query)}
    if person.mailbox.claimed:
        raise HunterApiError(451)
    account.charge(1)
    return _answer(person, query)


class _Wanted:
    """Whom a request asks for. A LinkedIn handle wins over the domain, and that over the company's name."""

    def __init__(self, query: Mapping[str, str]) -> None:
        _check_duration(query.get("max_duration"))
        self._handle = query.get("linkedin_handle", "").strip()
        self._company_name = query.get("company", "").strip()
        self._domain = domain_or_none(query.get("domain", ""), "invalid_domain")
        if not (self._handle or self._domain or self._company_name):
            raise HunterApiError(400, "wrong_params", "You are missing the domain, company or linkedin_handle")
        if self._handle and not _HANDLE.fullmatch(self._handle):
            raise HunterApiError(400, "wrong_params", "The supplied LinkedIn handle is invalid.")
        self._first, self._last = ("", "") if self._handle else _name(query)
        if self._domain and not self._handle:
            _check_takes_mail(self._domain)

    def person(self) -> Person | None:
        """Who it is, None when Hunter finds no address."""
        if self._handle:
            return person_with_handle(self._handle)
        company = company_with_domain(self._domain) if self._domain else company_with_name(self._company_name)
        return person_named(company, self._first, self._last) if company else None

    def nobody(self) -> dict[str, Any]:
        """``data`` when there is no address."""
        nothing = ("email", "score", "accept_all", "position", "twitter", "linkedin_url", "phone_number", "company")
        return dict.fromkeys(nothing) | {
            "first_name": self._first or None,
            "last_name": self._last or None,
            "domain": self._domain,
            "sources": [],
            "verification": {"date": None, "status": None},
        }


def _check_duration(text: str | None) -> None:
    if text is not None and not (re.fullmatch(r"\d{1,3}", text) and 3 <= int(text) <= 20):
        raise HunterApiError(400, "invalid_max_duration", "The max_duration must be a number of seconds from 3 to 20.")


def _check_takes_mail(domain: str) -> None:
    if domain == RESERVED_DOMAIN:
        return
    company = company_with_domain(domain)
    # Only where nobody is known: who has an address has a mail server.
    unknown = company is not None and not people_of(company)
    if domain.endswith(_NO_MAIL_ENDINGS) or (unknown and happens(0.4, "no mx record", domain)):
        raise HunterApiError(400, "invalid_domain", "The supplied domain name has no MX record.")
    if unknown and happens(0.2, "opted out", domain):
        raise HunterApiError(400, "invalid_domain", "The owner of this domain asked us to stop processing it.")


def _name(query: Mapping[str, str]) -> tuple[str, str]:
    full = query.get("full_name", "").strip()
    first, last = query.get("first_name", "").strip(), query.get("last_name", "").strip()
    if full and not (first and last):
        first, _, last = full.partition(" ")
        if not (_NAME.fullmatch(first) and _NAME.fullmatch(last.strip())):
            raise HunterApiError(400, "invalid_full_name", "The full name must be a first and a last name.")
        return first, last.strip()
    if not (first or last):
        raise HunterApiError(400, "wrong_params", "You are missing the first_name and last_name parameters")
    if not _NAME.fullmatch(first):
        raise HunterApiError(400, "invalid_first_name", "The supplied first name is missing or invalid.")
    if not _NAME.fullmatch(last):
        raise HunterApiError(400, "invalid_last_name", "The supplied last name is missing or invalid.")
    return first, last


def _try_out_person() -> Person:
    company = company_with_domain(TRY_OUT_DOMAIN)
    people = people_of(company) if company else ()
    return next(person for person in people if person.kind == "personal")


def _answer(person: Person, query: Mapping[str, str]) -> dict[str, Any]:
    company: Company = person.company
    verified_on, status = person.verification or (None, None)
    handle = person.linkedin_handle
    data = {
        "first_name": person.first_name,
        "last_name": person.last_name,
        "email": person.email,
        "score": person.confidence,
        "domain": company.domain,
        "accept_all": company.accepts_all_mail,
        "position": person.position,
        "twitter": None,
        "linkedin_url": f"https://www.linkedin.com/in/{handle}" if handle else None,
        "phone_number": person.phone,
        "company": company.name,
        "sources": sources(person),
        "verification": {"date": verified_on, "status": status},
    }
    return {"data": data, "meta": _meta(query)}


def _meta(query: Mapping[str, str]) -> dict[str, Any]:
    return {"params": {name: query.get(name) for name in _ECHOED}}
