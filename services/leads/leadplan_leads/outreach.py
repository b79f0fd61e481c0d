"""The ledger of outreach: which address was, or is about to be, put into which sequence, and by which step.

An entry is written before the provider is asked, so that two steps never put one person into two sequences, and so that
whoever comes after a crash knows what to look up:

    (nothing) --claim--> claimed --ask--> asked --settle--> added | refused
       ^                  |  ^             |
       +----release-------+  +--withdraw---+      the provider surely did nothing

``claimed``: a step is going to ask; nobody was asked yet. ``asked``: the provider was asked, and the answer isn't known
here (yet). ``added`` and ``refused`` are final; a refused address may be claimed anew, for the refusal may be over.

All functions work in the caller's transaction; those that write need the account's.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, and_, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from leadplan_leads.addresses import address_digest
from leadplan_leads.tables import OutreachRow
from leadplan_leads.times import in_utc

# Far below what one statement may carry: 32 766 parameters on SQLite, 65 535 on PostgreSQL.
_EMAILS_AT_ONCE = 5000
_COLUMNS = (
    OutreachRow.email,
    OutreachRow.sequence_id,
    OutreachRow.state,
    OutreachRow.claimed_by,
    OutreachRow.reason,
    OutreachRow.claimed_at,
)


class OutreachState(StrEnum):
    """How far an address has come."""

    CLAIMED = "claimed"
    ASKED = "asked"
    ADDED = "added"
    REFUSED = "refused"


FOUND = "found"
"""Reason of an added entry whose address was in the sequence before the step asked."""

OPEN = (OutreachState.CLAIMED, OutreachState.ASKED)
"""States in which it isn't known yet whether the address gets into the sequence."""


@dataclass(frozen=True)
class OutreachEntry:
    """One address in one sequence.

    Attributes:
        email: normalised.
        sequence_id: the provider's number.
        state: how far it has come.
        claimed_by: idempotency key of the step.
        reason: why it was refused; for an added one None or `FOUND`.
        claimed_at: when the step claimed it, in UTC.
    """

    email: str
    sequence_id: int
    state: OutreachState
    claimed_by: str
    reason: str | None
    claimed_at: datetime

    @property
    def is_open(self) -> bool:
        """Whether it isn't settled."""
        return self.state in OPEN


class Asked(NamedTuple):
    """Addresses that the provider may be asked for now.

    Attributes:
        emails: all of them.
        first_time: those for which it wasn't asked before: if it now says that it did nothing, that is certain.
    """

    emails: list[str]
    first_time: list[str]


