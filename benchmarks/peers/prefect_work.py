"""The six steps as tasks of a Prefect flow: they run in the process of the flow, and report to the server.

    python prefect_work.py --latency-seconds 3 ...    # PREFECT_API_URL names the server

Runs in the peer's own virtual environment.
"""

import asyncio

from load import STEPS, measure, options_of_command_line, tell
from prefect import flow, task
from prefect.cache_policies import NO_CACHE


@task(cache_policy=NO_CACHE)
async def step(value: int) -> int:
    """One step."""
    return value + 1


@flow
async def chain(value: int) -> int:
    """Six tasks, each with the result of the one before."""
    for _ in range(STEPS):
        value = await step(value)
    return value


async def _run_one() -> object:
    return await chain(0)


if __name__ == "__main__":
    tell(asyncio.run(measure(_run_one, options_of_command_line())))
