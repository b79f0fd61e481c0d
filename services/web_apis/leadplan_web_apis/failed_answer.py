"""What is read of an answer other than 2xx."""

import re
from dataclasses import dataclass

import httpx
from pydantic import SecretStr


@dataclass(frozen=True)
class FailedAnswer:
    """An answer other than 2xx.

    Attributes:
        status: the HTTP status.
        retry_after: seconds from the Retry-After header, None without one. Only whole seconds are understood: a date
            is what none of the APIs sends.
        body: without the API key, in case the answer repeats it.
    """

    status: int
    retry_after: float | None
    body: bytes

    @classmethod
    def of(cls, answer: httpx.Response, key: SecretStr) -> "FailedAnswer":
        """Take from an answer what an error mapping reads."""
        text = answer.headers.get("Retry-After", "")
        retry_after = float(text) if re.fullmatch(r"[0-9]{1,6}", text) else None
        body = answer.content.replace(key.get_secret_value().encode(), b"[API key]")
        return cls(answer.status_code, retry_after, body)
