"""The schema's version: brought up to date by Alembic's migrations, or only looked at."""

from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Engine

from leadplan_leads.transactions import reading, wait_for_lock

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that no other program uses as an advisory lock in the same database.
_MIGRATION_LOCK_ID = 0x6C656164706C616E


class SchemaState(StrEnum):
    """How a database's schema relates to the one of this release."""

    MISSING = "missing"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"


def migrate(engine: Engine, to: str = "head") -> None:
    """Apply every migration that the database lacks up to this one, all in one transaction.

    Raises:
        alembic.util.exc.CommandError: the database was made by a newer release.
        sqlalchemy.exc.SQLAlchemyError: the database refused; nothing was changed.
    """
    config = _config()
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            wait_for_lock(connection, _MIGRATION_LOCK_ID)
        config.attributes["connection"] = connection
        command.upgrade(config, to)


def schema_state(engine: Engine) -> SchemaState:
    """Look at the version without changing anything.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database can't be read.
    """
    with reading(engine) as connection:
        revision = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    if revision is None:
        return SchemaState.MISSING
    if revision == scripts.get_current_head():
        return SchemaState.CURRENT
    try:
        scripts.get_revision(revision)
    except CommandError:
        return SchemaState.NEWER
    return SchemaState.OLDER


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config
