"""What HUNTER_DOMAIN_LOOKUP takes, reads of the step before it, and returns."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

Department = Literal[
    "executive", "it", "finance", "management", "sales", "legal", "support", "hr", "marketing", "communication",
    "education", "design", "health", "operations",
]  # fmt: skip
Seniority = Literal["junior", "senior", "executive"]
RequiredField = Literal["full_name", "position", "phone_number"]
VerificationStatus = Literal["valid", "accept_all", "unknown"]
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

    source_step_id: (
        Annotated[str, Field(description="The step that found places, such as one of `GOOGLE_PLACES_SEARCH`.")] | None
    ) = None
    domains: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=2_000)]],
            Field(min_length=1, max_length=500, description="Domains or web addresses, in place of a source step."),
        ]
        | None
    ) = None
    contacts_per_domain: Annotated[
        int, Field(ge=1, le=1000, description="At most so many contacts of a domain; 10 or less on Hunter's free plan.")
    ] = 10
    departments: Annotated[list[Department], Field(description="Only contacts of these; empty means all.")] = []
    seniorities: Annotated[list[Seniority], Field(description="Only contacts of these; empty means all.")] = []
    type: (
        Annotated[Literal["personal", "generic"], Field(description="Only people, or only addresses such as info@.")]
        | None
    ) = None
    required_fields: Annotated[
        list[RequiredField], Field(description="Only contacts of whom Hunter knows all of these.")
    ] = []
    verification_statuses: Annotated[
        list[VerificationStatus],
        Field(description="Only addresses that were verified within the last month, with one of these results."),
    ] = []
    job_titles: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^,]*[^,\s][^,]*$")]],
        Field(
            max_length=50, description="Only contacts with one of these titles, such as `Practice Manager`; no commas."
        ),
    ] = []

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source_step_id is None) == (self.domains is None):
            raise ValueError("give either sourceStepId or domains")
        return self

    def search_filters(self) -> dict[str, str]:
        """The filters as `/domain-search` takes them."""
        filters: dict[str, Sequence[str]] = {
            "type": [self.type] if self.type else [],
            "department": self.departments,
            "seniority": self.seniorities,
            "required_field": self.required_fields,
            "verification_status": self.verification_statuses,
            "job_titles": [title.strip() for title in self.job_titles],
        }
        return {name: ",".join(dict.fromkeys(values)) for name, values in filters.items() if values}


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
    """An address and what Hunter knows of who reads it."""

    email: Annotated[str, Field(description="In lower case.")]
    first_name: str | None = None
    last_name: str | None = None
    position: Annotated[str, Field(description="The job title.")] | None = None
    department: str | None = None
    seniority: str | None = None
    type: Annotated[str, Field(description="`personal`, or `generic` for addresses such as info@.")]
    confidence: Annotated[int, Field(description="0 to 100: how sure Hunter is of the address.")]
    verification_status: (
        Annotated[str, Field(description="`valid`, `accept_all` or `unknown`, where Hunter verified it lately.")] | None
    ) = None
    verified_on: (
        Annotated[date, Field(description="The day of that verification; `HUNTER_ENRICH` needn't repeat it.")] | None
    ) = None
    linkedin: str | None = None
    phone: str | None = None


class DomainOutcome(_Result):
    """What came of one place or one given domain."""

    domain: Annotated[str, Field(description="The registrable domain of the website.")] | None = None
    place_id: Annotated[str, Field(description="As the place has it.")] | None = None
    company: Annotated[str, Field(description="The place's name, else what Hunter calls the company.")] | None = None
    website: Annotated[str, Field(description="As the place or the params have it.")] | None = None
    outcome: Annotated[OutcomeKind, Field(description="What came of it; explained below.")]
    reason: (
        Annotated[str, Field(description="Why it was skipped, why it failed, or why contacts are missing.")] | None
    ) = None
    pattern: Annotated[str, Field(description="How addresses are formed, such as `{first}.{last}`.")] | None = None
    contacts: list[DomainContact] = []


class DomainLookupResult(_Result):
    """What HUNTER_DOMAIN_LOOKUP returns."""

    domains: Annotated[list[DomainOutcome], Field(description="One for each place or given domain, in their order.")]
    contacts_found: Annotated[int, Field(description="The number of contacts in all domains.")]
    credits_used: Annotated[
        int,
        Field(
            description="By Hunter's price list, over all attempts of the step: 1 for each 10 addresses of an answer."
        ),
    ]
