"""What the instances of a responder say of themselves: ``$SRV.INFO`` and ``$SRV.STATS`` (ADR-32)."""

import time
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_contracts.subjects import EFFECTS_METADATA, PARAMS_SCHEMA_METADATA, TOOL_METADATA

_LONGEST_SECONDS = 1.0
_SILENCE_SECONDS = 0.25


class Announcement(NamedTuple):
    """What one instance announces of the tool; values are as they came, so they may be anything."""

    service: str
    instance: str
    endpoint: str
    subject: Any
    queue_group: Any
    effects: Any
    params_schema: Any

    @property
    def schema(self) -> Any:
        """The params' JSON Schema, decoded.

        Raises:
            ValueError: it is no JSON text.
        """
        if not isinstance(self.params_schema, str):
            raise ValueError(f"it is no text but {type(self.params_schema).__name__}")
        try:
            return msgspec.json.decode(self.params_schema)
        except (msgspec.DecodeError, RecursionError) as error:
            raise ValueError(str(error)) from None


async def read_announcements(nc: Client, tool: str) -> list[Announcement]:
    """Every instance that announces the tool."""
    found = []
    for info in await _collect(nc, "$SRV.INFO"):
        for endpoint in _endpoints(info):
            metadata = endpoint.get("metadata")
            if isinstance(metadata, dict) and metadata.get(TOOL_METADATA) == tool:
                found.append(
                    Announcement(
                        str(info.get("name")),
                        str(info.get("id")),
                        str(endpoint.get("name")),
                        endpoint.get("subject"),
                        endpoint.get("queue_group"),
                        metadata.get(EFFECTS_METADATA),
                        metadata.get(PARAMS_SCHEMA_METADATA),
                    )
                )
    return found


async def count_requests(nc: Client, announcements: list[Announcement]) -> int | None:
    """How many requests these instances say they had, all together; None when no instance answers with a number."""
    wanted = {(one.instance, one.endpoint) for one in announcements}
    counts = [
        endpoint.get("num_requests")
        for stats in await _collect(nc, "$SRV.STATS")
        for endpoint in _endpoints(stats)
        if (str(stats.get("id")), str(endpoint.get("name"))) in wanted
    ]
    numbers = [count for count in counts if isinstance(count, int)]
    return sum(numbers) if numbers else None


def _endpoints(answer: dict[str, Any]) -> list[dict[str, Any]]:
    endpoints = answer.get("endpoints")
    return [one for one in endpoints if isinstance(one, dict)] if isinstance(endpoints, list) else []


async def _collect(nc: Client, subject: str) -> list[dict[str, Any]]:
    answers: list[dict[str, Any]] = []
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    ends_at = time.monotonic() + _LONGEST_SECONDS
    try:
        await nc.publish(subject, reply=inbox)
        while (seconds_left := ends_at - time.monotonic()) > 0:
            message = await subscription.next_msg(min(_SILENCE_SECONDS, seconds_left))
            answers += _decoded(message.data)
    except NatsTimeoutError:
        return answers
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()
    return answers


def _decoded(body: bytes) -> list[dict[str, Any]]:
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # somebody else's service
    return [answer] if isinstance(answer, dict) else []
