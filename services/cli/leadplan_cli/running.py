"""Running a command's coroutine so that Ctrl-C, SIGTERM and SIGHUP all end it through its clean-up."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from leadplan_cli.errors import CommandError

if TYPE_CHECKING:
    from nats.aio.client import Client

    from leadplan_bus.errors import CannotConnectError
    from leadplan_cli.connection_choice import ConnectionChoice

T = TypeVar("T")
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the clean-up.
        SystemExit: SIGTERM or SIGHUP, after the clean-up, with code 128 and the signal's number.
    """
    received: list[signal.Signals] = []

    async def interruptible() -> T:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - inside a coroutine that a runner drives there is one
        loop = asyncio.get_running_loop()

        def end(number: signal.Signals) -> None:
            received.append(number)
            task.cancel()

        for number in _ENDING_SIGNALS:
            loop.add_signal_handler(number, end, number)
        return await work

    # What libraries log of failed connection attempts is told by the error that ends the command.
    logging.basicConfig(handlers=[logging.NullHandler()])
    try:
        return asyncio.run(interruptible())
    except asyncio.CancelledError:
        if received:
            raise SystemExit(128 + received[0]) from None
        raise


@contextlib.asynccontextmanager
async def connected(purpose: str, url: str | None = None, *, within_seconds: float = 5.0) -> "AsyncIterator[Client]":
    """A connection to the server at ``url``, or to the one that options, environment and contexts choose.

    It is closed at the end.

    Raises:
        CommandError: no server answered, or what was given to connect with can't be used.
    """
    from leadplan_bus.connection import connect  # noqa: PLC0415
    from leadplan_bus.errors import CannotConnectError  # noqa: PLC0415
    from leadplan_cli.connection_choice import choose_connection, server_at  # noqa: PLC0415

    choice = choose_connection() if url is None else server_at(url)
    try:
        nc = await connect(choice.url, name=purpose, within_seconds=within_seconds, access=choice.access)
    except CannotConnectError as error:
        raise CommandError(_no_server(error, choice)) from error
    try:
        yield nc
    finally:
        if not nc.is_closed:
            await nc.close()


def _no_server(error: "CannotConnectError", choice: "ConnectionChoice") -> str:
    reason = error.reason.removeprefix("nats: ").strip("'")
    said = f"no NATS server answered at {error.address} within {error.seconds:g} s ({reason})"
    if "authorization" in reason.lower() or "authentication" in reason.lower():
        return f"{said}; credentials shown to it: {choice.credentials or 'none'}; try leadplan context show"
    if choice.address_from == "default":
        return f"{said}; start one (leadplan dev), or say where it is: --server, --context or NATS_URL"
    return f"{said}; is it running, and is the address right? It is from: {choice.address_from}"
