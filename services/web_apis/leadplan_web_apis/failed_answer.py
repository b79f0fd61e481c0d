"""What is read of an answer other than 2xx."""

from dataclasses import dataclass

import httpx
from pydantic import SecretStr

from leadplan_responder.http_errors import retry_after_seconds


@dataclass(frozen=True)
class FailedAnswer:
    """An answer other than 2xx.

    Attributes:
        status: the HTTP status.
        retry_after: seconds by the header Retry-After (a number or a date, at most a day), None without one.
        body: without the API key, in case the answer repeats it.
    """

    status: int
    retry_after: float | None
    body: bytes

    @classmethod
    def of(cls, answer: httpx.Response, key: SecretStr) -> "FailedAnswer":
        """Take from an answer what an error mapping reads."""
        body = answer.content.replace(key.get_secret_value().encode(), b"[API key]")
        return cls(answer.status_code, retry_after_seconds(answer), body)
