"""The sandbox as a service: its listening socket, its log line, its end."""

import asyncio
import logging
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import structlog
import uvicorn
from pydantic import ValidationError

from leadplan_sandbox.app import build_app
from leadplan_sandbox.settings import SandboxSettings

_JOIN_SECONDS = 10
_STOPPING_SECONDS = 1


class SandboxStartError(Exception):
    """The sandbox can't listen on its address. The message says why and what to do."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: those end the process with the signal again, which looks like a crash."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        """Stop at once; requests under way are dropped."""
        self.should_exit = self.force_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            # None before a client has said anything.
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)


def run(settings: SandboxSettings | None = None, log_to: TextIO | None = None) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit code: 0, 1 when the address can't be used, 2 for a bad setting.

    Each log line is JSON on standard output (or ``log_to``). Once the sandbox answers, a line has
    ``"event": "listening"`` and its ``url``.
    """
    log = _logger(log_to or sys.stdout)
    try:
        settings = settings or SandboxSettings()
    except ValidationError as error:
        problems = [f"SANDBOX_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors()]
        log.error("bad_settings", error="; ".join(problems))
        return 2
    try:
        listener = _listen(settings)
    except SandboxStartError as error:
        log.error("cannot_listen", error=str(error))
        return 1
    asyncio.run(_serve(settings, listener, log))
    return 0


async def _serve(
    settings: SandboxSettings, listener: socket.socket, log: structlog.typing.FilteringBoundLogger
) -> None:
    server = _server(settings)
    loop = asyncio.get_running_loop()
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(stop_signal, server.stop)
    url = _url(listener)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="sandbox-http")
    # The socket listens already, so a request that comes before uvicorn's start waits in the backlog.
    log.info("listening", service="leadplan-sandbox", url=url)
    await serving
    # Dropped requests are cancelled next, which uvicorn would log as errors.
    logging.getLogger("uvicorn.error").disabled = True
    log.info("stopped", service="leadplan-sandbox")


@contextmanager
def serving(settings: SandboxSettings | None = None) -> Iterator[str]:
    """Run a sandbox in a thread of this process, for tests; gives its address, for instance ``http://127.0.0.1:40311``.

    Without settings it takes a free port, and the default keys whatever the environment says.

    Raises:
        SandboxStartError: it can't listen on its address.
    """
    settings = settings or SandboxSettings.model_construct(port=0)
    listener = _listen(settings)
    server = _server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="sandbox-http", daemon=True)
    url = _url(listener)
    thread.start()
    try:
        yield url
    finally:
        server.stop()
        thread.join(_JOIN_SECONDS)


def _listen(settings: SandboxSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except OSError as error:
        message = (
            f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}. "
            "Choose another address with SANDBOX_HOST and SANDBOX_PORT (0 takes a free port)."
        )
        raise SandboxStartError(message) from error


def _server(settings: SandboxSettings) -> _Server:
    config = uvicorn.Config(
        build_app(settings),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_STOPPING_SECONDS,
    )
    return _Server(config)


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _logger(stream: TextIO) -> structlog.typing.FilteringBoundLogger:
    logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        structlog.PrintLogger(stream),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    )
    return logger
