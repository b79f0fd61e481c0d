"""What the tool takes and returns (camelCase JSON)."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

MonitorId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,128}$")]


class _CamelModel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class MonitorParams(_CamelModel):
    """Params of ``MONITOR_SETUP``."""

    model_config = ConfigDict(extra="forbid")

    schedule: str = Field(
        min_length=1,
        max_length=200,
        description="Five-field cron, such as `0 9 * * 1`, or an interval, such as `every 15m`; at most once a minute.",
    )
    time_zone: str = Field(default="UTC", max_length=64, description="IANA name; what the cron fields are read in.")
    monitor_id: MonitorId | None = Field(
        default=None, description="Default `<planId>-<stepId>`. A monitor of the account with this id is replaced."
    )


class MonitorResult(_CamelModel):
    """Result of ``MONITOR_SETUP``."""

    monitor_id: str
    schedule: str
    time_zone: str
    plan_id: str = Field(description="Each firing runs as `<planId>-<stream sequence>`.")
    subject: str = Field(
        description="Where the schedule lies in stream PLANS; purging the subject removes the monitor."
    )
