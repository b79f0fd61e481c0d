"""The six steps on Restate: a workflow service in one process, the service with the step in another.

    hypercorn --bind 127.0.0.1:PORT restate_work:plans    # or :tools
    python restate_work.py --latency-seconds 3 ...        # the load; RESTATE_INGRESS names the server

Runs in the peer's own virtual environment.
"""

import asyncio
import os

import httpx
import restate
import uvloop
from load import STEPS, measure, options_of_command_line, tell

_tools = restate.Service("Tools")
_plans = restate.Service("Plans")


@_tools.handler()
async def step(ctx: restate.Context, value: int) -> int:
    """One step."""
    return value + 1


@_plans.handler()
async def chain(ctx: restate.Context, value: int) -> int:
    """Six calls of the other service, each with the result of the one before."""
    for _ in range(STEPS):
        value = await ctx.service_call(step, value)
    return value


@_plans.handler()
async def chain_inside(ctx: restate.Context, value: int) -> int:
    """The same steps run in this handler's own process: fewer hops, and no tool of its own."""

    async def add(to: int) -> int:
        return to + 1

    for number in range(STEPS):
        value = await ctx.run_typed(f"step{number}", add, restate.RunOptions(), value)
    return value


plans = restate.app(services=[_plans])
tools = restate.app(services=[_tools])


async def _load() -> None:
    handler = os.environ.get("RESTATE_HANDLER", "chain")
    options = options_of_command_line()
    limits = httpx.Limits(max_connections=64, max_keepalive_connections=64)
    async with httpx.AsyncClient(base_url=os.environ["RESTATE_INGRESS"], limits=limits, timeout=60) as client:

        async def run_one() -> object:
            answer = await client.post(f"/Plans/{handler}", json=0)
            answer.raise_for_status()
            return answer.json()

        tell(await measure(run_one, options))


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(_load())
