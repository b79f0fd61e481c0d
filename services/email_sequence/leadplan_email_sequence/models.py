"""What the tool takes, what it reads of the step before it, and what it returns (camelCase JSON)."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

VerificationStatus = Literal["valid", "invalid", "accept_all", "webmail", "disposable", "unknown"]
"""What Hunter's verifier can find."""

LeftOutReason = Literal[
    "no_address",
    "suppressed",
    "not_new",
    "unverified",
    "bad_verification_status",
    "listed_twice",
    "contacted_before",
    "already_in_sequence",
    "invalid",
    "bounced",
    "unsubscribed",
    "not_added",
]
"""Why a lead wasn't added. The last four are what Hunter said."""

_LARGEST_NUMBER = 2**63 - 1


class _CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class SequenceParams(_CamelModel):
    """Params of ``EMAIL_SEQUENCE_SETUP``."""

    model_config = ConfigDict(extra="forbid")

    source_step_id: str = Field(description="The step whose saved `leads` are added, as LEAD_LIST_SAVE returns them.")
    sequence_id: int = Field(ge=1, description="Number of a sequence that was written in Hunter's dashboard.")
    only_new: bool = Field(default=True, description="Leave out leads that were in the list before that step.")
    verification_statuses: list[VerificationStatus] = Field(
        default=["valid", "accept_all"], min_length=1, description="Leave out leads with any other status, or none."
    )
    start: bool = Field(
        default=False,
        description=(
            "Start the sequence, so that mails go out. A sequence that runs mails whoever is added at once: without "
            "`start` the step refuses to add anybody to it."
        ),
    )
    allow_recontact: bool = Field(
        default=False, description="Also take people whom this account has put into another sequence before."
    )
    max_recipients: int = Field(
        default=500, ge=1, le=10_000, description="With more chosen leads than this the step fails and adds nobody."
    )

    @field_validator("sequence_id")
    @classmethod
    def _fits_the_database(cls, number: int) -> int:
        if number > _LARGEST_NUMBER:
            raise ValueError("is larger than any number of a sequence")
        return number


class SavedLead(_CamelModel):
    """One saved lead of the source step."""

    email: str
    is_new: bool
    verification_status: str | None = None


class SavedLeads(_CamelModel):
    """What this tool reads of the source step's data; other keys are ignored."""

    leads: list[SavedLead]


class LeftOutLead(_CamelModel):
    """A lead that this step didn't add, and why."""

    email: str = Field(description="As the source step gave it.")
    reason: LeftOutReason = Field(description="A word for programs.")
    explanation: str = Field(description="The reason for people.")


class SequenceResult(_CamelModel):
    """Result of ``EMAIL_SEQUENCE_SETUP``: added, left out and objected make up the leads of the source step."""

    sequence_id: int = Field(description="The sequence.")
    sequence_name: str | None = Field(default=None, description="Its name in Hunter.")
    recipients_added: int = Field(description="Leads that this step put in, over all its attempts.")
    already_in: int = Field(description="How many of `leftOut` were left out because they are in the sequence already.")
    left_out: list[LeftOutLead] = Field(description="Everybody else, with the reason.")
    objected_left_out: int = Field(
        default=0, description="People who objected to the use of their data: counted, and named nowhere."
    )
    started: bool = Field(
        description="True only with `start`, and when Hunter said that the sequence runs or is about to."
    )
    note: str | None = Field(default=None, description="What a person should know, such as why nobody is mailed yet.")
