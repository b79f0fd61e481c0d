"""The sandbox's own endpoints: faults, recorded requests, health. They take no key and are for local use only."""

import json

from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadplan_sandbox.faults import Fault, FaultList
from leadplan_sandbox.hunter.routes import Hunter
from leadplan_sandbox.recording import RequestRecord


class AdminEndpoints:
    """What a demo or a test steers the sandbox with."""

    def __init__(self, faults: FaultList, record: RequestRecord, hunter: Hunter) -> None:
        self._faults = faults
        self._record = record
        self._hunter = hunter

    def routes(self) -> list[Route]:
        """What they answer on."""
        return [
            Route("/healthz", self.health, methods=["GET"]),
            Route("/admin/faults", self.add_fault, methods=["POST"]),
            Route("/admin/faults", self.list_faults, methods=["GET"]),
            Route("/admin/faults", self.clear_faults, methods=["DELETE"]),
            Route("/admin/requests", self.list_requests, methods=["GET"]),
            Route("/admin/requests", self.clear_requests, methods=["DELETE"]),
            Route("/admin/reset", self.reset, methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        """``GET /healthz``: 200 once the service answers."""
        return JSONResponse({"status": "ok"})

    async def add_fault(self, request: Request) -> Response:
        """``POST /admin/faults``: 201 with the fault, 400 with what is wrong with it."""
        try:
            fault = Fault.model_validate(json.loads(await request.body() or b"null"))
        except ValidationError as error:
            problems = [{"path": ".".join(map(str, one["loc"])), "message": one["msg"]} for one in error.errors()]
            return JSONResponse({"errors": problems}, 400)
        except ValueError:
            return JSONResponse({"errors": [{"path": "", "message": "the body is no JSON"}]}, 400)
        return JSONResponse(self._faults.add(fault), 201)

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

    async def reset(self, _request: Request) -> Response:
        """``POST /admin/reset``: no faults, no recorded requests, and Hunter as after a start."""
        self._faults.clear()
        self._record.clear()
        self._hunter.reset()
        return Response(status_code=204)
