"""Failed calls, as errors that say how far they reach in a step (`leadplan_hunter.errors`)."""

from collections.abc import Iterator
from contextlib import contextmanager

from leadplan_hunter.errors import (
    CallFailedError,
    HunterError,
    NothingKnownError,
    PersonObjectedError,
    StepStoppedError,
)
from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.hunter_errors import HunterCallError, HunterOutcome


@contextmanager
def failures_by_reach() -> Iterator[None]:
    """Raise the errors of calls made inside as those of `leadplan_hunter.errors`."""
    try:
        yield
    except HunterCallError as failure:
        raise _by_reach(failure) from None
    except ApiCallError as failure:
        raise _as(CallFailedError, failure) from None


def _by_reach(failure: HunterCallError) -> HunterError:
    match failure.outcome:
        case (
            HunterOutcome.KEY_REFUSED
            | HunterOutcome.QUOTA_USED_UP
            | HunterOutcome.TOO_FAST
            | HunterOutcome.NO_PERMISSION
            | HunterOutcome.NO_SUCH_API
        ):
            return _as(StepStoppedError, failure)
        case HunterOutcome.NOTHING_FOUND:
            return NothingKnownError()
        case HunterOutcome.OBJECTED:
            return PersonObjectedError()
        case HunterOutcome.IN_FLIGHT:
            # These tools only read: nothing of theirs can be in flight, so it is Hunter's problem.
            message = f"Hunter has a problem at the moment (HTTP {failure.refusal.status})."
            return CallFailedError(message, code="service_unavailable", retry_after=failure.retry_after)
        case HunterOutcome.UNAVAILABLE | HunterOutcome.NOT_PROCESSABLE | HunterOutcome.REFUSED:
            if failure.refusal.entry.id == "pagination_error":
                message = (
                    "Hunter's free plan gives at most 10 contacts of a domain: set contactsPerDomain to 10 or less."
                )
                return CallFailedError(message, code=failure.code, retryable=False)
            return _as(CallFailedError, failure)


def _as(error: type[StepStoppedError | CallFailedError], failure: ApiCallError) -> HunterError:
    return error(failure.message, code=failure.code, retryable=failure.retryable, retry_after=failure.retry_after)
