"""Closing a client's connection without an answer, which ASGI has no message for."""

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

_TRANSPORT = "leadplan_sandbox.transport"


class DroppableApp(Starlette):
    """An application whose parts can close the connection that they answer on: see `drop_connection`."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        # The innermost `send` is a method of uvicorn's request cycle, which holds the connection; middlewares wrap it.
        scope[_TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


async def drop_connection(scope: Scope, receive: Receive) -> None:
    """Close the connection of a request, and wait until it is closed. What was sent before still arrives.

    Raises:
        ConnectionResetError: the application isn't served by uvicorn, so that there is no connection to close.
    """
    transport = scope[_TRANSPORT]
    if transport is None:
        raise ConnectionResetError("the sandbox dropped the connection")
    transport.close()
    while (await receive())["type"] != "http.disconnect":
        pass
