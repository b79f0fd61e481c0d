"""Waiting until what was started can be used."""

import asyncio
import json
from collections.abc import Callable, Collection
from pathlib import Path

from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.discovery import discover_tools
from leadplan_contracts.subjects import (
    EXECUTORS_CONSUMER,
    PLAN_DATA_BUCKET,
    PLAN_LOG_STREAM,
    PLAN_REJECTS_STREAM,
    PLANS_STREAM,
)

_LOOK_SECONDS = 0.05
_STREAMS = (PLANS_STREAM, PLAN_LOG_STREAM, PLAN_REJECTS_STREAM, f"OBJ_{PLAN_DATA_BUCKET}")


async def sandbox_url(log_path: Path) -> str:
    """The address in the log line that a sandbox writes once it listens."""
    while (url := _listening_url(log_path)) is None:  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(_LOOK_SECONDS)
    return url


def _listening_url(log_path: Path) -> str | None:
    for line in log_path.read_text(errors="replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.get("event") == "listening":
            return str(entry["url"])
    return None


async def executor_ready(nc: Client) -> None:
    """Wait until the streams and the executors' consumer are there."""
    js = nc.jetstream()
    while True:
        try:
            for stream in _STREAMS:
                await js.stream_info(stream)
            await js.consumer_info(PLANS_STREAM, EXECUTORS_CONSUMER)
        except NatsError:
            await asyncio.sleep(_LOOK_SECONDS)
        else:
            return


async def tools_ready(nc: Client, wanted: Collection[str], report: Callable[[str], None]) -> None:
    """Wait until each tool is announced; ``report`` hears how many are."""
    last = -1
    while True:
        announced = {found.tool for found in await discover_tools(nc)} & set(wanted)
        if len(announced) != last:
            report(f"waiting for tools: {len(announced)} of {len(set(wanted))} answer")
            last = len(announced)
        if last == len(set(wanted)):
            return
