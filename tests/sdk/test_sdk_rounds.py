"""A plan that is retried: what was done stays done, and what failed is tried again, with the same idempotency key."""

import asyncio
import json
import logging
from typing import Any

import pytest

from leadplan_responder import NOT_DONE, Responder, ToolContext, ToolError
from leadplan_responder.testing import call_tool

REFUSED = ToolError("card refused", code="refused", retryable=False)


class Payments:
    """A tool whose payments are counted, with what the bank says when it is asked for one."""

    def __init__(self, in_doubt: Any = "fail") -> None:
        self.log: list[str] = []
        self.failure: Any = None
        self.returns: Any = "paid"
        self.at_the_bank: Any = NOT_DONE
        self.gate = asyncio.Event()
        self.gate.set()
        self.responder = Responder("payments", version="1.0.0", description="Pays")
        chosen = self.look_up if in_doubt == "look_up" else in_doubt

        @self.responder.tool("PAY", effects="once", in_doubt=chosen)
        async def pay(params: dict, ctx: ToolContext) -> Any:
            self.log.append(f"pay in round {ctx.round}")
            await self.gate.wait()
            if self.failure is not None:
                raise self.failure
            return self.returns

    async def look_up(self, params: dict, ctx: ToolContext) -> Any:
        self.log.append(f"look up in round {ctx.round}")
        if isinstance(self.at_the_bank, Exception):
            raise self.at_the_bank
        return self.at_the_bank


@pytest.fixture
def record(nc: Any):
    """The one record in the bucket, and a way to write it as another process would have."""

    async def access(**changes: Any) -> dict[str, Any]:
        js = nc.jetstream()
        bucket = await js.key_value("TOOL_RESULTS")
        # Not bucket.keys(): nats-py may take a key that is still on its way for the end of the list.
        (subject,) = (await js.stream_info("KV_TOOL_RESULTS", subjects_filter=">")).state.subjects
        key = subject.removeprefix("$KV.TOOL_RESULTS.")
        stored = json.loads((await bucket.get(key)).value)
        if changes:
            stored = {name: value for name, value in {**stored, **changes}.items() if value is not None}
            await bucket.put(key, json.dumps(stored).encode())
        return stored

    return access


async def test_what_succeeded_is_done_in_every_round(serve: Any, caller: Any):
    payments = Payments("look_up")
    await serve(payments.responder)
    first = await caller.ask("PAY")
    assert [await caller.ask("PAY", round=number) for number in (2, 3)] == [first] * 2
    assert payments.log == ["pay in round 1"]


async def test_a_failure_decides_its_own_round_only(serve: Any, caller: Any):
    payments = Payments()
    payments.failure = REFUSED
    await serve(payments.responder)
    first = await caller.ask("PAY")
    payments.failure = ToolError("account closed", code="closed", retryable=False)
    second = await caller.ask("PAY", round=2)
    assert (first["errorCode"], second["errorCode"]) == ("refused", "closed")
    assert await caller.ask("PAY", round=2) == second, "sent again after a crash: final within its round"
    assert await caller.ask("PAY") == second, "a late request of the round before runs nothing"
    payments.failure = None
    assert (await caller.ask("PAY", round=3))["data"] == "paid"
    assert payments.log == [f"pay in round {number}" for number in (1, 2, 3)]


@pytest.mark.parametrize("at_the_bank", ["paid before it failed", NOT_DONE])
async def test_after_a_failure_the_outside_world_is_asked_before_anything_is_done(
    serve: Any, caller: Any, at_the_bank: Any
):
    payments = Payments("look_up")
    payments.failure = REFUSED
    await serve(payments.responder)
    await caller.ask("PAY")
    payments.failure, payments.at_the_bank = None, at_the_bank
    expected = "paid" if at_the_bank is NOT_DONE else at_the_bank
    assert [(await caller.ask("PAY", round=2))["data"] for _ in range(2)] == [expected] * 2
    assert payments.log[:2] == ["pay in round 1", "look up in round 2"]
    assert payments.log[2:] == (["pay in round 2"] if at_the_bank is NOT_DONE else [])


async def test_a_repeat_within_the_later_round_asks_again_before_it_does_anything(serve: Any, caller: Any):
    payments = Payments("look_up")
    payments.failure = REFUSED
    await serve(payments.responder)
    await caller.ask("PAY")
    payments.at_the_bank = ToolError("the bank doesn't answer")
    assert (await caller.ask("PAY", round=2))["retryable"] is True
    payments.at_the_bank, payments.failure = NOT_DONE, ToolError("the bank is closed")
    assert (await caller.ask("PAY", round=2, attempt=2))["errorMessage"] == "the bank is closed"
    payments.failure = None
    assert (await caller.ask("PAY", round=2, attempt=3))["data"] == "paid"
    look_up, pay = "look up in round 2", "pay in round 2"
    assert payments.log[1:] == [look_up, look_up, pay, look_up, pay]


async def test_a_tool_that_cannot_look_up_repeats_within_the_later_round(serve: Any, caller: Any):
    payments = Payments()
    payments.failure = REFUSED
    await serve(payments.responder)
    await caller.ask("PAY")
    payments.failure = ToolError("the bank is closed")
    assert (await caller.ask("PAY", round=2))["retryable"] is True
    assert (await caller.ask("PAY"))["errorCode"] == "refused", "what round 1 came to still stands for round 1"
    payments.failure = None
    assert (await caller.ask("PAY", round=2, attempt=2))["data"] == "paid"


async def test_what_broke_off_stays_in_doubt_in_every_round(serve: Any, caller: Any):
    payments = Payments()
    payments.failure = ValueError("?")
    await serve(payments.responder)
    await caller.ask("PAY")
    assert (await caller.ask("PAY", round=2))["errorCode"] == "in_doubt"
    assert payments.log == ["pay in round 1"]


