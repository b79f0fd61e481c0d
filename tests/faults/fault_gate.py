"""A tool that keeps every request until the test opens the gate, so that plans are under way so long."""

import json
from typing import Any

from fault_ledger import Ledger, What
from nats.aio.client import Client
from nats.aio.msg import Msg

TOOL = "GATED"
_SUCCESS = b'{"success": true, "data": {"passed": true}}'


class Gate:
    """Serves ``GATED`` on a connection. With the param ``laterMs`` the first attempt is told to come again then.

    Attributes:
        waiting: reply subjects and requests that wait.
        sent_away: how many first attempts were told to come later.
    """

    def __init__(self, nc: Client, ledger: Ledger) -> None:
        self._nc = nc
        self._ledger = ledger
        self.waiting: list[tuple[str, dict[str, Any]]] = []
        self.sent_away = 0

    async def serve(self) -> None:
        """Listen."""
        await self._nc.subscribe(f"tools.{TOOL}", "gate", cb=self._take)

    async def open(self) -> None:
        """Let all that waits pass."""
        waiting, self.waiting = self.waiting, []
        for reply, request in waiting:
            self._note(What.EFFECT, request)
            await self._nc.publish(reply, _SUCCESS)

    async def _take(self, message: Msg) -> None:
        request = json.loads(message.data)
        self._note(What.REQUEST, request)
        later = request["params"].get("laterMs")
        if later and request["attempt"] == 1:
            self.sent_away += 1
            answer = {"success": False, "errorMessage": "come again", "errorCode": "later", "retryAfterMs": later}
            await self._nc.publish(message.reply, json.dumps(answer).encode())
        else:
            self.waiting.append((message.reply, request))

    def _note(self, what: What, request: dict[str, Any]) -> None:
        where = {"tool": TOOL, "plan_id": request["planId"], "step_id": request["stepId"]}
        self._ledger.note(what, attempt=request["attempt"], **where)
