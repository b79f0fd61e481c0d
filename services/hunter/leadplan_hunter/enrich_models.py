"""What HUNTER_ENRICH takes, and what it returns."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from leadplan_hunter.api_answers import EmailAddress

LookupKind = Literal["email-finder", "email-verifier", "people-find", "companies-find"]
"""Hunter's calls that this tool makes."""
LeadSource = Literal["domain-search", LookupKind]
FactSource = Literal["params", "place", LeadSource]
"""``params``: the plan itself; ``place``: the place behind the domain, as the step before passed it on."""
DropReason = Literal["low_confidence", "invalid_address", "same_person"]

_SOURCES = ("sourceStepId", "emails", "people")
_NAME = Annotated[str, Field(min_length=1, max_length=100)]


def _given(name: str) -> dict[str, Any]:
    return {"properties": {name: {"not": {"type": "null"}}}, "required": [name]}


_HANDLE = _given("linkedinHandle")


class _Params(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )


class WantedPerson(_Params):
    """A person whose address is to be found. Of several ways to say where, the handle wins, then the domain."""

    model_config = ConfigDict(
        # (handle or name) and (handle or place), as `_can_be_looked_for` says it.
        json_schema_extra={
            "allOf": [
                {"anyOf": [_HANDLE, _given("fullName"), {"allOf": [_given("firstName"), _given("lastName")]}]},
                {"anyOf": [_HANDLE, _given("domain"), _given("company")]},
            ]
        }
    )

    first_name: Annotated[_NAME, Field(description="With `lastName`.")] | None = None
    last_name: Annotated[_NAME, Field(description="With `firstName`.")] | None = None
    full_name: Annotated[str, Field(min_length=1, max_length=200, description="In place of these two.")] | None = None
    domain: (
        Annotated[str, Field(min_length=1, max_length=500, description="The employer's domain or web address.")] | None
    ) = None
    company: (
        Annotated[
            str,
            Field(min_length=1, max_length=200, description="The employer's name, where the domain isn't known."),
        ]
        | None
    ) = None
    linkedin_handle: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=300,
                description="Such as `ada-hall`, or the profile's address. Needs no name and no employer.",
            ),
        ]
        | None
    ) = None

    @model_validator(mode="after")
    def _can_be_looked_for(self) -> Self:
        named = self.full_name or (self.first_name and self.last_name)
        if not self.linkedin_handle and not (named and (self.domain or self.company)):
            name = "a name (fullName, or firstName and lastName)"
            raise ValueError(f"give linkedinHandle, or {name} with domain or company")
        return self

    def as_given(self) -> dict[str, str]:
        """What the plan says of them, by the names of the params."""
        given: dict[str, str] = self.model_dump(by_alias=True, exclude_none=True)
        return given


