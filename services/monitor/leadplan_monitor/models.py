"""What the tool takes and returns (camelCase JSON)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

Overlap = Literal["skip", "queue"]
MonitorId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class _CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class MonitorParams(_CamelModel):
    """Params of ``MONITOR_SETUP``."""

    model_config = ConfigDict(extra="forbid")

    schedule: str = Field(
        min_length=1,
        max_length=200,
        description="When it runs: five-field cron, such as `0 9 * * 1`, or an interval, such as `every 15m`, "
        "`every 6h`, `every 1h30m`, of 1 minute to 366 days. At most once a minute.",
    )
    time_zone: str = Field(
        default="UTC",
        max_length=64,
        description="IANA name, such as `Europe/London`, that the cron fields are read in. "
        "An interval has no use for it.",
    )
    monitor_id: MonitorId | None = Field(
        default=None,
        description="1 to 128 letters, digits, `_`, `-`; default `<planId>-<stepId>`. "
        "A monitor of the same account with this id is replaced.",
    )
    overlap: Overlap = Field(
        default="skip",
        description="What becomes of a run that is due while the one before it goes on: `skip` leaves it out, "
        "`queue` lets it wait until that one has ended (at most one waits).",
    )


class MonitorResult(_CamelModel):
    """Result of ``MONITOR_SETUP``."""

    monitor_id: str = Field(description="What `leadplan monitors` knows it by.")
    schedule: str = Field(description="As given.")
    time_zone: str = Field(description="As given.")
    overlap: Overlap = Field(description="As given.")
    plan_id: str = Field(
        description="Each run is a plan of its own with the id `<planId>-<number>`, "
        "the number being the stream sequence of its message."
    )
    subject: str = Field(description="Where the schedule lies in stream `PLANS`.")
