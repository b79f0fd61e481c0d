"""Lists of plans, read from the index: what ``plans.list`` answers.

The index is a stream with one message a plan, in the order of the plans' last changes of state. It is read backwards, a
bounded part of it for each page. What a page is about to show is compared with the logs (``plan_index_check``).

A plan that changes between two pages moves to the front: whoever goes on with the next page doesn't see it any more,
whoever starts again does. No plan is seen twice, but for replicas of the index that lag behind.
"""

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import msgspec
import structlog
from nats.aio.client import Client

from leadplan_bus.limits import LEAST_MAX_PAYLOAD
from leadplan_bus.stored_messages import BackwardsReading, StoredMessage
from leadplan_contracts import LeadPlanEventType, subjects
from leadplan_contracts.control import DEFAULT_LIST_LIMIT, ListRequest, PlanPage, PlanState, PlanSummary
from leadplan_contracts.times import format_time, parse_time
from leadplan_contracts.wire import PLAN_ID_PATTERN
from leadplan_executor.errors import ExecutorError
from leadplan_executor.plan_index import PlanIndex, PlanIndexEntry, index_subject
from leadplan_executor.plan_index_check import Checked, Listed, compare_with_logs

log = structlog.get_logger(__name__)

_STREAM = f"KV_{subjects.PLAN_INDEX_BUCKET}"
_PREFIX = index_subject("")
_LOOK_AT_MOST = 20_000
"""Entries looked at for one page: a filter that fits little is answered in parts, and keeps no executor busy."""
_PAGE_BYTES = LEAST_MAX_PAYLOAD * 3 // 4
_BYTES_BESIDE_ENTRY = 256
"""What a summary has that its entry hasn't: the plan's id, the type of its last event."""
_CLOCKS_MAY_DIFFER_MS = 60_000

_plan_id = re.compile(PLAN_ID_PATTERN)
_decoder = msgspec.json.Decoder(PlanIndexEntry)

_Filter: TypeAlias = Callable[[str, PlanIndexEntry], bool]

_LAST_EVENT = {
    PlanState.COMPLETED: LeadPlanEventType.PLAN_COMPLETED,
    PlanState.REJECTED: LeadPlanEventType.PLAN_REJECTED,
}


class InvalidListRequestError(ExecutorError):
    """A field of a ``ListRequest`` has the right type and can't be what it says.

    Attributes:
        path: the field.
    """

    def __init__(self, path: str, message: str) -> None:
        self.path = path
        super().__init__(f"{path}: {message}")


