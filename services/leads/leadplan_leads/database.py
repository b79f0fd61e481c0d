"""Opening the lead database, and saying in one line without secrets why it can't be opened."""

import sqlite3
from pathlib import Path

from alembic.util.exc import CommandError
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from leadplan_leads.failures import plain_text
from leadplan_leads.schema import SchemaState, migrate, schema_state
from leadplan_leads.sqlite_connections import sqlite_engine, switch_to_wal
from leadplan_leads.transactions import LOCK_TIMEOUT_OPTION

SUPPORTED_DIALECTS = ("sqlite", "postgresql")
_CONNECT_SECONDS = 10


class DatabaseUnavailableError(Exception):
    """The database can't be used as it is configured; the message says what to change and holds no password."""


def open_database(url: str, *, lock_timeout_seconds: float = 10.0) -> Engine:
    """Connect and migrate to the newest schema.

    Several processes may do this at once: whoever finds an older schema migrates under the database's write lock (an
    advisory lock on PostgreSQL), so that all but the first find nothing left to do.

    Args:
        url: SQLAlchemy URL; a SQLite file's folder is made if it is missing.
        lock_timeout_seconds: how long a transaction waits for another one's lock.

    Raises:
        DatabaseUnavailableError: the URL or the database isn't usable.
    """
    parsed = _supported_url(url)
    engine = _engine(parsed, lock_timeout_seconds, make_folder=True)
    try:
        if parsed.get_backend_name() == "sqlite":
            switch_to_wal(engine, lock_timeout_seconds)
        if schema_state(engine) is not SchemaState.CURRENT:
            migrate(engine)
    except (SQLAlchemyError, sqlite3.Error, CommandError) as error:
        engine.dispose()
        raise _cannot_be_opened(parsed, error) from None
    return engine


def open_existing_database(url: str, *, lock_timeout_seconds: float = 10.0) -> Engine:
    """Connect to a database that has this release's schema already; nothing is made and nothing migrated.

    Raises:
        DatabaseUnavailableError: the URL isn't usable, there is no such database, or its schema is another release's.
    """
    parsed = _supported_url(url)
    shown = _shown(parsed)
    if parsed.get_backend_name() == "sqlite" and not Path(str(parsed.database)).is_file():
        raise DatabaseUnavailableError(f"there is no lead database {shown}: LEAD_LIST_SAVE makes it when it starts")
    engine = _engine(parsed, lock_timeout_seconds, make_folder=False)
    try:
        state = schema_state(engine)
    except (SQLAlchemyError, sqlite3.Error) as error:
        engine.dispose()
        raise _cannot_be_opened(parsed, error) from None
    if state is not SchemaState.CURRENT:
        engine.dispose()
        raise DatabaseUnavailableError(_OTHER_SCHEMA[state].format(shown=shown))
    return engine


_OTHER_SCHEMA = {
    SchemaState.MISSING: "the database {shown} holds no leads: LEAD_LIST_SAVE makes its tables when it starts",
    SchemaState.OLDER: "the lead database {shown} has the tables of an older release: start LEAD_LIST_SAVE of this "
    "one, which brings them up to date",
    SchemaState.NEWER: "the lead database {shown} was made by a newer release of leadplan: use that one",
}


def _supported_url(url: str) -> URL:
    try:
        parsed = make_url(url)
        dialect = parsed.get_backend_name()
    except (ArgumentError, ValueError):
        raise DatabaseUnavailableError("it is no database URL: write sqlite:///<path of a file>") from None
    if dialect not in SUPPORTED_DIALECTS:
        raise DatabaseUnavailableError(f"{dialect} isn't supported: use {' or '.join(SUPPORTED_DIALECTS)}")
    if dialect == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise DatabaseUnavailableError("a database in memory would lose the leads: write sqlite:///<path of a file>")
    if "@" in (parsed.host or ""):
        raise DatabaseUnavailableError("the URL has more than one @: write %40 for an @ in the password")
    return parsed


def _engine(url: URL, lock_timeout_seconds: float, *, make_folder: bool) -> Engine:
    try:
        if url.get_backend_name() == "sqlite":
            return sqlite_engine(url, lock_timeout_seconds=lock_timeout_seconds, make_folder=make_folder)
        connect_args = {} if "connect_timeout" in url.query else {"connect_timeout": _CONNECT_SECONDS}
        # Parameters are people's addresses: they belong in no log and no error text. The ping replaces connections
        # that the server has closed meanwhile.
        engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, connect_args=connect_args)
        return engine.execution_options(**{LOCK_TIMEOUT_OPTION: lock_timeout_seconds})
    except ModuleNotFoundError as error:
        message = f"the database driver {error.name!r} isn't installed: install it or use a sqlite:/// URL"
        raise DatabaseUnavailableError(message) from None
    except NoSuchModuleError as error:
        raise DatabaseUnavailableError(f"there is no such database driver: {error}") from None
    except (OSError, SQLAlchemyError) as error:
        raise _cannot_be_opened(url, error) from None


def _shown(url: URL) -> str:
    return url.set(query={}).render_as_string(hide_password=True)


def _cannot_be_opened(url: URL, error: Exception) -> DatabaseUnavailableError:
    if isinstance(error, CommandError):
        return DatabaseUnavailableError(_OTHER_SCHEMA[SchemaState.NEWER].format(shown=_shown(url)))
    said = plain_text(error)
    for secret in filter(None, [url.password, *(str(url.query[key]) for key in url.query if "password" in key)]):
        said = said.replace(str(secret), "***")
    return DatabaseUnavailableError(f"the lead database {_shown(url)} can't be opened: {said}")
