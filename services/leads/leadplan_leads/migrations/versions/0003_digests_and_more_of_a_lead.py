"""People who objected are found by their digest; more is known of a lead, and where each field comes from."""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_FURTHER_TEXTS_OF_A_LEAD = (
    "company_legal_name",
    "company_founded_year",
    "company_linkedin",
    "twitter",
    "location",
    "time_zone",
)


def upgrade() -> None:
    for table in ("leads", "outreach"):
        op.add_column(table, sa.Column("digest", sa.String(64), nullable=True))
        _fill_digests(table)
        with op.batch_alter_table(table) as batch:
            batch.alter_column("digest", existing_type=sa.String(64), nullable=False)
    op.create_index("ix_leads_digest", "leads", ["digest"])
    op.create_index("ix_outreach_account_digest", "outreach", ["account", "digest"])
    for name in _FURTHER_TEXTS_OF_A_LEAD:
        op.add_column("leads", sa.Column(name, sa.Text(), nullable=True))
    op.add_column("leads", sa.Column("verified_on", sa.Date(), nullable=True))
    op.add_column("leads", sa.Column("provenance", sa.JSON(none_as_null=True), nullable=True))


def _fill_digests(table: str) -> None:
    connection = op.get_bind()
    email = sa.column("email", sa.String)
    if connection.dialect.name == "postgresql":
        digest = sa.func.encode(sa.func.sha256(sa.func.convert_to(email, "UTF8")), "hex")
    else:
        # SQLite has no such function; this one lives as long as the connection.
        driver: Any = connection.connection.dbapi_connection
        driver.create_function("sha256_hex", 1, _sha256_hex, deterministic=True)
        digest = sa.func.sha256_hex(email)
    connection.execute(sa.update(sa.table(table, email, sa.column("digest", sa.String))).values(digest=digest))


def _sha256_hex(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def downgrade() -> None:
    for name in ("provenance", "verified_on", *_FURTHER_TEXTS_OF_A_LEAD):
        op.drop_column("leads", name)
    op.drop_index("ix_outreach_account_digest", "outreach")
    op.drop_index("ix_leads_digest", "leads")
    op.drop_column("outreach", "digest")
    op.drop_column("leads", "digest")
