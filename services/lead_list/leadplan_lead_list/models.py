"""What the tool takes, what it reads of the enrichment before it, and what it returns (camelCase JSON)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

ListName = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class _CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


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
    website: str | None = None
    place_id: str | None = None
    confidence: float | None = None
    verification_status: str | None = None
    sources: list[str] | None = None


class EnrichmentData(_CamelModel):
    """What this tool reads of the source step's data; other keys are ignored."""

    leads: list[EnrichedLead]


class SavedLead(_CamelModel):
    """A lead as it stands in the list after the save."""

    lead_id: str
    email: str
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    position: str | None = None
    verification_status: str | None = None
    is_new: bool = Field(description="This step put the lead into the list; a repeat of the step says the same.")


class LeftOutLead(_CamelModel):
    """A lead that wasn't saved."""

    email: str
    reason: str


class SaveResult(_CamelModel):
    """Result of ``LEAD_LIST_SAVE``: `leads` in the order of the source step, each address once."""

    list_id: str
    list_name: str
    leads_new: int
    leads_updated: int
    leads: list[SavedLead]
    left_out: list[LeftOutLead] = Field(description="Leads whose e-mail address is none.")
