"""Google's error answers in the words of the person who waits for the search.

The mapping follows google.rpc.Code's HTTP statuses and the reasons of google.api.ErrorReason.
"""

import re
from collections.abc import Iterator

from pydantic import ValidationError

from leadplan_google_places.api_answers import ErrorAnswer, ErrorStatus
from leadplan_google_places.errors import GoogleRefusedError, InvalidArgumentError
from leadplan_google_places.settings import BASE_URL_VARIABLE, KEY_VARIABLE
from leadplan_responder.limits import RATE_LIMITED
from leadplan_web_apis.failed_answer import FailedAnswer

RATE_LIMIT_WAIT_SECONDS = 30.0
"""Wait after a per-minute limit when Google names no time: half of the window that has to pass."""

SHORTEST_RATE_LIMIT_WAIT_SECONDS = 1.0
"""A shorter wait, such as ``0s``, would spend the step's attempts within a moment."""

_KEY_REFUSED = f"Google doesn't accept the API key. Check {KEY_VARIABLE}."
_DENIED_BECAUSE = {
    "SERVICE_DISABLED": "Places API (New) is not switched on in the key's Google Cloud project",
    "BILLING_DISABLED": "the key's Google Cloud project has no billing account",
    "API_KEY_SERVICE_BLOCKED": "the key is restricted to other Google APIs",
    "API_KEY_HTTP_REFERRER_BLOCKED": "the key may be used from certain web sites only",
    "API_KEY_IP_ADDRESS_BLOCKED": "the key may not be used from this machine's IP address",
    "API_KEY_ANDROID_APP_BLOCKED": "the key may be used by certain Android apps only",
    "API_KEY_IOS_APP_BLOCKED": "the key may be used by certain iOS apps only",
    "CONSUMER_SUSPENDED": "the key's Google Cloud project is suspended",
    "CONSUMER_INVALID": "the key belongs to no usable Google Cloud project",
}
# Spellings seen in quota_limit, quota_unit and messages; Google documents none of them.
_PER_DAY = re.compile(r"per\s*day|1/d(ay)?\b", re.IGNORECASE)
_PER_MINUTE = re.compile(r"per\s*minute|1/m(in)?\b", re.IGNORECASE)
_SECONDS = re.compile(r"(\d{1,6}(?:\.\d{1,9})?)s")


def error_from_answer(answer: FailedAnswer) -> GoogleRefusedError:
    """Say what an answer other than 2xx means: its code, whether repeating helps, and how long to wait."""
    status = _parse(answer)
    code = answer.status
    if code == 400:
        return _bad_request(status)
    if code == 401:
        return _final("invalid_api_key", _KEY_REFUSED)
    if code == 403:
        return _denied(status)
    if code == 404:
        return _final("not_found", f"There is no Text Search at this address. Check {BASE_URL_VARIABLE}.")
    if code == 429:
        return _throttled(status, answer)
    if code == 408 or (code >= 500 and code != 501):
        message = f"Google Places has a problem at the moment (HTTP {code}). Nothing is wrong with the search."
        return GoogleRefusedError(message, code="service_unavailable", retry_after=_wait_named_by(status, answer))
    if 300 <= code < 400:
        message = (
            f"Google Places sends the search elsewhere (HTTP {code}), as it never does. Check {BASE_URL_VARIABLE}."
        )
        return _final("unexpected_answer", message)
    return _final("unexpected_answer", f"Google Places didn't do the search (HTTP {code}): {status.explanation}")


def _parse(answer: FailedAnswer) -> ErrorStatus:
    """The error in the body; an empty one where a front end sent a web page."""
    try:
        return ErrorAnswer.model_validate_json(answer.body).error
    except ValidationError:
        return ErrorStatus()


def _final(code: str, message: str) -> GoogleRefusedError:
    return GoogleRefusedError(message, code=code, retryable=False)


def _bad_request(status: ErrorStatus) -> GoogleRefusedError:
    # A wrong key is a 400 at Google. Its reason can be missing: the message then begins "API key not valid" or so.
    if "API_KEY_INVALID" in status.reasons or (status.message or "").lower().startswith("api key"):
        return _final("invalid_api_key", _KEY_REFUSED)
    message = f"Google refuses this search: {status.explanation}"
    if status.status == "INVALID_ARGUMENT":
        return InvalidArgumentError(message, code="invalid_request", retryable=False)
    return _final("invalid_request", message)


def _denied(status: ErrorStatus) -> GoogleRefusedError:
    known = next((text for reason, text in _DENIED_BECAUSE.items() if reason in status.reasons), None)
    because = f"{known}." if known else status.explanation
    return _final("access_denied", f"Google denies the search: {because} Check the key in {KEY_VARIABLE}.")


def _throttled(status: ErrorStatus, answer: FailedAnswer) -> GoogleRefusedError:
    if _is_for_the_day(status):
        message = (
            "Today's quota of Google Places searches is used up. It is renewed at midnight Pacific time: run the plan "
            "again after that, or ask whoever looks after the Google Cloud project to raise the quota."
        )
        return _final("quota_exceeded", message)
    named = _wait_named_by(status, answer)
    wait = RATE_LIMIT_WAIT_SECONDS if named is None else max(named, SHORTEST_RATE_LIMIT_WAIT_SECONDS)
    message = "Google Places limits the searches per minute, and the limit is reached."
    return GoogleRefusedError(message, code=RATE_LIMITED, retry_after=wait)


def _is_for_the_day(status: ErrorStatus) -> bool:
    """Whether a 429 is about the day's quota. What is structured counts before the message."""
    structured = " ".join(_quota_texts(status))
    if _PER_DAY.search(structured):
        return True
    return not _PER_MINUTE.search(structured) and _PER_DAY.search(status.message or "") is not None


def _quota_texts(status: ErrorStatus) -> Iterator[str]:
    for detail in status.details:
        for described in [detail.metadata or {}, *detail.violations]:
            yield from map(str, described.values())


def _wait_named_by(status: ErrorStatus, answer: FailedAnswer) -> float | None:
    """Seconds from google.rpc.RetryInfo (``"41s"``) or the Retry-After header; of both the longer wait."""
    named = [float(found[1]) for one in status.details if (found := _SECONDS.fullmatch(one.retry_delay or ""))]
    if answer.retry_after is not None:
        named.append(answer.retry_after)
    return max(named, default=None)
