"""Followers of the live feed, as a UI is one: they keep what they saw, and repair gaps from the log."""

import json
from collections import defaultdict

from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import connect, flush


class Follower:
    """One subscriber of ``plans.events.*``.

    Attributes:
        seen: for each plan the stored events seen live, by sequence.
        completed: plans whose last event was seen live.
        contradictions: what a feed must never do, told.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.completed: set[str] = set()
        self.contradictions: list[str] = []
        self._nc: Client | None = None

    async def start(self, url: str) -> None:
        """Subscribe."""
        self._nc = await connect(url, name=self.name, within_seconds=20)
        await self._nc.subscribe("plans.events.*", cb=self._take)
        await flush(self._nc)

    async def stop(self) -> None:
        """Unsubscribe and disconnect."""
        if self._nc is not None and not self._nc.is_closed:
            await self._nc.close()

    async def _take(self, message: Msg) -> None:
        event = json.loads(message.data)
        sequence, plan_id = event.get("sequence"), event["planId"]
        if sequence is None:
            return  # progress, or a rejection
        earlier = self.seen[plan_id].setdefault(sequence, message.data)
        if earlier != message.data:
            self.contradictions.append(f"{plan_id}: sequence {sequence} came twice with other content")
        if event["type"] == "PLAN_COMPLETED":
            self.completed.add(plan_id)

    def repaired(self, plan_id: str, log: list[bytes]) -> list[bytes]:
        """What the follower ends with: what it saw, with the gaps filled from the log."""
        seen = self.seen.get(plan_id, {})
        length = max([len(log), *seen])
        return [seen.get(number) or log[number - 1] for number in range(1, length + 1)]