@pytest.mark.parametrize(("in_doubt", "again"), [("fail", "in_doubt"), ("look_up", None)])
async def test_work_whose_result_could_not_be_told_is_in_doubt_in_the_next_round(
    serve: Any, caller: Any, in_doubt: str, again: str | None
):
    payments = Payments(in_doubt)
    payments.returns = object()
    await serve(payments.responder)
    first = await caller.ask("PAY")
    assert first["errorCode"] == "bad_result"
    assert await caller.ask("PAY") == first
    payments.at_the_bank = "paid"
    assert (await caller.ask("PAY", round=2)).get("errorCode") == again
    assert payments.log.count("pay in round 1") == len([one for one in payments.log if one.startswith("pay")]) == 1


@pytest.mark.parametrize("in_doubt", ["fail", "look_up"])
async def test_a_retry_after_a_cancel_does_nothing_before_it_knows(
    serve: Any, caller: Any, eventually: Any, in_doubt: str
):
    payments = Payments(in_doubt)
    payments.gate.clear()
    await serve(payments.responder)
    asked = await caller.start("PAY")
    await eventually(lambda: payments.log)
    await caller.cancel("PAY", "s1")
    assert (await asked.reply())["errorCode"] == "cancelled"
    payments.at_the_bank = "paid as it was cancelled"
    reply = await caller.ask("PAY", round=2)
    if in_doubt == "fail":
        assert (reply["errorCode"], payments.log) == ("in_doubt", ["pay in round 1"])
    else:
        assert (reply["data"], payments.log) == ("paid as it was cancelled", ["pay in round 1", "look up in round 2"])


async def test_of_many_requests_of_the_next_round_one_runs(serve: Any, caller: Any, eventually: Any):
    replicas = [Payments("look_up") for _ in range(3)]
    for replica in replicas:
        replica.failure = REFUSED
        await serve(replica.responder)
    await caller.ask("PAY")
    for replica in replicas:
        replica.failure = None
        replica.gate.clear()
    asked = [await caller.start("PAY", round=2) for _ in range(30)]
    await eventually(lambda: sum(bool(one.replies) for one in asked) == 29)
    assert {one.replies[0]["errorCode"] for one in asked if one.replies} == {"busy"}
    late = await caller.ask("PAY")
    assert late["errorCode"] == "busy", "the round before is over, and the later one at work"
    for replica in replicas:
        replica.gate.set()
    await eventually(lambda: all(one.replies for one in asked))
    assert [line for replica in replicas for line in replica.log].count("pay in round 2") == 1


async def test_a_handler_of_the_round_before_that_is_still_at_it_is_waited_for(
    serve: Any, caller: Any, eventually: Any
):
    payments = Payments("look_up")
    payments.gate.clear()
    await serve(payments.responder)
    asked = await caller.start("PAY")
    await eventually(lambda: payments.log)
    assert (await caller.ask("PAY", round=2))["errorCode"] == "busy"
    payments.failure = REFUSED
    payments.gate.set()
    assert (await asked.reply())["errorCode"] == "refused"
    payments.failure = None
    assert (await caller.ask("PAY", round=2))["data"] == "paid"
    assert payments.log == ["pay in round 1", "look up in round 2", "pay in round 2"]


@pytest.mark.parametrize("state", ["running", "in_doubt"])
async def test_a_late_request_of_the_round_before_leaves_a_crashed_later_one_alone(
    serve: Any, caller: Any, record: Any, state: str
):
    payments = Payments("look_up")
    await serve(payments.responder)
    await caller.ask("PAY")
    payments.log.clear()
    # What another process leaves that died in round 2, or whose handler broke off.
    owner = {"service": "payments", "instance": "gone", "claim": "c"}
    await record(state=state, reply=None, round=2, **owner if state == "running" else {})
    assert (await caller.ask("PAY"))["errorCode"] == "busy"
    assert payments.log == []
    assert (await caller.ask("PAY", round=2))["data"] == "paid"
    assert payments.log == ["look up in round 2", "pay in round 2"]


async def test_records_of_the_version_before_rounds_are_of_round_1(serve: Any, caller: Any, record: Any):
    payments = Payments()
    payments.failure = REFUSED
    await serve(payments.responder)
    await caller.ask("PAY")
    assert set(await record()) == {"state", "reply", "params"}, "round 1 is written as that version does"
    payments.failure = None
    assert (await caller.ask("PAY"))["errorCode"] == "refused"
    assert (await caller.ask("PAY", round=2))["data"] == "paid"
    assert (await record())["round"] == 2
    await record(round=None)
    assert (await caller.ask("PAY", round=2))["data"] == "paid"
    assert len(payments.log) == 2


async def test_a_handler_and_its_log_know_the_round(serve: Any, caller: Any, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    responder = Responder("teller", version="1.0.0", description="Tells")

    @responder.tool("TELL", effects="none")
    async def tell(params: dict, ctx: ToolContext) -> list[int]:
        ctx.log.info("told")
        return [ctx.round, ctx.attempt]

    await serve(responder)
    replies = [await caller.ask("TELL"), await caller.ask("TELL", round=2), await caller.ask("TELL", round=None)]
    assert [reply["data"] for reply in replies] == [[1, 1], [2, 1], [1, 1]]
    assert (await call_tool(responder, "TELL", {}, round=3, attempt=2)).data == [3, 2]
    told = [record.__dict__ for record in caplog.records if record.message == "told"]
    assert [(one["round"], one["attempt"]) for one in told] == [(1, 1), (2, 1), (1, 1), (3, 2)]
