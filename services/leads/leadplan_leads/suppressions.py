"""The suppression list of an account: addresses and whole domains that must not be contacted."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from leadplan_leads.addresses import address_digest, domains_above, normalise_domain, normalise_email
from leadplan_leads.tables import SuppressionRow
from leadplan_leads.times import in_utc

OBJECTED = "objected"
"""The reason of those who objected to processing: of them nothing but the digest is kept."""

USUAL_REASONS = (OBJECTED, "unsubscribed", "bounced", "asked", "customer")
"""Reasons that are written by leadplan or proposed to people; any other word in snake_case will do."""

_REASON = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Far below what one statement may carry: 32 766 parameters on SQLite, 65 535 on PostgreSQL.
_DIGESTS_AT_ONCE = 5000


@dataclass(frozen=True)
class Suppression:
    """An entry of the list. ``address`` (an address or a domain) is None for those who objected."""

    digest: str
    address: str | None
    reason: str
    note: str | None
    created_at: datetime


@dataclass(frozen=True)
class Unsuppressed:
    """What became of the subjects that were to be taken off the list, normalised."""

    removed: list[str]
    unknown: list[str]
    """Not on the list."""
    objected: list[str]
    """Still on the list, because the person objected."""


def normalise_subject(text: str) -> str | None:
    """An address or a domain in the form in which it is suppressed; None where the text is neither."""
    return normalise_email(text) if "@" in text.strip()[1:] else normalise_domain(text)


def is_reason(text: str) -> bool:
    """Whether a text can be a reason: a word in snake_case, at most 64 characters."""
    return _REASON.fullmatch(text) is not None


def suppressed(connection: Connection, account: str, emails: Iterable[str]) -> dict[str, str]:
    """Which addresses must not be contacted.

    An address is on the list itself, or its domain is, or a domain above that. ``objected`` goes before other
    reasons; else the entry of the address goes before that of its domain, and the nearer domain before the farther.

    Args:
        connection: in a transaction; of the account where its answer must still hold at the end.
        account: whose list.
        emails: normalised addresses, in any number.

    Returns:
        The reason by address, without those who may be contacted.
    """
    wanted = list(emails)
    subjects = {subject for email in wanted for subject in (email, *domains_above(email))}
    digests = {subject: address_digest(subject) for subject in subjects}
    reasons = reasons_of(connection, account, digests.values())
    found = {}
    if not reasons:
        return {}
    for email in wanted:
        own = [reasons[digests[subject]] for subject in (email, *domains_above(email)) if digests[subject] in reasons]
        if own:
            found[email] = OBJECTED if OBJECTED in own else own[0]
    return found


def reasons_of(connection: Connection, account: str, digests: Iterable[str]) -> dict[str, str]:
    """The reasons of those digests that are on the list."""
    columns = select(SuppressionRow.digest, SuppressionRow.reason).where(SuppressionRow.account == account)
    reasons: dict[str, str] = {}
    for some in in_parts(digests):
        rows = connection.execute(columns.where(SuppressionRow.digest.in_(some)))
        reasons.update({row.digest: row.reason for row in rows})
    return reasons


def suppress(
    connection: Connection, account: str, subjects: Collection[str], *, reason: str, note: str | None = None
) -> list[str]:
    """Put addresses and domains on the list; those that are on it get the new reason and note.

    Those who objected stay as they are: that reason is the strongest, and nothing else may be kept of them.

    Args:
        connection: in the account's transaction.
        account: whose list.
        subjects: normalised addresses and domains.
        reason: any but `OBJECTED`, for which there is `leadplan_leads.objections.record_objections`.
        note: for people.

    Returns:
        The subjects that weren't on the list before.
    """
    if reason == OBJECTED or not is_reason(reason):
        raise ValueError(f"{reason!r} can't be the reason of an entry that keeps the address")
    by_digest = {address_digest(subject): subject for subject in subjects}
    before = reasons_of(connection, account, by_digest)
    shared = {"account": account, "reason": reason, "note": note, "created_at": datetime.now(UTC)}
    put_entries(
        connection,
        [
            {"digest": digest, "address": subject, **shared}
            for digest, subject in by_digest.items()
            if before.get(digest) != OBJECTED
        ],
    )
    return [subject for digest, subject in by_digest.items() if digest not in before]


def put_entries(connection: Connection, rows: Sequence[dict[str, object]]) -> None:
    """Insert entries, or overwrite all but the time of those that are there."""
    if not rows:
        return
    # The two dialects share `on_conflict_do_update`, but SQLAlchemy has no common `insert` with it.
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(SuppressionRow)
    kept = ("address", "reason", "note")
    statement = statement.on_conflict_do_update(
        index_elements=["account", "digest"], set_={name: statement.excluded[name] for name in kept}
    )
    connection.execute(statement, rows)


def unsuppress(
    connection: Connection, account: str, subjects: Collection[str], *, objection_withdrawn: bool = False
) -> Unsuppressed:
    """Take normalised addresses and domains off the list.

    Args:
        connection: in the account's transaction.
        account: whose list.
        subjects: what to take off. A domain's entry isn't touched by an address of it, nor the other way round.
        objection_withdrawn: take off also those who objected.
    """
    digests = {subject: address_digest(subject) for subject in subjects}
    reasons = reasons_of(connection, account, digests.values())
    outcome = Unsuppressed([], [], [])
    for subject, digest in digests.items():
        if digest not in reasons:
            outcome.unknown.append(subject)
        elif reasons[digest] == OBJECTED and not objection_withdrawn:
            outcome.objected.append(subject)
        else:
            outcome.removed.append(subject)
    of_account = delete(SuppressionRow).where(SuppressionRow.account == account)
    for some in in_parts(digests[subject] for subject in outcome.removed):
        connection.execute(of_account.where(SuppressionRow.digest.in_(some)))
    return outcome


def list_suppressions(connection: Connection, account: str, *, reason: str | None = None) -> Iterator[Suppression]:
    """The entries of an account's list, newest first, read as they are asked for."""
    columns = (
        SuppressionRow.digest,
        SuppressionRow.address,
        SuppressionRow.reason,
        SuppressionRow.note,
        SuppressionRow.created_at,
    )
    statement = select(*columns).where(SuppressionRow.account == account)
    if reason is not None:
        statement = statement.where(SuppressionRow.reason == reason)
    statement = statement.order_by(SuppressionRow.created_at.desc(), SuppressionRow.address, SuppressionRow.digest)
    for row in connection.execute(statement.execution_options(yield_per=500)):
        yield Suppression(row.digest, row.address, row.reason, row.note, in_utc(row.created_at))


def in_parts(digests: Iterable[str]) -> Iterator[list[str]]:
    """What one statement can carry at a time."""
    rest = iter(digests)
    while part := list(islice(rest, _DIGESTS_AT_ONCE)):
        yield part
