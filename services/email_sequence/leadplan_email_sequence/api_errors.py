"""Failed calls for a sequence, in the words of a salesperson."""

import re

from leadplan_email_sequence.errors import AddressRefusedError, CallRefusedError, SequenceError
from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.hunter_errors import HunterCallError, HunterOutcome
from leadplan_web_apis.hunter_settings import KEY_VARIABLE

# A server in trouble, or one that still works on it, may have done it all the same.
_UNCERTAIN = (HunterOutcome.UNAVAILABLE, HunterOutcome.IN_FLIGHT)
_ABOUT_ONE_ADDRESS = {
    (HunterOutcome.REFUSED, "invalid_email"): "invalid",
    (HunterOutcome.OBJECTED, "claimed_email"): "claimed",
}
"""Refusals of a whole call for one of its addresses, with the reason that Hunter gives for a skipped recipient."""


# Hunter quotes what it refuses, and people's addresses belong in no error.
_QUOTED_ADDRESS = re.compile(r"[^\s@'\"<>(),;]+@[^\s@'\"<>(),;]+[^\s@'\"<>(),;.]")


def sequence_error(failure: ApiCallError, sequence_id: int) -> SequenceError:
    """Say what a failed call means for a sequence, whether a repeat can help, and whether it can have done anything."""
    if not isinstance(failure, HunterCallError):
        return SequenceError(
            failure.message, code=failure.code, retryable=failure.retryable, retry_after=failure.retry_after
        )
    code, message = _own_words(failure, sequence_id) or (failure.code, failure.message)
    message = _QUOTED_ADDRESS.sub("[address]", message)
    kind = SequenceError if failure.outcome in _UNCERTAIN else CallRefusedError
    reason = _ABOUT_ONE_ADDRESS.get((failure.outcome, failure.refusal.entry.id or ""))
    if reason is not None:
        refused = AddressRefusedError(message, code=code, retryable=False)
        refused.reason = reason
        return refused
    return kind(message, code=code, retryable=failure.retryable, retry_after=failure.retry_after)


def _own_words(failure: HunterCallError, sequence_id: int) -> tuple[str, str] | None:
    """Code and message where a sequence makes them clearer than those for all tools."""
    explanation = failure.refusal.explanation
    match failure.outcome:
        case HunterOutcome.NO_PERMISSION:
            message = (
                f"Hunter doesn't let this key use sequence {sequence_id}: {explanation} Use a sequence of the "
                f"key's owner, or the owner's key in {KEY_VARIABLE}."
            )
            return failure.code, message
        case HunterOutcome.NOTHING_FOUND:
            message = f"There is no sequence {sequence_id} in this Hunter account. Look up its number in Hunter."
            return "unknown_sequence", message
        case HunterOutcome.NOT_PROCESSABLE:
            message = f"Sequence {sequence_id} isn't ready: {explanation} Put that right in Hunter's dashboard."
            return "sequence_not_ready", message
        case HunterOutcome.OBJECTED:
            message = "Somebody among the leads asked Hunter not to process their data, so Hunter refuses the request."
            return failure.code, message
        case _:
            return None
