"""What the tool takes, what it reads of the step before it, and what it returns (camelCase JSON)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

VerificationStatus = Literal["valid", "invalid", "accept_all", "webmail", "disposable", "unknown"]
"""What Hunter's verifier can find."""


class _CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class SequenceParams(_CamelModel):
    """Params of ``EMAIL_SEQUENCE_SETUP``."""

    model_config = ConfigDict(extra="forbid")

    source_step_id: str = Field(description="The step whose saved `leads` are added, as LEAD_LIST_SAVE returns them.")
    sequence_id: int = Field(ge=1, description="A sequence that was written in Hunter's dashboard.")
    only_new: bool = Field(default=True, description="Leave out leads that were in the list before that step.")
    verification_statuses: list[VerificationStatus] = Field(
        default=["valid", "accept_all"], min_length=1, description="Leave out leads with any other status, or none."
    )
    start: bool = Field(
        default=False, description="Start the sequence. Mails go out then; a sequence that runs sends in any case."
    )


class SavedLead(_CamelModel):
    """One saved lead of the source step."""

    email: str
    is_new: bool
    verification_status: str | None = None


class SavedLeads(_CamelModel):
    """What this tool reads of the source step's data; other keys are ignored."""

    leads: list[SavedLead]


class LeftOutLead(_CamelModel):
    """A lead that isn't in the sequence, and why."""

    email: str
    reason: str


class SequenceResult(_CamelModel):
    """Result of ``EMAIL_SEQUENCE_SETUP``. Every lead of the source step is counted or listed once."""

    sequence_id: int
    recipients_added: int = Field(description="Leads that this attempt put in.")
    already_in: int = Field(description="Leads that were in before, for instance by an attempt that broke off.")
    left_out: list[LeftOutLead]
    started: bool = Field(description="Whether Hunter was told to start, and did or had done so.")
    note: str | None = Field(default=None, description="What a person should know, such as why nothing was started.")
