"""What a failed HTTP call means for a step, for tools that use httpx.

    try:
        answer = await http.get("/things")
    except httpx.HTTPError as error:
        raise tool_error_from(error, service="Acme") from None
    if answer.is_error:
        raise tool_error_from(answer, service="Acme")

httpx isn't a dependency of the SDK: whoever has an error of its to hand over has installed it.
"""

import math
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from leadplan_responder.errors import ToolError

if TYPE_CHECKING:
    import httpx

    Failure: TypeAlias = httpx.HTTPError | httpx.InvalidURL | httpx.Response

LONGEST_RETRY_AFTER_SECONDS = 86_400.0
"""A ``Retry-After`` above a day counts as a day."""

_SECONDS = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")


class _Meaning(NamedTuple):
    code: str
    words: str
    retryable: bool = False


_BY_STATUS = {
    401: _Meaning("invalid_credentials", "{service} doesn't accept the credentials"),
    403: _Meaning("access_denied", "{service} denies the request"),
    404: _Meaning("not_found", "{service} doesn't know what was asked for"),
    408: _Meaning("service_unavailable", "{service} gave up waiting for the request", retryable=True),
    429: _Meaning("rate_limited", "{service} limits how fast requests may come, and the limit is reached", True),
    501: _Meaning("invalid_request", "{service} can't do what was asked for"),
    505: _Meaning("invalid_request", "{service} can't do what was asked for"),
}
_REFUSED = _Meaning("invalid_request", "{service} refuses the request")
_BROKEN = _Meaning("service_unavailable", "{service} has a problem at the moment", retryable=True)
_UNEXPECTED = _Meaning("unexpected_answer", "{service} gave an answer that this tool doesn't expect")

_LATE = _Meaning("api_timeout", "{service} didn't answer in time", retryable=True)
_UNREACHABLE = _Meaning("network_error", "{service} can't be reached", retryable=True)
_UNREADABLE = _Meaning("bad_answer", "{service} sent an answer that can't be read", retryable=True)
_NO_REQUEST = _Meaning("invalid_request", "the request to {service} can't be sent: its address or a header is wrong")
_LOST = _Meaning("unexpected_answer", "{service} redirects in circles")


def tool_error_from(failure: "Failure", *, service: str) -> ToolError:
    """The error to raise for a failed call.

    Repeating is worth while after 408, 429, other 5xx than 501 and 505, time-outs and network errors; how long to wait
    is what ``Retry-After`` says (a day at most). Whether the call did something all the same is the tool's to know.
    The message holds the status or the error's type: never an address, a header or the body, where keys can stand.

    Args:
        failure: an answer other than 2xx, or what httpx raised (``HTTPStatusError`` too).
        service: whom the tool called, for people.

    Raises:
        ValueError: the answer is a success.
        TypeError: this is nothing of httpx's.
    """
    import httpx  # noqa: PLC0415 - the base install is without it

    if isinstance(failure, httpx.HTTPStatusError):
        failure = failure.response
    if not isinstance(failure, httpx.Response):
        meaning = _meaning_of_exception(failure)
        return _error(meaning, service, type(failure).__name__)
    if failure.is_success:
        raise ValueError(f"HTTP {failure.status_code} is a success")
    meaning = _meaning_of_status(failure.status_code)
    wait = retry_after_seconds(failure) if meaning.retryable else None
    return _error(meaning, service, f"HTTP {failure.status_code}", wait)


def retry_after_seconds(response: "httpx.Response") -> float | None:
    """Seconds to wait by the header ``Retry-After`` (RFC 9110, section 10.2.3): a number or a date.

    A date is compared with the answer's own ``Date``, so that clocks may differ. At most a day; 0 for a date in the
    past; None without the header, or when it is neither.
    """
    text = response.headers.get("Retry-After", "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    else:
        date = _date(text)
        if date is None:
            return None
        sent = _date(response.headers.get("Date", "")) or datetime.now(UTC)
        seconds = math.ceil((date - sent).total_seconds())
    return min(max(0.0, seconds), LONGEST_RETRY_AFTER_SECONDS)


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _meaning_of_status(status: int) -> _Meaning:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return _BROKEN
    return _REFUSED if status >= 400 else _UNEXPECTED


def _meaning_of_exception(error: Exception) -> _Meaning:
    import httpx  # noqa: PLC0415 - the base install is without it

    match error:
        case httpx.TimeoutException():
            return _LATE
        case httpx.InvalidURL() | httpx.UnsupportedProtocol() | httpx.LocalProtocolError():
            return _NO_REQUEST
        case httpx.TooManyRedirects():
            return _LOST
        case httpx.DecodingError():
            return _UNREADABLE
        case httpx.HTTPError():
            return _UNREACHABLE
        case _:
            raise TypeError(f"a {type(error).__name__} is nothing that httpx says of a failed call")


def _error(meaning: _Meaning, service: str, detail: str, retry_after: float | None = None) -> ToolError:
    message = f"{meaning.words.format(service=service)} ({detail})."
    return ToolError(message, code=meaning.code, retryable=meaning.retryable, retry_after=retry_after)
