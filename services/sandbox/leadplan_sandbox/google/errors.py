"""Error bodies as Google's APIs write them (google.rpc.Status with details)."""

import math
from typing import Any

from starlette.responses import JSONResponse

_STATUS_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TEXTS = {
    429: "Quota exceeded for quota metric 'SearchTextRequest' and limit 'SearchTextRequest per minute' of service "
    "'places.googleapis.com' for consumer 'project_number:000000000000'.",
    500: "Internal error encountered.",
    503: "The service is currently unavailable.",
    504: "Deadline expired before operation could complete.",
}
_RATE_LIMIT_METADATA = {
    "quota_metric": "places.googleapis.com/SearchTextRequest",
    "quota_limit": "SearchTextRequestPerMinutePerProject",
    "quota_limit_value": "600",
    "quota_unit": "1/min/{project}",
    "consumer": "projects/000000000000",
}


def google_error(status: int, message: str | None = None, details: list[dict[str, Any]] | None = None) -> JSONResponse:
    """An error answer; message and details have the usual text of the status where they are absent."""
    error: dict[str, Any] = {
        "code": status,
        "message": message or _TEXTS.get(status, f"The request failed with status {status}."),
        "status": _STATUS_NAMES.get(status, "UNKNOWN"),
    }
    if details is None and status == 429:
        details = [error_info("RATE_LIMIT_EXCEEDED", _RATE_LIMIT_METADATA)]
    if details:
        error["details"] = details
    return JSONResponse({"error": error}, status)


def error_info(reason: str, metadata: dict[str, str] | None = None) -> dict[str, Any]:
    """The detail that names a reason."""
    return {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {"service": "places.googleapis.com"} | (metadata or {}),
    }


def bad_request(violations: list[tuple[str, str]]) -> dict[str, Any]:
    """The detail that lists wrong fields, each with its description."""
    return {
        "@type": "type.googleapis.com/google.rpc.BadRequest",
        "fieldViolations": [{"field": field, "description": description} for field, description in violations],
    }


class GoogleApiError(Exception):
    """A call that Google refuses; ``response`` is the answer."""

    def __init__(self, status: int, message: str | None = None, details: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.response = google_error(status, message, details)


def rate_limited(wait: float) -> GoogleApiError:
    """The refusal of a call that comes too fast; ``wait`` in seconds."""
    retry_info = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": f"{math.ceil(wait)}s"}
    return GoogleApiError(429, details=[error_info("RATE_LIMIT_EXCEEDED", _RATE_LIMIT_METADATA), retry_info])
