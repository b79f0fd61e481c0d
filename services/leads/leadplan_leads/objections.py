"""People who objected to processing: everything of theirs is erased, and only a digest keeps them from coming back."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, select

from leadplan_leads.suppressions import OBJECTED, in_parts, put_entries, reasons_of
from leadplan_leads.tables import LeadListRow, LeadRow, OutreachRow


@dataclass(frozen=True)
class Erased:
    """What was erased of those who objected."""

    leads: int
    """Rows of leads, in all lists of the account."""
    sequence_ids: frozenset[int]
    """Sequences that they were, or were about to be, put into: the provider may still have them there."""


def record_objections(connection: Connection, account: str, digests: Iterable[str]) -> Erased:
    """Erase people from all of an account's lists and its outreach, and remember their digests as objected.

    Doing it again erases what came back meanwhile and changes nothing else.

    Args:
        connection: in the account's transaction.
        account: whose lists.
        digests: SHA-256 of the normalised addresses, as hex.
    """
    wanted = set(digests)
    known = reasons_of(connection, account, wanted)
    entry = {"account": account, "address": None, "reason": OBJECTED, "note": None, "created_at": datetime.now(UTC)}
    put_entries(connection, [{**entry, "digest": digest} for digest in wanted if known.get(digest) != OBJECTED])
    lists = select(LeadListRow.id).where(LeadListRow.account == account)
    leads = 0
    sequence_ids: set[int] = set()
    for some in in_parts(sorted(wanted)):
        of_lists = delete(LeadRow).where(LeadRow.digest.in_(some), LeadRow.list_id.in_(lists))
        leads += len(connection.scalars(of_lists.returning(LeadRow.id)).all())
        outreach = delete(OutreachRow).where(OutreachRow.account == account, OutreachRow.digest.in_(some))
        sequence_ids.update(connection.scalars(outreach.returning(OutreachRow.sequence_id)))
    return Erased(leads, frozenset(sequence_ids))
