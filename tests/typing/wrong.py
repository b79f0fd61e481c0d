"""Wrong uses of the SDK: the type checker must report each line that ends with an `error:` mark, and no other."""

from collections.abc import AsyncIterator

import msgspec

from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.testing import call_tool


class Greeting(msgspec.Struct):
    name: str


responder = Responder("greeter", version="1.0.0", description="Greets people")
Responder("greeter", "1.0.0", "Greets people")  # error: call-arg
Responder("greeter", version="1.0.0")  # error: call-arg
Responder("greeter", version="1.0.0", description="", on_stop=[print])  # error: list-item


@responder.tool("SYNC", effects="none")  # error: type-var
def sync_handler(params: Greeting, ctx: ToolContext) -> str:
    return params.name


@responder.tool("NO_CONTEXT", effects="none")  # error: type-var
async def no_context(params: Greeting) -> str:
    return params.name


@responder.tool("THREE", effects="none")  # error: type-var
async def three_parameters(params: Greeting, ctx: ToolContext, more: int) -> str:
    return params.name * more


@responder.tool("SWAPPED", effects="none")  # error: type-var
async def swapped(ctx: ToolContext, params: Greeting) -> str:
    return params.name


@responder.tool("KEYWORD", effects="none")  # error: type-var
async def keyword_only(params: Greeting, *, ctx: ToolContext) -> str:
    return params.name


@responder.tool("GENERATOR", effects="none")  # error: type-var
async def generator(params: Greeting, ctx: ToolContext) -> AsyncIterator[str]:
    yield params.name


@responder.tool("EFFECTS", effects="some")  # error: arg-type
async def wrong_effects(params: Greeting, ctx: ToolContext) -> str:
    return params.name


@responder.tool("NO_EFFECTS")  # error: call-arg
async def no_effects(params: Greeting, ctx: ToolContext) -> str:
    return params.name


@responder.tool  # error: arg-type, call-arg
async def without_a_call(params: Greeting, ctx: ToolContext) -> str:
    return params.name


@responder.tool("CONTEXT", effects="none", max_in_flight="8")  # error: arg-type
async def wrong_use_of_the_context(params: Greeting, ctx: ToolContext) -> str:
    ctx.progress(0.5)  # error: unused-coroutine
    await ctx.progress("half")  # error: arg-type
    await ctx.progress(0.5, 12)  # error: arg-type
    name: str = await ctx.prior_data("before", Greeting)  # error: arg-type
    assert (await ctx.prior_data("before", Greeting)).title  # error: attr-defined
    await ctx.prior_data(Greeting)  # error: call-arg, arg-type
    assert ctx.prior_data("before", Greeting).name  # error: attr-defined
    ctx.seconds_left = 5  # error: method-assign, assignment
    ctx.plan = {}  # error: misc
    assert ctx.plan_ids  # error: attr-defined
    if ctx.user.email.endswith("example.com"):  # error: union-attr
        raise ToolError("too late", "no_time")  # error: call-arg
    raise ToolError("too late", retry_after="soon") from name  # error: arg-type, misc


async def wrong_use_of_the_double() -> None:
    await call_tool(responder, "GREET")  # error: call-arg
    await call_tool(responder, "GREET", Greeting(name="Ada"))  # error: arg-type
