"""The six steps as a taskiq pipeline on NATS JetStream: workers in processes of their own.

    taskiq worker taskiq_work:broker ...
    python taskiq_work.py --latency-seconds 3 ...    # the load; NATS_URL names the server

Runs in the peer's own virtual environment.
"""

import asyncio
import os
from functools import partial

import uvloop
from load import STEPS, Figures, Options, measure, options_of_command_line, tell
from taskiq.exceptions import ResultGetError, ResultIsReadyError
from taskiq_nats import NATSObjectStoreResultBackend, PullBasedJetStreamBroker
from taskiq_pipelines import Pipeline, PipelineMiddleware

_LIMIT_SECONDS = 60.0
_url = os.environ["NATS_URL"]
# One message a request: with more, taskiq-nats waits until so many have come.
broker = (
    PullBasedJetStreamBroker(_url)
    .with_result_backend(NATSObjectStoreResultBackend(_url))
    .with_middlewares(PipelineMiddleware())
)


@broker.task(task_name="step")
async def step(value: int) -> int:
    """One step."""
    return value + 1


async def _run_one(look_every: float) -> object:
    pipeline = Pipeline(broker, step)
    for _ in range(STEPS - 1):
        pipeline.call_next(step)
    task = await pipeline.kiq(0)
    async with asyncio.timeout(_LIMIT_SECONDS):
        while True:
            try:
                return (await task.wait_result(check_interval=look_every)).return_value
            except (ResultIsReadyError, ResultGetError):  # looking took too long: the object store is busy
                continue


async def _load(options: Options) -> Figures:
    await broker.startup()
    # A result is polled for. Often when one runs, for the wait is measured; less often when looking costs the others.
    return await measure(partial(_run_one, 0.002), options, run_one_of_many=partial(_run_one, 0.1))


if __name__ == "__main__":
    uvloop.install()
    tell(asyncio.run(_load(options_of_command_line())))
