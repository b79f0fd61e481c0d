"""What Hunter's answers other than 2xx mean: one of a closed set of outcomes, in words that fit every tool.

A tool that has better words for an outcome (which sequence is unknown, say) puts them in place of these.

Source: https://hunter.io/api-documentation/v2 and Hunter's own client. The two disagree on 403 and 429, so the ``id``
of the error decides where there is one.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import Enum, auto
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, ValidationError

from leadplan_web_apis.errors import ApiCallError
from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.hunter_settings import BASE_URL_VARIABLE, KEY_VARIABLE
from leadplan_web_apis.tolerant import ApiAnswer, Tolerant, TolerantList


class HunterOutcome(Enum):
    """What became of a call that Hunter didn't do."""

    KEY_REFUSED = auto()
    QUOTA_USED_UP = auto()
    TOO_FAST = auto()
    NO_PERMISSION = auto()
    NOTHING_FOUND = auto()
    NO_SUCH_API = auto()
    OBJECTED = auto()
    IN_FLIGHT = auto()
    UNAVAILABLE = auto()
    NOT_PROCESSABLE = auto()
    REFUSED = auto()


_BY_STATUS = {
    401: HunterOutcome.KEY_REFUSED,
    402: HunterOutcome.QUOTA_USED_UP,
    408: HunterOutcome.UNAVAILABLE,
    409: HunterOutcome.IN_FLIGHT,
    422: HunterOutcome.NOT_PROCESSABLE,
    429: HunterOutcome.TOO_FAST,
    451: HunterOutcome.OBJECTED,
}
_WAIT_SECONDS: dict[HunterOutcome, float | None] = {
    # Hunter counts per second and per minute.
    HunterOutcome.TOO_FAST: 20.0,
    # The wait of Hunter's own client.
    HunterOutcome.IN_FLIGHT: 2.0,
    HunterOutcome.UNAVAILABLE: None,
}
"""The outcomes that pass, with the wait where Hunter names none. Repeating is pointless for all others."""
# Of a Retry-After of 0, or a date that is over: the rate limit is one per second.
_SHORTEST_PAUSE_SECONDS = 1.0

_MAIL_ADDRESS = re.compile(r"[^\s@'\"<>(]+@[^\s@'\"<>)]+")
_LONGEST_EXPLANATION = 500

_REFUSED = ("invalid_request", "Hunter refuses the request (HTTP {status}): {explanation}")
_CODE_AND_WORDS = {
    HunterOutcome.KEY_REFUSED: ("invalid_api_key", f"Hunter doesn't accept the API key. Check {KEY_VARIABLE}."),
    HunterOutcome.QUOTA_USED_UP: ("quota_exceeded", "This month's allowance of the Hunter plan is used up."),
    HunterOutcome.TOO_FAST: (
        "rate_limited",
        "Hunter limits how fast requests may come, and the limit is reached.",
    ),
    HunterOutcome.NO_PERMISSION: (
        "access_denied",
        f"Hunter denies the request: {{explanation}} Check what the key in {KEY_VARIABLE} may do.",
    ),
    HunterOutcome.NOTHING_FOUND: ("not_found", "Hunter knows nothing about it."),
    HunterOutcome.NO_SUCH_API: ("not_found", f"There is no Hunter API at this address. Check {BASE_URL_VARIABLE}."),
    HunterOutcome.OBJECTED: ("objected", "Somebody asked Hunter not to process their data, so Hunter refuses."),
    HunterOutcome.IN_FLIGHT: ("in_flight", "Hunter still works on an earlier request."),
    HunterOutcome.UNAVAILABLE: ("service_unavailable", "Hunter has a problem at the moment (HTTP {status})."),
    HunterOutcome.NOT_PROCESSABLE: _REFUSED,
    HunterOutcome.REFUSED: _REFUSED,
}


class ErrorEntry(ApiAnswer):
    """One entry of ``errors``."""

    id: Tolerant[str] = None
    details: Annotated[Tolerant[str], Field(validation_alias=AliasChoices("details", "message"))] = None


