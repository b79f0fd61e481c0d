"""What fits into one NATS message. The client library counts the payload only; the server counts headers too."""

from collections.abc import Mapping

from nats.aio.client import Client

from leadplan_bus.errors import MessageLimitTooLowError
from leadplan_bus.prompt_client import EncodedHeaders

LEAST_MAX_PAYLOAD = 512 * 1024
"""Room for 256 KiB of data in an event, or of problems in a rejection, and for what stands around them."""


def require_room_for_events(nc: Client) -> None:
    """Check that the server takes messages as large as our events can be.

    Raises:
        MessageLimitTooLowError: it doesn't.
    """
    if nc.max_payload < LEAST_MAX_PAYLOAD:
        raise MessageLimitTooLowError(nc.max_payload, LEAST_MAX_PAYLOAD)


def encoded_size(payload: bytes, headers: Mapping[str, str] | None) -> int:
    """Bytes of payload and headers as the server counts them against ``max_payload``."""
    if headers is None:
        return len(payload)
    block = (headers if isinstance(headers, EncodedHeaders) else EncodedHeaders(headers)).block
    return len(payload) + len(block)


def fits(nc: Client, payload: bytes, headers: Mapping[str, str] | None) -> bool:
    """Whether the server would take this message.

    A message over the limit makes the server close the connection, so it must never be sent.
    """
    return encoded_size(payload, headers) <= nc.max_payload
