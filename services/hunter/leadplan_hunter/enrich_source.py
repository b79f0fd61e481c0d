"""What HUNTER_ENRICH reads of the step that looked up domains."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from leadplan_web_apis.tolerant import ApiDay, Tolerant


class _Source(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )


class SourceContact(_Source):
    """What is read of a contact."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    department: str | None = None
    seniority: str | None = None
    type: str | None = None
    confidence: int | None = None
    verification_status: str | None = None
    verified_on: Tolerant[ApiDay] = None
    linkedin: str | None = None
    phone: str | None = None


class SourceDomain(_Source):
    """What is read of a domain."""

    domain: str | None = None
    place_id: str | None = None
    company: str | None = None
    website: str | None = None
    contacts: list[SourceContact] = []


class SourceDomains(_Source):
    """What is read of the step's data."""

    domains: list[SourceDomain]