def _entry_of_text(error: Any) -> Any:
    return {"details": error} if isinstance(error, str) else error


class _ErrorBody(ApiAnswer):
    errors: TolerantList[ErrorEntry]


class _OlderErrorBody(ApiAnswer):
    error: Annotated[ErrorEntry, BeforeValidator(_entry_of_text)]


def _entries(body: bytes) -> list[ErrorEntry] | None:
    """The errors that a body names, None when it is no error of Hunter's API."""
    try:
        return _ErrorBody.model_validate_json(body).errors
    except ValidationError:
        pass
    try:
        return [_OlderErrorBody.model_validate_json(body).error]
    except ValidationError:
        return None


@dataclass(frozen=True)
class HunterRefusal:
    """What Hunter said when it didn't do a call.

    Attributes:
        status: the HTTP status.
        retry_after: seconds, None where Hunter names none.
        from_hunter: whether the body is Hunter's error JSON; elsewhere than at its API it is a web page.
        entry: the first error, empty where there is none.
    """

    status: int
    retry_after: float | None
    from_hunter: bool
    entry: ErrorEntry

    @classmethod
    def read(cls, answer: FailedAnswer) -> "HunterRefusal":
        """Read a failed answer, whatever its body is."""
        entries = _entries(answer.body)
        return cls(answer.status, answer.retry_after, entries is not None, entries[0] if entries else ErrorEntry())

    @property
    def explanation(self) -> str:
        """Hunter's own words, as a sentence without anybody's mail address."""
        words = " ".join((self.entry.details or self.entry.id or "no explanation given").split())
        text = _MAIL_ADDRESS.sub("[address]", words)[:_LONGEST_EXPLANATION]
        return text if text.endswith(".") else f"{text}."

    @property
    def says_too_fast(self) -> bool:
        """Whether it names the rate limit, whatever its status."""
        return self.entry.id == "too_many_requests" or "rate limit" in (self.entry.details or "").lower()

    @property
    def may_be_quota(self) -> bool:
        """Whether a 429 leaves open if calls come too fast or the month's allowance is used up."""
        return self.status == 429 and self.retry_after is None and not self.says_too_fast

    @property
    def outcome(self) -> HunterOutcome:
        """What it means. A 429 is taken for the rate limit; see `may_be_quota`."""
        if self.status == 403:
            return HunterOutcome.TOO_FAST if self.says_too_fast else HunterOutcome.NO_PERMISSION
        if self.status == 404:
            # Hunter answers JSON where it has nothing, and HTML where the address is none of its API.
            return HunterOutcome.NOTHING_FOUND if self.from_hunter else HunterOutcome.NO_SUCH_API
        if self.status >= 500:
            return HunterOutcome.UNAVAILABLE
        return _BY_STATUS.get(self.status, HunterOutcome.REFUSED)


class HunterCallError(ApiCallError):
    """Hunter didn't do a call.

    Args:
        outcome: what it means.
        refusal: what Hunter said.
        reset_date: for a used-up quota, when it is renewed, where that is known.
    """

    def __init__(self, outcome: HunterOutcome, refusal: HunterRefusal, *, reset_date: date | None = None) -> None:
        self.outcome = outcome
        self.refusal = refusal
        code, words = _CODE_AND_WORDS[outcome]
        message = words.format(status=refusal.status, explanation=refusal.explanation)
        if reset_date and outcome is HunterOutcome.QUOTA_USED_UP:
            message = f"{message} It is renewed on {reset_date:%Y-%m-%d}."
        passes = outcome in _WAIT_SECONDS
        wait = _WAIT_SECONDS.get(outcome) if refusal.retry_after is None else refusal.retry_after
        if outcome is HunterOutcome.TOO_FAST and wait is not None:
            wait = max(wait, _SHORTEST_PAUSE_SECONDS)
        super().__init__(message, code=code, retryable=passes, retry_after=wait if passes else None)
