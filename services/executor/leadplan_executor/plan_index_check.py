"""Comparing entries of the plan index with the plans' logs, which are what counts.

An entry can be behind: it was lost, or an older one came late. The last event of a log tells enough to put that right,
and those of a whole page are read at once. Entries of completed plans are believed, for their last events carry all
results.
"""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace
from nats.aio.client import Client

from leadplan_bus.stored_messages import read_last_of, read_subject
from leadplan_contracts import LeadPlanEventType, OverallStatus, subjects
from leadplan_contracts.control import PlanState
from leadplan_contracts.events import decode_event
from leadplan_contracts.wire import Timestamp, WireModel
from leadplan_executor.core import PlanRun, evolve
from leadplan_executor.core.errors import CoreError
from leadplan_executor.core.status import plan_state
from leadplan_executor.plan_index import PlanIndexEntry, entry_of_run

log = structlog.get_logger(__name__)

_LOG_PREFIX = subjects.plan_log_subject("")
_EVENTS_AT_A_TIME = 1_000

_UNBEGUN = frozenset({PlanState.QUEUED, PlanState.REJECTED})
_E = LeadPlanEventType
_STATE_AFTER = {
    _E.PLAN_STARTED: PlanState.RUNNING,
    _E.PLAN_PAUSED: PlanState.PAUSED,
    _E.PLAN_UNPAUSED: PlanState.RUNNING,
    _E.PLAN_CANCELLING: PlanState.CANCELLING,
    _E.PLAN_RETRIED: PlanState.RUNNING,
    _E.PLAN_COMPLETED: PlanState.COMPLETED,
    _E.STEP_STARTED: PlanState.RUNNING,
}
"""What a plan's state is after an event, whatever it was before."""
_ENDS_A_WAIT = frozenset(
    {_E.PLAN_RESUMED, _E.STEP_APPROVED, _E.STEP_DENIED, _E.STEP_SUCCEEDED, _E.STEP_FAILED, _E.STEP_SKIPPED}
)


class Listed(NamedTuple):
    """An entry as it lies in the index."""

    plan_id: str
    entry: PlanIndexEntry
    stream_sequence: int


class Checked(NamedTuple):
    """An entry as it should be. ``repaired`` where the index says something else about the plan's state."""

    plan_id: str
    entry: PlanIndexEntry
    stream_sequence: int
    repaired: bool = False
    last_event: LeadPlanEventType | None = None


class _Ending(WireModel, kw_only=True, frozen=True):
    overall_status: OverallStatus | None = None
    finished_at: Timestamp | None = None


class LastEvent(WireModel, kw_only=True, frozen=True):
    """What an entry needs of a plan's last event."""

    type: LeadPlanEventType
    time: Timestamp
    sequence: int
    result: _Ending | None = None


_decoder = msgspec.json.Decoder(LastEvent)


async def compare_with_logs(nc: Client, found: Sequence[Listed]) -> list[Checked]:
    """What is true of plans, in their order; those whose log has aged out are left out.

    Args:
        nc: the connection.
        found: as many as ``leadplan_bus.stored_messages.LAST_OF_AT_MOST``.

    Raises:
        nats.errors.Error: the server didn't answer.
    """
    last_events = await _last_events(nc, [one.plan_id for one in found if one.entry.state is not PlanState.COMPLETED])
    checked = [await _check(nc, one, last_events) for one in found]
    return [one for one in checked if one is not None]


async def _last_events(nc: Client, plan_ids: Sequence[str]) -> dict[str, LastEvent | None]:
    """By plan id; None for one that can't be read."""
    events: dict[str, LastEvent | None] = {}
    logs = [subjects.plan_log_subject(plan_id) for plan_id in plan_ids]
    async for message in read_last_of(nc, subjects.PLAN_LOG_STREAM, logs):
        plan_id = message.subject.removeprefix(_LOG_PREFIX)
        try:
            events[plan_id] = _decoder.decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("last event of a plan can't be read", plan_id=plan_id, problem=str(error))
            events[plan_id] = None
    return events


async def _check(nc: Client, listed: Listed, last_events: dict[str, LastEvent | None]) -> Checked | None:
    plan_id, entry, stream_sequence = listed
    if entry.state is PlanState.COMPLETED:
        return Checked(plan_id, entry, stream_sequence)
    if plan_id not in last_events:
        return Checked(plan_id, entry, stream_sequence) if entry.state in _UNBEGUN else None
    last = last_events[plan_id]
    if entry.state in _UNBEGUN:
        # The entry may be that of another submission under the same id.
        begun = await _entry_of_log(nc, plan_id)
        kind = last.type if last is not None else None
        return Checked(plan_id, begun, stream_sequence, repaired=True, last_event=kind) if begun else None
    if last is None:
        return Checked(plan_id, entry, stream_sequence)
    true = entry_after(entry, last)
    return Checked(plan_id, true, stream_sequence, repaired=true.state is not entry.state, last_event=last.type)


def entry_after(entry: PlanIndexEntry, last: LastEvent) -> PlanIndexEntry:
    """What the entry of a plan that has begun should say, given the plan's last event."""
    if last.sequence <= entry.sequence:
        return entry
    state = _STATE_AFTER.get(last.type, entry.state)
    if state is PlanState.WAITING and last.type in _ENDS_A_WAIT:
        state = PlanState.RUNNING
    ending = last.result if last.type is _E.PLAN_COMPLETED else None
    return replace(
        entry,
        state=state,
        changed_at=last.time,
        sequence=last.sequence,
        overall_status=ending.overall_status if ending else None,
        finished_at=ending.finished_at if ending else None,
    )


async def _entry_of_log(nc: Client, plan_id: str) -> PlanIndexEntry | None:
    """The entry of a plan whose log is all that is known of it; None where it can't be read."""
    run = PlanRun(plan_id)
    stored = await read_subject(nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
    try:
        for count, message in enumerate(stored, 1):
            evolve(run, decode_event(message.body))
            if count % _EVENTS_AT_A_TIME == 0:
                await asyncio.sleep(0)
    except (CoreError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("log of a plan can't be read, leaving it out", plan_id=plan_id, problem=str(error))
        return None
    return entry_of_run(run, plan_state(run)) if stored else None
