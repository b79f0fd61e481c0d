"""What an executor sends for a plan, recorded: the floor then sends the same bodies and headers without an executor."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
from bench_shapes import READING_TOOL, Shape, Submissions, plan_id, step_id
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import flush
from leadplan_bus.stored_messages import StoredMessage, read_subject
from leadplan_contracts import subjects
from leadplan_executor.plan_index import index_subject

INDEX_STREAM = f"KV_{subjects.PLAN_INDEX_BUCKET}"
_PLAN_SECONDS = 60.0
_NO_LIMIT = 0


class Recorded(msgspec.Struct, frozen=True):
    """A message: its body, and its headers without the fence."""

    body: bytes
    headers: dict[str, str]


class RecordedStep(msgspec.Struct, frozen=True):
    """A step: which ones it depends on, and what was sent for it."""

    depends_on: list[int]
    started: Recorded
    request: Recorded
    succeeded: Recorded


class RecordedPlan(msgspec.Struct, frozen=True):
    """A plan: what was submitted, what was sent for it, in which order its events were stored, and its index entry."""

    submission: bytes
    at_once: int
    started: Recorded
    steps: list[RecordedStep]
    completed: Recorded
    log: list[Recorded]
    index_entry: bytes


class Recording(msgspec.Struct, frozen=True):
    """All plans of a workload, and whether its tools may be called while their attempts are being stored."""

    plans: list[RecordedPlan]
    early: bool

    def save(self, file: Path) -> None:
        """Write it."""
        file.write_bytes(msgspec.msgpack.encode(self))

    @classmethod
    def load(cls, file: Path) -> "Recording":
        """Read one."""
        return msgspec.msgpack.decode(file.read_bytes(), type=cls)

    @property
    def sizes(self) -> dict[str, int]:
        """Mean sizes of the bodies, in bytes."""
        return {
            "submission": _mean([len(plan.submission) for plan in self.plans]),
            "event": _mean([len(event.body) for plan in self.plans for event in plan.log]),
            "eventHeaders": _mean([_headers_size(event.headers) for plan in self.plans for event in plan.log]),
            "request": _mean([len(step.request.body) for plan in self.plans for step in plan.steps]),
        }


async def record(nc: Client, of: Shape, prefix: str) -> Recording:
    """Have an executor, which must run already, run each plan of a workload once.

    Raises:
        TimeoutError: a plan doesn't end.
        ValueError: a plan ended, but not with every step succeeded at once.
    """
    submissions, plans = Submissions(of), []
    for number, graph in enumerate(of.graphs):
        submission = submissions.body(prefix, number)
        requests, log = await _record_plan(nc, plan_id(prefix, number), submission, of.tool)
        if len(log) != graph.events or len(requests) != len(graph.depends_on):
            raise ValueError(f"{of.title}: {len(log)} events and {len(requests)} requests, not {graph.events}")
        by_step = {(event["type"], event["step"]["id"]): at for at, event in _events(log) if "step" in event}
        steps = [
            RecordedStep(
                depends_on=list(depends_on),
                started=log[by_step["STEP_STARTED", step_id(step)]],
                request=requests[step_id(step)],
                succeeded=log[by_step["STEP_SUCCEEDED", step_id(step)]],
            )
            for step, depends_on in enumerate(graph.depends_on)
        ]
        entry = await nc.jetstream().get_last_msg(INDEX_STREAM, index_subject(plan_id(prefix, number)))
        plans.append(RecordedPlan(submission, graph.at_once, log[0], steps, log[-1], log, entry.data or b""))
    return Recording(plans, early=of.tool == READING_TOOL)


async def _record_plan(
    nc: Client, name: str, submission: bytes, tool: str
) -> tuple[dict[str, Recorded], list[Recorded]]:
    requests: dict[str, Recorded] = {}
    completed = asyncio.Event()

    async def note_request(message: Msg) -> None:
        asked = msgspec.json.decode(message.data)
        if asked["planId"] == name:
            requests[asked["stepId"]] = Recorded(message.data, message.headers or {})

    async def note_event(message: Msg) -> None:
        if b'"PLAN_COMPLETED"' in message.data:
            completed.set()

    listening = [
        await nc.subscribe(subject, cb=note, pending_bytes_limit=_NO_LIMIT)
        for subject, note in ((subjects.tool_subject(tool), note_request), (f"plans.events.{name}", note_event))
    ]
    await flush(nc)
    await nc.jetstream().publish(subjects.PLANS_EXECUTE, submission)
    async with asyncio.timeout(_PLAN_SECONDS):
        await completed.wait()
    for one in listening:
        await one.unsubscribe()
    stored = await read_subject(nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(name))
    return requests, [_as_sent(message) for message in stored]


def _as_sent(message: StoredMessage) -> Recorded:
    """Without the headers that a direct get adds, and without the fence, which differs each time."""
    headers = {name: value for name, value in message.headers.items() if not name.startswith("Nats-")}
    return Recorded(message.body, headers)


def _events(log: list[Recorded]) -> list[tuple[int, dict[str, Any]]]:
    return [(at, msgspec.json.decode(event.body)) for at, event in enumerate(log)]


def _mean(sizes: list[int]) -> int:
    return round(sum(sizes) / len(sizes))


def _headers_size(headers: dict[str, str]) -> int:
    return sum(len(name) + len(value) + 4 for name, value in headers.items())
