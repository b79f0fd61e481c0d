"""What a tool's signal means for the attempt: the table of protocol section 5, in one place."""

from typing import TypeAlias, assert_never

from msgspec import Raw, Struct, UnsetType

from leadplan_contracts import DataRef, LeadGenPlanStep, LeadToolExecutionResult
from leadplan_contracts.error_codes import StepErrorCode
from leadplan_executor.core.signals import (
    BadReply,
    DataUnavailable,
    NoResponders,
    PayloadTooLarge,
    Replied,
    ServiceFailed,
    StayedBusy,
    TimedOut,
    ToolLost,
    ToolSignal,
)

_LONGEST_MESSAGE = 4_000
_LONGEST_CODE = 64


class AttemptSucceeded(Struct, frozen=True):
    """The step has its result."""

    data: Raw | UnsetType
    data_ref: DataRef | None


class AttemptFailed(Struct, frozen=True):
    """The attempt failed; ``retryable`` says whether repeating it makes sense at all."""

    code: str
    message: str
    retryable: bool
    retry_after_ms: int = 0


Outcome: TypeAlias = AttemptSucceeded | AttemptFailed


def judge(signal: ToolSignal, step: LeadGenPlanStep) -> Outcome:
    """What the signal means for an attempt of this step."""
    # After these the tool may have done its work (where only its data is lost, it has): once is once.
    repeat_unknown = not step.at_most_once
    match signal:
        case Replied(reply):
            return _reported(reply)
        case NoResponders():
            message = f"no responder listens for {step.tool}"
            return AttemptFailed(StepErrorCode.NO_RESPONDERS, message, retryable=True)
        case TimedOut(timeout_ms):
            message = f"{step.tool} didn't answer within {timeout_ms} ms"
            return AttemptFailed(StepErrorCode.TIMEOUT, message, retryable=repeat_unknown)
        case ToolLost(silence_ms):
            message = f"{step.tool} gave no sign of life for {silence_ms} ms"
            return AttemptFailed(StepErrorCode.TOOL_LOST, message, retryable=repeat_unknown)
        case BadReply(detail):
            message = f"{step.tool} answered with something else than a reply: {detail}"
            return AttemptFailed(StepErrorCode.BAD_REPLY, cut(message), retryable=True)
        case ServiceFailed(code, text):
            message = cut(f"{step.tool} answered with service error {code}: {text}")
            passing = code in (408, 429) or 500 <= code <= 599
            return AttemptFailed(StepErrorCode.SERVICE_ERROR, message, retryable=passing)
        case PayloadTooLarge(detail):
            return AttemptFailed(StepErrorCode.PAYLOAD_TOO_LARGE, cut(detail), retryable=False)
        case StayedBusy(waited_ms, reason):
            message = f"{step.tool} stayed busy for {waited_ms} ms" + (f": {reason}" if reason else "")
            return AttemptFailed(StepErrorCode.BUSY, cut(message), retryable=True)
        case DataUnavailable(detail):
            message = cut(detail)
            return AttemptFailed(StepErrorCode.CLAIM_CHECK_FAILED, message, retryable=repeat_unknown)
        case _:
            assert_never(signal)


def _reported(reply: LeadToolExecutionResult) -> Outcome:
    if reply.success:
        return AttemptSucceeded(reply.data, reply.data_ref)
    return AttemptFailed(
        code=cut(reply.error_code or StepErrorCode.TOOL_ERROR, _LONGEST_CODE),
        message=cut(reply.error_message or "the tool reported a failure without a message"),
        retryable=reply.retryable is not False,
        retry_after_ms=reply.retry_after_ms or 0,
    )


def cut(text: str, longest: int = _LONGEST_MESSAGE) -> str:
    """A tool's text as far as events carry it."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


_SHORTEST_BUSY_MS = 10
_DEFAULT_BUSY_MS = 1_000
_LONGEST_BUSY_MS = 300_000


class AskAgain(Struct, frozen=True):
    """The tool is busy: send the same request again after so long."""

    after_ms: int


def unless_busy(signal: ToolSignal, waited_ms: int, limit_ms: int) -> AskAgain | ToolSignal:
    """What becomes of an attempt after a signal: another request, or the signal that ends the attempt.

    Being busy is no failure: the same attempt is sent again and ``maxRetries`` isn't touched (protocol section 5).

    Args:
        signal: what the last request came to.
        waited_ms: how long ago the attempt's first request was sent.
        limit_ms: for how long one attempt may be answered ``busy``.

    Returns:
        ``AskAgain`` while the tool is busy; ``StayedBusy`` once waiting as long as it asks for would pass the limit;
        any other signal as it is.
    """
    if not isinstance(signal, Replied) or signal.reply.success or signal.reply.error_code != StepErrorCode.BUSY:
        return signal
    asked = signal.reply.retry_after_ms
    wait_ms = _DEFAULT_BUSY_MS if asked is None else min(max(asked, _SHORTEST_BUSY_MS), _LONGEST_BUSY_MS)
    if waited_ms + wait_ms > limit_ms:
        return StayedBusy(waited_ms, signal.reply.error_message)
    return AskAgain(wait_ms)
