"""The floor: what the bus itself allows. A process that does what an executor must do on NATS, and nothing else.

For each plan its message is pulled, ``bench_floor_plan.py`` does the rest, and the message is acknowledged.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine
from pathlib import Path

import msgspec
import nats
import uvloop
from bench_floor_plan import Bus, FloorPlan, Script
from bench_processes import tell
from bench_recording import Recording
from bench_shapes import id_of, number_of
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_contracts import subjects

RECORDING_VARIABLE = "BENCH_RECORDING"
MANNER_VARIABLE = "BENCH_FLOOR"
"""How the floor works, separated by commas: ``overlap`` sends each request together with the append before it, as is
done for tools that only read; ``raw`` sends past nats-py's own ``publish``."""
_PULLED_AT_ONCE = 256
_PULL = msgspec.json.encode({"batch": _PULLED_AT_ONCE, "expires": 30_000_000_000})
_NEXT = f"$JS.API.CONSUMER.MSG.NEXT.{subjects.PLANS_STREAM}.{subjects.EXECUTORS_CONSUMER}"
_RENEW_SECONDS = 4 / 3


class Floor:
    """Pulls plans and carries them out."""

    def __init__(self, nc: Client, recording: Recording, *, overlap: bool, raw: bool) -> None:
        self._nc = nc
        self._bus = Bus(nc, raw=raw)
        self._plans = [Script(plan) for plan in recording.plans]
        self._overlap = overlap
        self._inbox = nc.new_inbox()
        self._asked = 0
        self._held: dict[asyncio.Task[None], Msg] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Ask for plans."""
        await self._bus.start()
        await self._nc.subscribe(self._inbox, cb=self._on_message)
        await self._ask()

    async def keep_leases(self) -> None:
        """Renew the leases on the plans that are held."""
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            for message in list(self._held.values()):
                await self._nc.publish(message.reply, b"+WPI")

    async def _ask(self) -> None:
        while self._asked <= _PULLED_AT_ONCE:
            self._asked += _PULLED_AT_ONCE
            await self._nc.publish(_NEXT, _PULL, self._inbox)

    async def _on_message(self, message: Msg) -> None:
        if not message.reply:
            left = (message.headers or {}).get("Nats-Pending-Messages", "0")
            self._asked = max(0, self._asked - int(left))
        else:
            self._asked -= 1
            task = asyncio.create_task(self._carry_out(message))
            self._held[task] = message
            task.add_done_callback(self._ended)
        await self._ask()

    def _carry_out(self, message: Msg) -> Coroutine[None, None, None]:
        plan = self._plans[number_of(message.data) % len(self._plans)]
        return self._to_end(FloorPlan(self._bus, plan, id_of(message.data), overlap=self._overlap), message)

    async def _to_end(self, plan: FloorPlan, message: Msg) -> None:
        await plan.run()
        await self._nc.publish(message.reply, b"+ACK")

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._held[task]
        if not task.cancelled() and (error := task.exception()) is not None and not self.failed.done():
            self.failed.set_exception(error)


async def main() -> None:
    """Serve until the process is ended."""
    recording = Recording.load(Path(os.environ[RECORDING_VARIABLE]))
    nc = await nats.connect(os.environ["NATS_URL"].split(","))
    how = os.environ.get(MANNER_VARIABLE, "").split(",")
    floor = Floor(nc, recording, overlap=recording.early or "overlap" in how, raw="raw" in how)
    await floor.start()
    leases = asyncio.create_task(floor.keep_leases())
    await nc.flush()
    tell("serving")
    await asyncio.wait({floor.failed, leases}, return_when=asyncio.FIRST_COMPLETED)
    floor.failed.result()


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
