"""A responder with a trivial handler, as a process: a plain subscriber of nats-py on uvloop.

What the responder SDK does for a step isn't measured here; ``bench_sdk_responder.py`` is the same with it. On request
it notes when each call came and when its answer was given away.
"""

import asyncio
import os
import time

import msgspec
import nats
import uvloop
from bench_processes import tell
from bench_shapes import READING_TOOL, TOOL, TOOL_REPLY
from nats.aio.msg import Msg

from leadplan_contracts import subjects

TIMES_SUBJECT = "bench.responder.times"
"""A request with the body ``start`` or ``stop``; the second is answered with ``[[came, answered], …]`` in ns."""


_ANNOUNCEMENT = {
    "type": "io.nats.micro.v1.info_response",
    "name": "bench",
    "id": "plain",
    "version": "1.0.0",
    "endpoints": [
        {
            "name": READING_TOOL,
            "subject": subjects.tool_subject(READING_TOOL),
            "queue_group": subjects.RESPONDER_QUEUE_GROUP,
            "metadata": {"tool": READING_TOOL, "effects": "none"},
        }
    ],
}
"""One of the two tools says what it does; the other one is a plain subscriber that nobody knows anything of."""


async def main() -> None:
    """Answer until the process is ended."""
    nc = await nats.connect(os.environ["NATS_URL"].split(","))
    times: list[tuple[int, int]] | None = None

    async def answer(message: Msg) -> None:
        came = time.time_ns()
        await nc.publish(message.reply, TOOL_REPLY)
        if times is not None:
            times.append((came, time.time_ns()))

    async def note_times(message: Msg) -> None:
        nonlocal times
        noted, times = times, [] if message.data == b"start" else None
        await nc.publish(message.reply, msgspec.json.encode(noted or []))

    async def announce(message: Msg) -> None:
        await nc.publish(message.reply, msgspec.json.encode(_ANNOUNCEMENT))

    no_limit = 0
    for tool in (TOOL, READING_TOOL):
        await nc.subscribe(
            subjects.tool_subject(tool),
            subjects.RESPONDER_QUEUE_GROUP,
            cb=answer,
            pending_msgs_limit=no_limit,
            pending_bytes_limit=no_limit,
        )
    await nc.subscribe("$SRV.INFO", cb=announce)
    await nc.subscribe(TIMES_SUBJECT, cb=note_times)
    await nc.flush()
    tell("serving")
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main())
