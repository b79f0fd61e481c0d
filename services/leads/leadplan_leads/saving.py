"""Saving leads into a list: one transaction a save, and the database says what is new."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, case, func, select
from sqlalchemy.dialects import postgresql, sqlite

from leadplan_leads.addresses import address_digest, normalise_email
from leadplan_leads.objections import record_objections
from leadplan_leads.suppressions import OBJECTED, in_parts, suppressed
from leadplan_leads.tables import LeadListRow, LeadRow
from leadplan_leads.transactions import account_transaction


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What is known of a lead; None where nothing is. Field names are those of the table ``leads``."""

    email: str
    first_name: str | None = None
    last_name: str | None = None
    position: str | None = None
    seniority: str | None = None
    department: str | None = None
    company_name: str | None = None
    company_domain: str | None = None
    company_industry: str | None = None
    company_employees: str | None = None
    company_location: str | None = None
    company_legal_name: str | None = None
    company_founded_year: str | None = None
    company_linkedin: str | None = None
    phone: str | None = None
    linkedin: str | None = None
    twitter: str | None = None
    location: str | None = None
    time_zone: str | None = None
    website: str | None = None
    place_id: str | None = None
    confidence: float | None = None
    verification_status: str | None = None
    verified_on: date | None = None
    sources: list[str] | None = None
    provenance: dict[str, str] | None = None


@dataclass(frozen=True)
class SavedLead:
    """A lead as it stands in the list after a save. ``suppressed`` is the reason why it must not be contacted."""

    id: str
    email: str
    first_name: str | None
    last_name: str | None
    company_name: str | None
    company_domain: str | None
    position: str | None
    verification_status: str | None
    is_new: bool
    suppressed: str | None


@dataclass(frozen=True)
class Saved:
    """What a save did: leads in the order in which they were given, each address once."""

    list_id: str
    leads: list[SavedLead]
    unusable: list[str]
    """What was given as an address and is none."""
    objected: int
    """People who objected: not saved, and erased where they were saved before."""


_LEARNED = tuple(each.name for each in fields(Lead) if each.name != "email")
_MERGED = ("sources", "provenance")
_ROWS_A_STATEMENT = 100


@dataclass
class _Wanted:
    """The leads to save by normalised address, in the order of first mention."""

    leads: dict[str, dict[str, Any]] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)


def save_leads(
    engine: Engine,
    *,
    account: str,
    list_name: str,
    leads: Iterable[Lead],
    saved_by: str,
    objected: Collection[str] = (),
) -> Saved:
    """Put leads into a list, in one transaction: each address once, known ones updated.

    A later save adds and changes what it knows of a lead; what it doesn't know stays as it is. The same address twice
    counts as one lead with the later values.

    Args:
        engine: of a database that `leadplan_leads.database.open_database` opened.
        account: who owns the list.
        list_name: made if the account has none of this name.
        leads: in any number.
        saved_by: the step's idempotency key. The key that inserts a lead is kept with it, so a repeat of the step
            calls the same leads new.
        objected: digests of people who objected. They are put on the account's suppression list and erased from all
            its lists; whoever is there already is left out.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused, and nothing was saved.
    """
    wanted = _by_address(leads)
    with account_transaction(engine, account) as connection:
        record_objections(connection, account, objected)
        reasons = suppressed(connection, account, wanted.leads)
        left_out = {email for email, reason in reasons.items() if reason == OBJECTED}
        allowed = {email: values for email, values in wanted.leads.items() if email not in left_out}
        list_id = _upsert_list(connection, account, list_name)
        rows = _upsert_leads(connection, list_id, allowed, saved_by)
    return Saved(
        list_id=list_id,
        leads=[_saved_lead(rows[email], saved_by, reasons.get(email)) for email in allowed],
        unusable=wanted.unusable,
        objected=len({*objected, *map(address_digest, left_out)}),
    )


def _by_address(leads: Iterable[Lead]) -> _Wanted:
    wanted = _Wanted()
    for lead in leads:
        email = normalise_email(lead.email)
        if email is None:
            wanted.unusable.append(lead.email)
            continue
        values = wanted.leads.setdefault(email, dict.fromkeys(_LEARNED))
        known = {name: _storable(getattr(lead, name)) for name in _LEARNED}
        _learn(values, {name: value for name, value in known.items() if value not in (None, "", [], {})})
    return wanted


def _learn(values: dict[str, Any], known: Mapping[str, Any]) -> None:
    """Take over what a later mention knows: the same rule as `_learned_columns`, within one save."""
    merged = {name: _merged(values[name], known[name]) for name in _MERGED if name in known}
    if "verification_status" in known:
        values["verified_on"] = None
    values.update({**known, **merged})


