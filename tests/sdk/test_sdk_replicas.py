"""Buckets of tools: as many replicas as asked for, and a server that is away for a moment is waited for."""

import asyncio
import json
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.connection import close
from leadplan_bus.errors import TooManyReplicasError
from leadplan_contracts import LeadToolExecutionResult, ToolRequest
from leadplan_contracts.wire import encode
from leadplan_responder.checkpoint import CheckpointBucket
from leadplan_responder.result_memory import Claimed, MemoryUnavailableError, Remembered, ResultMemory
from leadplan_responder.serving import ServingSettings

REPLY = LeadToolExecutionResult(success=True)


@pytest.fixture
async def memory(nc: Client) -> ResultMemory:
    memory = ResultMemory(nc, service="pay", instance="one")
    memory._js._timeout = 0.3
    await memory.open()
    return memory


@pytest.fixture
def request_to_pay(caller: Any) -> ToolRequest:
    return msgspec.json.decode(json.dumps(caller.request("PAY")), type=ToolRequest)


@pytest.mark.parametrize(("environment", "replicas"), [({}, 1), ({"LEADPLAN_REPLICAS": "3"}, 3)])
def test_replicas_come_from_the_environment(environment: dict[str, str], replicas: int):
    assert ServingSettings.from_environment(environment).replicas == replicas


async def test_more_replicas_than_a_lone_server_can_have_are_named_at_the_start(nc: Client):
    with pytest.raises(TooManyReplicasError, match="LEADPLAN_REPLICAS is 3"):
        await ResultMemory(nc, service="pay", instance="one", replicas=3).open()


async def test_a_step_goes_on_without_its_checkpoint_where_that_cannot_be_made(nc: Client, request_to_pay: ToolRequest):
    items = CheckpointBucket(nc, replicas=3).items_of(request_to_pay)
    with pytest.raises(Exception, match="LEADPLAN_REPLICAS is 3"):
        await items.write("item", encode({}))
    assert await items.read() == []


async def test_a_claim_waits_for_a_server_that_is_away_for_a_moment(
    memory: ResultMemory, request_to_pay: ToolRequest, nats_server: Any
):
    nats_server.kill()
    claiming = asyncio.create_task(memory.claim(request_to_pay))
    await asyncio.sleep(0.7)
    nats_server.start()
    assert isinstance(await claiming, Claimed)


async def test_what_was_done_is_remembered_once_the_server_is_back(
    memory: ResultMemory, request_to_pay: ToolRequest, nats_server: Any
):
    claimed = await memory.claim(request_to_pay)
    assert isinstance(claimed, Claimed)
    nats_server.kill()
    remembering = asyncio.create_task(memory.remember(claimed, REPLY))
    await asyncio.sleep(0.7)
    nats_server.start()
    await remembering
    assert await memory.claim(request_to_pay) == Remembered(REPLY)


async def test_a_server_that_stays_away_is_told(
    memory: ResultMemory, request_to_pay: ToolRequest, nc: Client, nats_server: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leadplan_responder.result_memory._PATIENCE_SECONDS", 0.1)
    nats_server.kill()
    with pytest.raises(MemoryUnavailableError, match="doesn't answer"):
        await memory.claim(request_to_pay)
    await close(nc)
