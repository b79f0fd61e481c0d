"""Looking at a request's body and handing it on intact."""

from starlette.requests import Request
from starlette.types import Message, Receive, Scope


async def read_ahead(scope: Scope, receive: Receive) -> tuple[bytes, Receive]:
    """The whole body, and a ``receive`` that gives it once more."""
    body = await Request(scope, receive).body()
    unread = [body]

    async def receive_again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await receive()

    return body, receive_again
