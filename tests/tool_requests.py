"""Requests to a tool as an executor sends them (protocol section 5)."""

import asyncio
import json
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg


def tool_request(tool: str, params: Any, prior: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A request of step ``step``; ``prior`` is the data of earlier steps by id."""
    plan_id = fields.pop("planId", "plan_a")
    results = {
        name: {"stepId": name, "status": "succeeded", "attempts": 1, "data": data} for name, data in prior.items()
    }
    return {
        "planId": plan_id,
        "stepId": "step",
        "tool": tool,
        "params": params,
        "attempt": 1,
        "idempotencyKey": f"{plan_id}:step",
        "deadline": "2100-01-01T00:00:00.000Z",
        "timeoutMs": 60_000,
        "user": {"userId": "u_7", "accountId": "acct_3"},
        "plan": {"id": plan_id, "title": "A plan"},
        "priorResults": results,
        **fields,
    }


async def ask_tool(nc: Client, request: dict[str, Any], *, within: float = 30.0) -> dict[str, Any]:
    """The final reply; ``busy`` is waited out as an executor does."""
    async with asyncio.timeout(within):
        while True:
            reply = await _reply(nc, request)
            if reply.get("errorCode") != "busy":
                return reply
            await asyncio.sleep(min(reply["retryAfterMs"], 200) / 1000)


async def _reply(nc: Client, request: dict[str, Any]) -> dict[str, Any]:
    inbox = nc.new_inbox()
    answers = await nc.subscribe(inbox)
    try:
        await nc.publish(f"tools.{request['tool']}", json.dumps(request).encode(), reply=inbox)
        while True:
            message: Msg = await answers.next_msg(60)
            headers = message.headers or {}
            assert headers.get("Status") != "503", "nobody serves the tool"
            if headers.get("Leadplan-Reply") != "working":
                reply: dict[str, Any] = json.loads(message.data)
                return reply
    finally:
        await answers.unsubscribe()
