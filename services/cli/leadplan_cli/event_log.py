"""Reading a plan's stored events as they lie there, choosing some, and writing them."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TextIO

import msgspec
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.stored_messages import read_subject
from leadplan_cli.event_lines import log_line
from leadplan_cli.terminal import Paint, printable
from leadplan_client.plan_ids import checked_plan_id
from leadplan_client.submission import require_stream
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import PlanEvent, StepEvent, decode_event
from leadplan_contracts.subjects import (
    PLAN_LOG_STREAM,
    PLAN_REJECTS_STREAM,
    plan_log_subject,
    plan_rejected_subject,
)

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_SHOWN_OF_UNREADABLE = 200


async def stored_events(nc: Client, plan_id: str) -> list[bytes]:
    """The bodies of a plan's stored events in order; where it has none, of the rejections under its id.

    Raises:
        leadplan_client.InvalidPlanIdError: the text is no plan id.
        leadplan_client.StreamsMissingError: no executor ever ran on this server.
        nats.errors.TimeoutError: no answer.
    """
    plan_id = checked_plan_id(plan_id)
    try:
        stored = await read_subject(nc, PLAN_LOG_STREAM, plan_log_subject(plan_id))
        stored = stored or await read_subject(nc, PLAN_REJECTS_STREAM, plan_rejected_subject(plan_id))
    except NatsTimeoutError:
        await require_stream(nc.jetstream(), PLAN_LOG_STREAM)
        raise
    return [message.body for message in stored]


def decoded_events(bodies: Sequence[bytes]) -> list[LeadPlanEventPayload]:
    """The events in these, without what can't be read."""
    events = []
    for body in bodies:
        with contextlib.suppress(*_UNREADABLE):
            events.append(decode_event(body))
    return events


@dataclass(frozen=True, kw_only=True)
class EventFilter:
    """Which events are wanted; an empty set means any."""

    kinds: frozenset[str] = frozenset()
    steps: frozenset[str] = frozenset()
    since: datetime | None = None

    def wants(self, event: PlanEvent) -> bool:
        """Whether all conditions hold."""
        if self.kinds and str(type(event).__struct_config__.tag) not in self.kinds:
            return False
        if self.steps and not (isinstance(event, StepEvent) and event.step.id in self.steps):
            return False
        return self.since is None or datetime.fromisoformat(event.time) >= self.since


class EventWriter:
    """Writes events as lines of text, or as JSON lines.

    ``newest`` is the sequence of the newest event that it has seen, wanted or not.
    """

    def __init__(self, out: TextIO, wanted: EventFilter, *, as_json: bool) -> None:
        self._out = out
        self._wanted = wanted
        self._as_json = as_json
        self._paint = Paint(out)
        self.newest = 0

    def write_stored(self, bodies: Sequence[bytes], last: int | None) -> None:
        """Write the wanted ones of these, at most ``last`` of them."""
        lines = [line for line in map(self._line, bodies) if line is not None]
        for line in lines if last is None else lines[len(lines) - min(last, len(lines)) :]:
            self._out.write(f"{line}\n")
        self._out.flush()

    def write(self, body: bytes) -> None:
        """Write one event if it is wanted."""
        self.write_stored([body], None)

    def _line(self, body: bytes) -> str | None:
        try:
            event = decode_event(body)
        except _UNREADABLE:
            return self._unreadable(body)
        self.newest = max(self.newest, event.sequence or 0)
        if not self._wanted.wants(event):
            return None
        # The plan in PLAN_STARTED is as its author wrote it, line breaks included.
        return msgspec.json.format(body, indent=-1).decode() if self._as_json else log_line(event, self._paint)

    def _unreadable(self, body: bytes) -> str | None:
        """What a newer version or somebody else wrote: shown, so that no reader takes the log for whole without it."""
        if self._wanted != EventFilter():
            return None
        if self._as_json:
            try:
                return msgspec.json.format(body, indent=-1).decode()
            except _UNREADABLE:
                return None
        return f"unreadable event: {printable(body[:_SHOWN_OF_UNREADABLE].decode(errors='replace'))}"
