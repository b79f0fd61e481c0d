"""Finding tools among whatever else answers on $SRV.INFO."""

import asyncio
import json
import time
from typing import Any

import nats.micro
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import connect, flush
from leadplan_bus.discovery import AnnouncedTool, discover_tools


def info(*endpoints: Any, **fields: Any) -> bytes:
    service = {
        "type": "io.nats.micro.v1.info_response",
        "name": "greeter",
        "id": "i1",
        "version": "1.0.0",
        "metadata": {},
        "description": "",
        "endpoints": list(endpoints),
        **fields,
    }
    return json.dumps(service).encode()


def endpoint(tool: Any = "GREET", **metadata: Any) -> dict[str, Any]:
    return {"name": "x", "subject": f"tools.{tool}", "queue_group": "q", "metadata": {"tool": tool, **metadata}}


async def answering(nc: Client, *bodies: bytes) -> None:
    async def answer(message: Msg) -> None:
        for body in bodies:
            await nc.publish(message.reply, body)

    await nc.subscribe("$SRV.INFO", cb=answer)


async def found(nc: Client) -> list[AnnouncedTool]:
    return await discover_tools(nc, silence=0.05)


async def test_nobody_there_is_an_empty_list(nc: Client):
    assert await found(nc) == []


async def test_each_instance_of_each_tool_is_listed(nc: Client):
    schema = {"type": "object"}
    one = info(endpoint(effects="none", params_schema=json.dumps(schema)), endpoint("PART"))
    await answering(nc, one, info(endpoint(), id="i2", version="1.1.0"))
    assert await found(nc) == [
        AnnouncedTool("GREET", "greeter", "i1", "1.0.0", "none", schema, "x", "tools.GREET"),
        AnnouncedTool("PART", "greeter", "i1", "1.0.0", None, None, "x", "tools.PART"),
        AnnouncedTool("GREET", "greeter", "i2", "1.1.0", None, None, "x", "tools.GREET"),
    ]


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"garbage",
        b"\xff",
        b"null",
        b"[]",
        b"[" * 50_000,
        b"{}",
        info(endpoint(), name=5),
        info(endpoint("hammer")),
        info(endpoint(5)),
        info(endpoint("GREET\n")),
        info({"name": "x", "metadata": ["tool"]}),
        info(endpoints=None),
        info(endpoints="none"),
        info({"name": "x", "metadata": None}, {}),
        b"x" * 900_000,
    ],
    ids=range(16),
)
async def test_odd_answers_are_passed_over(nc: Client, odd: bytes):
    await answering(nc, odd, info(endpoint("FOUND")))
    assert [tool.tool for tool in await found(nc)] == ["FOUND"]


async def test_one_odd_endpoint_does_not_hide_the_others(nc: Client):
    await answering(nc, info({"metadata": {"x": 1}}, {"metadata": None}, endpoint(weight=5, effects=7)))
    assert await found(nc) == [AnnouncedTool("GREET", "greeter", "i1", "1.0.0", None, None, "x", "tools.GREET")]


@pytest.mark.parametrize("text", ["", "{", "[" * 50_000, 5, None, "\ud800"], ids=range(6))
async def test_a_schema_that_cannot_be_read_counts_as_none(nc: Client, text: Any):
    await answering(nc, info(endpoint(params_schema=text)))
    tools = await found(nc)
    # Half a surrogate isn't JSON that everyone reads: the whole answer may be passed over.
    assert [tool.params_schema for tool in tools] in ([None], [])


async def test_a_service_of_the_client_library_is_no_tool_unless_it_says_so(nc: Client):
    async def handler(request: Any) -> None:
        await request.respond(b"")

    service = await nats.micro.add_service(nc, name="foreign", version="1.0.0")
    await service.add_endpoint(name="plain", handler=handler)
    await service.add_endpoint(name="tool", subject="tools.FOREIGN", handler=handler, metadata={"tool": "FOREIGN"})
    assert [(tool.tool, tool.service) for tool in await found(nc)] == [("FOREIGN", "foreign")]
    await service.stop()


async def test_it_ends_although_answers_never_do(nc: Client, nats_url: str):
    chatting: list[asyncio.Task[None]] = []
    chatterbox = await connect(nats_url, name="chatterbox")

    async def chat(reply: str) -> None:
        while True:
            await chatterbox.publish(reply, info(endpoint()))
            await asyncio.sleep(0)

    async def answer(message: Msg) -> None:
        chatting.append(asyncio.create_task(chat(message.reply)))

    await chatterbox.subscribe("$SRV.INFO", cb=answer)
    await flush(chatterbox)
    # Several times, for the end can fall at any point of receiving an answer.
    for _ in range(10):
        started = time.monotonic()
        assert len(await discover_tools(nc, longest=0.05, silence=0.04)) > 1
        assert time.monotonic() - started < 2
        chatting.pop().cancel()
    await chatterbox.close()


async def test_nothing_is_left_behind(nc: Client):
    before = len(nc._subs)
    await found(nc)
    assert len(nc._subs) == before
