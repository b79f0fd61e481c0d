"""Locks, lost connections and what is reported of them, on both databases."""

import contextlib
import threading

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import SQLAlchemyError

from leadplan_leads.database import open_database
from leadplan_leads.failures import failure_of
from leadplan_leads.saving import Lead, save_leads
from leadplan_leads.tables import LeadListRow
from leadplan_leads.tool_errors import database_failures_reported
from leadplan_leads.transactions import account_transaction, reading
from leadplan_responder import ToolError

ADA = Lead(email="ada@example.com", first_name="Ada")


@pytest.fixture
def impatient(leads_database_url):
    opened = open_database(leads_database_url, lock_timeout_seconds=0.1)
    yield opened
    opened.dispose()


@pytest.fixture
def postgres(postgres_url):
    opened = open_database(postgres_url, lock_timeout_seconds=0.1)
    yield opened
    opened.dispose()


def save(engine, account="a", saved_by="k", lead=ADA):
    with database_failures_reported("the leads weren't saved"):
        return save_leads(engine, account=account, list_name="Leeds", leads=[lead], saved_by=saved_by)


def failed_save(engine, account="a"):
    with pytest.raises(ToolError) as caught:
        save(engine, account)
    error = caught.value
    assert error.message.startswith("the leads weren't saved: ")
    assert "ada" not in error.message.lower()
    assert "\n" not in error.message
    return error


def list_names(engine):
    with reading(engine) as connection:
        return connection.scalars(select(LeadListRow.name)).all()


def test_writers_of_an_account_wait_for_one_another_and_report_when_it_takes_too_long(impatient):
    with account_transaction(impatient, "a"):
        error = failed_save(impatient)
    assert (error.code, error.retryable, error.retry_after) == ("database_unavailable", True, 2.0)
    assert "lock" in error.message
    assert save(impatient).leads[0].is_new


def test_readers_wait_for_nobody_and_see_only_what_is_committed(impatient):
    with account_transaction(impatient, "a") as connection:
        connection.execute(text("INSERT INTO lead_lists VALUES ('l', 'a', 'Leeds', '2026-11-02', '2026-11-02')"))
        assert list_names(impatient) == []
    assert list_names(impatient) == ["Leeds"]


def test_a_reader_sees_one_state_however_long_it_reads(impatient):
    with reading(impatient) as connection:
        count = select(LeadListRow.name)
        before = connection.scalars(count).all()
        save(impatient)
        assert connection.scalars(count).all() == before == []


def test_a_transaction_that_fails_leaves_nothing(impatient):
    with contextlib.suppress(RuntimeError), account_transaction(impatient, "a") as connection:
        connection.execute(text("INSERT INTO lead_lists VALUES ('l', 'a', 'Leeds', '2026-11-02', '2026-11-02')"))
        raise RuntimeError
    assert list_names(impatient) == []


def test_accounts_dont_wait_for_one_another_on_postgresql(postgres):
    with account_transaction(postgres, "a"):
        assert save(postgres, account="b").leads[0].is_new


def test_a_reading_transaction_on_postgresql_cant_write(postgres):
    with pytest.raises(SQLAlchemyError, match="read-only"), reading(postgres) as connection:
        connection.execute(text("DELETE FROM leads"))
    # The connection goes back to the pool as one that writes.
    assert save(postgres).leads[0].is_new


def end_all_connections(url):
    other = create_engine(url)
    with other.begin() as connection:
        ended = connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        ).all()
    other.dispose()
    return len(ended)


def test_a_connection_that_died_in_the_pool_is_replaced(postgres, postgres_url):
    save(postgres)
    assert end_all_connections(postgres_url) >= 1
    assert not save(postgres, saved_by="another key").leads[0].is_new


def test_a_connection_that_dies_in_a_save_is_reported_and_the_repeat_succeeds(postgres, postgres_url):
    def save_while_connections_end():
        with database_failures_reported("the leads weren't saved"), account_transaction(postgres, "a") as connection:
            assert end_all_connections(postgres_url) >= 1
            connection.execute(text("SELECT 1"))

    with pytest.raises(ToolError) as caught:
        save_while_connections_end()
    assert (caught.value.code, caught.value.retryable) == ("database_unavailable", True)
    assert save(postgres).leads[0].is_new


def test_a_server_that_stopped_is_reported(postgres_cluster):
    with postgres_cluster.fresh_database() as url:
        engine = open_database(url)
    error = failed_save(engine)
    assert (error.code, error.retryable) == ("database_unavailable", True)
    assert postgres_cluster.password not in error.message
    engine.dispose()


def test_a_deadlock_with_somebody_elses_transaction_is_retryable(postgres):
    """Our own transactions can't deadlock, but the database may have other users."""
    save(postgres)
    with postgres.begin() as connection:
        connection.execute(text("CREATE TABLE other (id INTEGER)"))
    failures = []
    both_hold_one = threading.Barrier(2)

    def lock(first, second):
        try:
            with postgres.begin() as connection:
                connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
                connection.execute(text(f"LOCK TABLE {first}"))
                both_hold_one.wait(10)
                connection.execute(text(f"LOCK TABLE {second}"))
        except SQLAlchemyError as error:
            failures.append(failure_of(error))

    threads = [threading.Thread(target=lock, args=pair) for pair in (("leads", "other"), ("other", "leads"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [(failure.retryable, failure.explanation) for failure in failures] == [
        (True, "the lead database said: deadlock detected")
    ]


def test_a_serialisation_failure_is_retryable(postgres):
    save(postgres)
    change = text("UPDATE lead_lists SET updated_at = updated_at")
    with postgres.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        connection.execute(text("SELECT 1 FROM lead_lists"))
        with postgres.begin() as other:
            other.execute(change)
        with pytest.raises(SQLAlchemyError) as caught:
            connection.execute(change)
    failure = failure_of(caught.value)
    assert (failure.retryable, "could not serialize access" in failure.explanation) == (True, True)


def test_a_pool_without_a_free_connection_is_retryable(postgres_url):
    small = create_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=0.01)
    with small.connect(), pytest.raises(SQLAlchemyError) as caught:
        small.connect()
    assert failure_of(caught.value).retryable
    small.dispose()


def test_what_the_database_refuses_isnt_repeated_and_quotes_no_row(impatient):
    save(impatient)
    with impatient.begin() as connection:
        connection.execute(text("CREATE UNIQUE INDEX somebodys_own ON leads (first_name)"))
    with pytest.raises(ToolError) as caught:
        save(impatient, lead=Lead(email="other@example.com", first_name="Ada"))
    error = caught.value
    assert (error.code, error.retryable) == ("database_refused", False)
    assert "example.com" not in error.message
    assert "Ada" not in error.message
