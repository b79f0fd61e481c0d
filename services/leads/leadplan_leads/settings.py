"""Settings of the lead list responder, read from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class LeadListSettings(BaseSettings):
    """Where the leads are kept. The URL is a secret: for PostgreSQL it holds a password."""

    model_config = SettingsConfigDict(env_prefix="LEADPLAN_", extra="ignore")

    leads_database_url: SecretStr = Field(
        default=SecretStr("sqlite:///leads.db"),
        description="SQLAlchemy URL (LEADPLAN_LEADS_DATABASE_URL): sqlite:///<path of a file> or postgresql+<driver>://…",
    )
    leads_lock_timeout_seconds: float = Field(
        default=10.0,
        gt=0,
        le=600,
        description="How long a save waits for another one on SQLite (LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS).",
    )
