"""The HTTP side of sequences: ``/sequences/…``, ``/campaigns/…`` under their old name, and ``/messages``."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadplan_sandbox.hunter.access import HunterAccount
from leadplan_sandbox.hunter.errors import HunterApiError
from leadplan_sandbox.hunter.params import body_fields, whole_number
from leadplan_sandbox.hunter.sequences import Sequence, addresses, default_sequences, recipient_json

_NAMES = ("sequences", "campaigns")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_MESSAGE_FILTERS = {"sequence_id", "direction", "limit", "offset", "api_key"}


class SequenceRoutes:
    """Sequences of one account. All calls are free and have no documented rate limit."""

    def __init__(self, account: HunterAccount) -> None:
        self._account = account
        self._sequences = default_sequences()

    def reset(self) -> None:
        """Forget all recipients and starts."""
        self._sequences = default_sequences()

    def routes(self) -> list[Route]:
        """What the stand-in answers on."""
        return [
            *(route for name in _NAMES for route in self._routes_under(name)),
            Route("/v2/sequences/{id:int}/pause", self.pause, methods=["POST"]),
            Route("/v2/sequences/{id:int}/pause", self.resume, methods=["DELETE"]),
            Route("/v2/sequences/{id:int}/archive", self.archive, methods=["POST"]),
            Route("/v2/messages", self.list_messages, methods=["GET"]),
        ]

    def _routes_under(self, name: str) -> list[Route]:
        one = f"/v2/{name}/{{id:int}}"
        return [
            Route(f"/v2/{name}", self.list_all, methods=["GET"], name=name),
            Route(one, self.show, methods=["GET"]),
            Route(f"{one}/recipients", self.list_recipients, methods=["GET"]),
            Route(f"{one}/recipients", self.add_recipients, methods=["POST"]),
            Route(f"{one}/recipients", self.cancel_recipients, methods=["DELETE"]),
            Route(f"{one}/start", self.start, methods=["POST"]),
        ]

    async def list_all(self, request: Request) -> Response:
        """``GET /sequences``."""
        self._account.admit(request)
        query = request.query_params
        limit, offset = whole_number(query, "limit", 20, 1, 100), whole_number(query, "offset", 0, 0, 100_000)
        wanted = {name: _FLAGS.get(query[name].lower()) for name in ("started", "archived") if name in query}
        listed = [sequence.listed() for sequence in self._sequences.values()]
        listed = [item for item in listed if all(item[name] == flag for name, flag in wanted.items())]
        key = "campaigns" if "/campaigns" in request.url.path else "sequences"
        return JSONResponse(
            {"data": {key: listed[offset : offset + limit]}, "meta": {"limit": limit, "offset": offset}}
        )

    async def show(self, request: Request) -> Response:
        """``GET /sequences/{id}``."""
        return _data(self._sequence(request).detailed())

    async def list_recipients(self, request: Request) -> Response:
        """``GET /sequences/{id}/recipients``; no total is told."""
        sequence = self._sequence(request)
        query = request.query_params
        limit, offset = whole_number(query, "limit", 20, 1, 100), whole_number(query, "offset", 0, 0, 100_000)
        page = sequence.recipients[offset : offset + limit]
        recipients = [recipient_json(email) for email in page]
        return JSONResponse({"data": {"recipients": recipients}, "meta": {"limit": limit, "offset": offset}})

    async def add_recipients(self, request: Request) -> Response:
        """``POST /sequences/{id}/recipients``."""
        sequence = self._own_sequence(request)
        return _data(sequence.add(addresses(await body_fields(request))), 201)

    async def cancel_recipients(self, request: Request) -> Response:
        """``DELETE /sequences/{id}/recipients``, a DELETE with a body."""
        sequence = self._own_sequence(request)
        return _data(sequence.cancel(addresses(await body_fields(request))), 201)

    async def start(self, request: Request) -> Response:
        """``POST /sequences/{id}/start``."""
        sequence = self._own_sequence(request)
        await body_fields(request)
        return _data(sequence.start())

    async def pause(self, request: Request) -> Response:
        """``POST /sequences/{id}/pause``."""
        return _data(self._owners_sequence(request).pause())

    async def resume(self, request: Request) -> Response:
        """``DELETE /sequences/{id}/pause``."""
        return _data(self._owners_sequence(request).resume())

    async def archive(self, request: Request) -> Response:
        """``POST /sequences/{id}/archive``."""
        return _data(self._owners_sequence(request).archive())

    async def list_messages(self, request: Request) -> Response:
        """``GET /messages`` (beta): the mails that went out, oldest first; nobody ever replies.

        The documents name the filters, not the fields of a message: these are the least that one can have.
        """
        self._account.admit(request)
        query = request.query_params
        if unknown := set(query) - _MESSAGE_FILTERS:
            raise HunterApiError(400, "wrong_params", f"The sandbox can't filter messages by {', '.join(unknown)}.")
        limit, offset = whole_number(query, "limit", 20, 1, 100), whole_number(query, "offset", 0, 0, 100_000)
        wanted = whole_number(query, "sequence_id", 0, 0, 999_999_999)
        incoming = query.get("direction", "outgoing") == "incoming"
        sent = [
            {"sequence_id": sequence.id, "recipient_email": email, "direction": "outgoing", "status": "sent"}
            for sequence in self._sequences.values()
            if wanted in (0, sequence.id) and not incoming
            for email in sequence.mailed
        ]
        messages = [{"id": number, **message} for number, message in enumerate(sent, start=1)]
        return JSONResponse(
            {"data": {"messages": messages[offset : offset + limit]}, "meta": {"limit": limit, "offset": offset}}
        )

    def _sequence(self, request: Request) -> Sequence:
        self._account.admit(request)
        sequence = self._sequences.get(request.path_params["id"])
        if sequence is None:
            raise HunterApiError(404, "not_found", "This sequence doesn't exist.")
        return sequence

    def _own_sequence(self, request: Request) -> Sequence:
        sequence = self._sequence(request)
        if not sequence.ours:
            # Hunter names 403 for acting on something owned by another member; the id is not documented.
            raise HunterApiError(403, "forbidden", "This sequence belongs to another member of your team.")
        return sequence

    def _owners_sequence(self, request: Request) -> Sequence:
        """For pause, resume and archive, which know a colleague's sequence as little as one that isn't there."""
        sequence = self._sequence(request)
        if not sequence.ours:
            raise HunterApiError(404, "not_found", "This sequence doesn't exist.")
        return sequence


def _data(data: dict[str, Any], status: int = 200) -> Response:
    return JSONResponse({"data": data}, status)
