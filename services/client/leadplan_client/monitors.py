"""``MonitorClient``: the monitors of a server, listed, removed and fired by hand."""

import difflib
from typing import TypeAlias

from nats.aio.client import Client

from leadplan_bus.tokens import new_token
from leadplan_client.errors import InvalidMonitorIdError, UnknownMonitorError, UnreadableMonitorError
from leadplan_client.monitor_models import FiredRun, Monitor, StoredMonitor
from leadplan_client.monitor_reading import MonitorReader, answers_needed, is_monitor_id
from leadplan_client.submission import MESSAGE_ID_HEADER, publish_submission
from leadplan_contracts.subjects import PLANS_STREAM, SCHEDULE_NEXT_HEADER, SCHEDULER_HEADER, plan_schedule_subject

_MOST_ALIKE = 3

Monitors: TypeAlias = list[Monitor]


class MonitorClient:
    """Lists, removes and fires monitors: the recurring plans whose schedules the NATS server keeps.

        nc = await leadplan_bus.connection.connect(url, name="my-service")
        for monitor in await MonitorClient(nc).list(account="acct_3"): ...

    Each method may raise ``StreamsMissingError`` (no executor ever ran on this server), ``NoAnswerError``,
    ``ConnectionLostError`` and ``leadplan_bus.errors.JetStreamDisabledError``.

    Args:
        nc: an open connection; it stays the caller's to close.
    """

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._js = nc.jetstream()
        self._reader = MonitorReader(nc)

    async def list(self, *, account: str | None = None) -> Monitors:
        """All monitors by id, or those of one account, each with its last run as far as that is known."""
        found = [await self._reader.stored(monitor_id) for monitor_id in await self._reader.ids()]
        return [
            stored.monitor(await self._reader.runs(stored.id))
            for stored in found
            if stored is not None and account in (None, stored.account)
        ]

    async def remove(self, monitor_id: str, *, account: str | None = None) -> None:
        """Remove a monitor. The run that goes on isn't stopped; a firing that waits will not run.

        Args:
            monitor_id: the monitor.
            account: only a monitor of this account.

        Raises:
            InvalidMonitorIdError: the text is no monitor id.
            UnknownMonitorError: there is none of this id (and account).
        """
        await self._required(monitor_id, account)
        with answers_needed():
            await self._js.purge_stream(PLANS_STREAM, subject=plan_schedule_subject(monitor_id))

    async def fire(self, monitor_id: str, *, account: str | None = None) -> FiredRun:
        """Start one run now, besides those of the schedule, which stays as it is.

        The run takes the way of any firing: what its monitor says of runs that would overlap counts for it as well.

        Args:
            monitor_id: the monitor.
            account: only a monitor of this account.

        Raises:
            InvalidMonitorIdError: the text is no monitor id.
            UnknownMonitorError: there is none of this id (and account).
            UnreadableMonitorError: the schedule doesn't hold a plan.
            SubmissionError: the firing isn't known to be stored.
        """
        stored = await self._required(monitor_id, account)
        if stored.submission is None:
            raise UnreadableMonitorError(monitor_id)
        token = new_token()
        headers = {
            # What the server itself writes when a schedule fires for the last time; it then takes that schedule away.
            # There is none of this name, for no monitor's id has a colon: the message is stored, and that is all.
            SCHEDULER_HEADER: plan_schedule_subject(f"{monitor_id}:{token}"),
            SCHEDULE_NEXT_HEADER: "purge",
            MESSAGE_ID_HEADER: token,
        }
        sequence = await publish_submission(self._nc, self._js, stored.message.data or b"", headers)
        return FiredRun(monitor_id=monitor_id, plan_id=f"{stored.submission.plan.id}-{sequence}", submission=sequence)

    async def _required(self, monitor_id: str, account: str | None) -> StoredMonitor:
        if not is_monitor_id(monitor_id):
            raise InvalidMonitorIdError(monitor_id)
        stored = await self._reader.stored(monitor_id)
        if stored is not None and account in (None, stored.account):
            return stored
        others = [monitor.id for monitor in await self.list(account=account)]
        alike = [other for other in others if monitor_id.lower() in other.lower()][:_MOST_ALIKE]
        raise UnknownMonitorError(
            monitor_id, account, alike or difflib.get_close_matches(monitor_id, others, _MOST_ALIKE)
        )
