"""What the tools' tests share: a real sandbox service, in place of the APIs that the tools call."""

import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from leadplan_sandbox.app import build_app
from leadplan_sandbox.settings import SandboxSettings


class RenewableSandbox:
    """One server for all tests, since starting and stopping it takes longer than most tests; a new sandbox for each."""

    url: str
    app: ASGIApp

    def renew(self) -> None:
        # Without validation nothing is read from the environment: the default keys hold.
        self.app = build_app(SandboxSettings.model_construct())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def sandbox_server() -> Iterator[RenewableSandbox]:
    sandbox = RenewableSandbox()
    listener = socket.create_server(("127.0.0.1", 0))
    sandbox.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    server = uvicorn.Server(uvicorn.Config(sandbox, lifespan="off", log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox", daemon=True)
    thread.start()
    yield sandbox
    server.should_exit = server.force_exit = True
    thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def sandbox_url(sandbox_server: RenewableSandbox) -> str:
    """Address of a sandbox with a state of its own and the default keys (sandbox-google-key, sandbox-hunter-key)."""
    sandbox_server.renew()
    return sandbox_server.url


@pytest.fixture
async def sandbox_admin(sandbox_url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the sandbox's own endpoints, such as `/admin/faults` and `/admin/requests`."""
    # Plain HTTP needs no certificates, and loading them takes longer than most tests.
    async with httpx.AsyncClient(base_url=sandbox_url, timeout=10, verify=False) as client:
        yield client


@pytest.fixture
def add_fault(sandbox_admin: httpx.AsyncClient) -> Callable[..., Awaitable[None]]:
    """Switch on a fault: path, status, and what else `/admin/faults` takes."""

    async def add(path: str, status: int | None = None, **more: Any) -> None:
        answer = await sandbox_admin.post("/admin/faults", json={"path": path, "status": status, **more})
        assert answer.status_code == 201, answer.text

    return add


@pytest.fixture
def requests_to(sandbox_admin: httpx.AsyncClient) -> Callable[[str], Awaitable[list[dict[str, Any]]]]:
    """The requests that the sandbox got for a path prefix, oldest first."""

    async def ask(path: str) -> list[dict[str, Any]]:
        answer = await sandbox_admin.get("/admin/requests", params={"path": path})
        requests: list[dict[str, Any]] = answer.json()["requests"]
        return requests

    return ask
