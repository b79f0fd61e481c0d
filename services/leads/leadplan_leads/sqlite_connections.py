"""What SQLite needs to serve several threads and processes: its locking, its journal, its foreign keys."""

import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

READ_ONLY_OPTION = "leadplan_read_only"
"""Execution option of a connection whose transactions take no write lock."""
_WAL_RETRY_SECONDS = 0.05


def sqlite_engine(url: URL, *, lock_timeout_seconds: float, make_folder: bool) -> Engine:
    """An engine whose transactions wait for one another, at most this long, also between processes.

    Raises:
        OSError: the file's folder can't be made.
    """
    if make_folder and url.database is not None and not url.database.startswith("file:"):
        Path(url.database).absolute().parent.mkdir(parents=True, exist_ok=True)
    # Parameters are people's addresses: they belong in no log and no error text.
    engine = create_engine(url, hide_parameters=True, connect_args={"timeout": lock_timeout_seconds})
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def switch_to_wal(engine: Engine, lock_timeout_seconds: float) -> None:
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


def _prepare_connection(connection: Any, _record: Any) -> None:
    # The driver begins transactions by rules of its own, and not before DDL: the `begin` event below does it instead.
    connection.isolation_level = None
    connection.execute("PRAGMA foreign_keys = ON")
    # Who asked to be forgotten must not stay readable in the file's free pages.
    connection.execute("PRAGMA secure_delete = ON")


def _begin(connection: Connection) -> None:
    # Taking the write lock first means waiting for it; a read lock that grows into a write lock fails at once instead.
    reads = connection.get_execution_options().get(READ_ONLY_OPTION, False)
    connection.exec_driver_sql("BEGIN DEFERRED" if reads else "BEGIN IMMEDIATE")
