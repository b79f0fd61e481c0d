"""What the tool takes, what it reads of the enrichment before it, and what it returns (camelCase JSON)."""

import unicodedata
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel


def _one_spelling(name: str) -> str:
    """The same characters are stored in the same way, so that a name finds its list again."""
    if not name.isprintable():
        raise ValueError("holds characters that can't be printed")
    return unicodedata.normalize("NFC", name)


def _day_or_none(value: object) -> date | None:
    """The day that a text begins with: a lead isn't refused because of the form of its verification's date."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


ListName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_one_spelling)
]
Day = Annotated[date | None, BeforeValidator(_day_or_none)]
Sha256Hex = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]


class _CamelModel(BaseModel):
    # The input stays out of validation errors: it is about people.
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, hide_input_in_errors=True)


class SaveParams(_CamelModel):
    """Params of ``LEAD_LIST_SAVE``."""

    model_config = ConfigDict(extra="forbid")

    source_step_id: str = Field(description="The step whose `leads` are saved, as HUNTER_ENRICH returns them.")
    list_name: ListName = Field(description="The list's name in the user's account; it is made if it isn't there.")


class EnrichedCompany(_CamelModel):
    """The company of an enriched lead."""

    name: str | None = None
    domain: str | None = None
    industry: str | None = None
    employees: str | int | None = None
    location: str | None = None
    legal_name: str | None = None
    founded_year: str | int | None = None
    linkedin: str | None = None


class EnrichedLead(_CamelModel):
    """One lead of the source step."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    seniority: str | None = None
    department: str | None = None
    company: EnrichedCompany | None = None
    phone: str | None = None
    linkedin: str | None = None
    twitter: str | None = None
    location: str | None = None
    time_zone: str | None = None
    website: str | None = None
    place_id: str | None = None
    confidence: float | None = None
    verification_status: str | None = None
    verified_on: Day = None
    sources: list[str] | None = None
    provenance: dict[str, str] | None = None


class EnrichmentData(_CamelModel):
    """What this tool reads of the source step's data; other keys are ignored."""

    leads: list[EnrichedLead]
    objected: list[Sha256Hex] = []


class SavedLead(_CamelModel):
    """A lead as it stands in the list after the save."""

    lead_id: str = Field(description="Stays the same as long as the lead is in the list.")
    email: str = Field(description="Without blanks around it, in lower case and with the domain in ASCII.")
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = Field(default=None, description="Its name, or its domain where the name isn't known.")
    position: str | None = None
    verification_status: str | None = None
    is_new: bool = Field(description="This step put the lead into the list; a repeat of the step says the same.")
    suppressed: str | None = Field(
        default=None,
        description="Why this lead must not be contacted: the reason on the account's suppression list, such as "
        "`unsubscribed`. Absent where nothing is against it.",
    )


class LeftOutLead(_CamelModel):
    """A lead that wasn't saved."""

    email: str = Field(description="As the source step gave it.")
    reason: Literal["invalid_address"] = Field(description="`invalid_address`: it is no e-mail address.")


class SaveResult(_CamelModel):
    """Result of ``LEAD_LIST_SAVE``: `leads` in the order of the source step, each address once."""

    list_id: str
    list_name: str
    leads_new: int = Field(description="Leads that this step put into the list.")
    leads_updated: int = Field(description="Leads that were in the list before.")
    leads: list[SavedLead] = Field(description="Every lead of the source step, in its order, each address once.")
    left_out: list[LeftOutLead] = Field(description="Leads that weren't saved. They don't fail the step.")
    objected_left_out: int = Field(
        description="People who objected to the processing of their data. They weren't saved, and were erased from all "
        "lists of the account; nobody is named."
    )
