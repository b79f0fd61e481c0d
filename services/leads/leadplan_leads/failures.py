"""What a failed transaction means: whether a repeat can help, in words that hold no address and no password."""

from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

RETRY_SECONDS = 2.0
"""How long to wait before a repeat: most of what passes by itself has passed by then."""


@dataclass(frozen=True)
class DatabaseFailure:
    """Why the database didn't do what it was asked to."""

    explanation: str
    retryable: bool


def failure_of(error: SQLAlchemyError) -> DatabaseFailure:
    """Read what the database or its driver said.

    Locks, deadlocks, lost connections, servers that stop or start and full disks pass; a refused statement doesn't.
    """
    said = plain_text(error)
    if isinstance(error, PoolTimeoutError):
        return DatabaseFailure("all connections to the lead database are in use", retryable=True)
    passes = isinstance(error, OperationalError | InterfaceError | InternalError)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    return DatabaseFailure(f"the lead database said: {said}", retryable=passes or lost)


def plain_text(error: Exception) -> str:
    """What the driver said, on one line.

    PostgreSQL adds details to its message that quote the row, so of its messages only the first part is taken.
    """
    original = getattr(error, "orig", None) or error
    diagnostics = getattr(original, "diag", None)
    primary = getattr(diagnostics, "message_primary", None)
    return " ".join(str(primary or original).split()) or type(original).__name__
