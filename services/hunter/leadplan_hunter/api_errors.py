"""Failed calls, as errors that say how far they reach in a step (`leadplan_hunter.errors`)."""

import re
from collections.abc import Collection, Iterator
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

_FREE_PLAN_PAGES = "Hunter's free plan gives at most 10 contacts of a domain: set contactsPerDomain to 10 or less."
_FILTERS_REFUSED = frozenset({"invalid_type", "invalid_seniority", "invalid_department"})
VALUES_REFUSED = {
    "invalid_domain": "Hunter finds no addresses there: the domain takes no mail, or its owner asked to be left alone.",
    "invalid_email": "Hunter says that this is no e-mail address.",
    **dict.fromkeys(
        ("invalid_first_name", "invalid_last_name", "invalid_full_name"), "Hunter says that this is no person's name."
    ),
}
"""What one item's value is refused with: the error's ``code``, and words without the value."""


@contextmanager
def failures_by_reach(private: Collection[str] = ()) -> Iterator[None]:
    """Raise the errors of calls made inside as those of `leadplan_hunter.errors`.

    Args:
        private: what stands in the request and must stand in no error, such as a person's address.
    """
    try:
        yield
    except HunterCallError as failure:
        raise _without(private, _by_reach(failure)) from None
    except ApiCallError as failure:
        raise _without(private, _as(CallFailedError, failure)) from None


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
                return StepStoppedError(_FREE_PLAN_PAGES, code=failure.code, retryable=False)
            if words := VALUES_REFUSED.get(failure.refusal.entry.id or ""):
                return CallFailedError(words, code=str(failure.refusal.entry.id), retryable=False)
            # A filter that Hunter refuses is refused for every domain.
            refused_filter = failure.refusal.entry.id in _FILTERS_REFUSED
            return _as(StepStoppedError if refused_filter else CallFailedError, failure)


def _as(error: type[StepStoppedError | CallFailedError], failure: ApiCallError) -> HunterError:
    return error(failure.message, code=failure.code, retryable=failure.retryable, retry_after=failure.retry_after)


def _without(private: Collection[str], error: HunterError) -> HunterError:
    for text in private:
        error.message = re.sub(rf"(?<!\w){re.escape(text)}(?!\w)", "…", error.message, flags=re.IGNORECASE)
    error.args = (error.message,)
    return error
