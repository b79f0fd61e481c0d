"""The sandbox as an ASGI application."""

from html import escape

from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from leadplan_sandbox.admin import AdminEndpoints, BadAdminRequestError
from leadplan_sandbox.connection_drop import DroppableApp
from leadplan_sandbox.fault_middleware import FaultMiddleware
from leadplan_sandbox.faults import FaultList
from leadplan_sandbox.google.errors import google_error
from leadplan_sandbox.google.routes import GooglePlaces
from leadplan_sandbox.hunter.errors import HunterApiError, hunter_error
from leadplan_sandbox.hunter.routes import Hunter
from leadplan_sandbox.quotas import Quotas
from leadplan_sandbox.recording import RecordingMiddleware, RequestRecord
from leadplan_sandbox.settings import SandboxSettings


def build_app(settings: SandboxSettings | None = None) -> DroppableApp:
    """A sandbox with a state of its own; settings come from the environment when they are absent."""
    quotas = Quotas(settings or SandboxSettings())
    faults, record = FaultList(), RequestRecord()
    google, hunter = GooglePlaces(quotas.live), Hunter(quotas.live)
    return DroppableApp(
        routes=[
            *AdminEndpoints(faults, record, quotas, resets=[hunter.reset, google.reset]).routes(),
            *google.routes(),
            *hunter.routes(),
        ],
        middleware=[
            Middleware(RecordingMiddleware, record=record),
            Middleware(FaultMiddleware, faults=faults),
        ],
        exception_handlers={
            BadAdminRequestError: _refused,
            HunterApiError: _refused,
            HTTPException: _no_such_path,
            Exception: _broken,
        },
    )


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, BadAdminRequestError | HunterApiError)  # noqa: S101  (Starlette's handlers are typed for any exception)
    return error.response


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101  (as above)
    if request.url.path.startswith("/admin/"):
        return JSONResponse({"errors": [{"path": request.url.path, "message": error.detail}]}, error.status_code)
    # Both APIs answer an unknown path with a web page, not with JSON.
    page = f"<!DOCTYPE html><title>{error.status_code}</title><p>{escape(error.detail)}: {escape(request.url.path)}"
    return HTMLResponse(page, error.status_code)


async def _broken(request: Request, _error: Exception) -> Response:
    return google_error(500) if request.url.path.startswith("/v1/") else hunter_error(500)
