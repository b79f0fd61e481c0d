"""The same tool as ``bench_responder.py``, written with the responder SDK."""

from typing import Any

import msgspec
from bench_shapes import READING_TOOL, TOOL, TOOL_REPLY

from leadplan_responder import Responder, ToolContext

_AT_ONCE = 512


class Params(msgspec.Struct):
    """What a step asks for."""

    query: str
    part: int


responder = Responder("bench", version="1.0.0", description="What the benchmarks call")
_data: dict[str, Any] = msgspec.json.decode(TOOL_REPLY)["data"]


@responder.tool(TOOL, effects="idempotent", max_in_flight=_AT_ONCE)
@responder.tool(READING_TOOL, effects="none", max_in_flight=_AT_ONCE)
async def answer(params: Params, ctx: ToolContext) -> dict[str, Any]:
    """Return the same each time."""
    return _data


if __name__ == "__main__":
    responder.run()
