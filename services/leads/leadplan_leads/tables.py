"""The tables, as the newest migration leaves them (a test compares the two).

Times are UTC; SQLite keeps them without an offset.
"""

from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Index,
    MetaData,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from leadplan_leads.addresses import address_digest

# Named constraints can be altered by later migrations on every database.
_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of the tables."""

    metadata = MetaData(naming_convention=_NAMES)


def _digest_of_email(context: DefaultExecutionContext) -> str:
    """Fills ``digest`` wherever a row with an ``email`` is inserted."""
    parameters: dict[str, Any] = context.get_current_parameters()  # type: ignore[no-untyped-call]  # not annotated there
    return address_digest(parameters["email"])


class LeadListRow(Base):
    """A list of leads: one name in one account."""

    __tablename__ = "lead_lists"
    __table_args__ = (UniqueConstraint("account", "name"),)

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    account: Mapped[str] = mapped_column(String(256))
    name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LeadRow(Base):
    """A lead of a list, unique by its normalised e-mail address.

    ``first_saved_by`` is the idempotency key of the step that inserted the row: a repeat of that step finds its key
    there and calls the lead new again, every other step finds it known. By ``digest`` (of the address) a person who
    objected is found, of whom nothing else is known. ``verified_on`` is the day of ``verification_status``;
    ``provenance`` names the source of each field that has one.
    """

    __tablename__ = "leads"
    __table_args__ = (UniqueConstraint("list_id", "email"), Index(None, "digest"))

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    list_id: Mapped[str] = mapped_column(ForeignKey("lead_lists.id", ondelete="CASCADE"))
    email: Mapped[str] = mapped_column(String(320))
    digest: Mapped[str] = mapped_column(String(64), default=_digest_of_email)
    first_name: Mapped[str | None] = mapped_column(Text)
    last_name: Mapped[str | None] = mapped_column(Text)
    position: Mapped[str | None] = mapped_column(Text)
    seniority: Mapped[str | None] = mapped_column(Text)
    department: Mapped[str | None] = mapped_column(Text)
    company_name: Mapped[str | None] = mapped_column(Text)
    company_domain: Mapped[str | None] = mapped_column(Text)
    company_industry: Mapped[str | None] = mapped_column(Text)
    company_employees: Mapped[str | None] = mapped_column(Text)
    company_location: Mapped[str | None] = mapped_column(Text)
    company_legal_name: Mapped[str | None] = mapped_column(Text)
    company_founded_year: Mapped[str | None] = mapped_column(Text)
    company_linkedin: Mapped[str | None] = mapped_column(Text)
    phone: Mapped[str | None] = mapped_column(Text)
    linkedin: Mapped[str | None] = mapped_column(Text)
    twitter: Mapped[str | None] = mapped_column(Text)
    location: Mapped[str | None] = mapped_column(Text)
    time_zone: Mapped[str | None] = mapped_column(Text)
    website: Mapped[str | None] = mapped_column(Text)
    place_id: Mapped[str | None] = mapped_column(Text)
    confidence: Mapped[float | None] = mapped_column(Float)
    verification_status: Mapped[str | None] = mapped_column(Text)
    verified_on: Mapped[date | None] = mapped_column(Date)
    sources: Mapped[list[Any] | None] = mapped_column(JSON(none_as_null=True))
    provenance: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    first_saved_by: Mapped[str] = mapped_column(String(256))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    updated_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class SuppressionRow(Base):
    """An address, or a whole domain, that must not be contacted.

    ``digest`` is the SHA-256 of the normalised address, or of the domain. ``address`` is what it was made of; it is
    empty where the person objected to processing: then nothing but the digest is kept.
    """

    __tablename__ = "suppressions"

    account: Mapped[str] = mapped_column(String(256), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    address: Mapped[str | None] = mapped_column(String(320))
    reason: Mapped[str] = mapped_column(String(64))
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class OutreachRow(Base):
    """That an address was, or is about to be, put into a sequence: written before the provider is asked to.

    `leadplan_leads.outreach` says what ``state`` can be. ``claimed_by`` is the idempotency key of the step.
    """

    __tablename__ = "outreach"
    __table_args__ = (Index(None, "account", "digest"),)

    account: Mapped[str] = mapped_column(String(256), primary_key=True)
    email: Mapped[str] = mapped_column(String(320), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), default=_digest_of_email)
    sequence_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    claimed_by: Mapped[str] = mapped_column(String(256))
    reason: Mapped[str | None] = mapped_column(Text)
    claimed_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    settled_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
