"""The sandbox's own endpoints: faults, quotas, recorded requests, health. They take no key: for local use only."""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadplan_sandbox.faults import Fault, FaultList
from leadplan_sandbox.quotas import QuotaChange, Quotas
from leadplan_sandbox.recording import RequestRecord
from leadplan_sandbox.world_summary import world_summary

ModelT = TypeVar("ModelT", bound=BaseModel)


class BadAdminRequestError(Exception):
    """The body of an admin call can't be used; ``response`` says what is wrong with it."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{path}: {message}" for path, message in problems))
        self.response = JSONResponse({"errors": [{"path": path, "message": text} for path, text in problems]}, 400)


class AdminEndpoints:
    """What a demo or a test steers the sandbox with.

    Args:
        faults: what is switched on.
        record: what was asked.
        quotas: what may be used.
        resets: bring the stand-ins back to their state after a start.
    """

    def __init__(
        self, faults: FaultList, record: RequestRecord, quotas: Quotas, resets: Sequence[Callable[[], None]]
    ) -> None:
        self._faults = faults
        self._record = record
        self._quotas = quotas
        self._resets = resets

    def routes(self) -> list[Route]:
        """What they answer on."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/admin/faults", self.add_fault, methods=["POST"]),
            Route("/admin/faults", self.list_faults, methods=["GET"]),
            Route("/admin/faults", self.clear_faults, methods=["DELETE"]),
            Route("/admin/requests", self.list_requests, methods=["GET"]),
            Route("/admin/requests", self.clear_requests, methods=["DELETE"]),
            Route("/admin/quotas", self.show_quotas, methods=["GET"]),
            Route("/admin/quotas", self.change_quotas, methods=["PATCH"]),
            Route("/admin/world", self.show_world, methods=["GET"]),
            Route("/admin/reset", self.reset, methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        """``GET /healthz``: 200 once the service answers."""
        return JSONResponse({"status": "ok"})

    async def add_fault(self, request: Request) -> Response:
        """``POST /admin/faults``: 201 with the fault, 400 with what is wrong with it."""
        return JSONResponse(self._faults.add(await _read(request, Fault)), 201)

    async def list_faults(self, _request: Request) -> Response:
        """``GET /admin/faults``."""
        return JSONResponse({"faults": self._faults.listed()})

    async def clear_faults(self, _request: Request) -> Response:
        """``DELETE /admin/faults``: all of them."""
        self._faults.clear()
        return Response(status_code=204)

    async def list_requests(self, request: Request) -> Response:
        """``GET /admin/requests``; ``?method=`` and ``?path=`` (a prefix) narrow the list."""
        query = request.query_params
        method = query["method"].upper() if "method" in query else None
        return JSONResponse({"requests": self._record.matching(method, query.get("path", ""))})

    async def clear_requests(self, _request: Request) -> Response:
        """``DELETE /admin/requests``."""
        self._record.clear()
        return Response(status_code=204)

    async def show_quotas(self, _request: Request) -> Response:
        """``GET /admin/quotas``."""
        return JSONResponse(self._quotas.as_json())

    async def change_quotas(self, request: Request) -> Response:
        """``PATCH /admin/quotas``: 200 with what holds now, 400 with what is wrong."""
        self._quotas.change(await _read(request, QuotaChange))
        return JSONResponse(self._quotas.as_json())

    async def show_world(self, _request: Request) -> Response:
        """``GET /admin/world``."""
        return JSONResponse(world_summary())

    async def reset(self, _request: Request) -> Response:
        """``POST /admin/reset``: no faults, no recorded requests, quotas and stand-ins as after a start."""
        self._faults.clear()
        self._record.clear()
        self._quotas.reset()
        for reset in self._resets:
            reset()
        return Response(status_code=204)


async def _read(request: Request, model: type[ModelT]) -> ModelT:
    try:
        return model.model_validate(json.loads(await request.body() or b"null"))
    except ValidationError as error:
        problems = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors()]
    except ValueError:
        problems = [("", "the body is no JSON")]
    raise BadAdminRequestError(problems)
