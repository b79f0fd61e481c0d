"""What Hunter answers, as far as the tools read it: https://hunter.io/api-documentation/v2.

Names are snake_case, but camelCase in people and companies, as in the API.
"""

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from leadplan_web_apis.tolerant import ApiAnswer, ApiDay, Tolerant, TolerantList

DataT = TypeVar("DataT", bound=BaseModel)

EmailAddress = Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=320)]


class Meta(ApiAnswer):
    """``meta`` of an answer; ``results`` is the total over all pages."""

    results: Tolerant[int] = None


class Envelope(ApiAnswer, Generic[DataT]):
    """Every successful answer."""

    data: DataT
    meta: Tolerant[Meta] = None


class Verification(ApiAnswer):
    """A verification of the last month or so: ``valid``, ``accept_all`` or ``unknown``."""

    date: Tolerant[ApiDay] = None
    status: Tolerant[str] = None


class EmailFound(ApiAnswer):
    """One address of a domain search."""

    value: EmailAddress
    type: Tolerant[str] = None
    confidence: Tolerant[int] = None
    first_name: Tolerant[str] = None
    last_name: Tolerant[str] = None
    position: Tolerant[str] = None
    seniority: Tolerant[str] = None
    department: Tolerant[str] = None
    linkedin: Tolerant[str] = None
    phone_number: Tolerant[str] = None
    verification: Tolerant[Verification] = None


class DomainSearch(ApiAnswer):
    """``/domain-search``: who is known at a domain."""

    domain: Tolerant[str] = None
    organization: Tolerant[str] = None
    pattern: Tolerant[str] = None
    webmail: Tolerant[bool] = None
    disposable: Tolerant[bool] = None
    # As many entries as Hunter sent and charges; None stands for one that can't be read.
    emails: TolerantList[Tolerant[EmailFound]] = Field(default_factory=list)


class EmailVerification(ApiAnswer):
    """``/email-verifier``: whether mail to an address arrives."""

    status: Tolerant[str] = None
    score: Tolerant[int] = None


@dataclass(frozen=True)
class NoVerification:
    """The verifier answered without a result; ``reason`` says why, in words for people."""

    reason: str


class EmailFoundByName(ApiAnswer):
    """``/email-finder``: a person's address. ``score`` is 0 to 100; ``email`` None means that none was found."""

    email: Tolerant[EmailAddress] = None
    score: Tolerant[int] = None
    domain: Tolerant[str] = None
    first_name: Tolerant[str] = None
    last_name: Tolerant[str] = None
    position: Tolerant[str] = None
    company: Tolerant[str] = None
    linkedin_url: Tolerant[str] = None
    twitter: Tolerant[str] = None
    phone_number: Tolerant[str] = None
    verification: Tolerant[Verification] = None


class _CamelAnswer(ApiAnswer):
    model_config = ConfigDict(alias_generator=to_camel)


class PersonName(_CamelAnswer):
    """A person's name."""

    given_name: Tolerant[str] = None
    family_name: Tolerant[str] = None


class Employment(_CamelAnswer):
    """Where a person works, and as what."""

    domain: Tolerant[str] = None
    name: Tolerant[str] = None
    title: Tolerant[str] = None
    role: Tolerant[str] = None
    seniority: Tolerant[str] = None


class SocialHandle(_CamelAnswer):
    """A handle in a social network."""

    handle: Tolerant[str] = None


class Person(_CamelAnswer):
    """``/people/find``."""

    name: Tolerant[PersonName] = None
    employment: Tolerant[Employment] = None
    location: Tolerant[str] = None
    time_zone: Tolerant[str] = None
    linkedin: Tolerant[SocialHandle] = None
    twitter: Tolerant[SocialHandle] = None
    phone: Tolerant[str] = None


class CompanyCategory(_CamelAnswer):
    """A company's trade, from wide (sector) to narrow."""

    sector: Tolerant[str] = None
    industry: Tolerant[str] = None


class CompanyMetrics(_CamelAnswer):
    """Figures of a company; ``employees`` is a band such as ``11-50``."""

    employees: Tolerant[str | int] = None


class Company(_CamelAnswer):
    """``/companies/find``."""

    name: Tolerant[str] = None
    legal_name: Tolerant[str] = None
    domain: Tolerant[str] = None
    category: Tolerant[CompanyCategory] = None
    metrics: Tolerant[CompanyMetrics] = None
    location: Tolerant[str] = None
    founded_year: Tolerant[int] = None
    linkedin: Tolerant[SocialHandle] = None
