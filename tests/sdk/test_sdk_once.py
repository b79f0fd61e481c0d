"""Effects once: a key's work is done once, across restarts and replicas, and a break-off leaves it in doubt."""

import asyncio
from typing import Any

import pytest

from leadplan_bus.errors import JetStreamDisabledError
from leadplan_responder import NOT_DONE, Responder, ToolContext, ToolError


class Ledger:
    """A tool whose every real execution is counted, and which can be held or made to fail."""

    def __init__(self, in_doubt: Any = "fail") -> None:
        self.executions: list[str] = []
        self.asked: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: BaseException | None = None
        self.responder = Responder("ledger", version="1.0.0", description="Counts what it does")

        @self.responder.tool("PAY", effects="once", in_doubt=in_doubt)
        async def pay(params: dict, ctx: ToolContext) -> str:
            self.executions.append(ctx.idempotency_key)
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return f"paid {len(self.executions)}"


async def test_a_repeated_request_gets_the_remembered_reply(serve: Any, caller: Any):
    ledger = Ledger()
    await serve(ledger.responder)
    replies = [await caller.ask("PAY", attempt=attempt) for attempt in (1, 1, 2)]
    assert replies == [{"success": True, "data": "paid 1"}] * 3
    assert ledger.executions == ["p1:s1"]
    assert (await caller.ask("PAY", stepId="s2"))["data"] == "paid 2"


async def test_it_is_remembered_across_restarts_and_replicas(serve: Any, caller: Any):
    first, second = Ledger(), Ledger()
    serving = await serve(first.responder)
    await caller.ask("PAY")
    await serving.stop()
    await serve(second.responder)
    assert (await caller.ask("PAY"))["data"] == "paid 1"
    assert second.executions == []


async def test_a_final_failure_is_remembered_too(serve: Any, caller: Any):
    ledger = Ledger()
    ledger.failure = ToolError("card refused", code="refused", retryable=False)
    await serve(ledger.responder)
    first = await caller.ask("PAY")
    assert (first["errorCode"], first["retryable"]) == ("refused", False)
    assert await caller.ask("PAY") == first
    assert len(ledger.executions) == 1


async def test_a_failure_that_may_be_repeated_is_repeated(serve: Any, caller: Any):
    ledger = Ledger()
    ledger.failure = ToolError("bank is closed")
    await serve(ledger.responder)
    assert (await caller.ask("PAY"))["retryable"] is True
    ledger.failure = None
    assert (await caller.ask("PAY", attempt=2))["data"] == "paid 2"


async def test_replicas_that_get_the_same_key_at_the_same_moment_run_it_once(serve: Any, caller: Any, eventually: Any):
    replicas = [Ledger() for _ in range(3)]
    for replica in replicas:
        replica.gate.clear()
        await serve(replica.responder)
    asked = [await caller.start("PAY") for _ in range(30)]
    await eventually(lambda: sum(bool(one.replies) for one in asked) == 29)
    assert {one.replies[0]["errorCode"] for one in asked if one.replies} == {"busy"}
    for replica in replicas:
        replica.gate.set()
    await eventually(lambda: all(one.replies for one in asked))
    assert sum(len(replica.executions) for replica in replicas) == 1
    assert (await caller.ask("PAY"))["data"] == "paid 1"


async def test_the_same_key_with_other_params_is_refused(serve: Any, caller: Any):
    ledger = Ledger()
    await serve(ledger.responder)
    await caller.ask("PAY", {"amount": 1})
    reply = await caller.ask("PAY", {"amount": 2})
    assert (reply["errorCode"], reply["retryable"]) == ("idempotency_key_reused", False)
    assert len(ledger.executions) == 1


BREAKS = {
    "an unexpected error": lambda ledger: setattr(ledger, "failure", ValueError("?")),
    "the deadline": lambda ledger: ledger.gate.clear(),
}


@pytest.mark.parametrize("how", BREAKS)
async def test_what_broke_off_is_in_doubt_and_a_person_must_settle_it(serve: Any, caller: Any, nc: Any, how: str):
    ledger = Ledger()
    BREAKS[how](ledger)
    await serve(ledger.responder)
    broken = await caller.ask("PAY", timeoutMs=500)
    assert (broken["success"], broken["retryable"]) == (False, True)
    ledger.failure = None
    ledger.gate.set()
    doubtful = await caller.ask("PAY", attempt=2)
    assert (doubtful["errorCode"], doubtful["retryable"]) == ("in_doubt", False)
    assert len(ledger.executions) == 1
    # The person found out that nothing was paid and does as the message says.
    (key,) = await (await nc.jetstream().key_value("TOOL_RESULTS")).keys()
    assert key in doubtful["errorMessage"]
    await (await nc.jetstream().key_value("TOOL_RESULTS")).delete(key)
    assert (await caller.ask("PAY", attempt=3))["data"] == "paid 2"


