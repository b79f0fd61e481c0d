"""Allowances that can be changed while the sandbox runs."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from leadplan_sandbox.settings import SandboxSettings


class QuotaChange(BaseModel):
    """What to change; absent fields stay as they are."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    rate_limits: bool | None = Field(None, description="Whether the documented rate limits hold.")
    hunter_credits: float | None = Field(None, description="Hunter credits of the month.", ge=0)
    hunter_rate_limit_status: Literal[403, 429] | None = Field(None, description="Of a call that comes too fast.")
    hunter_quota_status: Literal[402, 429] | None = Field(None, description="Of a call without credits left.")


class Quotas:
    """The settings of a running sandbox that may change: the stand-ins read ``live`` at each call.

    Attributes:
        live: a copy of the settings that it was started with.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self._at_start = settings
        self.live = settings.model_copy()

    def change(self, wanted: QuotaChange) -> None:
        """Change what is given."""
        for name, value in wanted.model_dump(exclude_none=True).items():
            setattr(self.live, name, value)

    def reset(self) -> None:
        """Go back to what the sandbox was started with."""
        for name in QuotaChange.model_fields:
            setattr(self.live, name, getattr(self._at_start, name))

    def as_json(self) -> dict[str, Any]:
        """What holds now."""
        return {to_camel(name): getattr(self.live, name) for name in QuotaChange.model_fields}
