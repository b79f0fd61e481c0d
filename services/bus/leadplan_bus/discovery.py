"""Finding the tools that responders announce through ``$SRV.INFO`` (ADR-32, protocol section 5)."""

import re
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client

from leadplan_bus.service_answers import UNREADABLE, ask_services, printable
from leadplan_contracts.subjects import EFFECTS_METADATA, PARAMS_SCHEMA_METADATA, TOOL_METADATA
from leadplan_contracts.wire import TOOL_PATTERN


class AnnouncedTool(NamedTuple):
    """What one instance of a responder says of one tool.

    ``params_schema`` is a JSON Schema, or None where the responder announces none; it comes from outside and may be
    no valid schema. ``endpoint`` and ``subject`` say where the instance takes its requests.
    """

    tool: str
    service: str
    instance: str
    version: str
    effects: str | None
    params_schema: Any
    endpoint: str = ""
    subject: str = ""


class _EndpointInfo(msgspec.Struct):
    # Texts by ADR-32; one service that has other values there must not hide its other endpoints.
    name: Any = None
    subject: Any = None
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

    Raises:
        nats.errors.Error: the question couldn't be sent.
    """
    answers = await ask_services(nc, "$SRV.INFO", longest=longest, silence=silence)
    return [tool for answer in answers for tool in read_announcement(answer)]


def read_announcement(answer: bytes) -> list[AnnouncedTool]:
    """The tools in one answer to ``$SRV.INFO``; none where it can't be read."""
    try:
        info = _decoder.decode(answer)
    except UNREADABLE:
        return []  # somebody else's service, or no service at all
    found: list[AnnouncedTool] = []
    for endpoint in info.endpoints or []:
        metadata = endpoint.metadata or {}
        tool, effects = metadata.get(TOOL_METADATA), metadata.get(EFFECTS_METADATA)
        if isinstance(tool, str) and re.match(TOOL_PATTERN, tool):
            found.append(
                AnnouncedTool(
                    tool,
                    printable(info.name),
                    printable(info.id),
                    printable(info.version),
                    printable(effects) if isinstance(effects, str) else None,
                    _schema(metadata.get(PARAMS_SCHEMA_METADATA)),
                    _text(endpoint.name),
                    _text(endpoint.subject),
                )
            )
    return found


def _text(value: Any) -> str:
    return printable(value) if isinstance(value, str) else ""


def _schema(text: Any) -> Any:
    try:
        return msgspec.json.decode(text) if isinstance(text, str) else None
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None