async def test_what_broke_off_is_run_again_where_the_tool_chose_that(serve: Any, caller: Any):
    ledger = Ledger(in_doubt="run_again")
    ledger.failure = ValueError("?")
    await serve(ledger.responder)
    await caller.ask("PAY")
    ledger.failure = None
    assert (await caller.ask("PAY", attempt=2))["data"] == "paid 2"


async def test_resolve_finds_out_what_happened(serve: Any, caller: Any):
    found: Any = NOT_DONE

    async def resolve(params: dict, ctx: ToolContext) -> Any:
        if isinstance(found, Exception):
            raise found
        return found

    ledger = Ledger(in_doubt=resolve)
    ledger.failure = ValueError("?")
    await serve(ledger.responder)
    await caller.ask("PAY")
    ledger.failure = None
    found = ToolError("the bank doesn't answer")
    assert (await caller.ask("PAY", attempt=2))["errorMessage"] == "the bank doesn't answer"
    found = "paid before"
    assert (await caller.ask("PAY", attempt=3))["data"] == "paid before"
    found = NOT_DONE
    assert (await caller.ask("PAY", attempt=4))["data"] == "paid before", "a resolved outcome is remembered"
    assert len(ledger.executions) == 1


async def test_resolve_that_finds_nothing_lets_the_handler_run(serve: Any, caller: Any):
    async def resolve(params: dict, ctx: ToolContext) -> Any:
        return NOT_DONE

    ledger = Ledger(in_doubt=resolve)
    ledger.failure = ValueError("?")
    await serve(ledger.responder)
    await caller.ask("PAY")
    ledger.failure = None
    assert (await caller.ask("PAY", attempt=2))["data"] == "paid 2"


async def test_while_a_handler_goes_on_after_its_reply_nobody_else_runs_it(serve: Any, caller: Any, eventually: Any):
    stubborn = Responder("stubborn", version="1.0.0", description="Takes no notice of cancellation")
    running, release = [], asyncio.Event()

    @stubborn.tool("PAY", effects="once", in_doubt="run_again")
    async def pay(params: dict, ctx: ToolContext) -> str:
        running.append(ctx.attempt)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    await serve(stubborn)
    assert (await caller.ask("PAY", timeoutMs=50))["errorCode"] == "timeout"
    assert (await caller.ask("PAY", attempt=2))["errorCode"] == "busy"
    assert running == [1]
    release.set()

    async def runs_again() -> bool:
        return bool((await caller.ask("PAY", attempt=3))["success"])

    await eventually(runs_again)
    assert running == [1, 3]


async def test_without_the_bucket_nothing_is_run(serve: Any, caller: Any, nc: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("leadplan_responder.result_memory._WAIT_SECONDS", 0.001)
    ledger = Ledger()
    await serve(ledger.responder)
    await nc.jetstream().delete_key_value("TOOL_RESULTS")
    reply = await caller.ask("PAY")
    assert (reply["errorCode"], reply["retryable"]) == ("memory_unavailable", True)
    assert ledger.executions == []


@pytest.mark.parametrize("key", ["p1:s1", "* > .. ü\n", "", "x" * 10_000])
async def test_any_idempotency_key_can_be_remembered(serve: Any, caller: Any, key: str):
    ledger = Ledger()
    await serve(ledger.responder)
    for _ in range(2):
        assert (await caller.ask("PAY", idempotencyKey=key))["data"] == "paid 1"


async def test_a_server_without_jetstream_is_named_at_the_start(serve: Any, nats_server: Any):
    nats_server.stop()
    nats_server.jetstream = False
    nats_server.start()
    with pytest.raises(JetStreamDisabledError, match="JetStream is off"):
        await serve(Ledger().responder)


def test_in_doubt_is_for_tools_whose_effects_happen_once():
    responder = Responder("x", version="1.0.0", description="x")
    with pytest.raises(ValueError, match='effects="once"'):
        responder.tool("X", effects="none", in_doubt="run_again")
