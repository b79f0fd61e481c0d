"""What HUNTER_DOMAIN_LOOKUP takes, reads of the step before it, and returns."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Department = Literal[
    "executive", "it", "finance", "management", "sales", "legal", "support", "hr", "marketing", "communication",
    "education", "design", "health", "operations",
]  # fmt: skip
Seniority = Literal["junior", "senior", "executive"]
OutcomeKind = Literal["found", "none", "skipped", "failed"]


def one_of_two(first: str, second: str) -> dict[str, Any]:
    """The JSON Schema rule "give one of these two, not both", so that a plan is checked before it runs."""
    given: dict[str, dict[str, Any]] = {
        name: {"properties": {name: {"not": {"type": "null"}}}, "required": [name]} for name in (first, second)
    }
    return {"oneOf": [given[first], given[second]]}


class DomainLookupParams(BaseModel):
    """Whose contacts to look for, and which."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        json_schema_extra=one_of_two("sourceStepId", "domains"),
    )

    source_step_id: Annotated[str, Field(description="A step that found places.")] | None = None
    domains: (
        Annotated[list[str], Field(min_length=1, max_length=500, description="Domains or web addresses.")] | None
    ) = None
    contacts_per_domain: Annotated[int, Field(ge=1, le=100, description="A credit for each 10 or part of it.")] = 10
    departments: Annotated[list[Department], Field(description="Only contacts of these; empty means all.")] = []
    seniorities: Annotated[list[Seniority], Field(description="Only contacts of these; empty means all.")] = []
    type: (
        Annotated[Literal["personal", "generic"], Field(description="Only people, or only addresses such as info@.")]
        | None
    ) = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source_step_id is None) == (self.domains is None):
            raise ValueError("give either sourceStepId or domains")
        return self

    def search_filters(self) -> dict[str, str]:
        """The filters as `/domain-search` takes them."""
        filters = {
            "type": self.type or "",
            "department": ",".join(self.departments),
            "seniority": ",".join(self.seniorities),
        }
        return {name: value for name, value in filters.items() if value}


class SourcePlace(BaseModel):
    """What is read of a place that an earlier step found."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    place_id: str | None = None
    name: str | None = None
    website: str | None = None


class SourcePlaces(BaseModel):
    """What is read of the data of the step that found places."""

    places: list[SourcePlace]


class _Result(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class DomainContact(_Result):
    """An address and what Hunter knows of who reads it. ``confidence`` is 0 to 100."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    department: str | None = None
    seniority: str | None = None
    type: str
    confidence: int
    verification_status: str | None = None
    linkedin: str | None = None
    phone: str | None = None


class DomainOutcome(_Result):
    """What came of one place or one given domain. ``reason`` says why it was skipped or failed."""

    domain: str | None = None
    place_id: str | None = None
    company: str | None = None
    website: str | None = None
    outcome: OutcomeKind
    reason: str | None = None
    pattern: Annotated[str, Field(description="How addresses are formed, such as {first}.{last}.")] | None = None
    contacts: list[DomainContact] = []


class DomainLookupResult(_Result):
    """What HUNTER_DOMAIN_LOOKUP returns: one outcome for each place or given domain, in their order."""

    domains: list[DomainOutcome]
    contacts_found: int
    credits_used: Annotated[int, Field(description="By Hunter's price list: 1 for each 10 addresses of an answer.")]
