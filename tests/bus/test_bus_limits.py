"""What fits is what the server takes: one byte more and it closes the connection."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client

from leadplan_bus.connection import connect, flush
from leadplan_bus.limits import encoded_size, fits

HEADERS = [
    None,
    {},
    {"Leadplan-Reply": "working"},
    {"a": "", "b": "é€𝄞"},
    {" padded ": "  value\t", "lines": "one\r\ntwo"},
]


@pytest.mark.parametrize("headers", HEADERS, ids=range(len(HEADERS)))
async def test_the_largest_message_that_fits_is_taken_and_the_next_one_is_not(
    nc: Client, nats_url: str, headers: dict[str, str] | None
):
    subscription = await nc.subscribe("large")
    await flush(nc)
    closed = asyncio.Event()
    sender = await connect(nats_url, name="sender", on_closed=closed.set)
    payload = b"x" * (sender.max_payload - encoded_size(b"", headers))
    assert fits(sender, payload, headers)
    assert not fits(sender, payload + b"x", headers)
    await sender.publish("large", payload, headers=headers)
    message = await subscription.next_msg(5)
    assert message.data == payload
    assert not closed.is_set()
    if headers is not None:  # without headers the client itself refuses
        await sender.publish("large", payload + b"x", headers=headers)
        await asyncio.wait_for(closed.wait(), 5)
    else:
        await sender.close()


@pytest.mark.parametrize(
    ("payload", "headers", "size"),
    [(b"", None, 0), (b"abc", None, 3), (b"abc", {}, 15), (b"abc", {"A": "b"}, 3 + 12 + 6)],
)
def test_sizes(payload: bytes, headers: Any, size: int):
    assert encoded_size(payload, headers) == size
