"""Makes requests to the stand-ins fail before anything else looks at them."""

import asyncio
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from leadplan_sandbox.connection_drop import drop_connection
from leadplan_sandbox.fault_header import HEADER, BadFaultHeaderError, parse_fault_header
from leadplan_sandbox.faults import Failure, FaultList, IncomingRequest
from leadplan_sandbox.recording import PROVIDER_PATHS
from leadplan_sandbox.request_body import read_ahead

_PIECES = 10


class FaultMiddleware:
    """Fails requests by their header, else by the faults that are switched on."""

    def __init__(self, app: ASGIApp, faults: FaultList) -> None:
        self.app = app
        self.faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http" or not scope["path"].startswith(PROVIDER_PATHS):
            await self.app(scope, receive, send)
            return
        body, receive = await read_ahead(scope, receive)
        try:
            failure = self._failure(scope, body)
        except BadFaultHeaderError as error:
            refusal = JSONResponse({"errors": [{"path": HEADER, "message": str(error)}]}, 400)
            await refusal(scope, receive, send)
            return
        if failure is None:
            await self.app(scope, receive, send)
            return
        await _FailingRequest(self.app, failure, scope, receive, send).answer()

    def _failure(self, scope: Scope, body: bytes) -> Failure | None:
        asked_for = Headers(scope=scope).get(HEADER)
        if asked_for is not None:
            return parse_fault_header(asked_for)
        request = IncomingRequest(scope["method"], scope["path"], scope["query_string"], body)
        return self.faults.take(request)


class _FailingRequest:
    def __init__(self, app: ASGIApp, failure: Failure, scope: Scope, receive: Receive, send: Send) -> None:
        self._app = app
        self._failure = failure
        self._scope = scope
        self._receive = receive
        self._send = send

    async def answer(self) -> None:
        await asyncio.sleep(self._failure.delay_ms / 1000)
        if self._failure.drop == "before":
            await drop_connection(self._scope, self._receive)
            return
        answered = self._failure.response(self._scope["path"]) or self._app
        if self._failure.body_ms or self._failure.drop:
            await self._trickle(await self._whole_answer(answered))
        else:
            await answered(self._scope, self._receive, self._send)

    async def _whole_answer(self, answered: ASGIApp) -> list[Message]:
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await answered(self._scope, self._receive, keep)
        return messages

    async def _trickle(self, messages: Sequence[Message]) -> None:
        start, *bodies = messages
        body = b"".join(message.get("body", b"") for message in bodies)
        size = max(1, -(-len(body) // _PIECES))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        if self._failure.drop:
            pieces = pieces[: len(pieces) // 2]
        if body or not self._failure.drop:
            await self._send(start)
        for piece in pieces:
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(self._failure.body_ms / 1000 / _PIECES)
        if self._failure.drop:
            await drop_connection(self._scope, self._receive)
        else:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
