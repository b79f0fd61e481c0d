"""Opening the database: the engine, SQLite's locking, and the schema brought up to date."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

SUPPORTED_DIALECTS = ("sqlite", "postgresql")
_WAL_RETRY_SECONDS = 0.05
_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that no other program uses as an advisory lock in the same database.
_MIGRATION_LOCK_ID = 0x6C656164706C616E


class DatabaseUnavailableError(Exception):
    """The database can't be used as it is configured; the message says what to change and holds no password."""


def open_database(url: str, *, lock_timeout_seconds: float = 10.0) -> Engine:
    """Connect and migrate to the newest schema.

    Several processes may do this at once: the first one migrates under the database's write lock (an advisory lock on
    PostgreSQL), the others wait for it and find nothing left to do.

    Args:
        url: SQLAlchemy URL; a SQLite file's folder is made if it is missing.
        lock_timeout_seconds: how long a transaction waits for another one's write lock (SQLite only).

    Raises:
        DatabaseUnavailableError: the URL or the database isn't usable.
    """
    parsed = _supported_url(url)
    try:
        engine = _create_engine(parsed, lock_timeout_seconds)
    except ModuleNotFoundError as error:
        message = f"the database driver {error.name!r} isn't installed: install it or use a sqlite:/// URL"
        raise DatabaseUnavailableError(message) from None
    except NoSuchModuleError as error:
        raise DatabaseUnavailableError(f"there is no such database driver: {error}") from None
    except OSError as error:
        raise _cannot_be_opened(parsed, error) from error
    try:
        if parsed.get_backend_name() == "sqlite":
            _switch_to_wal(engine, lock_timeout_seconds)
        migrate(engine)
    except (SQLAlchemyError, sqlite3.Error, CommandError) as error:
        engine.dispose()
        raise _cannot_be_opened(parsed, error) from error
    return engine


def _cannot_be_opened(url: URL, error: Exception) -> DatabaseUnavailableError:
    shown = url.set(query={}).render_as_string(hide_password=True)
    if isinstance(error, CommandError):
        return DatabaseUnavailableError(f"the lead database {shown} was made by a newer release of leadplan: {error}")
    return DatabaseUnavailableError(
        f"the lead database {shown} can't be opened: {getattr(error, 'orig', None) or error}"
    )


def migrate(engine: Engine) -> None:
    """Apply every migration that the database lacks, all in one transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: the database refused; nothing was changed.
    """
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK_ID})
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def _supported_url(url: str) -> URL:
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
    except ArgumentError:
        raise DatabaseUnavailableError("it is no database URL: write sqlite:///<path of a file>") from None
    if dialect not in SUPPORTED_DIALECTS:
        raise DatabaseUnavailableError(f"{dialect} isn't supported: use {' or '.join(SUPPORTED_DIALECTS)}")
    if dialect == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseUnavailableError("a database in memory would lose the leads: write sqlite:///<path of a file>")
    return parsed


def _create_engine(url: URL, lock_timeout_seconds: float) -> Engine:
    # Parameters are people's addresses: they belong in no log and no error text.
    if url.get_backend_name() != "sqlite":
        return create_engine(url, hide_parameters=True, pool_pre_ping=True)
    if url.database is not None and not url.database.startswith("file:"):
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": lock_timeout_seconds})
    event.listen(engine, "connect", _prepare_sqlite_connection)
    event.listen(engine, "begin", _begin_sqlite_write)
    return engine


def _prepare_sqlite_connection(connection: Any, _record: Any) -> None:
    # The driver begins transactions by rules of its own, and not before DDL: the `begin` event below does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")


def _switch_to_wal(engine: Engine, lock_timeout_seconds: float) -> None:
    """Let readers go on while one writes; the file remembers it.

    SQLite doesn't wait for locks here, and processes that start together on a new file refuse one another: try again.
    """
    give_up_at = time.monotonic() + lock_timeout_seconds
    connection = engine.raw_connection()
    try:
        while True:
            try:
                connection.cursor().execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                    raise
                time.sleep(_WAL_RETRY_SECONDS)
    finally:
        connection.close()


def _begin_sqlite_write(connection: Connection) -> None:
    # Taking the write lock first means waiting for it; a read lock that grows into a write lock fails at once instead.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
