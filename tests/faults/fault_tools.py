"""The responder process of the fault tests: tools that do what their params say, and write it all into a ledger.

Usage: python fault_tools.py LEDGER_FILE

``LEDGER_PLAIN``, ``LEDGER_IDEMPOTENT`` and ``LEDGER_ONCE`` are served with the SDK. ``LEDGER_ODD`` is a plain
subscriber that answers late, twice, with garbage, with far too much, or not at all.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
from fault_ledger import Ledger, What
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import close, connect
from leadplan_responder import NOT_DONE, Responder, ToolContext, ToolError
from leadplan_responder.serving import Serving, ServingSettings

LEDGER = Ledger(Path(sys.argv[1]))


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """Params of the tools: how long to work, how many attempts or rounds fail first, how much to answer."""

    ms: int = 5
    fail_attempts: int = 0
    fatal: bool = False
    fail_rounds: int = 0
    busy_first: bool = False
    answer_bytes: int = 10
    odd: str = "no"


responder = Responder("ledger", version="1.0.0", description="Writes a line for each request and each effect")
_was_busy: set[str] = set()


def note(what: What, ctx: ToolContext) -> None:
    LEDGER.note(
        what, tool=ctx.tool, plan_id=ctx.plan_id, step_id=ctx.step_id, attempt=ctx.attempt, round_number=ctx.round
    )


async def work(params: Behaviour, ctx: ToolContext) -> dict[str, Any]:
    """A kill can strike before the effect, between effect and reply, and after it."""
    note(What.REQUEST, ctx)
    key = f"{ctx.idempotency_key} {ctx.attempt}"
    if params.busy_first and key not in _was_busy:
        _was_busy.add(key)
        note(What.BUSY, ctx)
        raise ToolError("try again in a moment", code="busy", retry_after=0.02)
    await asyncio.sleep(params.ms / 2000)
    if params.fatal or ctx.round <= params.fail_rounds:
        raise ToolError("this can't be done", code="refused", retryable=False)
    if ctx.attempt <= params.fail_attempts:
        raise ToolError("this attempt is to fail", code="unlucky")
    note(What.EFFECT, ctx)
    await asyncio.sleep(params.ms / 2000)
    return answer(params, ctx.idempotency_key)


def answer(params: Behaviour, key: str) -> dict[str, Any]:
    return {"key": key, "filling": "x" * params.answer_bytes}


async def resolve(params: Behaviour, ctx: ToolContext) -> object:
    """Ask the outside world, here the ledger itself."""
    return answer(params, ctx.idempotency_key) if LEDGER.has_effect(ctx.plan_id, ctx.step_id) else NOT_DONE


responder.tool("LEDGER_PLAIN", effects="none", max_in_flight=64)(work)
responder.tool("LEDGER_IDEMPOTENT", effects="idempotent", max_in_flight=64)(work)
responder.tool("LEDGER_ONCE", effects="once", max_in_flight=64, in_doubt=resolve)(work)


class OddTool:
    """A subscriber that knows the protocol and keeps to it only as far as its params say."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._tasks: set[asyncio.Task[None]] = set()

    async def take(self, message: Msg) -> None:
        task = asyncio.create_task(self._answer(message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Msg) -> None:
        request = json.loads(message.data)
        params = msgspec.convert(request["params"], Behaviour)
        where = {key: request[name] for key, name in (("tool", "tool"), ("plan_id", "planId"), ("step_id", "stepId"))}
        where["round_number"] = request.get("round", 1)
        LEDGER.note(What.REQUEST, attempt=request["attempt"], **where)
        if request["attempt"] <= params.fail_attempts:
            for body in self._odd_answers(params.odd):
                await self._nc.publish(message.reply, body)
            return
        LEDGER.note(What.EFFECT, attempt=request["attempt"], **where)
        body = json.dumps({"success": True, "data": answer(params, request["idempotencyKey"])}).encode()
        await self._nc.publish(message.reply, body)
        if params.odd == "twice":
            await self._nc.publish(message.reply, b'{"success": false, "errorMessage": "no, it failed"}')
        if params.odd == "late":
            await asyncio.sleep(params.ms / 1000)
            await self._nc.publish(message.reply, body)

    @staticmethod
    def _odd_answers(odd: str) -> list[bytes]:
        match odd:
            case "garbage":
                return [b"\xff\xfe{not json"]
            case "deep":
                return [b'{"success": true, "data": ' + b"[" * 5000 + b"]" * 5000 + b"}"]
            case "huge":
                return [json.dumps({"success": False, "errorMessage": "x" * 500_000}).encode()]
            case _:
                return []


async def main() -> None:
    """Serve until the process is killed."""
    nc = await connect(os.environ["NATS_URL"], name="fault tools", within_seconds=60)
    serving = Serving(responder, nc, 0.0, replicas=ServingSettings.from_environment().replicas)
    await serving.start()
    await nc.subscribe("tools.LEDGER_ODD", "q", cb=OddTool(nc).take)
    try:
        await asyncio.Event().wait()
    finally:
        await serving.stop()
        await close(nc)


if __name__ == "__main__":
    asyncio.run(main())
