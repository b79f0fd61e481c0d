"""Failed calls for a sequence, in the words of a salesperson."""

from leadplan_email_sequence.errors import SequenceError
from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.hunter_errors import HunterCallError, HunterOutcome
from leadplan_web_apis.hunter_settings import KEY_VARIABLE


def sequence_error(failure: ApiCallError, sequence_id: int) -> SequenceError:
    """Say what a failed call means for a sequence and whether a repeat can help."""
    own = _own_words(failure, sequence_id) if isinstance(failure, HunterCallError) else None
    code, message = own or (failure.code, failure.message)
    return SequenceError(message, code=code, retryable=failure.retryable, retry_after=failure.retry_after)


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
