"""Every request gets an answer: garbage, large data, signs of life, cancel notices, and a responder that stops."""

import asyncio
import json
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import OutboundBufferLimitError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import flush
from leadplan_bus.discovery import discover_tools
from leadplan_contracts import DataRef
from leadplan_responder import Responder, ToolContext


class Gates:
    """A responder whose handlers wait at a gate, and what became of them."""

    def __init__(self, effects: str = "none") -> None:
        self.gate = asyncio.Event()
        self.began: list[str] = []
        self.cancelled: list[str] = []
        self.stop_hooks: list[str] = []
        self.responder = Responder(
            "gates", version="1.0.0", description="Waits", on_stop=[self.failing_hook, self.second_hook]
        )
        self.responder.tool("WAIT", effects=effects)(self.wait)
        self.responder.tool("ECHO", effects="none")(self.echo)

    async def wait(self, params: dict, ctx: ToolContext) -> dict[str, str]:
        self.began.append(ctx.step_id)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(ctx.step_id)
            raise
        return {"step": ctx.step_id}

    async def echo(self, params: dict, ctx: ToolContext) -> Any:
        return params["value"]

    async def failing_hook(self) -> None:
        self.stop_hooks.append("first")
        raise OSError("the pool was closed already")

    async def second_hook(self) -> None:
        self.stop_hooks.append("second")


async def tools_served(nc: Client) -> bool:
    return len(await discover_tools(nc, silence=0.05)) == 2


REQUEST = {"planId": "p1", "stepId": "s1", "tool": "ECHO", "attempt": 1, "idempotencyKey": "k"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"garbage",
        b"\xff\xfe",
        b"null",
        b"[]",
        json.dumps(REQUEST).encode(),
        b"[" * 100_000,
        b'{"planId": 5',
        b"\x00" * 500_000,
    ],
    ids=range(9),
)
async def test_garbage_is_answered(serve: Any, caller: Any, body: bytes):
    await serve(Gates().responder)
    reply = await (await caller.send("ECHO", body)).reply()
    assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "bad_request", False)
    assert "tool protocol" in reply["errorMessage"]
    assert (await caller.ask("ECHO", {"value": 1}))["data"] == 1


async def test_numbers_of_any_size_are_answered(serve: Any, caller: Any):
    await serve(Gates().responder)
    reply = await caller.ask("ECHO", {"value": 2**100}, timeoutMs=10**400, attempt=10**300)
    assert reply == {"success": True, "data": 2**100}


async def test_a_request_without_reply_subject_is_dropped(
    serve: Any, caller: Any, nc: Client, eventually: Any, caplog: pytest.LogCaptureFixture
):
    gates = Gates()
    await serve(gates.responder)
    await nc.publish("tools.WAIT", json.dumps(caller.request("WAIT")).encode())
    await eventually(lambda: "without a reply subject" in caplog.text)
    assert (await caller.ask("ECHO", {"value": 1}))["success"]
    assert gates.began == []


async def test_signs_of_life_come_while_a_handler_runs_and_none_after(
    serve: Any, caller: Any, eventually: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("leadplan_responder.call._FIRST_SIGN_SECONDS", 0.01)
    monkeypatch.setattr("leadplan_responder.call._SIGN_SECONDS", 0.02)
    gates = Gates()
    await serve(gates.responder)
    asked = await caller.start("WAIT")
    await eventually(lambda: len(asked.signs) >= 4)
    assert not any(asked.signs)
    gates.gate.set()
    await asked.reply()
    await asyncio.sleep(0.1)  # five times as long as the next sign would have taken
    assert asked.after_the_reply == []


async def test_progress_that_cannot_be_sent_does_not_fail_the_work(
    serve: Any, caller: Any, monkeypatch: pytest.MonkeyPatch
):
    responder = Responder("reporter", version="1.0.0", description="Reports")

    @responder.tool("REPORT", effects="none")
    async def report(params: dict, ctx: ToolContext) -> str:
        publish = ctx.nats.publish

        async def refuse(*_: Any, **__: Any) -> None:
            raise OutboundBufferLimitError

        monkeypatch.setattr(ctx.nats, "publish", refuse)
        await ctx.progress(0.5, "half")
        monkeypatch.setattr(ctx.nats, "publish", publish)
        await ctx.progress(0.6, "x" * 2_000_000)
        return "done"

    await serve(responder)
    asked = await caller.start("REPORT")
    assert (await asked.reply())["data"] == "done"
    assert asked.signs == []


async def test_a_cancel_notice_ends_its_own_handler_only(serve: Any, caller: Any, eventually: Any):
    gates = Gates()
    await serve(gates.responder)
    asked = {step: await caller.start("WAIT", stepId=step) for step in ("a", "b", "c")}
    await eventually(lambda: len(gates.began) == 3)
    await caller.nc.publish("tools.WAIT.cancel", b"garbage")
    await caller.cancel("WAIT", "unknown")
    await caller.cancel("WAIT", "b")
    reply = await asked["b"].reply()
    assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "cancelled", False)
    assert gates.cancelled == ["b"]
    gates.gate.set()
    assert [(await asked[step].reply())["data"]["step"] for step in ("a", "c")] == ["a", "c"]


async def test_a_cancel_notice_reaches_the_responder_that_has_the_request(serve: Any, caller: Any, eventually: Any):
    both = [Gates(), Gates()]
    for gates in both:
        await serve(gates.responder)
    asked = [await caller.start("WAIT", stepId=f"s{number}") for number in range(20)]
    await eventually(lambda: sum(len(gates.began) for gates in both) == 20)
    for number in range(20):
        await caller.cancel("WAIT", f"s{number}")
    assert {(await one.reply())["errorCode"] for one in asked} == {"cancelled"}


