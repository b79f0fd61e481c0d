"""Alembic's entry: runs on the connection that `leadplan_leads.database.migrate` hands over."""

from alembic import context

from leadplan_leads.tables import Base

# The caller's transaction holds the whole upgrade. That works on SQLite too, where Alembic doesn't expect it.
context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
