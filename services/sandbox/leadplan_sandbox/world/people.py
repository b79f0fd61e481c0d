"""The people of a company and their addresses: all follows from the company's domain."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal

from leadplan_sandbox.world.chance import happens, number, pick, pick_weighted, shuffled
from leadplan_sandbox.world.cities import TOP_LEVEL_DOMAINS
from leadplan_sandbox.world.companies import RESERVED_DOMAIN, Company, company_with_domain
from leadplan_sandbox.world.names import (
    DISPOSABLE_HOSTS,
    FIRST_NAMES,
    GENERIC_MAILBOXES,
    LAST_NAMES,
    POSITIONS,
    WEBMAIL_HOSTS,
)
from leadplan_sandbox.world.spelling import words_of

VerifierStatus = Literal["valid", "invalid", "accept_all", "webmail", "disposable", "unknown"]
Refusal = Literal["invalid", "bounced", "unsubscribed", "claimed"]

_RESERVED_STATUS: dict[str, VerifierStatus] = {
    "accept-all": "accept_all",
    "invalid": "invalid",
    "unknown": "unknown",
    "disposable": "disposable",
    "webmail": "webmail",
}
RESERVED_NAMES = (
    *_RESERVED_STATUS,
    *("bounced", "claimed", "claimed-profile", "pending", "smtp-failure", "stuck", "unsubscribed", "valid"),
)
"""What the addresses at the reserved domain that do something special are called."""

_RESERVED_SLOW_CHECKS = {"pending": 2, "stuck": 1_000_000}
_SLOW_CHECKS = ((0, 94.0), (1, 5.0), (2, 1.0))


@dataclass(frozen=True)
class Mailbox:
    """An e-mail address and what befalls mail to it, whether or not Hunter knows its owner."""

    email: str

    @property
    def local_part(self) -> str:
        """What stands before the @."""
        return self.email.rpartition("@")[0]

    @property
    def domain(self) -> str:
        """What stands behind the @."""
        return self.email.rpartition("@")[2]

    @property
    def reserved(self) -> bool:
        """Whether the address behaves as its name says, for tests: ``claimed@sandbox.example`` and the like."""
        return self.domain == RESERVED_DOMAIN

    @property
    def claimed(self) -> bool:
        """Whether its owner asked Hunter not to process their data (451)."""
        return self.local_part == "claimed" if self.reserved else happens(0.02, "claimed", self.email)

    @property
    def profile_claimed(self) -> bool:
        """Whether Hunter refuses (451) to say who its owner is; for one reserved address that alone is refused."""
        return self.claimed or (self.reserved and self.local_part == "claimed-profile")

    @property
    def status(self) -> VerifierStatus:
        """What the verifier finds."""
        if self.reserved:
            return _RESERVED_STATUS.get(self.local_part, "valid")
        if self.domain in WEBMAIL_HOSTS:
            return "webmail"
        if self.domain in DISPOSABLE_HOSTS:
            return "disposable"
        company = company_with_domain(self.domain)
        if company is None or happens(0.07, "invalid", self.email):
            return "invalid"
        if company.accepts_all_mail:
            return "accept_all"
        return "unknown" if happens(0.06, "unknown", self.email) else "valid"

    @property
    def slow_checks(self) -> int:
        """How many calls of the verifier answer 202 before there is a result."""
        if self.reserved:
            return _RESERVED_SLOW_CHECKS.get(self.local_part, 0)
        return pick_weighted(_SLOW_CHECKS, "slow", self.email)

    @property
    def server_answers_wrongly(self) -> bool:
        """Whether the verifier answers 222 each time."""
        return self.local_part == "smtp-failure" if self.reserved else happens(0.01, "smtp", self.email)

    @property
    def refusal(self) -> Refusal | None:
        """Why a sequence doesn't take it as a recipient, None when it does."""
        if self.claimed:
            return "claimed"
        if self.reserved and self.local_part in ("bounced", "unsubscribed"):
            return "bounced" if self.local_part == "bounced" else "unsubscribed"
        if self.status == "invalid":
            return "invalid"
        if self.reserved:
            return None
        if happens(0.015, "bounced", self.email):
            return "bounced"
        return "unsubscribed" if happens(0.015, "unsubscribed", self.email) else None