class EnrichParams(_Params):
    """Whom to enrich, and with what. Give exactly one of `sourceStepId`, `emails` and `people`."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [_given(name) for name in _SOURCES]})

    source_step_id: (
        Annotated[str, Field(description="A step that looked up domains: its contacts become leads.")] | None
    ) = None
    emails: (
        Annotated[list[EmailAddress], Field(min_length=1, max_length=1000, description="Addresses that are known.")]
        | None
    ) = None
    people: (
        Annotated[
            list[WantedPerson],
            Field(min_length=1, max_length=1000, description="People whose addresses Hunter is to find."),
        ]
        | None
    ) = None
    verify: Annotated[
        bool,
        Field(
            description="Ask whether mail to the address arrives, unless a verification of the last 30 days is known."
        ),
    ] = True
    verify_again: Annotated[bool, Field(description="Ask also where a recent verification is known.")] = False
    enrich_person: Annotated[
        bool, Field(description="Ask who the person is; not for shared mailboxes, nor where mail can't arrive.")
    ] = True
    enrich_company: Annotated[bool, Field(description="Ask about the company, once for each domain.")] = True
    min_confidence: Annotated[
        int, Field(ge=0, le=100, description="Drop leads below it, before and after the verification.")
    ] = 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(source is not None for source in (self.source_step_id, self.emails, self.people)) != 1:
            raise ValueError("give exactly one of sourceStepId, emails and people")
        return self


class _Result(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True)


class LeadCompany(_Result):
    """The company that a lead works for."""

    name: Annotated[str, Field(description="As the place is called, else as Hunter has it.")] | None = None
    domain: str | None = None
    legal_name: Annotated[str, Field(description="As it is registered.")] | None = None
    industry: str | None = None
    employees: Annotated[str, Field(description="A band such as `11-50`.")] | None = None
    location: str | None = None
    founded_year: int | None = None
    linkedin: Annotated[str, Field(description="Address of the page.")] | None = None


class Lead(_Result):
    """One person or mailbox, merged from all sources. What nobody knows is left out."""

    email: Annotated[str, Field(description="In lower case, the domain in ASCII: as two addresses are compared.")]
    first_name: str | None = None
    last_name: str | None = None
    position: Annotated[str, Field(description="The job's title.")] | None = None
    seniority: Annotated[str, Field(description="`junior`, `senior` or `executive`.")] | None = None
    department: Annotated[str, Field(description="Such as `management` or `sales`.")] | None = None
    company: LeadCompany | None = None
    phone: str | None = None
    linkedin: Annotated[str, Field(description="Address of the profile.")] | None = None
    twitter: Annotated[str, Field(description="The handle.")] | None = None
    location: Annotated[str, Field(description="Where the person is, such as `Leeds, United Kingdom`.")] | None = None
    time_zone: Annotated[str, Field(description="An IANA name.")] | None = None
    website: Annotated[str, Field(description="Of the place that led to the lead.")] | None = None
    place_id: Annotated[str, Field(description="Google's id of that place.")] | None = None
    confidence: (
        Annotated[int, Field(description="0 to 100: the verifier's score, else the finder's or the domain search's.")]
        | None
    ) = None
    verification_status: (
        Annotated[
            str,
            Field(description="`valid`, `invalid`, `accept_all`, `webmail`, `disposable` or `unknown`."),
        ]
        | None
    ) = None
    verified_on: Annotated[str, Field(description="The day of that verification, YYYY-MM-DD.")] | None = None
    sources: Annotated[list[LeadSource], Field(description="Hunter's calls that knew something of the lead.")]
    provenance: Annotated[
        dict[str, FactSource],
        Field(description="Where each field is from, such as `company.name`: one entry for each field that is there."),
    ]


class DroppedLead(_Result):
    """An address that isn't among the leads, and why. People who objected are never named here."""

    email: str
    reason: Annotated[
        DropReason,
        Field(
            description="`low_confidence`: below `minConfidence`. `invalid_address`: no e-mail address. `same_person`: "
            "another address of a lead, known by their LinkedIn profile."
        ),
    ]


class PersonNotFound(_Result):
    """Somebody of `people` who has no lead."""

    person: Annotated[dict[str, str], Field(description="As the plan names them, such as `fullName` and `domain`.")]
    reason: Annotated[str, Field(description="Such as that Hunter finds no address, or that the domain takes no mail.")]


class IncompleteLookup(_Result):
    """Lookups that were asked for and gave no answer. A lead stands among the leads without them."""

    email: Annotated[str, Field(description="Of the lead.")] | None = None
    domain: Annotated[str, Field(description="Of the company.")] | None = None
    person: Annotated[dict[str, str], Field(description="One of `people`, whose address wasn't looked for.")] | None = (
        None
    )
    lookups: Annotated[list[LookupKind], Field(description="The calls without an answer.")]
    reason: Annotated[str, Field(description="What went wrong, for people.")]


class EnrichResult(_Result):
    """What HUNTER_ENRICH returns."""

    leads: Annotated[list[Lead], Field(description="One record a person, in the order of the source.")]
    objected: Annotated[
        list[str],
        Field(
            description="People who asked Hunter not to process their data: the SHA-256 of each one's address in lower "
            "case, as hex, and nothing else."
        ),
    ] = []
    objected_without_address: Annotated[
        int, Field(description="How many objected before an address of theirs was known.")
    ] = 0
    dropped: list[DroppedLead] = []
    not_found: Annotated[list[PersonNotFound], Field(description="Those of `people` without an address.")] = []
    incomplete: list[IncompleteLookup] = []
    credits_used: Annotated[
        int, Field(description="Hunter's credits of all attempts, at most: 1 for each answer that can cost.")
    ]
