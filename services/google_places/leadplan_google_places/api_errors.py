"""Google's error answers in the words of the person who waits for the search.

The mapping follows google.rpc.Code's HTTP statuses and the reasons of google.api.ErrorReason.
"""

import re
from collections.abc import Iterator

from pydantic import ValidationError

from leadplan_google_places.api_answers import ErrorAnswer, ErrorStatus
from leadplan_google_places.settings import BASE_URL_VARIABLE, KEY_VARIABLE
from leadplan_responder import ToolError
from leadplan_web_apis.failed_answer import FailedAnswer

RATE_LIMIT_WAIT_SECONDS = 30.0
"""Wait after a per-minute limit when Google names no time: half of the window that has to pass."""

_DENIED_BECAUSE = {
    "SERVICE_DISABLED": "Places API (New) is not switched on in the key's Google Cloud project",
    "BILLING_DISABLED": "the key's Google Cloud project has no billing account",
    "API_KEY_SERVICE_BLOCKED": "the key is restricted to other Google APIs",
    "API_KEY_HTTP_REFERRER_BLOCKED": "the key may be used from certain web sites only",
    "API_KEY_IP_ADDRESS_BLOCKED": "the key may not be used from this machine's IP address",
    "CONSUMER_SUSPENDED": "the key's Google Cloud project is suspended",
}
# Spellings seen in quota_limit, quota_unit and messages; Google documents none of them.
_PER_DAY = re.compile(r"per\s*day|1/d\b", re.IGNORECASE)


def error_from_answer(answer: FailedAnswer) -> ToolError:
    """Say what an answer other than 2xx means: its code, whether repeating helps, and how long to wait."""
    status = _parse(answer)
    code = answer.status
    if code == 401 or (code == 400 and _is_about_the_key(status)):
        return _final("invalid_api_key", f"Google doesn't accept the API key. Check {KEY_VARIABLE}.")
    if code == 400:
        return _final("invalid_request", f"Google refuses this search: {_explanation(status)}")
    if code == 403:
        return _denied(status)
    if code == 404:
        return _final("not_found", f"There is no Text Search at this address. Check {BASE_URL_VARIABLE}.")
    if code == 429:
        return _throttled(status, answer)
    if code == 408 or (code >= 500 and code != 501):
        message = f"Google Places has a problem at the moment (HTTP {code}). Nothing is wrong with the search."
        return ToolError(message, code="service_unavailable", retry_after=_wait_named_by(status, answer))
    return _final("unexpected_answer", f"Google Places answered HTTP {code}: {_explanation(status)}")


def _parse(answer: FailedAnswer) -> ErrorStatus:
    try:
        return ErrorAnswer.model_validate_json(answer.body).error
    except ValidationError:
        return ErrorStatus()


def _final(code: str, message: str) -> ToolError:
    return ToolError(message, code=code, retryable=False)


def _reasons(status: ErrorStatus) -> Iterator[str]:
    return (detail.reason for detail in status.details if detail.reason)


def _is_about_the_key(status: ErrorStatus) -> bool:
    # ErrorInfo can be missing; the message then begins "API key not valid" or "API key expired".
    return "API_KEY_INVALID" in _reasons(status) or (status.message or "").lower().startswith("api key")


def _explanation(status: ErrorStatus) -> str:
    violations = [
        f"{violation.get('field', 'request')}: {violation.get('description', 'not accepted')}"
        for detail in status.details
        for violation in detail.field_violations
    ]
    return "; ".join([status.message or "no explanation given", *violations])


def _denied(status: ErrorStatus) -> ToolError:
    known = next((_DENIED_BECAUSE[reason] for reason in _reasons(status) if reason in _DENIED_BECAUSE), None)
    because = known or _explanation(status)
    return _final("access_denied", f"Google denies the search: {because}. Check the key in {KEY_VARIABLE}.")


def _throttled(status: ErrorStatus, answer: FailedAnswer) -> ToolError:
    described = [status.message or ""]
    described += [str(value) for detail in status.details for value in (detail.metadata or {}).values()]
    if any(_PER_DAY.search(text) for text in described):
        message = "Today's quota of Google Places searches is used up. It is renewed at midnight Pacific time."
        return _final("quota_exceeded", message)
    wait = _wait_named_by(status, answer)
    message = "Google Places limits the searches per minute, and the limit is reached."
    return ToolError(message, code="rate_limited", retry_after=RATE_LIMIT_WAIT_SECONDS if wait is None else wait)


def _wait_named_by(status: ErrorStatus, answer: FailedAnswer) -> float | None:
    """Seconds from google.rpc.RetryInfo (``"41s"``), else from the Retry-After header."""
    for detail in status.details:
        if delay := re.fullmatch(r"(\d{1,6}(\.\d{1,9})?)s", detail.retry_delay or ""):
            return float(delay[1])
    return answer.retry_after
