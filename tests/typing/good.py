"""What an outside user writes against the SDK: it must type-check in strict mode."""

import asyncio
from collections.abc import Sequence
from typing import assert_type

import msgspec
import pydantic

from leadplan_responder import ConfigurationError, Responder, ToolContext, ToolError
from leadplan_responder.testing import ToolCall, call_tool


class Greeting(msgspec.Struct):
    name: str
    times: int = 1


class Greeted(msgspec.Struct):
    text: str


class Search(pydantic.BaseModel):
    query: str
    max_results: int = 20


class Found(pydantic.BaseModel):
    places: list[str]


async def open_pool() -> None: ...


async def close_pool() -> None: ...


responder = Responder(
    "greeter", version="1.0.0", description="Greets people", on_start=[open_pool], on_stop=(close_pool,)
)


@responder.tool("GREET", effects="none")
async def greet(params: Greeting, ctx: ToolContext) -> Greeted:
    await ctx.progress(0.5, "half")
    await ctx.progress(message="more")
    ctx.log.info("greeting", extra={"times": params.times})
    return Greeted(text=f"Hello {params.name}, {ctx.user.email or 'stranger'}")


@responder.tool("SEARCH", effects="idempotent", max_in_flight=4)
async def search(params: Search, ctx: ToolContext) -> Found:
    assert_type(await ctx.prior_data("before", Greeted), Greeted)
    assert_type(await ctx.prior_data("before", Found), Found)
    assert_type(await ctx.prior_data("before", dict[str, list[int]]), dict[str, list[int]])
    assert_type(ctx.seconds_left(), float)
    if ctx.seconds_left() < 1:
        raise ToolError("too late", code="no_time", retryable=False, retry_after=2.5)
    return Found(places=[params.query] * min(params.max_results, ctx.attempt))


@responder.tool("COUNT", effects="once")
async def count(params: dict[str, int], ctx: ToolContext) -> int:
    return len(params) + len(ctx.prior_results) + len(str(ctx.plan.get("title")))


class Places:
    """Handlers may be methods, so that a client is shared without globals."""

    def __init__(self, key: str) -> None:
        if not key:
            raise ConfigurationError("PLACES_KEY is missing")
        self.key = key

    async def look_up(self, params: Search, ctx: ToolContext) -> Sequence[str]:
        await ctx.nats.publish("lookups", params.query.encode())
        return [self.key]

    def responder(self) -> Responder:
        """What `leadplan tool` starts."""
        serving = Responder("places", version="1.0.0", description="Looks places up")
        serving.tool("LOOK_UP", effects="none")(self.look_up)
        return serving


async def use_decorated_functions(ctx: ToolContext) -> None:
    """A decorated function keeps its own type."""
    assert_type(await greet(params=Greeting(name="Ada"), ctx=ctx), Greeted)
    assert_type(await asyncio.create_task(search(Search(query="x"), ctx)), Found)


async def test_greet() -> None:
    call = await call_tool(responder, "GREET", {"name": "Ada"}, prior_results={"before": {"text": "x"}})
    assert_type(call, ToolCall)
    assert call.result.success
    assert call.progress == [(0.5, "half"), (None, "more")]


if __name__ == "__main__":
    responder.run()