@dataclass(frozen=True)
class Claimant:
    """A step that puts addresses of an account into a sequence."""

    account: str
    sequence_id: int
    key: str

    def claim(self, connection: Connection, emails: Iterable[str]) -> None:
        """Claim addresses, also those that were refused before. The caller has seen that nobody else holds them."""
        claimed = {
            "account": self.account,
            "sequence_id": self.sequence_id,
            "state": OutreachState.CLAIMED,
            "claimed_by": self.key,
            "reason": None,
            "claimed_at": datetime.now(UTC),
            "settled_at": None,
        }
        rows = [{**claimed, "email": email, "digest": address_digest(email)} for email in emails]
        if not rows:
            return
        # The two dialects share `on_conflict_do_update`, but SQLAlchemy has no common `insert` with it.
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = insert(OutreachRow)
        changed = {name: statement.excluded[name] for name in claimed if name not in ("account", "sequence_id")}
        statement = statement.on_conflict_do_update(
            index_elements=["account", "email", "sequence_id"],
            set_=changed,
            # What is settled as added, or is another step's, stays as it is, whatever the caller believed.
            where=OutreachRow.state == OutreachState.REFUSED,
        )
        connection.execute(statement, rows)

    def entries(self, connection: Connection) -> list[OutreachEntry]:
        """All entries of this step."""
        rows = connection.execute(select(*_COLUMNS).where(self._mine()).order_by(OutreachRow.email))
        return [_entry(row) for row in rows]

    def ask(self, connection: Connection, emails: Sequence[str]) -> Asked:
        """Note, right before the provider is asked, that it is. Who isn't this step's (any more) drops out."""
        held = {
            row.email: row.state
            for row in connection.execute(
                select(OutreachRow.email, OutreachRow.state).where(
                    self._mine(), OutreachRow.state.in_(OPEN), OutreachRow.email.in_(emails)
                )
            )
        }
        mine = [email for email in emails if email in held]
        first_time = [email for email in mine if held[email] == OutreachState.CLAIMED]
        self._change(connection, first_time, OutreachState.CLAIMED, OutreachState.ASKED)
        return Asked(mine, first_time)

    def withdraw(self, connection: Connection, emails: Collection[str]) -> None:
        """Undo `ask`: the provider surely did nothing."""
        self._change(connection, emails, OutreachState.ASKED, OutreachState.CLAIMED)

    def settle_added(self, connection: Connection, emails: Collection[str]) -> None:
        """The provider took addresses at this step's request; that counts even if another step has an entry by now."""
        here = and_(OutreachRow.account == self.account, OutreachRow.sequence_id == self.sequence_id)
        added = {"state": OutreachState.ADDED, "claimed_by": self.key, "reason": None, "settled_at": datetime.now(UTC)}
        for some in _in_parts(emails):
            connection.execute(update(OutreachRow).where(here, OutreachRow.email.in_(some)).values(added))

    def settle_found(self, connection: Connection, emails: Collection[str]) -> None:
        """Addresses are in the sequence, and were before this step asked (`FOUND`)."""
        found = {"state": OutreachState.ADDED, "reason": FOUND, "settled_at": datetime.now(UTC)}
        for some in _in_parts(emails):
            connection.execute(update(OutreachRow).where(self._mine(), OutreachRow.email.in_(some)).values(found))

    def settle_refused(self, connection: Connection, reasons: Mapping[str, str]) -> None:
        """The provider didn't take addresses, each for its reason."""
        for reason in sorted(set(reasons.values())):
            refused = {"state": OutreachState.REFUSED, "reason": reason, "settled_at": datetime.now(UTC)}
            for some in _in_parts(email for email, why in reasons.items() if why == reason):
                connection.execute(update(OutreachRow).where(self._mine(), OutreachRow.email.in_(some)).values(refused))

    def release(self, connection: Connection) -> int:
        """Give up what was claimed and not asked for, so that other steps can have it; how many that were."""
        unasked = delete(OutreachRow).where(self._mine(), OutreachRow.state == OutreachState.CLAIMED)
        return len(connection.scalars(unasked.returning(OutreachRow.email)).all())

    def _mine(self) -> ColumnElement[bool]:
        return and_(
            OutreachRow.account == self.account,
            OutreachRow.sequence_id == self.sequence_id,
            OutreachRow.claimed_by == self.key,
        )

    def _change(
        self, connection: Connection, emails: Collection[str], before: OutreachState, after: OutreachState
    ) -> None:
        for some in _in_parts(emails):
            chosen = and_(self._mine(), OutreachRow.state == before, OutreachRow.email.in_(some))
            connection.execute(update(OutreachRow).where(chosen).values(state=after))


def outreach_to(connection: Connection, account: str, emails: Iterable[str]) -> dict[str, list[OutreachEntry]]:
    """What is on record of addresses, in all sequences of an account, oldest first.

    Args:
        connection: in a transaction; of the account where its answer must still hold at the end.
        account: whose outreach.
        emails: normalised addresses, in any number.
    """
    found: dict[str, list[OutreachEntry]] = {}
    for some in _in_parts(emails):
        chosen = select(*_COLUMNS).where(OutreachRow.account == account, OutreachRow.email.in_(some))
        for row in connection.execute(chosen.order_by(OutreachRow.claimed_at, OutreachRow.sequence_id)):
            found.setdefault(row.email, []).append(_entry(row))
    return found


def settle_abandoned(
    connection: Connection, account: str, entries: Iterable[OutreachEntry], in_sequence: Collection[str]
) -> None:
    """Settle open entries that other steps left behind: added where the provider has the address, else deleted.

    An entry that its step has moved on since it was read stays as it is.

    Args:
        connection: in the account's transaction.
        account: whose outreach.
        entries: all of one sequence.
        in_sequence: who is in that sequence, as the provider says.
    """
    for entry in entries:
        unchanged = and_(
            OutreachRow.account == account,
            OutreachRow.email == entry.email,
            OutreachRow.sequence_id == entry.sequence_id,
            OutreachRow.claimed_by == entry.claimed_by,
            OutreachRow.state == entry.state,
        )
        if entry.email in in_sequence:
            added = {"state": OutreachState.ADDED, "settled_at": datetime.now(UTC)}
            connection.execute(update(OutreachRow).where(unchanged).values(added))
        else:
            connection.execute(delete(OutreachRow).where(unchanged))


def _entry(row: Row[str, int, str, str, str | None, datetime]) -> OutreachEntry:
    email, sequence_id, state, claimed_by, reason, claimed_at = row
    return OutreachEntry(email, sequence_id, OutreachState(state), claimed_by, reason, in_utc(claimed_at))


def _in_parts(emails: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(emails)
    while part := list(islice(rest, _EMAILS_AT_ONCE)):
        yield part
