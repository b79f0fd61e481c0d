"""Running a command's coroutine so that Ctrl-C, SIGTERM and SIGHUP all end it through its clean-up."""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from nats.aio.client import Client

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
    """A connection to the server that NATS_URL names, closed at the end.

    Raises:
        leadplan_bus.errors.CannotConnectError: no server answered.
    """
    from leadplan_bus.connection import DEFAULT_URL, connect  # noqa: PLC0415

    nc = await connect(url or os.environ.get("NATS_URL", DEFAULT_URL), name=purpose, within_seconds=within_seconds)
    try:
        yield nc
    finally:
        if not nc.is_closed:
            await nc.close()
