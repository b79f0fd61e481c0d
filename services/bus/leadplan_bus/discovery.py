"""Finding the tools that responders announce through ``$SRV.INFO`` (ADR-32, protocol section 5)."""

import re
import time
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_contracts.subjects import EFFECTS_METADATA, PARAMS_SCHEMA_METADATA, TOOL_METADATA
from leadplan_contracts.wire import TOOL_PATTERN


class AnnouncedTool(NamedTuple):
    """What one instance of a responder says of one tool.

    ``params_schema`` is a JSON Schema, or None where the responder announces none; it comes from outside and may be
    no valid schema.
    """

    tool: str
    service: str
    instance: str
    version: str
    effects: str | None
    params_schema: Any


class _EndpointInfo(msgspec.Struct):
    # Texts by ADR-32; one service that has other values there must not hide its other endpoints.
    metadata: dict[str, Any] | None = None


class _ServiceInfo(msgspec.Struct):
    name: str
    id: str
    version: str
    endpoints: list[_EndpointInfo] | None = None


_decoder = msgspec.json.Decoder(_ServiceInfo)


async def discover_tools(nc: Client, *, longest: float = 1.0, silence: float = 0.2) -> list[AnnouncedTool]:
    """Ask every micro service what it serves and collect the answers.

    Args:
        nc: the connection.
        longest: seconds to wait in all.
        silence: seconds without a further answer after which no more are expected.
    """
    found: list[AnnouncedTool] = []
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox)
    # Not `asyncio.timeout` around it: where answers keep coming, Python 3.11's `wait_for` can lose the cancellation.
    ends_at = time.monotonic() + longest
    try:
        await nc.publish("$SRV.INFO", reply=inbox)
        while (seconds_left := ends_at - time.monotonic()) > 0:
            found += _read(await subscription.next_msg(min(silence, seconds_left)))
    except NatsTimeoutError:
        return found
    finally:
        if not nc.is_closed:
            await subscription.unsubscribe()
    return found


def _read(message: Msg) -> list[AnnouncedTool]:
    try:
        info = _decoder.decode(message.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []  # somebody else's service, or no service at all
    found: list[AnnouncedTool] = []
    for endpoint in info.endpoints or []:
        metadata = endpoint.metadata or {}
        tool, effects = metadata.get(TOOL_METADATA), metadata.get(EFFECTS_METADATA)
        if isinstance(tool, str) and re.match(TOOL_PATTERN, tool):
            effects = effects if isinstance(effects, str) else None
            schema = _schema(metadata.get(PARAMS_SCHEMA_METADATA))
            found.append(AnnouncedTool(tool, info.name, info.id, info.version, effects, schema))
    return found


def _schema(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
