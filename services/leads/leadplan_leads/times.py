"""Times as they come out of the database."""

from datetime import UTC, datetime


def in_utc(time: datetime) -> datetime:
    """A stored time with its offset: SQLite keeps none, PostgreSQL answers in the session's time zone."""
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
