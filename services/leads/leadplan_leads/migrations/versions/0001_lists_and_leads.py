"""Lists and leads."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "lead_lists",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("account", sa.String(256), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_lead_lists"),
        sa.UniqueConstraint("account", "name", name="uq_lead_lists_account_name"),
    )
    texts_of_a_lead = (
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
        "verification_status",
    )
    op.create_table(
        "leads",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("list_id", sa.String(64), nullable=False),
        sa.Column("email", sa.String(320), nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in texts_of_a_lead),
        sa.Column("confidence", sa.Float(), nullable=True),
        sa.Column("sources", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("first_saved_by", sa.String(256), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_leads"),
        sa.ForeignKeyConstraint(["list_id"], ["lead_lists.id"], name="fk_leads_list_id", ondelete="CASCADE"),
        sa.UniqueConstraint("list_id", "email", name="uq_leads_list_id_email"),
    )


def downgrade() -> None:
    op.drop_table("leads")
    op.drop_table("lead_lists")