@dataclass(frozen=True)
class Person:
    """Somebody, or a shared mailbox (``kind`` generic, without names), at a company."""

    mailbox: Mailbox
    company: Company
    kind: Literal["personal", "generic"]
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    seniority: str | None = None
    department: str | None = None

    @property
    def email(self) -> str:
        """The address."""
        return self.mailbox.email

    @property
    def confidence(self) -> int:
        """How sure Hunter is of the address, 0 to 100."""
        return number(45, 99, "confidence", self.email)

    @property
    def has_profile(self) -> bool:
        """Whether Hunter's person enrichment knows them."""
        if self.mailbox.reserved:
            return self.mailbox.local_part != "unknown"
        return self.kind == "personal" and happens(0.75, "profile", self.email)

    @property
    def linkedin_handle(self) -> str | None:
        """Their handle, None for mailboxes and for those who aren't there. It leads back to them."""
        if self.kind == "generic" or not (self.mailbox.reserved or happens(0.6, "linkedin", self.email)):
            return None
        words = [_one_word(self.first_name), _one_word(self.last_name), self.company.domain.replace(".", "-")]
        return "-".join(words)

    @property
    def phone(self) -> str | None:
        """A direct number in international form, None for most."""
        if not happens(0.3, "phone", self.email):
            return None
        digits = f"{number(200, 999, 'p1', self.email)} {number(1000, 9999, 'p2', self.email)}"
        return f"+{self.company.city.country.calling_code} {digits}"

    @property
    def verification(self) -> tuple[str, str] | None:
        """Date and status of the last verification, None when there is none younger than a month.

        How many days ago it was is what follows from the address, so that no day comes on which all are too old.
        """
        status = self.mailbox.status
        if status not in ("valid", "accept_all", "unknown") or happens(0.3, "unverified", self.email):
            return None
        verified_on = datetime.now(UTC).date() - timedelta(days=number(1, 27, "verified", self.email))
        return verified_on.isoformat(), status


@lru_cache(maxsize=4096)
def people_of(company: Company) -> tuple[Person, ...]:
    """All of a company's addresses that Hunter knows, best first; none for about one company in eight."""
    people: dict[str, Person] = {}
    for index in range(company.people_known):
        person = _mailbox_of(company, index) if _is_generic(company, index) else _person_of(company, index)
        people.setdefault(person.email, person)
    return tuple(sorted(people.values(), key=lambda person: (-person.confidence, person.email)))


def _is_generic(company: Company, index: int) -> bool:
    return index < len(GENERIC_MAILBOXES) and happens(0.25, "generic", company.domain, str(index))


def _mailbox_of(company: Company, index: int) -> Person:
    name = shuffled(GENERIC_MAILBOXES, "mailbox", company.domain)[index]
    return Person(Mailbox(f"{name}@{company.domain}"), company, "generic")


def _person_of(company: Company, index: int) -> Person:
    seed = (company.domain, str(index))
    first, last = pick(FIRST_NAMES, "first", *seed), pick(LAST_NAMES, "last", *seed)
    # The first person of a small company is its owner.
    position, seniority, department = POSITIONS[0] if index == 0 else pick(POSITIONS[1:], "position", *seed)
    return Person(
        Mailbox(address_for(company, first, last)), company, "personal", first, last, position, seniority, department
    )


def address_for(company: Company, first: str, last: str) -> str:
    """The address that a name gets by the company's pattern."""
    first, last = _one_word(first), _one_word(last)
    local_part = company.pattern.format(first=first, last=last, f=first[:1])
    return f"{local_part}@{company.domain}"


def _one_word(name: str | None) -> str:
    return "".join(words_of(name or ""))


def person_with_email(email: str) -> Person | None:
    """Who has an address, None when Hunter knows nobody of it."""
    mailbox = Mailbox(email.strip().lower())
    company = company_with_domain(mailbox.domain)
    if company is None:
        return None
    if mailbox.reserved:
        return Person(mailbox, company, "personal", mailbox.local_part.capitalize(), "Example", *POSITIONS[0])
    return next((person for person in people_of(company) if person.email == mailbox.email), None)


def person_with_handle(handle: str) -> Person | None:
    """Who has a LinkedIn handle, None when nobody of the sandbox's world has it."""
    wanted = handle.strip().lower()
    reserved = f"-example-{RESERVED_DOMAIN.replace('.', '-')}"
    if wanted.endswith(reserved):
        # In the handle a reserved name stands without its dashes.
        local_parts = {name.replace("-", ""): name for name in RESERVED_NAMES}
        name = wanted.removesuffix(reserved)
        return person_with_email(f"{local_parts.get(name, name)}@{RESERVED_DOMAIN}")
    domain_words = wanted.split("-", maxsplit=2)[-1]
    for top_level in TOP_LEVEL_DOMAINS:
        ending = f"-{top_level.replace('.', '-')}"
        if domain_words.endswith(ending):
            company = company_with_domain(f"{domain_words.removesuffix(ending)}.{top_level}")
            people = people_of(company) if company else ()
            return next((person for person in people if person.linkedin_handle == wanted), None)
    return None


def person_named(company: Company, first: str, last: str) -> Person | None:
    """The person of this name at a company, None when Hunter knows none. Accents and case make no difference."""
    if company.domain == RESERVED_DOMAIN:
        name = first.strip().lower()
        return person_with_email(f"{name}@{RESERVED_DOMAIN}") if last.strip().lower() == "example" else None
    wanted = (_one_word(first), _one_word(last))
    return next(
        (
            person
            for person in people_of(company)
            if (_one_word(person.first_name), _one_word(person.last_name)) == wanted
        ),
        None,
    )
