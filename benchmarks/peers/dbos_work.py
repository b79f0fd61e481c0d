"""The six steps on DBOS: workflow and steps run in the process that starts them, as DBOS is built.

    python dbos_work.py --latency-seconds 3 ...    # DBOS_DATABASE names the PostgreSQL database

Runs in the peer's own virtual environment.
"""

import asyncio
import os

from dbos import DBOS, DBOSConfig
from load import STEPS, Figures, measure, options_of_command_line, tell


@DBOS.step()
async def step(value: int) -> int:
    """One step."""
    return value + 1


@DBOS.workflow()
async def chain(value: int) -> int:
    """Six steps, each with the result of the one before."""
    for _ in range(STEPS):
        value = await step(value)
    return value


async def _run_one() -> object:
    handle = await DBOS.start_workflow_async(chain, 0)
    return await handle.get_result()


async def _load() -> Figures:
    return await measure(_run_one, options_of_command_line())


if __name__ == "__main__":
    config: DBOSConfig = {
        "name": "bench",
        "system_database_url": os.environ["DBOS_DATABASE"],
        "sys_db_pool_size": int(os.environ.get("DBOS_POOL", "16")),
        "max_executor_threads": 512,
        "log_level": "ERROR",
    }
    DBOS(config=config)
    DBOS.launch()
    tell(asyncio.run(_load()))
