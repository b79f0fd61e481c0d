"""Subscribers of the live feed that don't read what they asked for, as TCP allows anybody to."""

import asyncio
import sys

_SUBSCRIBE = b'CONNECT {"verbose":false,"pedantic":false,"name":"stuck"}\r\nSUB plans.events.* 1\r\nPING\r\n'

FOLLOWING_PROCESS = [
    sys.executable,
    "-c",
    """
import asyncio, os, sys
from leadplan_bus.connection import close, connect
from leadplan_client import PlanClient

async def follow(client, plan_id):
    sequences = [one.sequence async for one in client.follow(plan_id) if one.sequence is not None]
    assert sequences == list(range(1, len(sequences) + 1)), (plan_id, sequences)
    print("FOLLOWED", plan_id, len(sequences), flush=True)

async def main():
    nc = await connect(os.environ["NATS_URL"], name="following process")
    client = PlanClient(nc)
    await asyncio.gather(*(follow(client, plan_id) for plan_id in sys.argv[1:]))
    print("RECONNECTS", nc.stats["reconnects"], flush=True)
    await close(nc)

asyncio.run(main())
""",
]
"""Follows the plans that its arguments name with the client library, and tells how many events each had."""


class StuckSubscriber:
    """Subscribes to all plans' events and never reads one."""

    def __init__(self) -> None:
        self._writer: asyncio.StreamWriter | None = None

    async def start(self, port: int) -> None:
        """Connect, and return once the subscription is in force."""
        reader, self._writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        self._writer.write(_SUBSCRIBE)
        await reader.readuntil(b"PONG\r\n")
        # With nobody reading, asyncio stops taking bytes from the socket after two kilobytes; then TCP's buffers fill.

    async def __aenter__(self) -> "StuckSubscriber":
        return self

    async def __aexit__(self, *_: object) -> None:
        self.vanish()

    def vanish(self) -> None:
        """Break the connection without a word."""
        if self._writer is not None:
            self._writer.transport.abort()


async def come_and_go(port: int, times: int) -> None:
    """Subscribers that are there for a moment, one after the other."""
    for _ in range(times):
        async with StuckSubscriber() as one:
            await one.start(port)
            await asyncio.sleep(0.01)
