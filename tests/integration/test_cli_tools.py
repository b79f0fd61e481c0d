"""``leadplan tools`` on a real server, with services that announce tools."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_cli.tool_lines import param_lines

SCHEMA = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {"type": "string", "minLength": 1, "description": "What to search for."},
        "limit": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 60}, {"type": "null"}], "default": 20},
        "area": {"$ref": "#/$defs/Area"},
    },
    "$defs": {"Area": {"type": "object", "properties": {"radius": {"type": "number"}}}},
}


async def tools(url: str, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", "tools", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NATS_URL": url},
    )
    out, err = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
async def served(nc: Client) -> AsyncIterator[None]:
    """SEARCH in two versions, one of them asked twice, and PLAIN without a schema."""

    async def answer(message: Msg, endpoint: Endpoint) -> None:
        endpoint.record(0, "it broke" if message.data == b"bad" else None)
        await message.respond(b"done")

    tasks: set[asyncio.Task[None]] = set()

    def take(message: Msg, endpoint: Endpoint) -> None:
        tasks.add(asyncio.create_task(answer(message, endpoint)))

    metadata = {"tool": "SEARCH", "effects": "none", "params_schema": json.dumps(SCHEMA)}
    services = [MicroService(nc, name="searching", version=version, description="") for version in ("1.0.0", "1.1.0")]
    await services[0].add_endpoint("SEARCH", "tools.SEARCH", take, metadata)
    await flush(nc)
    for body in (b"good", b"bad"):
        await nc.request("tools.SEARCH", body, timeout=5)
    await services[1].add_endpoint("SEARCH", "tools.SEARCH", take, metadata)
    await services[1].add_endpoint("PLAIN", "tools.PLAIN", take, {"tool": "PLAIN"})
    for service in services:
        await service.start()
    await flush(nc)
    yield
    for service in services:
        await service.stop()


async def test_where_nobody_serves_anything(nats_url: str):
    assert (await tools(nats_url))[1].startswith("Nobody serves a tool here. Start one: leadplan tool")
    assert await tools(nats_url, "--json") == (0, "", "")
    code, out, err = await tools(nats_url, "SEARCH")
    assert (code, out) == (1, "")
    assert err.startswith("leadplan: nobody announces SEARCH")


@pytest.mark.usefixtures("served")
async def test_who_serves_what(nats_url: str):
    code, out, err = await tools(nats_url)
    assert (code, err) == (0, "")
    heading, plain, search = out.splitlines()
    assert heading.split()[:3] == ["Tool", "Instances", "Version"]
    assert plain.split() == ["PLAIN", "1", "1.1.0", "?", "no", "0", "0"]
    assert search.split()[:8] == ["SEARCH", "2", "1.0.0,", "1.1.0", "none", "yes", "2", "1"]
    code, out, _ = await tools(nats_url, "--json")
    plain, search = map(json.loads, out.splitlines())
    assert (plain["tool"], "paramsSchema" in plain) == ("PLAIN", False)
    assert (search["versions"], search["requests"], search["errors"]) == (["1.0.0", "1.1.0"], 2, 1)
    assert search["paramsSchema"] == SCHEMA
    assert [one.get("lastError") for one in search["instances"]] == ["it broke", None]


@pytest.mark.usefixtures("served")
async def test_one_tool_with_its_params_and_instances(nats_url: str):
    code, out, _ = await tools(nats_url, "search")
    assert code == 0
    assert out.startswith("SEARCH: served by 2 instances of searching, versions 1.0.0, 1.1.0, effects none\n")
    assert "  query: required; text, not empty\n      What to search for.\n" in out
    assert "it broke" in out
    assert "announces no schema" in (await tools(nats_url, "PLAIN"))[1]
    assert "did you mean SEARCH?" in (await tools(nats_url, "SERCH"))[2]
    assert (await tools(nats_url, "no tool"))[0] == 2


def test_params_as_lines():
    assert param_lines(SCHEMA) == [
        "  query: required; text, not empty",
        "      What to search for.",
        "  limit: whole number, 1 to 60 or null; default 20",
        "  area: object",
        "  area.radius: number",
    ]


@pytest.mark.parametrize("schema", [True, [], "x", {"properties": 7}, {"properties": {"a": {"$ref": "#/$defs/No"}}}])
def test_a_schema_that_is_none_has_no_lines(schema: object):
    assert param_lines(schema) == []
