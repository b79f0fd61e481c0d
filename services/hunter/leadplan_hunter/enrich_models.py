"""What HUNTER_ENRICH takes, reads of the step before it, and returns."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from leadplan_hunter.api_answers import EmailAddress
from leadplan_hunter.lookup_models import one_of_two

LeadSource = Literal["domain-search", "email-verifier", "people-find", "companies-find"]
DropReason = Literal["objected", "low_confidence"]


class EnrichParams(BaseModel):
    """Whom to enrich, and with what."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        json_schema_extra=one_of_two("sourceStepId", "emails"),
    )

    source_step_id: Annotated[str, Field(description="A step that looked up domains.")] | None = None
    emails: Annotated[list[EmailAddress], Field(min_length=1, max_length=1000)] | None = None
    verify: Annotated[bool, Field(description="Ask whether mail to the address arrives.")] = True
    enrich_person: Annotated[bool, Field(description="Ask who the person is.")] = True
    enrich_company: Annotated[bool, Field(description="Ask about the company, once for each domain.")] = True
    min_confidence: Annotated[int, Field(ge=0, le=100, description="Drop leads below it.")] = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.source_step_id is None) == (self.emails is None):
            raise ValueError("give either sourceStepId or emails")
        return self


class SourceContact(BaseModel):
    """What is read of a contact that an earlier step found."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    department: str | None = None
    seniority: str | None = None
    type: str | None = None
    confidence: int | None = None
    verification_status: str | None = None
    linkedin: str | None = None
    phone: str | None = None


class SourceDomain(BaseModel):
    """What is read of a domain that an earlier step looked up."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="ignore", frozen=True)

    domain: str | None = None
    place_id: str | None = None
    company: str | None = None
    website: str | None = None
    contacts: list[SourceContact] = []


class SourceDomains(BaseModel):
    """What is read of the data of the step that looked up domains."""

    domains: list[SourceDomain]


class _Result(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class LeadCompany(_Result):
    """The company that a lead works for. ``employees`` is a band such as ``11-50``."""

    name: str | None = None
    domain: str | None = None
    industry: str | None = None
    employees: str | None = None
    location: str | None = None


class Lead(_Result):
    """One person or mailbox, merged from all sources. What nobody knows is left out."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    seniority: str | None = None
    department: str | None = None
    company: LeadCompany | None = None
    phone: str | None = None
    linkedin: str | None = None
    website: str | None = None
    place_id: str | None = None
    confidence: (
        Annotated[int, Field(description="0 to 100: the verifier's score, else the domain search's.")] | None
    ) = None
    verification_status: str | None = None
    sources: Annotated[list[LeadSource], Field(description="Which calls the lead was made from.")]


class DroppedLead(_Result):
    """Who isn't among the leads, and why. Of somebody who objected only the address is kept, to leave it alone."""

    email: str
    reason: DropReason


class IncompleteLookup(_Result):
    """Lookups that were asked for and gave no answer; the lead stands among the leads without them."""

    email: str | None = None
    domain: str | None = None
    lookups: list[LeadSource]
    reason: str


class EnrichResult(_Result):
    """What HUNTER_ENRICH returns."""

    leads: list[Lead]
    dropped: list[DroppedLead]
    incomplete: list[IncompleteLookup]
    credits_used: Annotated[
        int, Field(description="At most: 1 for each verification that Hunter charges and each person or company found.")
    ]