class PlanLister:
    """Answers list requests on one connection."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._index = PlanIndex(nc)

    async def page(self, request: ListRequest) -> PlanPage:
        """The next plans that the filters fit, those whose state changed last first.

        It holds fewer than ``limit``, even none, where the filters fit little or the logs know better than the index;
        as long as there is a ``next``, more may follow.

        Raises:
            InvalidListRequestError: the cursor or the time can't be read.
            nats.errors.Error: the server didn't answer.
        """
        fits = _filter(request)
        found, following = await self._find(request, fits)
        plans = []
        for checked in await compare_with_logs(self._nc, found):
            if checked.repaired:
                await self._index.put(checked.plan_id, checked.entry, replacing=checked.stream_sequence)
            if fits(checked.plan_id, checked.entry):
                plans.append(_summary(checked))
        return PlanPage(plans=plans, next=following)

    async def _find(self, request: ListRequest, fits: _Filter) -> tuple[list[Listed], str | None]:
        """Entries that fit, and the cursor of those behind them."""
        picked = _Picked(fits, limit=request.limit or DEFAULT_LIST_LIMIT)
        oldest = _changed_after_ms(request) - _CLOCKS_MAY_DIFFER_MS
        aim = 4 * picked.limit  # a request takes some milliseconds, entries too many take next to nothing
        async with BackwardsReading(self._nc, _STREAM, before=_cursor(request)) as reading:
            while not reading.exhausted and picked.looked_at < _LOOK_AT_MOST:
                window = await reading.next_window(aim)
                last = picked.take(window)
                if last is not None and (last is not window[-1] or not reading.exhausted):
                    return picked.done(), str(last.stream_sequence)
                # An entry was stored after the change that it tells, and those before it were stored earlier still.
                if window and parse_time(window[-1].headers["Nats-Time-Stamp"]) < oldest:
                    return picked.done(), None
                aim = _LOOK_AT_MOST
            return picked.done(), None if reading.exhausted else str(reading.before)


class _Picked:
    """The entries of a page, as they are picked from windows of the index."""

    def __init__(self, fits: _Filter, *, limit: int) -> None:
        self._fits = fits
        self.limit = limit
        self.looked_at = 0
        self._found: list[Listed] = []
        self._bytes = 0
        self._unreadable: list[str] = []

    def take(self, window: list[StoredMessage]) -> StoredMessage | None:
        """Pick what fits, until the page is full: then the last message that was looked at."""
        for message in window:
            self.looked_at += 1
            if (listed := self._read(message)) is None or not self._fits(listed.plan_id, listed.entry):
                continue
            self._found.append(listed)
            self._bytes += len(message.body) + _BYTES_BESIDE_ENTRY
            if len(self._found) == self.limit or self._bytes > _PAGE_BYTES:
                return message
        return None

    def done(self) -> list[Listed]:
        """What was picked; tells what couldn't be read."""
        if self._unreadable:
            log.warning(
                "entries of the plan index can't be read, leaving them out",
                entries=len(self._unreadable),
                first=self._unreadable[0],
            )
        return self._found

    def _read(self, message: StoredMessage) -> Listed | None:
        plan_id = message.subject.removeprefix(_PREFIX)
        if not message.body:
            return None  # a key that somebody deleted
        try:
            entry = _decoder.decode(message.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            entry = None
        if entry is None or not _plan_id.match(plan_id):
            self._unreadable.append(plan_id[:128])
            return None
        return Listed(plan_id, entry, message.stream_sequence)


class _Text(NamedTuple):
    part: str

    def is_in(self, plan_id: str, entry: PlanIndexEntry) -> bool:
        return any(self.part in text.casefold() for text in (plan_id, entry.title, entry.goal) if text)


def _filter(request: ListRequest) -> _Filter:
    """What must be true of an entry; an empty list filters nothing."""
    conditions: list[_Filter] = []
    if states := request.states:
        conditions.append(lambda _, entry: entry.state in states)
    if statuses := request.overall_statuses:
        conditions.append(lambda _, entry: entry.overall_status in statuses)
    if (account_id := request.account_id) is not None:
        conditions.append(lambda _, entry: entry.account_id == account_id)
    if (user_id := request.user_id) is not None:
        conditions.append(lambda _, entry: entry.user_id == user_id)
    if request.changed_after is not None:
        # Executors write all times in one form, whose order is that of the texts.
        after = format_time(_changed_after_ms(request))
        conditions.append(lambda _, entry: entry.changed_at > after)
    if request.text:
        conditions.append(_Text(request.text.casefold()).is_in)
    return lambda plan_id, entry: all(condition(plan_id, entry) for condition in conditions)


def _changed_after_ms(request: ListRequest) -> int:
    if request.changed_after is None:
        return 0
    try:
        return parse_time(request.changed_after)
    except ValueError as error:
        raise InvalidListRequestError("changedAfter", str(error)) from None


def _cursor(request: ListRequest) -> int | None:
    text = request.cursor
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 2**63):
        raise InvalidListRequestError("cursor", "is no `next` of an earlier page; leave it out to start again")
    return int(text)


def _summary(checked: Checked) -> PlanSummary:
    entry = checked.entry
    return PlanSummary(
        plan_id=checked.plan_id,
        state=entry.state,
        changed_at=entry.changed_at,
        title=entry.title,
        goal=entry.goal,
        overall_status=entry.overall_status,
        user_id=entry.user_id,
        account_id=entry.account_id,
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        steps=entry.steps,
        last_event=checked.last_event or _LAST_EVENT.get(entry.state),
    )
