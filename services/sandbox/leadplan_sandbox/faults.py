"""Failures and delays that a demo or a test can switch on: which requests they hit, and what those get."""

import itertools
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote_plus

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import HTMLResponse, JSONResponse, Response

from leadplan_sandbox.google.errors import google_error
from leadplan_sandbox.hunter.errors import hunter_error

MOST_MS = 600_000
_SUCCESS_BELOW = 300
_PAGE = "<!DOCTYPE html><html><title>{status}</title><h1>The sandbox shows a web page in place of an answer</h1></html>"
_GARBAGE = '{"data": {"emails": [{"value": "br'


class Failure(BaseModel):
    """What a request gets. Without ``status`` and ``answer`` it is the real answer, late, slow or broken off."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    status: int | None = Field(None, description="Status to answer.", ge=200, le=599)
    answer: Literal["html", "garbage"] | None = Field(
        None, description="A web page (502 unless a status is given), or JSON that breaks off (200)."
    )
    delay_ms: int = Field(0, description="Wait before the answer.", ge=0, le=MOST_MS)
    body_ms: int = Field(0, description="Time over which the body trickles in.", ge=0, le=MOST_MS)
    drop: Literal["before", "during"] | None = Field(
        None, description="Close the connection before the answer, or in the middle of its body."
    )
    retry_after: int | None = Field(None, description="Seconds for the Retry-After header.", ge=0)

    @model_validator(mode="after")
    def _does_something(self) -> "Failure":
        if self.retry_after is not None and not self.replaces_answer:
            message = "retryAfter needs a status or an answer"
            raise ValueError(message)
        if not (self.replaces_answer or self.delay_ms or self.body_ms or self.drop):
            message = "a fault needs a status, answer, delayMs, bodyMs or drop"
            raise ValueError(message)
        if self.drop == "before" and (self.replaces_answer or self.body_ms):
            message = "drop before the answer leaves no room for a status, answer or bodyMs"
            raise ValueError(message)
        return self

    @property
    def replaces_answer(self) -> bool:
        """Whether the request never reaches the stand-in."""
        return self.status is not None or self.answer is not None

    def response(self, path: str) -> Response | None:
        """The answer in place of the real one, None when that stays."""
        if not self.replaces_answer:
            return None
        response = self._response(path)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response

    def _response(self, path: str) -> Response:
        if self.answer == "html":
            status = self.status or 502
            return HTMLResponse(_PAGE.format(status=status), status)
        if self.answer == "garbage":
            return Response(_GARBAGE, self.status or 200, media_type="application/json")
        return self._usual(self.status or 200, path)

    def _usual(self, status: int, path: str) -> Response:
        if status < _SUCCESS_BELOW:
            return Response(status_code=status)
        return google_error(status) if path.startswith("/v1/") else hunter_error(status)


@dataclass(frozen=True)
class IncomingRequest:
    """What a fault looks at."""

    method: str
    path: str
    query: bytes
    body: bytes

    def holds(self, text: str) -> bool:
        """Whether a text stands in the query or the body; upper and lower case don't differ."""
        query, body = unquote_plus(self.query.decode(errors="replace")), self.body.decode(errors="replace")
        return text.lower() in f"{query}\n{body}".lower()


class Fault(Failure):
    """A failure that is switched on, and the requests that it hits."""

    path: str = Field(description="Path prefix, for instance /v2/people/find.", pattern="^/v[12]/")
    method: str | None = Field(None, description="HTTP method; any when absent.", pattern="^[A-Z]+$")
    contains: str | None = Field(
        None, description="Only requests with this text in query or body, for instance a domain.", min_length=1
    )
    after: int = Field(0, description="How many of these requests pass before it hits.", ge=0)
    times: int | None = Field(None, description="How many requests it hits; all when absent.", ge=1)
    body: Any = Field(
        None, description="Body: text as it is, anything else as JSON; the API's own error body if absent."
    )
    _id: int = PrivateAttr(0)

    @model_validator(mode="after")
    def _body_has_a_status(self) -> "Fault":
        if self.body is not None and (self.status is None or self.answer is not None):
            message = "body needs a status, and no answer beside it"
            raise ValueError(message)
        return self

    def fits(self, request: IncomingRequest) -> bool:
        """Whether a request is meant."""
        return (
            request.path.startswith(self.path)
            and self.method in (None, request.method)
            and (self.contains is None or request.holds(self.contains))
        )

    def _usual(self, status: int, path: str) -> Response:
        if isinstance(self.body, str):
            return Response(self.body, status)
        return super()._usual(status, path) if self.body is None else JSONResponse(self.body, status)


class FaultList:
    """The faults that are switched on, in the order of their creation; the first one that fits a request hits it."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> dict[str, Any]:
        """Switch a fault on; returns it with its id."""
        fault._id = next(self._ids)
        self._faults.append(fault)
        return _shown(fault)

    def listed(self) -> list[dict[str, Any]]:
        """All faults that can still hit, with ``after`` and ``times`` counting down."""
        return [_shown(fault) for fault in self._faults]

    def clear(self) -> None:
        """Switch all faults off."""
        self._faults.clear()

    def take(self, request: IncomingRequest) -> Fault | None:
        """The fault that hits a request, None when none does; a fault with ``times`` is used up by it.

        A fault with ``after`` counts the request and leaves it to those behind it.
        """
        for fault in self._faults:
            if not fault.fits(request):
                continue
            if fault.after:
                fault.after -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
                if fault.times == 0:
                    self._faults.remove(fault)
            return fault
        return None


def _shown(fault: Fault) -> dict[str, Any]:
    return {"id": fault._id} | fault.model_dump(mode="json", by_alias=True)
