"""Where the lead database is, read from the environment."""

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Engine

from leadplan_leads.database import DatabaseUnavailableError, open_database
from leadplan_responder import ConfigurationError

DATABASE_URL_VARIABLE = "LEADPLAN_LEADS_DATABASE_URL"


class LeadDatabaseSettings(BaseSettings):
    """Where the leads are kept. The URL is a secret: for PostgreSQL it holds a password."""

    model_config = SettingsConfigDict(
        env_prefix="LEADPLAN_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    leads_database_url: SecretStr = Field(
        default=SecretStr("sqlite:///leads.db"),
        description="SQLAlchemy URL: sqlite:///<path of a file> or postgresql+psycopg://<user>:<password>@<host>/<name>",
    )
    leads_lock_timeout_seconds: float = Field(
        default=10.0, gt=0, le=600, description="How long a transaction waits for another one of the same account."
    )


def open_configured_database() -> Engine:
    """Open the database that the environment names, and bring its schema up to date: what a tool does at start-up.

    Raises:
        ConfigurationError: a setting is wrong, or the database can't be used; the message names the variable.
    """
    try:
        settings = LeadDatabaseSettings()
    except ValidationError as error:
        wrong = [f"LEADPLAN_{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in error.errors()]
        raise ConfigurationError("; ".join(wrong)) from None
    try:
        return open_database(
            settings.leads_database_url.get_secret_value(), lock_timeout_seconds=settings.leads_lock_timeout_seconds
        )
    except DatabaseUnavailableError as error:
        raise ConfigurationError(f"{DATABASE_URL_VARIABLE}: {error}") from None
