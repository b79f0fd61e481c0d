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
        waiting: steps that were seen to wait for a person, with their plans; whoever settles them takes them out.
        unsuccessful: plans that were seen to end otherwise than succeeded; likewise.
        contradictions: what a feed must never do, told.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.completed: set[str] = set()
        self.waiting: list[tuple[str, str]] = []
        self.unsuccessful: list[str] = []
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
        match event["type"]:
            case "PLAN_COMPLETED":
                self.completed.add(plan_id)
                if event["result"]["overallStatus"] != "succeeded":
                    self.unsuccessful.append(plan_id)
            case "PLAN_RETRIED":
                self.completed.discard(plan_id)
            case "STEP_WAITING":
                self.waiting.append((plan_id, event["step"]["id"]))

    def count(self, plan_id: str, kind: str, step_id: str | None = None) -> int:
        """How many events of a type, and of a step, were seen of a plan."""
        return sum(
            event["type"] == kind and (step_id is None or event["step"]["id"] == step_id)
            for event in map(json.loads, self.seen[plan_id].values())
        )

    def repaired(self, plan_id: str, log: list[bytes]) -> list[bytes]:
        """What the follower ends with: what it saw, with the gaps filled from the log."""
        seen = self.seen.get(plan_id, {})
        length = max([len(log), *seen])
        return [seen.get(number) or log[number - 1] for number in range(1, length + 1)]
