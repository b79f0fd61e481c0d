"""docs/tool-protocol.md says what the models, the executor and a real server say."""

import asyncio
import json
import re
from pathlib import Path

import msgspec

from leadplan_bus.connection import flush
from leadplan_contracts import (
    CancelNotice,
    DataRef,
    LeadGenPlanStep,
    LeadToolExecutionResult,
    ToolEffects,
    ToolProgress,
    ToolRequest,
)
from leadplan_contracts.subjects import MAX_INLINE_DATA_BYTES, MAX_PLAN_IN_REQUEST_BYTES, SIGN_OF_LIFE_TIMEOUT_MS
from leadplan_executor.core.outcome import AskAgain, AttemptFailed, AttemptSucceeded, judge, unless_busy
from leadplan_executor.core.signals import Replied
from leadplan_executor.tool_calls import read_reply

STEP = LeadGenPlanStep(id="hello", tool="GREET", params={})
PAGE = (Path(__file__).parent.parent.parent / "docs" / "tool-protocol.md").read_text()
BLOCKS = {
    kind: re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) for kind in ("json", "text", "sh")
}


def model_of(example):
    """Which model an example on the page is of, by the field that only this one has."""
    for field, model in [
        ("success", LeadToolExecutionResult),
        ("params", ToolRequest),
        ("idempotencyKey", CancelNotice),
    ]:
        if field in example:
            return model
    return ToolProgress if "progress" in example else None


def test_every_example_is_of_its_model():
    models = []
    for block in BLOCKS["json"]:
        model = model_of(json.loads(block))
        if model is None:
            msgspec.convert(json.loads(block)["dataRef"], DataRef)
        else:
            msgspec.json.decode(block, type=model)
        models.append(model)
    replies = [LeadToolExecutionResult] * 2
    assert models == [ToolRequest, *replies, LeadToolExecutionResult, ToolProgress, CancelNotice, None]


def test_every_field_of_the_models_is_named():
    named = set(re.findall(r'[`"](\w+)[`"]', PAGE))
    for model in (ToolRequest, LeadToolExecutionResult, ToolProgress, CancelNotice):
        fields = {field.encode_name for field in msgspec.structs.fields(model)}
        assert fields - named == set(), model


def test_the_executor_reads_the_replies_as_the_page_says():
    success, failure, busy = [block for block in BLOCKS["json"] if '"success"' in block]
    assert isinstance(judge(read_reply(success.encode(), {}), STEP), AttemptSucceeded)
    failed = judge(read_reply(failure.encode(), {}), STEP)
    assert isinstance(failed, AttemptFailed)
    assert (failed.code, failed.retryable, failed.retry_after_ms) == ("quota_exceeded", True, 20000)
    assert unless_busy(read_reply(busy.encode(), {}), 0, 1000) == AskAgain(250)


def test_the_limits_are_those_of_the_code():
    def busy(**fields):
        signal = Replied(LeadToolExecutionResult(success=False, error_code="busy", **fields))
        return unless_busy(signal, 0, 10**9).after_ms

    assert "10 ms to 5 minutes; 1 s where it is absent" in PAGE
    assert (busy(retry_after_ms=0), busy(retry_after_ms=10**9), busy()) == (10, 300_000, 1000)
    assert f"at least every {SIGN_OF_LIFE_TIMEOUT_MS // 1000} s" in PAGE
    assert f"Data above {MAX_INLINE_DATA_BYTES // 1024} KiB" in PAGE
    assert f"above {MAX_PLAN_IN_REQUEST_BYTES // 1024} KiB" in PAGE
    assert re.findall(r"^\| `(\w+)` \| [a-z]+ ", PAGE.partition("second time |")[2], re.MULTILINE)[:3] == list(
        ToolEffects
    )


class Socket:
    """A plain TCP connection that takes and sends the lines of the page."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port):
        socket = cls(*await asyncio.open_connection("127.0.0.1", port))
        assert (await socket.line()).startswith("INFO {")
        return socket

    async def line(self):
        async with asyncio.timeout(5):
            return (await self.reader.readline()).decode().removesuffix("\r\n")

    def send(self, lines):
        self.writer.write("".join(f"{line}\r\n" for line in lines).encode())

    async def close(self):
        self.writer.close()
        await self.writer.wait_closed()


async def test_the_exchange_is_what_a_server_sends_and_takes(nats_server, nc):
    (wire,) = BLOCKS["text"]
    lines = [(line[0], line[2:]) for line in wire.splitlines()]
    (at,) = [number for number, (_, line) in enumerate(lines) if line.startswith("HMSG ")]
    opening, request = lines[1:at], [line for direction, line in lines[at:] if direction == "<"]
    answer = [line for direction, line in lines[at:] if direction == ">"]
    _, subject, _, reply_to, *sizes = request[0].split()

    came = []

    async def take(message):
        came.append((dict(message.headers or {}), message.data))

    await nc.subscribe(reply_to, cb=take)
    await flush(nc)
    responder, executor = await Socket.connect(nats_server.port), await Socket.connect(nats_server.port)
    try:
        responder.send(line for direction, line in opening if direction == ">")
        assert await responder.line() == next(line for direction, line in opening if direction == "<") == "PONG"
        connect = next(line for _, line in opening if line.startswith("CONNECT"))
        executor.send([connect, " ".join(["HPUB", subject, reply_to, *sizes]), *request[1:]])
        assert [await responder.line() for _ in request] == request
        responder.send([*answer, "PING"])
        assert await responder.line() == "PONG"  # the server took it all
        await flush(nc)
    finally:
        await responder.close()
        await executor.close()
    assert msgspec.json.decode(request[-1], type=ToolRequest).tool == "GREET"
    (sign_headers, sign), (reply_headers, reply) = came
    assert sign_headers == {"Leadplan-Reply": "working"}
    assert msgspec.json.decode(sign, type=ToolProgress).progress == 0.5
    assert isinstance(read_reply(reply, reply_headers), Replied)
