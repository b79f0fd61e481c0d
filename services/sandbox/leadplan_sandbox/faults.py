"""Failures and delays that a demo or a test can switch on."""

import asyncio
import itertools
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator
from pydantic.alias_generators import to_camel
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from leadplan_sandbox.google.errors import google_error
from leadplan_sandbox.hunter.errors import hunter_error
from leadplan_sandbox.recording import PROVIDER_PATHS

_MAX_DELAY_MS = 600_000
_SUCCESS_BELOW = 300


class Fault(BaseModel):
    """One switched-on failure. Without ``status`` the request is only delayed."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid")

    path: str = Field(description="Path prefix, for instance /v2/people/find.", pattern="^/v[12]/")
    method: str | None = Field(None, description="HTTP method; any when absent.", pattern="^[A-Z]+$")
    status: int | None = Field(None, description="Status to answer.", ge=200, le=599)
    times: int | None = Field(None, description="How many requests it hits; all when absent.", ge=1)
    delay_ms: int = Field(0, description="Wait before the answer.", ge=0, le=_MAX_DELAY_MS)
    retry_after: int | None = Field(None, description="Seconds for the Retry-After header.", ge=0)
    body: Any = Field(
        None, description="Body: text as it is, anything else as JSON; the API's own error body if absent."
    )
    _id: int = PrivateAttr(0)

    @model_validator(mode="after")
    def _does_something(self) -> "Fault":
        if self.status is None and not self.delay_ms:
            message = "a fault needs a status, a delayMs, or both"
            raise ValueError(message)
        if self.status is None and (self.body is not None or self.retry_after is not None):
            message = "body and retryAfter need a status"
            raise ValueError(message)
        return self

    def hits(self, method: str, path: str) -> bool:
        """Whether a request is meant."""
        return path.startswith(self.path) and self.method in (None, method)

    def response(self) -> Response | None:
        """The answer in place of the real one, None when the request is only delayed."""
        if self.status is None:
            return None
        response = self._answer(self.status)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        return response

    def _answer(self, status: int) -> Response:
        if isinstance(self.body, str):
            return Response(self.body, status)
        if self.body is not None:
            return JSONResponse(self.body, status)
        if status < _SUCCESS_BELOW:
            return Response(status_code=status)
        return google_error(status) if self.path.startswith("/v1/") else hunter_error(status)


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
        """All faults that can still hit, with ``times`` counting down."""
        return [_shown(fault) for fault in self._faults]

    def clear(self) -> None:
        """Switch all faults off."""
        self._faults.clear()

    def take(self, method: str, path: str) -> Fault | None:
        """The fault that hits a request, None when none does; a fault with ``times`` is used up by it."""
        fault = next((fault for fault in self._faults if fault.hits(method, path)), None)
        if fault is not None and fault.times is not None:
            fault.times -= 1
            if fault.times == 0:
                self._faults.remove(fault)
        return fault


def _shown(fault: Fault) -> dict[str, Any]:
    return {"id": fault._id} | fault.model_dump(mode="json", by_alias=True)


class FaultMiddleware:
    """Delays or fails requests to the stand-ins before anything else looks at them."""

    def __init__(self, app: ASGIApp, faults: FaultList) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        fault = None
        if scope["type"] == "http" and scope["path"].startswith(PROVIDER_PATHS):
            fault = self.faults.take(scope["method"], scope["path"])
        if fault is None:
            await self.app(scope, receive, send)
            return
        await asyncio.sleep(fault.delay_ms / 1000)
        await (fault.response() or self.app)(scope, receive, send)
