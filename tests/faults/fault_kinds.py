"""What can go wrong, and how long it lasts: each fault strikes one process or link and is over when it returns."""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from fault_fleet import Fleet, Member
from fault_workload import hostile_messages
from nats.aio.client import Client


class Struck(NamedTuple):
    """What a fault did.

    Attributes:
        kind: its name.
        at: when it struck, nanoseconds since 1970.
        instance: what the id of the executor instance that it struck begins with; None for other faults.
    """

    kind: str
    at: int
    instance: str | None


class Faults:
    """The faults of a run.

    Args:
        fleet: what they strike.
        nc: for hostile messages.
        lease_seconds: executors that are away longer than this lose their plans.
        chance: decides durations and victims.
    """

    def __init__(self, fleet: Fleet, nc: Client, lease_seconds: float, chance: random.Random) -> None:
        self._fleet = fleet
        self._nc = nc
        self._lease = lease_seconds
        self._chance = chance
        self._struck_executors: set[str] = set()
        self.kinds: dict[str, tuple[int, Callable[[], Awaitable[str | None]]]] = {
            "executor killed": (6, self._kill_executor),
            "executor frozen past its lease": (3, self._freeze_executor),
            "executor stopped cleanly": (2, self._terminate_executor),
            "link of an executor cut": (3, self._cut_link),
            "link of an executor silent past the lease": (3, self._hold_link),
            "link of an executor slow": (2, self._slow_link),
            "tools killed": (4, self._kill_tools),
            "tools frozen": (2, self._freeze_tools),
            "server killed": (2, self._kill_server),
            "server frozen": (1, self._freeze_server),
            "hostile messages": (1, self._send_hostile_messages),
        }

    def draw(self) -> str:
        """The next fault's kind."""
        weights = [weight for weight, _ in self.kinds.values()]
        return self._chance.choices(list(self.kinds), weights)[0]

    async def strike(self, kind: str) -> str | None:
        """Let a fault happen until it is over; the executor instance that it struck, if it was one."""
        return await self.kinds[kind][1]()

    def _victim(self) -> Member | None:
        """An executor that isn't struck already, so that one of them always is well."""
        well = [member for member in self._fleet.executors if member.process.name not in self._struck_executors]
        if len(well) < 2:
            return None
        return self._chance.choice(well)

    async def _with_executor(self, harm: Callable[[Member], Awaitable[None]]) -> str | None:
        member = self._victim()
        if member is None:
            return None
        instance = member.instance
        self._struck_executors.add(member.process.name)
        try:
            await harm(member)
        finally:
            self._struck_executors.discard(member.process.name)
        return instance

    async def _kill_executor(self) -> str | None:
        async def harm(member: Member) -> None:
            member.process.kill()
            await self._pause(0.0, 1.0)
            member.start()

        return await self._with_executor(harm)

    async def _freeze_executor(self) -> str | None:
        async def harm(member: Member) -> None:
            member.process.signal(signal.SIGSTOP)
            await self._pause(1.3 * self._lease, 2.5 * self._lease)
            member.process.signal(signal.SIGCONT)

        return await self._with_executor(harm)

    async def _terminate_executor(self) -> str | None:
        async def harm(member: Member) -> None:
            await member.process.terminate()
            member.start()

        return await self._with_executor(harm)

    async def _cut_link(self) -> str | None:
        async def harm(member: Member) -> None:
            member.link.cut()
            await self._pause(0.05, 2 * self._lease)
            member.link.mend()

        return await self._with_executor(harm)

    async def _hold_link(self) -> str | None:
        async def harm(member: Member) -> None:
            member.link.hold()
            await self._pause(1.3 * self._lease, 2.5 * self._lease)
            member.link.mend()

        return await self._with_executor(harm)

    async def _slow_link(self) -> str | None:
        async def harm(member: Member) -> None:
            member.link.delay_seconds = self._chance.uniform(0.005, 0.05)
            await self._pause(0.2, 2.0)
            member.link.mend()

        return await self._with_executor(harm)

    async def _kill_tools(self) -> None:
        process = self._chance.choice(self._fleet.tools)
        process.kill()
        await self._pause(0.0, 0.5)
        process.start()

    async def _freeze_tools(self) -> None:
        process = self._chance.choice(self._fleet.tools)
        process.signal(signal.SIGSTOP)
        await self._pause(0.1, 1.5)
        process.signal(signal.SIGCONT)

    async def _kill_server(self) -> None:
        self._fleet.server.process.kill()
        await self._pause(0.0, 1.0)
        await self._fleet.server.start()

    async def _freeze_server(self) -> None:
        self._fleet.server.process.signal(signal.SIGSTOP)
        await self._pause(0.1, 1.5)
        self._fleet.server.process.signal(signal.SIGCONT)

    async def _send_hostile_messages(self) -> None:
        for body in hostile_messages(self._chance):
            await self._nc.publish("plans.execute", body)

    async def _pause(self, least: float, most: float) -> None:
        await asyncio.sleep(self._chance.uniform(least, most))
