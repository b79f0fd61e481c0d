"""Asking a server, its executors and its tools for what ``doctor`` judges."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from leadplan_bus.server_questions import ApiRefusedError, consumer_facts, gather_server_facts, stream_info
from leadplan_bus.service_stats import survey_executors
from leadplan_bus.tool_survey import survey_tools
from leadplan_bus.topology import STREAMS, Retention, queue_consumers
from leadplan_cli.doctor.facts import Installation, QueuedPlan
from leadplan_contracts.subjects import PLANS_EXECUTE, PLANS_STREAM

_PLANS_LOOKED_AT = 50
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Step(msgspec.Struct):
    tool: str


class _Plan(msgspec.Struct):
    id: str
    steps: list[_Step]


class _Submission(msgspec.Struct):
    plan: _Plan


async def examine(nc: Client, address: str, monitoring_url: str) -> Installation:
    """Ask for everything at once; what isn't answered is left out.

    Args:
        nc: the connection.
        address: of the server, for people.
        monitoring_url: address of its monitoring port, empty for none.
    """
    stream_names = [str(make(Retention()).name) for make in STREAMS]
    consumer_names = [str(one.durable_name) for one in queue_consumers(1.0, 1)]
    server, executors, tools, queued, streams, consumers = await asyncio.gather(
        gather_server_facts(nc, monitoring_url),
        survey_executors(nc),
        survey_tools(nc),
        _queued_plans(nc),
        _each(stream_names, lambda name: stream_info(nc, name)),
        _each(consumer_names, lambda name: consumer_facts(nc, name)),
    )
    return Installation(
        address=address,
        version=str(nc._server_info.get("version", "unknown")),
        server=server,
        streams={name: info.config if info is not None else None for name, info in streams.items()},
        consumers=consumers,
        executors=tuple(executors),
        tools=tuple(tools),
        queued=tuple(queued),
    )


async def _each(names: list[str], ask: Callable[[str], Awaitable[Any]]) -> dict[str, Any]:
    """The answers by name, without those that didn't come."""
    answers = await asyncio.gather(*(ask(name) for name in names), return_exceptions=True)
    found: dict[str, Any] = {}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, BaseException):
            if not isinstance(answer, NatsError | TimeoutError | ApiRefusedError):
                raise answer
            continue
        found[name] = answer
    return found


async def _queued_plans(nc: Client) -> list[QueuedPlan]:
    """The first plans of the queue that can be read: those that have waited or run longest."""
    js = nc.jetstream(timeout=2)
    found: list[QueuedPlan] = []
    after = 0
    try:
        for _ in range(_PLANS_LOOKED_AT):
            message = await js.get_msg(PLANS_STREAM, seq=after + 1, subject=PLANS_EXECUTE, next=True)
            after = message.seq or 0
            try:
                plan = msgspec.json.decode(message.data or b"", type=_Submission).plan
            except _UNREADABLE:
                continue  # an executor will reject it
            found.append(QueuedPlan(plan_id=plan.id, tools=frozenset(step.tool for step in plan.steps)))
    except (NotFoundError, NatsError):
        return found  # no more, no stream, or no answer
    return found