def _merged(before: Any, after: Any) -> Any:
    """Sources: those known before, then the further ones. Provenance: of each field the later source."""
    if isinstance(after, dict):
        return {**(before or {}), **after}
    return list(dict.fromkeys([*(before or []), *(after or [])])) or None


def _storable(value: Any) -> Any:
    """Text that every database takes: PostgreSQL refuses NUL, and UTF-8 halves of surrogate pairs."""
    if isinstance(value, str):
        return value.replace("\x00", "").encode("utf-8", "replace").decode()
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item) for name, item in value.items()}
    return value


def _upsert_list(connection: Connection, account: str, name: str) -> str:
    now = datetime.now(UTC)
    row = {"id": f"list_{uuid.uuid4().hex}", "account": account, "name": name, "created_at": now, "updated_at": now}
    statement = _insert(connection, LeadListRow).values(row)
    statement = statement.on_conflict_do_update(index_elements=["account", "name"], set_={"updated_at": now})
    return str(connection.execute(statement.returning(LeadListRow.id)).scalar_one())


_RETURNED = (
    LeadRow.id,
    LeadRow.email,
    LeadRow.first_name,
    LeadRow.last_name,
    LeadRow.company_name,
    LeadRow.company_domain,
    LeadRow.position,
    LeadRow.verification_status,
    LeadRow.first_saved_by,
)


def _upsert_leads(
    connection: Connection, list_id: str, leads: dict[str, dict[str, Any]], saved_by: str
) -> dict[str, dict[str, Any]]:
    if not leads:
        return {}
    _merge_with_saved(connection, list_id, leads)
    now = datetime.now(UTC)
    shared = {"list_id": list_id, "first_saved_by": saved_by, "created_at": now, "updated_at": now}
    # A column that no lead has a value for costs a parameter a row.
    used = [name for name in _LEARNED if any(values[name] is not None for values in leads.values())]
    rows = [
        {"id": f"lead_{uuid.uuid4().hex}", "email": email, **{name: values[name] for name in used}, **shared}
        for email, values in leads.items()
    ]
    statement = _insert(connection, LeadRow)
    statement = statement.on_conflict_do_update(
        index_elements=["list_id", "email"], set_={**_learned_columns(statement), "updated_at": now}
    )
    # Many rows a statement, but far from all of them: a driver reads a short text faster, and it has to fit the limits
    # of parameters (32 766 on SQLite, 65 535 on PostgreSQL).
    returned = connection.execute(
        statement.returning(*_RETURNED), rows, execution_options={"insertmanyvalues_page_size": _ROWS_A_STATEMENT}
    )
    return {row["email"]: dict(row) for row in returned.mappings()}


def _merge_with_saved(connection: Connection, list_id: str, leads: dict[str, dict[str, Any]]) -> None:
    """Add the sources and the provenance that the list has already: the account's lock is held, so they stay."""
    columns = select(LeadRow.email, LeadRow.sources, LeadRow.provenance).where(LeadRow.list_id == list_id)
    for some in in_parts(leads):
        for row in connection.execute(columns.where(LeadRow.email.in_(some))).mappings():
            values = leads[row["email"]]
            for name in _MERGED:
                if values[name] is not None and row[name] is not None:
                    values[name] = _merged(row[name], values[name])


def _learned_columns(statement: sqlite.Insert | postgresql.Insert) -> dict[str, ColumnElement[Any]]:
    """What an update sets: the new value where there is one, else the old one."""
    saved = LeadRow.__table__.c
    new = statement.excluded
    columns: dict[str, ColumnElement[Any]] = {name: func.coalesce(new[name], saved[name]) for name in _LEARNED}
    # The day belongs to the status: a new status without a day must not get the day of the old one.
    no_status = new["verification_status"].is_(None)
    columns["verified_on"] = case((no_status, saved["verified_on"]), else_=new["verified_on"])
    return columns


def _insert(connection: Connection, table: type[LeadListRow | LeadRow]) -> sqlite.Insert | postgresql.Insert:
    # The two dialects share `on_conflict_do_update`, but SQLAlchemy has no common `insert` with it.
    return postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)


def _saved_lead(row: dict[str, Any], saved_by: str, reason: str | None) -> SavedLead:
    values = {name: value for name, value in row.items() if name != "first_saved_by"}
    return SavedLead(**values, is_new=row["first_saved_by"] == saved_by, suppressed=reason)
