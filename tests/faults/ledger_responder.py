"""A responder process whose every real effect is a line in a file: what the fault tests count.

Usage: python ledger_responder.py LEDGER_FILE
"""

import asyncio
import os
import random
import sys
from pathlib import Path

from leadplan_responder import NOT_DONE, Responder, ToolContext

LEDGER = Path(sys.argv[1])
responder = Responder("ledger", version="1.0.0", description="Writes a line for each real effect")


def effect(ctx: ToolContext) -> None:
    """One line, in one write, so that lines of several processes never mix."""
    descriptor = os.open(LEDGER, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, f"{ctx.tool} {ctx.idempotency_key}\n".encode())
    os.close(descriptor)


async def work(params: dict, ctx: ToolContext) -> str:
    """Kills can strike before the effect, and between the effect and the reply."""
    await asyncio.sleep(random.uniform(0, 0.05))
    effect(ctx)
    await asyncio.sleep(random.uniform(0, 0.05))
    return ctx.idempotency_key


def stands_in_the_ledger(ctx: ToolContext) -> bool:
    """Whether the effect has happened."""
    return LEDGER.exists() and f"{ctx.tool} {ctx.idempotency_key}" in LEDGER.read_text().splitlines()


async def resolve(params: dict, ctx: ToolContext) -> object:
    """Ask the outside world, here the ledger itself."""
    return ctx.idempotency_key if stands_in_the_ledger(ctx) else NOT_DONE


responder.tool("PAY_RESOLVED", effects="once", in_doubt=resolve)(work)
responder.tool("PAY_OR_FAIL", effects="once", in_doubt="fail")(work)
responder.tool("PAY_AGAIN", effects="once", in_doubt="run_again")(work)

if __name__ == "__main__":
    responder.run()
