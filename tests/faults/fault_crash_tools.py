"""The tools of the crash point tests, served in this process: they do what their params say, and note it all."""

import asyncio
import json
import os
import time
from collections import defaultdict
from typing import Any

import msgspec
from fault_ledger import Entry, What
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_responder import NOT_DONE, Responder, ToolContext, ToolError
from leadplan_responder.serving import Serving


class Behaviour(msgspec.Struct, forbid_unknown_fields=True):
    """Params of the tools.

    Attributes:
        fail_attempts: so many attempts fail, each in a way that can be repeated.
        fatal: it fails for good.
        busy_first: the first request of an attempt is answered ``busy``.
        fail_rounds: in so many rounds of the plan it fails for good.
        hold: it works until the bench lets it go on.
        silent: it never answers, and takes no notice of being cancelled (``LEDGER_BARE`` only).
        answer_bytes: how much it answers.
    """

    fail_attempts: int = 0
    fatal: bool = False
    busy_first: bool = False
    fail_rounds: int = 0
    hold: bool = False
    silent: bool = False
    answer_bytes: int = 10


def answer(params: Behaviour, step_id: str) -> dict[str, Any]:
    """The same for every attempt, and for the same step of every plan."""
    return {"step": step_id, "filling": "x" * params.answer_bytes}


class LedgerTools:
    """``LEDGER_PLAIN``, ``LEDGER_IDEMPOTENT`` and ``LEDGER_ONCE`` with the SDK; ``LEDGER_BARE`` without it.

    Only the SDK puts large data into the object store itself; for ``LEDGER_BARE`` the executor has to.

    Attributes:
        entries: the ledger, in the order of what happened.
        held: what steps with ``hold`` wait for, by plan.
    """

    def __init__(self, nc: Client) -> None:
        self.entries: list[Entry] = []
        self.held: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._nc = nc
        self._was_busy: set[str] = set()
        responder = Responder("ledger", version="1.0.0", description="Notes each request and each effect")
        responder.tool("LEDGER_PLAIN", effects="none", max_in_flight=64)(self._work)
        responder.tool("LEDGER_IDEMPOTENT", effects="idempotent", max_in_flight=64)(self._work)
        responder.tool("LEDGER_ONCE", effects="once", max_in_flight=64, in_doubt=self._resolve)(self._work)
        self._serving = Serving(responder, nc, 0.0)

    async def start(self) -> None:
        """Serve."""
        await self._serving.start()
        await self._nc.subscribe("tools.LEDGER_BARE", "q", cb=self._answer_bare)
        await flush(self._nc)

    async def stop(self) -> None:
        """Stop serving."""
        await self._serving.stop()

    def of_plan(self, plan_id: str) -> list[Entry]:
        """A plan's part of the ledger."""
        return [entry for entry in self.entries if entry.plan_id == plan_id]

    async def _work(self, params: Behaviour, ctx: ToolContext) -> dict[str, Any]:
        self._note(What.REQUEST, ctx)
        key = f"{ctx.idempotency_key} {ctx.attempt}"
        if params.busy_first and key not in self._was_busy:
            self._was_busy.add(key)
            self._note(What.BUSY, ctx)
            raise ToolError("try again in a moment", code="busy", retry_after=0.01)
        if params.fatal or ctx.round <= params.fail_rounds:
            raise ToolError("this can't be done", code="refused", retryable=False)
        if ctx.attempt <= params.fail_attempts:
            raise ToolError("this attempt is to fail", code="unlucky")
        if params.hold:
            await self.held[ctx.plan_id].wait()
        self._note(What.EFFECT, ctx)
        return answer(params, ctx.step_id)

    async def _resolve(self, params: Behaviour, ctx: ToolContext) -> object:
        """Ask the outside world, here the ledger itself."""
        done = any(entry.what is What.EFFECT and entry.step_id == ctx.step_id for entry in self.of_plan(ctx.plan_id))
        return answer(params, ctx.step_id) if done else NOT_DONE

    def _note(self, what: What, ctx: ToolContext) -> None:
        where = (ctx.tool, ctx.plan_id, ctx.step_id, ctx.attempt, os.getpid(), ctx.round)
        self.entries.append(Entry(time.time_ns(), what, *where))

    async def _answer_bare(self, message: Msg) -> None:
        request = json.loads(message.data)
        params = msgspec.convert(request["params"], Behaviour)
        told = (request["tool"], request["planId"], request["stepId"], request["attempt"])
        where = (*told, os.getpid(), request.get("round", 1))
        self.entries.append(Entry(time.time_ns(), What.REQUEST, *where))
        if params.silent:
            return
        self.entries.append(Entry(time.time_ns(), What.EFFECT, *where))
        reply = {"success": True, "data": answer(params, request["stepId"])}
        await self._nc.publish(message.reply, json.dumps(reply).encode())
