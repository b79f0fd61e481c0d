import subprocess
import sys

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect, select, text

from leadplan_leads import schema
from leadplan_leads.addresses import address_digest
from leadplan_leads.database import DatabaseUnavailableError, open_database, open_existing_database
from leadplan_leads.saving import Lead, save_leads
from leadplan_leads.schema import SchemaState, migrate, schema_state
from leadplan_leads.tables import Base, LeadRow, OutreachRow
from leadplan_leads.transactions import reading


@pytest.fixture
def engine(missing_leads_database_url):
    """A database without any tables yet."""
    empty = create_engine(missing_leads_database_url)
    yield empty
    empty.dispose()


def differences(engine):
    with engine.connect() as connection:
        return compare_metadata(MigrationContext.configure(connection), Base.metadata)


def test_the_migrations_lead_to_the_tables_that_the_code_uses(engine):
    migrate(engine)
    assert differences(engine) == []


def test_the_comparison_of_tables_sees_a_missing_column(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE leads DROP COLUMN position"))
    assert [difference[0] for difference in differences(engine)] == ["add_column"]


def test_migrating_again_changes_nothing(engine, missing_leads_database_url):
    opened = open_database(missing_leads_database_url)
    save_leads(opened, account="a", list_name="l", leads=[Lead(email="ada@example.com")], saved_by="k")

    migrate(opened)

    with reading(opened) as connection:
        assert connection.scalars(select(LeadRow.email)).all() == ["ada@example.com"]
    opened.dispose()


def test_data_of_the_first_release_is_kept_and_completed(engine, missing_leads_database_url):
    migrate(engine, to="0001")
    at = "'2026-11-02 08:00:00'"
    with engine.begin() as connection:
        connection.execute(text(f"INSERT INTO lead_lists VALUES ('list_1', 'acct_1', 'Leeds', {at}, {at})"))
        connection.execute(
            text(
                "INSERT INTO leads (id, list_id, email, first_name, sources, first_saved_by, created_at, updated_at) "
                f"VALUES ('lead_1', 'list_1', 'ada@example.com', 'Ada', '[\"finder\"]', 'plan_1:save', {at}, {at})"
            )
        )
    migrate(engine, to="0002")
    with engine.begin() as connection:
        columns = "account, email, sequence_id, state, claimed_by, claimed_at"
        values = f"'acct_1', 'ada@example.com', 42, 'added', 'plan_1:outreach', {at}"
        connection.execute(text(f"INSERT INTO outreach ({columns}) VALUES ({values})"))

    opened = open_database(missing_leads_database_url)

    assert differences(opened) == []
    with reading(opened) as connection:
        digests = [*connection.scalars(select(LeadRow.digest)), *connection.scalars(select(OutreachRow.digest))]
        lead = connection.execute(select(LeadRow.__table__)).mappings().one()
    assert digests == [address_digest("ada@example.com")] * 2
    assert (lead["first_name"], lead["sources"], lead["created_at"].year) == ("Ada", ["finder"], 2026)
    again = save_leads(opened, account="acct_1", list_name="Leeds", leads=[Lead(email="ada@example.com")], saved_by="k")
    assert [(saved.id, saved.is_new) for saved in again.leads] == [("lead_1", False)]
    opened.dispose()


def test_each_migration_can_be_taken_back(engine):
    migrate(engine)
    config = schema._config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    assert schema_state(engine) is SchemaState.OLDER
    migrate(engine)
    assert differences(engine) == []


def test_a_migration_that_breaks_off_leaves_nothing_behind(engine, missing_leads_database_url):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE leads (id INTEGER)"))

    # The first migration makes another table before it finds this one in its way.
    with pytest.raises(DatabaseUnavailableError, match=r'"?leads"? already exists'):
        open_database(missing_leads_database_url)
    assert "lead_lists" not in inspect(engine).get_table_names()


@pytest.mark.parametrize("opening", [open_database, open_existing_database])
def test_a_database_of_a_newer_release_is_refused_with_one_line(engine, missing_leads_database_url, opening):
    migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(DatabaseUnavailableError, match="was made by a newer release") as caught:
        opening(missing_leads_database_url)
    assert "\n" not in str(caught.value)


def test_reading_an_older_or_an_empty_database_says_what_brings_it_up_to_date(engine, missing_leads_database_url):
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE something_else (id INTEGER)"))
    with pytest.raises(DatabaseUnavailableError, match="holds no leads: LEAD_LIST_SAVE makes its tables"):
        open_existing_database(missing_leads_database_url)

    migrate(engine, to="0002")
    with pytest.raises(DatabaseUnavailableError, match="older release: start LEAD_LIST_SAVE"):
        open_existing_database(missing_leads_database_url)
    assert schema_state(engine) is SchemaState.OLDER

    migrate(engine)
    open_existing_database(missing_leads_database_url).dispose()


_SAVE_IN_A_PROCESS = """
import sys
from leadplan_leads.database import open_database
from leadplan_leads.saving import Lead, save_leads

print("ready", flush=True)
url, number = sys.stdin.readline().split()
engine = open_database(url)
# Overlapping parts of 100 leads, in an order of each process's own.
first = 20 * int(number)
leads = [Lead(email=f"lead{number}@example.com") for number in range(first, first + 40)]
if int(number) % 2:
    leads.reverse()
saved = save_leads(engine, account="acct_1", list_name="Leeds", leads=leads, saved_by=f"plan_{number}:save")
print(sum(lead.is_new for lead in saved.leads))
engine.dispose()
"""


def test_replicas_that_start_at_once_migrate_once_and_count_each_lead_once(missing_leads_database_url):
    # Processes, since each replica is one: SQLite's locks work between them. They load first, then go at once.
    command = [sys.executable, "-c", _SAVE_IN_A_PROCESS]
    replicas = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    try:
        assert [replica.stdout.readline() for replica in replicas] == ["ready\n"] * 4
        for number, replica in enumerate(replicas):
            replica.stdin.write(f"{missing_leads_database_url} {number}\n")
            replica.stdin.flush()
        answers = [replica.communicate(timeout=60) for replica in replicas]
    finally:
        for replica in replicas:
            replica.kill()
            replica.wait()
    assert sum(int(new) for new, _ in answers) == 100, answers
