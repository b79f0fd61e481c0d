"""Transactions: writers of one account one after the other, readers that wait for nobody."""

import contextlib
import hashlib
from collections.abc import Iterator

from sqlalchemy import Connection, Engine, text

from leadplan_leads.sqlite_connections import READ_ONLY_OPTION

LOCK_TIMEOUT_OPTION = "leadplan_lock_timeout_seconds"
"""Execution option of an engine: how long its transactions wait for a lock (PostgreSQL; SQLite's driver knows it)."""


@contextlib.contextmanager
def account_transaction(engine: Engine, account: str) -> Iterator[Connection]:
    """A transaction that no other writer of the same account shares; committed at the end, undone on an exception.

    On SQLite it holds the write lock of the whole file, on PostgreSQL an advisory lock of the account. Both are taken
    first, so that what is read in it stays true until it is committed, and nothing in it can deadlock.

    Raises:
        sqlalchemy.exc.DBAPIError: the lock wasn't free in time, or the database refused; nothing was written.
    """
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            wait_for_lock(connection, _account_lock_id(account))
        yield connection


@contextlib.contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads, and sees the database as it was when it began. It waits for no writer.

    Raises:
        sqlalchemy.exc.DBAPIError: the database refused.
    """
    with engine.connect() as connection:
        connection.execution_options(**{READ_ONLY_OPTION: True})
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def wait_for_lock(connection: Connection, lock_id: int) -> None:
    """Take one of PostgreSQL's advisory locks until the end of the transaction.

    Raises:
        sqlalchemy.exc.OperationalError: it wasn't free within the engine's lock timeout.
    """
    seconds = connection.get_execution_options().get(LOCK_TIMEOUT_OPTION)
    if seconds is not None:
        milliseconds = {"wait": str(max(1, round(seconds * 1000)))}
        connection.execute(text("SELECT set_config('lock_timeout', :wait, true)"), milliseconds)
    connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": lock_id})


def _account_lock_id(account: str) -> int:
    digest = hashlib.sha256(f"leadplan account {account}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
