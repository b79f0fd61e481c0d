"""Responder process that says far more than anybody wants to hear.

Usage: python fault_flood_tool.py

``FLOOD`` sends ``messages`` signs of life with ``bytes`` of text each, as fast as it can, and then its reply.
"""

import asyncio
import json
import os
import sys

from nats.aio.msg import Msg

from leadplan_bus.connection import connect

_WORKING = {"Leadplan-Reply": "working"}


async def main() -> None:
    """Serve until the process is killed."""
    nc = await connect(os.environ["NATS_URL"], name="flood", within_seconds=60)

    async def flood(message: Msg) -> None:
        params = json.loads(message.data)["params"]
        count, text = params["messages"], "x" * params["bytes"]
        for number in range(count):
            body = json.dumps({"progress": number / count, "message": f"{number} {text}"}).encode()
            await nc.publish(message.reply, body, headers=_WORKING)
        await nc.publish(message.reply, b'{"success": true, "data": {"said": %d}}' % count)

    await nc.subscribe("tools.FLOOD", "flood", cb=flood)
    sys.stdout.write("serving\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
