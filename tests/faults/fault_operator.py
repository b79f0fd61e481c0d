"""The people of a fault run: they approve and refuse, pause and resume, cancel and retry, at any moment.

What they do follows the seed; what it meets depends on the moment. Nothing that they ask is left out of account: each
request and its answer is kept, and held against the logs in the end.
"""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from fault_control import Asked, Asker
from fault_followers import Follower
from nats.aio.client import Client

from leadplan_contracts import LeadGenPlan

_PATIENCE_SECONDS = 1.5
_AT_ONCE = 4
_RECENT = 60
_PAUSE_SECONDS = (0.1, 1.0)
_BETWEEN_SECONDS = (0.0, 0.3)
_LAST_ROUNDS_AT_ONCE = 16
_LOOK_SECONDS = 0.1
_BY = {"by": "ann", "reason": "why not"}

_DECISIONS = (
    (6, ("approve", {})),
    (2, ("approve", {"decision": "deny"})),
    (1, ("cancel", {})),
    (1, ("pause", {})),
)
"""What is done about a step that waits, and how often."""
_WHIMS = ((4, "pause"), (3, "retry"), (3, "retry one"), (1, "cancel"), (1, "resume"), (1, "approve"))
"""What is asked of any plan, whatever its state, and how often."""


class Operator:
    """Asks things of plans while they run, and in the end what must be asked so that they can end.

    Args:
        nc: a connection that no fault strikes.
        follower: sees the plans' events.
        chance: decides.

    Attributes:
        asked: every request, by plan.
    """

    def __init__(self, nc: Client, follower: Follower, chance: random.Random) -> None:
        self.asked: dict[str, list[Asked]] = defaultdict(list)
        self._asker = Asker(nc, _PATIENCE_SECONDS)
        self._follower = follower
        self._chance = chance
        self._numbers = iter(range(1_000_000))
        self._resuming: set[asyncio.Task[None]] = set()

    async def steer(self, plans: list[LeadGenPlan]) -> None:
        """Ask again and again, until cancelled.

        Args:
            plans: those that are submitted, growing.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(_AT_ONCE):
                    group.create_task(self._steer_one_at_a_time(plans))
        finally:
            for task in self._resuming:
                task.cancel()
            await asyncio.gather(*self._resuming, return_exceptions=True)

    async def _steer_one_at_a_time(self, plans: list[LeadGenPlan]) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(*_BETWEEN_SECONDS))
            waiting, unsuccessful = self._follower.waiting, self._follower.unsuccessful
            draw = self._chance.random()
            if waiting and draw < 0.5:
                await self._decide(*waiting.pop(self._chance.randrange(len(waiting))))
            elif unsuccessful and draw < 0.6:
                await self._ask("retry", unsuccessful.pop(self._chance.randrange(len(unsuccessful))))
            elif plans:
                await self._follow_a_whim(self._some_plan(plans))

    def _some_plan(self, plans: list[LeadGenPlan]) -> LeadGenPlan:
        """Most often one that is under way."""
        under_way = [plan for plan in plans[-_RECENT:] if plan.id not in self._follower.completed]
        return self._chance.choice(under_way if under_way and self._chance.random() < 0.8 else plans[-_RECENT:])

    async def _decide(self, plan_id: str, step_id: str) -> None:
        weights, decisions = zip(*_DECISIONS, strict=True)
        endpoint, fields = self._chance.choices(decisions, weights)[0]
        if endpoint == "approve" and self._chance.random() < 0.7:
            fields = {**fields, "stepId": step_id}
        await self._ask(endpoint, plan_id, **fields)
        if endpoint == "pause":
            self._follower.waiting.append((plan_id, step_id))
            self._resume_later(plan_id)

    async def _follow_a_whim(self, plan: LeadGenPlan) -> None:
        weights, whims = zip(*_WHIMS, strict=True)
        match self._chance.choices(whims, weights)[0]:
            case "pause":
                await self._ask("pause", plan.id)
                self._resume_later(plan.id)
            case "retry one":
                await self._ask("retry", plan.id, stepId=self._chance.choice(plan.steps).id)
            case endpoint:
                await self._ask(endpoint, plan.id)

    def _resume_later(self, plan_id: str) -> None:
        async def resume() -> None:
            await asyncio.sleep(self._chance.uniform(*_PAUSE_SECONDS))
            await self._ask("resume", plan_id)

        task = asyncio.create_task(resume())
        self._resuming.add(task)
        task.add_done_callback(self._resuming.discard)

    async def _ask(self, endpoint: str, plan_id: str, **fields: Any) -> None:
        request_id = f"r{next(self._numbers)}"
        asking = asyncio.ensure_future(self._asker.ask(endpoint, plan_id, request_id, **_BY, **fields))
        try:
            # One that is under way is brought to its end, or nobody would know what came of it.
            self.asked[plan_id].append(await asyncio.shield(asking))
        except asyncio.CancelledError:
            self.asked[plan_id].append(await asking)
            raise

    async def see_to_the_end(self, plan_ids: Iterable[str], stall_seconds: float) -> None:
        """Let go on what waits for a person, until every plan has ended, or nothing ends for so long."""
        left, ended_at = set(plan_ids), time.monotonic()
        while left and time.monotonic() - ended_at < stall_seconds:
            at_once = asyncio.Semaphore(_LAST_ROUNDS_AT_ONCE)

            async def look(plan_id: str, at_once: asyncio.Semaphore = at_once) -> bool:
                async with at_once:
                    return await self._has_ended(plan_id)

            looked_at = sorted(left)
            ended = await asyncio.gather(*map(look, looked_at))
            found = {plan_id for plan_id, over in zip(looked_at, ended, strict=True) if over}
            if found:
                left -= found
                ended_at = time.monotonic()
            await asyncio.sleep(_LOOK_SECONDS)

    async def _has_ended(self, plan_id: str) -> bool:
        status = await self._asker.status(plan_id)
        if status.get("state") == "paused":
            await self._ask("resume", plan_id)
        elif any(one["reason"] == "approval" for one in status.get("waiting", ())):
            await self._ask("approve", plan_id)
        return status.get("state") in ("completed", "rejected")

    def all_asked(self) -> list[Asked]:
        """Every request."""
        return [asked for of_plan in self.asked.values() for asked in of_plan]
