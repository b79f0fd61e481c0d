"""What a tool reports when the lead database fails it."""

import contextlib
from collections.abc import Iterator

from sqlalchemy.exc import SQLAlchemyError

from leadplan_leads.failures import RETRY_SECONDS, failure_of
from leadplan_responder import ToolError


@contextlib.contextmanager
def database_failures_reported(what: str) -> Iterator[None]:
    """Turn the database's errors into the tool's: ``database_unavailable`` (repeated) or ``database_refused`` (not).

    Args:
        what: what didn't happen, as a sentence's beginning: "the leads weren't saved".

    Raises:
        ToolError: the database failed inside the block.
    """
    try:
        yield
    except SQLAlchemyError as error:
        failure = failure_of(error)
    else:
        return
    if failure.retryable:
        message = f"{what}: {failure.explanation}"
        raise ToolError(message, code="database_unavailable", retry_after=RETRY_SECONDS)
    message = f"{what}: {failure.explanation}. Whoever runs the tools must look at the database."
    raise ToolError(message, code="database_refused", retryable=False)
