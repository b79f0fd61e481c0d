"""Whether what was measured is what was meant: every plan completed, with every event stored, none rejected or left."""

import asyncio
import random

import msgspec
from bench_shapes import SEED, Shape, plan_id
from nats.aio.client import Client

from leadplan_bus.stored_messages import read_last_of
from leadplan_contracts import subjects

_SAMPLE = 50
_SETTLED_SECONDS = 30.0
_LOOK_SECONDS = 0.02


async def problems_after(nc: Client, of: Shape, prefix: str, plans: int, events_before: int) -> list[str]:
    """What is wrong after ``plans`` plans were run; an empty list where nothing is.

    Args:
        nc: a connection.
        of: the workload.
        prefix: what the plans' ids begin with.
        plans: how many were submitted.
        events_before: how many events lay in the log before them.

    Raises:
        TimeoutError: plans stay in the queue.
    """
    js, found = nc.jetstream(), []
    async with asyncio.timeout(_SETTLED_SECONDS):
        # An acknowledgement has no answer: the message is removed a moment later, or a longer one where that is synced.
        while (await js.stream_info(subjects.PLANS_STREAM)).state.messages:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(_LOOK_SECONDS)
    stored = (await js.stream_info(subjects.PLAN_LOG_STREAM)).state.messages - events_before
    if stored != (expected := of.events_of(plans)):
        found.append(f"{stored} events are stored, not {expected}")
    if rejected := (await js.stream_info(subjects.PLAN_REJECTS_STREAM)).state.messages:
        found.append(f"{rejected} plans were rejected")
    chance = random.Random(f"{SEED}-{prefix}")  # noqa: S311 - the same sample each time
    sample = chance.sample(range(plans), min(plans, _SAMPLE))
    names = {subjects.plan_log_subject(plan_id(prefix, number)) for number in sample}
    async for message in read_last_of(nc, subjects.PLAN_LOG_STREAM, sorted(names)):
        names.discard(message.subject)
        event = msgspec.json.decode(message.body)
        if event["type"] != "PLAN_COMPLETED" or event["result"]["overallStatus"] != "succeeded":
            found.append(f"{message.subject} ends with {message.body[:200]!r}")
    return found + [f"{name} is empty" for name in sorted(names)]
