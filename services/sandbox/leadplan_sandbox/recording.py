"""What the stand-ins were asked, so that a demo or a test can look at it. Keys are never recorded."""

import json
import time
from collections import deque
from collections.abc import Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadplan_sandbox.request_body import read_ahead

PROVIDER_PATHS = ("/v1/", "/v2/")
"""Paths of the stand-ins; the rest is the sandbox's own."""
REDACTED = "(not recorded)"
_KEEP = 10_000
_SECRETS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "x-goog-api-key", "api_key", "key"}
)

RecordedRequest = dict[str, Any]


class RequestRecord:
    """The last 10 000 requests, oldest first."""

    def __init__(self) -> None:
        self._requests: deque[RecordedRequest] = deque(maxlen=_KEEP)

    def add(self, request: RecordedRequest) -> None:
        """Note a request.

        It holds ``method``, ``path``, ``query``, ``headers``, ``body``, ``arrivedMs`` and, once answered, ``status``.
        """
        self._requests.append(request)

    def matching(self, method: str | None, path_prefix: str) -> list[RecordedRequest]:
        """The requests with this method (None for any) and path prefix."""
        return [
            request
            for request in self._requests
            if request["path"].startswith(path_prefix) and method in (None, request["method"])
        ]

    def clear(self) -> None:
        """Forget all requests."""
        self._requests.clear()


class RecordingMiddleware:
    """Records each request to a stand-in, and hands it on with its body intact."""

    def __init__(self, app: ASGIApp, record: RequestRecord) -> None:
        self.app = app
        self.record = record

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not scope["path"].startswith(PROVIDER_PATHS):
            await self.app(scope, receive, send)
            return
        arrived_at = time.monotonic()
        body, receive = await read_ahead(scope, receive)
        recorded = _recorded(Request(scope), body) | {"arrivedMs": int(arrived_at * 1000)}
        self.record.add(recorded)
        await self.app(scope, receive, _noting_status(recorded, send))


def _noting_status(recorded: MutableMapping[str, Any], send: Send) -> Send:
    async def send_noting(message: Message) -> None:
        if message["type"] == "http.response.start":
            recorded["status"] = message["status"]
        await send(message)

    return send_noting


def _recorded(request: Request, body: bytes) -> RecordedRequest:
    return {
        "method": request.method,
        "path": request.url.path,
        "query": _without_secrets(request.query_params.multi_items()),
        "headers": _without_secrets(request.headers.items()),
        "body": _readable(request, body),
        "status": None,
    }


def _without_secrets(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: REDACTED if name.lower() in _SECRETS else value for name, value in pairs}


def _readable(request: Request, body: bytes) -> Any:
    if not body:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return _without_secrets(parse_qsl(body.decode(errors="replace")))
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")