@pytest.mark.usefixtures("with_streams")
async def test_large_data_goes_to_the_object_store_and_comes_back_by_prior_data(serve: Any, caller: Any, nc: Client):
    responder = Responder("large", version="1.0.0", description="Makes and reads much data")

    @responder.tool("MAKE", effects="none")
    async def make(params: dict, ctx: ToolContext) -> list[str]:
        return ["x" * 1000] * 2000

    @responder.tool("READ", effects="none")
    async def read(params: dict, ctx: ToolContext) -> int:
        return len(await ctx.prior_data("make", list))

    await serve(responder)
    reply = await caller.ask("MAKE", stepId="make")
    assert reply["success"]
    assert "data" not in reply
    stored = await ClaimCheck(nc.jetstream()).get(DataRef(**reply["dataRef"]))
    assert json.loads(stored) == ["x" * 1000] * 2000
    prior = {"make": {"stepId": "make", "status": "succeeded", "attempts": 1, "dataRef": reply["dataRef"]}}
    assert (await caller.ask("READ", priorResults=prior))["data"] == 2000
    prior["make"]["dataRef"] = {**reply["dataRef"], "digest": "SHA-256=AAAA"}
    failed = await caller.ask("READ", priorResults=prior)
    assert (failed["errorCode"], failed["retryable"]) == ("missing_source", True)


@pytest.mark.parametrize("effects", ["none", "once"])
async def test_large_data_without_an_object_store_is_told(serve: Any, caller: Any, effects: str):
    responder = Responder("large", version="1.0.0", description="Makes much data")

    @responder.tool("MAKE", effects=effects)
    async def make(params: dict, ctx: ToolContext) -> str:
        return "x" * 300_000

    await serve(responder)
    reply = await caller.ask("MAKE")
    assert (reply["errorCode"], reply["retryable"]) == ("claim_check_failed", True)
    assert "PLAN_DATA" in reply["errorMessage"]


async def test_a_stopping_responder_answers_all_ten_callers(serve: Any, caller: Any, eventually: Any):
    gates = Gates()
    quick = asyncio.Event()

    @gates.responder.tool("QUICK", effects="none")
    async def finish_soon(params: dict, ctx: ToolContext) -> str:
        await quick.wait()
        return "done"

    serving = await serve(gates.responder, grace_seconds=0.2)
    slow = [await caller.start("WAIT", stepId=f"s{number}") for number in range(6)]
    soon = [await caller.start("QUICK", stepId=f"q{number}") for number in range(4)]
    await eventually(lambda: serving.in_flight == 10)
    stopping = asyncio.create_task(serving.stop())
    await asyncio.sleep(0)
    quick.set()
    assert [(await one.reply())["data"] for one in soon] == ["done"] * 4
    for one in slow:
        reply = await one.reply()
        assert (reply["success"], reply["errorCode"], reply["retryable"]) == (False, "stopping", True)
    await stopping
    assert sorted(gates.cancelled) == [f"s{number}" for number in range(6)]
    assert gates.stop_hooks == ["first", "second"]
    assert [len(one.replies) for one in slow + soon] == [1] * 10


async def test_requests_that_arrive_while_it_stops_are_answered(serve: Any, caller: Any, eventually: Any):
    gates = Gates()
    stopping_one = await serve(gates.responder, grace_seconds=5)
    held = await caller.start("WAIT", stepId="held")
    await eventually(lambda: stopping_one.in_flight == 1)
    other = Gates()
    await serve(other.responder)
    # A stream of requests across the moment at which the first responder stops taking them.
    asked = [await caller.start("ECHO", {"value": number}) for number in range(50)]
    stopping = asyncio.create_task(stopping_one.stop())
    for number in range(50, 500):
        asked.append(await caller.start("ECHO", {"value": number}))
        if number % 10 == 0:
            await asyncio.sleep(0)
    replies = [await one.reply() for one in asked]
    answered = [reply["data"] for reply in replies if reply["success"]]
    busy = [reply for reply in replies if not reply["success"]]
    assert {reply["errorCode"] for reply in busy} <= {"busy"}
    assert len(answered) + len(busy) == 500
    # By now only the other one takes them.
    assert [(await caller.ask("ECHO", {"value": number}))["data"] for number in range(20)] == list(range(20))
    gates.gate.set()
    assert (await held.reply())["success"]
    await stopping


async def test_stopping_without_a_server_still_runs_the_stop_hooks(
    serve: Any, caller: Any, eventually: Any, nats_server: Any, monkeypatch: pytest.MonkeyPatch
):
    gates = Gates()
    serving = await serve(gates.responder)
    await caller.start("WAIT")
    await eventually(lambda: serving.in_flight == 1)
    # It may not have noticed yet that the server is gone.
    monkeypatch.setattr("leadplan_responder.serving._SERVER_SECONDS", 0.1)
    nats_server.kill()
    async with asyncio.timeout(5):
        await serving.stop()
    assert gates.cancelled == ["s1"]
    assert gates.stop_hooks == ["first", "second"]


async def test_it_serves_again_after_the_server_was_restarted(
    serve: Any, caller: Any, eventually: Any, nats_server: Any
):
    gates = Gates()
    serving = await serve(gates.responder)
    await caller.start("WAIT")
    await eventually(lambda: serving.in_flight == 1)
    nats_server.kill()
    gates.gate.set()
    await eventually(lambda: serving.in_flight == 0)
    nats_server.start()
    await flush(caller.nc)
    await eventually(lambda: tools_served(caller.nc))
    assert (await caller.ask("ECHO", {"value": "again"}))["data"] == "again"
