"""Saving leads: one transaction a save, and the database decides what is new."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, func
from sqlalchemy.dialects import postgresql, sqlite

from leadplan_lead_list.models import EnrichedLead, LeftOutLead, SavedLead, SaveResult
from leadplan_leads.addresses import normalise_email
from leadplan_leads.tables import LeadListRow, LeadRow

# What a later save may fill in or change; what it doesn't know stays as it is.
_LEARNED_COLUMNS = (
    "first_name",
    "last_name",
    "position",
    "seniority",
    "department",
    "company_name",
    "company_domain",
    "company_industry",
    "company_employees",
    "company_location",
    "phone",
    "linkedin",
    "website",
    "place_id",
    "confidence",
    "verification_status",
    "sources",
)


class LeadStore:
    """Lists of leads in a database that `database.open_database` opened. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def save(self, *, account: str, list_name: str, leads: Iterable[EnrichedLead], saved_by: str) -> SaveResult:
        """Put leads into a list, in one transaction: each address once, known ones updated.

        Args:
            account: who owns the list.
            list_name: made if the account has none of this name.
            leads: in any number; the same address twice counts as one lead with the later values.
            saved_by: the step's idempotency key. The key that inserts a lead is kept with it, so a repeat of the step
                gives the same answer.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: the database refused, and nothing was saved.
        """
        known, left_out = _by_address(leads)
        with self._engine.begin() as connection:
            list_id = _upsert_list(connection, account, list_name)
            rows = _upsert_leads(connection, list_id, known, saved_by)
        saved = [_saved_lead(rows[email], saved_by) for email in known]
        new = sum(lead.is_new for lead in saved)
        return SaveResult(
            list_id=list_id,
            list_name=list_name,
            leads_new=new,
            leads_updated=len(saved) - new,
            leads=saved,
            left_out=left_out,
        )

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _by_address(leads: Iterable[EnrichedLead]) -> tuple[dict[str, dict[str, Any]], list[LeftOutLead]]:
    """Values to save by normalised address in the order of first mention, and the leads without a usable address."""
    known: dict[str, dict[str, Any]] = {}
    left_out = []
    for lead in leads:
        email = normalise_email(lead.email)
        if email is None:
            left_out.append(LeftOutLead(email=lead.email, reason="it is no e-mail address"))
            continue
        values = known.setdefault(email, dict.fromkeys(_LEARNED_COLUMNS))
        values.update({name: value for name, value in _learned(lead).items() if value is not None})
    return known, left_out


def _learned(lead: EnrichedLead) -> dict[str, Any]:
    values = lead.model_dump(exclude={"email", "company"})
    for name, value in (lead.company.model_dump() if lead.company else {}).items():
        values[f"company_{name}"] = None if value is None else str(value)
    return {name: None if value in ("", []) else value for name, value in values.items()}


def _upsert_list(connection: Connection, account: str, name: str) -> str:
    now = datetime.now(UTC)
    row = {"id": f"list_{uuid.uuid4().hex}", "account": account, "name": name, "created_at": now, "updated_at": now}
    statement = _insert(connection, LeadListRow).values(row)
    statement = statement.on_conflict_do_update(index_elements=["account", "name"], set_={"updated_at": now})
    return str(connection.execute(statement.returning(LeadListRow.id)).scalar_one())


def _upsert_leads(
    connection: Connection, list_id: str, leads: dict[str, dict[str, Any]], saved_by: str
) -> dict[str, dict[str, Any]]:
    if not leads:
        return {}
    now = datetime.now(UTC)
    shared = {"list_id": list_id, "first_saved_by": saved_by, "created_at": now, "updated_at": now}
    # Two saves that lock rows in the same order can't deadlock.
    rows = [{"id": f"lead_{uuid.uuid4().hex}", "email": email, **leads[email], **shared} for email in sorted(leads)]
    statement = _insert(connection, LeadRow)
    table = LeadRow.__table__.c
    learned = {name: func.coalesce(statement.excluded[name], table[name]) for name in _LEARNED_COLUMNS}
    statement = statement.on_conflict_do_update(
        index_elements=["list_id", "email"], set_={**learned, "updated_at": now}
    )
    returned = connection.execute(statement.returning(*table), rows)
    return {row["email"]: dict(row) for row in returned.mappings()}


def _insert(connection: Connection, table: type[LeadListRow | LeadRow]) -> sqlite.Insert | postgresql.Insert:
    # The two dialects share `on_conflict_do_update`, but SQLAlchemy has no common `insert` with it.
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _saved_lead(row: dict[str, Any], saved_by: str) -> SavedLead:
    return SavedLead(
        lead_id=row["id"],
        email=row["email"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        company=row["company_name"] or row["company_domain"],
        position=row["position"],
        verification_status=row["verification_status"],
        is_new=row["first_saved_by"] == saved_by,
    )
