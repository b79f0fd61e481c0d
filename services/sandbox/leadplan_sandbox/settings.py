"""Settings of the sandbox, from environment variables with the prefix ``SANDBOX_``."""

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class SandboxSettings(BaseSettings):
    """Where the sandbox listens, which keys it takes, and how strict it is."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", hide_input_in_errors=True)

    host: str = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 in a container.")
    port: int = Field(default=8090, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    google_key: SecretStr = Field(
        default=SecretStr("sandbox-google-key"), description="The API key that Google Places takes."
    )
    hunter_key: SecretStr = Field(default=SecretStr("sandbox-hunter-key"), description="The API key that Hunter takes.")
    rate_limits: bool = Field(default=False, description="Whether the documented rate limits hold.")
    hunter_plan: Literal["free", "paid"] = Field(
        default="paid", description="The free plan gives at most 10 addresses of a domain."
    )
    hunter_credits: float = Field(default=100_000, ge=0, description="Hunter credits of the month.")
    # Hunter's documentation and its own client disagree on both statuses, so clients must bear either.
    hunter_rate_limit_status: Literal[403, 429] = Field(
        default=429, description="Status of a Hunter call that comes too fast."
    )
    hunter_quota_status: Literal[402, 429] = Field(
        default=402, description="Status of a Hunter call without credits left."
    )
