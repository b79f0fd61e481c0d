"""The lead database as one step sees it: who may be contacted, and what this step claims, asks for and settles.

Each call is one transaction, in a thread of its own so that waiting for a lock holds up nobody else.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection, Engine

from leadplan_email_sequence.selection import OnRecord, Selection
from leadplan_leads.addresses import address_digest
from leadplan_leads.objections import record_objections
from leadplan_leads.outreach import (
    Asked,
    Claimant,
    OutreachEntry,
    OutreachState,
    outreach_to,
    settle_abandoned,
)
from leadplan_leads.suppressions import suppress, suppressed
from leadplan_leads.tool_errors import database_failures_reported
from leadplan_leads.transactions import account_transaction, reading

ABANDONED_AFTER = timedelta(days=1)
"""So long after its claim a step that put nobody into another sequence is taken for dead. No attempt takes longer."""

_LISTED = ("bounced", "unsubscribed")
"""Refusals that keep an address out of every sequence: it goes onto the suppression list."""

T = TypeVar("T")


@dataclass
class BatchOutcome:
    """What Hunter did with the addresses of one call.

    Attributes:
        added: those that it took, now or at an earlier attempt whose answer was lost.
        found: those that were in before.
        refused: the others, with Hunter's word for it.
        objected: those of people who asked Hunter not to process their data.
    """

    added: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    objected: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Finding:
    """Open entries of one sequence, and who is in that sequence by now, as Hunter says."""

    entries: Sequence[OutreachEntry]
    in_sequence: Collection[str]


class StepLedger:
    """The lead database for one step.

    Every call raises a `ToolError` when the database fails: ``database_unavailable`` (retryable) or
    ``database_refused``.

    Args:
        engine: the open database.
        claimant: the step.
    """

    def __init__(self, engine: Engine, claimant: Claimant) -> None:
        self._engine = engine
        self._claimant = claimant

    async def entries(self) -> list[OutreachEntry]:
        """All that this step has claimed."""
        return await self._read(self._claimant.entries)

    async def open_entries(self, emails: Collection[str], *, any_sequence: bool) -> list[OutreachEntry]:
        """Entries whose outcome must be known before anybody is chosen: this step's own, and what others left behind.

        In the same sequence any other step's open entry counts as left behind: Hunter takes nobody in twice there. In
        other sequences it must be older than `ABANDONED_AFTER`.

        Args:
            emails: addresses of the source step.
            any_sequence: False to leave out other sequences.
        """
        account, sequence_id = self._claimant.account, self._claimant.sequence_id
        dead_before = datetime.now(UTC) - ABANDONED_AFTER

        def read(connection: Connection) -> list[OutreachEntry]:
            entries = [one for some in outreach_to(connection, account, emails).values() for one in some if one.is_open]
            here = [one for one in entries if one.sequence_id == sequence_id]
            mine_asked = [one for one in here if self._is_mine(one) and one.state is OutreachState.ASKED]
            others_here = [one for one in here if not self._is_mine(one)]
            elsewhere = [one for one in entries if one.sequence_id != sequence_id and one.claimed_at < dead_before]
            return mine_asked + others_here + (elsewhere if any_sequence else [])

        return await self._read(read)

    async def look(self, emails: Collection[str], findings: Iterable[Finding], decide: "Decide") -> Selection:
        """Settle what was found, and decide, without claiming anybody."""

        def work(connection: Connection) -> Selection:
            self._settle_findings(connection, findings)
            return decide(self._on_record(connection, emails))

        return await self._write(work)

    async def claim(self, emails: Collection[str], findings: Iterable[Finding], decide: "Decide") -> Selection:
        """Settle what was found, decide, and claim who is to be added, all in one transaction of the account.

        So of two plans that choose the same person at the same moment for two sequences exactly one gets them, and
        nobody is claimed who was put on the suppression list before that.

        Args:
            emails: addresses of the source step.
            findings: what Hunter says of open entries.
            decide: who is to be added, by what is on record. What it raises undoes the transaction.
        """

        def work(connection: Connection) -> Selection:
            self._settle_findings(connection, findings)
            selection = decide(self._on_record(connection, emails))
            self._claimant.claim(connection, selection.to_add)
            return selection

        return await self._write(work)

    async def ask(self, emails: Sequence[str]) -> Asked:
        """Note that Hunter is asked to add addresses, right before it is; who isn't this step's any more drops out."""
        return await self._write(lambda connection: self._claimant.ask(connection, emails))

    async def withdraw(self, emails: Collection[str]) -> None:
        """Hunter surely did nothing with addresses that it was asked for."""
        await self._write(lambda connection: self._claimant.withdraw(connection, emails))

    async def settle(self, outcome: BatchOutcome) -> None:
        """Note what Hunter did.

        Bounced and unsubscribed addresses go onto the account's suppression list. Of those who objected nothing stays
        but their digest there.
        """

        def work(connection: Connection) -> None:
            account, claimant = self._claimant.account, self._claimant
            claimant.settle_added(connection, outcome.added)
            claimant.settle_found(connection, outcome.found)
            claimant.settle_refused(connection, outcome.refused)
            for reason in _LISTED:
                listed = [email for email, why in outcome.refused.items() if why == reason]
                note = f"Hunter said so when it was to go into sequence {claimant.sequence_id}"
                suppress(connection, account, listed, reason=reason, note=note)
            record_objections(connection, account, [address_digest(email) for email in outcome.objected])

        await self._write(work)

    async def release(self) -> None:
        """Give up what was claimed and never asked for."""
        await self._write(self._claimant.release)

    def _is_mine(self, entry: OutreachEntry) -> bool:
        return entry.claimed_by == self._claimant.key

    def _settle_findings(self, connection: Connection, findings: Iterable[Finding]) -> None:
        for finding in findings:
            mine = [one.email for one in finding.entries if self._is_mine(one) and one.email in finding.in_sequence]
            self._claimant.settle_added(connection, mine)
            others = [one for one in finding.entries if not self._is_mine(one)]
            settle_abandoned(connection, self._claimant.account, others, finding.in_sequence)

    def _on_record(self, connection: Connection, emails: Collection[str]) -> OnRecord:
        account = self._claimant.account
        return OnRecord(suppressed(connection, account, emails), outreach_to(connection, account, emails))

    async def _read(self, work: Callable[[Connection], T]) -> T:
        def transaction() -> T:
            with _reported(), reading(self._engine) as connection:
                return work(connection)

        return await asyncio.to_thread(transaction)

    async def _write(self, work: Callable[[Connection], T]) -> T:
        def transaction() -> T:
            with _reported(), account_transaction(self._engine, self._claimant.account) as connection:
                return work(connection)

        return await asyncio.to_thread(transaction)


Decide = Callable[[OnRecord], Selection]
"""Who is to be added, by what is on record."""


@contextmanager
def _reported() -> Iterator[None]:
    with database_failures_reported("nobody is added without a look at the suppression list and the earlier outreach"):
        yield
