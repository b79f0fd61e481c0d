"""Reading the lists: what ``leadplan leads`` shows and exports. Everything here needs a reading transaction only."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Select, case, func, or_, select, union

from leadplan_leads.suppressions import suppressed
from leadplan_leads.tables import LeadListRow, LeadRow, OutreachRow, SuppressionRow
from leadplan_leads.times import in_utc

NOT_VERIFIED = "none"
"""As a status to look for: leads that have no verification status."""

LEAD_FIELDS = (
    "id",
    "email",
    *(
        column.name
        for column in LeadRow.__table__.columns
        if column.name not in ("id", "list_id", "email", "digest", "first_saved_by")
    ),
    "suppressed",
)
"""What is read of a lead, in this order: the columns that are of use outside, and why it must not be contacted."""

_ROWS_AT_ONCE = 500


@dataclass(frozen=True)
class ListSummary:
    """A list and how many leads it holds; ``new_leads`` were added since the time that was asked for."""

    id: str
    name: str
    leads: int
    new_leads: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class LeadFilter:
    """Which leads of a list are wanted; by default all."""

    statuses: Collection[str] = ()
    """Verification statuses, one of which the lead has; `NOT_VERIFIED` stands for none."""
    updated_since: datetime | None = None
    added_since: datetime | None = None


def accounts(connection: Connection) -> list[str]:
    """All accounts that the database knows, by name."""
    owners = (select(table.account) for table in (LeadListRow, SuppressionRow, OutreachRow))
    return sorted(connection.scalars(union(*owners)))


def list_summaries(connection: Connection, account: str, *, new_since: datetime) -> list[ListSummary]:
    """An account's lists by name."""
    new = func.count(case((LeadRow.created_at >= new_since, LeadRow.id)))
    statement = (
        select(
            LeadListRow.id,
            LeadListRow.name,
            func.count(LeadRow.id),
            new,
            LeadListRow.created_at,
            LeadListRow.updated_at,
        )
        .outerjoin(LeadRow, LeadRow.list_id == LeadListRow.id)
        .where(LeadListRow.account == account)
        .group_by(LeadListRow.id)
        .order_by(LeadListRow.name)
    )
    return [
        ListSummary(list_id, name, leads, added, in_utc(created), in_utc(updated))
        for list_id, name, leads, added, created, updated in connection.execute(statement)
    ]


def count_leads(connection: Connection, list_id: str, wanted: LeadFilter) -> int:
    """How many leads of a list are wanted."""
    return int(connection.scalars(_filtered(select(func.count(LeadRow.id)), list_id, wanted)).one())


def read_leads(
    connection: Connection, account: str, list_id: str, wanted: LeadFilter, *, limit: int | None = None
) -> Iterator[dict[str, Any]]:
    """The leads of a list with the fields of `LEAD_FIELDS`, last added first, read as they are asked for."""
    columns = [LeadRow.__table__.c[name] for name in LEAD_FIELDS if name != "suppressed"]
    statement = _filtered(select(*columns), list_id, wanted).order_by(LeadRow.created_at.desc(), LeadRow.email)
    rows = connection.execute(statement.limit(limit).execution_options(yield_per=_ROWS_AT_ONCE)).mappings()
    while some := [dict(row) for row in islice(rows, _ROWS_AT_ONCE)]:
        reasons = suppressed(connection, account, [row["email"] for row in some])
        for row in some:
            times = {name: in_utc(row[name]) for name in ("created_at", "updated_at")}
            yield {**row, **times, "suppressed": reasons.get(row["email"])}


def _filtered(statement: Select[Any], list_id: str, wanted: LeadFilter) -> Select[Any]:
    statement = statement.where(LeadRow.list_id == list_id)
    if wanted.statuses:
        unverified = [LeadRow.verification_status.is_(None)] if NOT_VERIFIED in wanted.statuses else []
        statement = statement.where(or_(LeadRow.verification_status.in_(wanted.statuses), *unverified))
    if wanted.updated_since is not None:
        statement = statement.where(LeadRow.updated_at >= wanted.updated_since)
    if wanted.added_since is not None:
        statement = statement.where(LeadRow.created_at >= wanted.added_since)
    return statement
