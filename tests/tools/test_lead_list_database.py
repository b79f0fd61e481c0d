import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import select

from leadplan_lead_list.models import EnrichedLead
from leadplan_lead_list.store import LeadStore
from leadplan_leads.addresses import normalise_email
from leadplan_leads.database import DatabaseUnavailableError, migrate, open_database
from leadplan_leads.tables import Base, LeadRow


@pytest.fixture
def engine(tmp_path):
    opened = open_database(f"sqlite:///{tmp_path}/leads.db")
    yield opened
    opened.dispose()


def test_the_migrations_lead_to_the_tables_that_the_code_uses(engine):
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


def test_migrating_again_changes_nothing(engine):
    LeadStore(engine).save(account="a", list_name="l", leads=[EnrichedLead(email="ada@example.com")], saved_by="k")

    migrate(engine)

    with engine.connect() as connection:
        assert connection.scalars(select(LeadRow.email)).all() == ["ada@example.com"]


def test_a_migration_that_breaks_off_leaves_nothing_behind(tmp_path):
    url = f"sqlite:///{tmp_path}/leads.db"
    engine = open_database(url)
    with engine.begin() as connection:
        # Back to before the first migration, except that its second table is in the way.
        connection.exec_driver_sql("DROP TABLE lead_lists")
        connection.exec_driver_sql("DELETE FROM alembic_version")
    engine.dispose()

    with pytest.raises(DatabaseUnavailableError, match="leads already exists"):
        open_database(url)
    with engine.connect() as connection:
        names = connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table'").scalars().all()
    engine.dispose()
    assert "lead_lists" not in names


def test_a_database_of_a_newer_release_is_refused(tmp_path):
    url = f"sqlite:///{tmp_path}/leads.db"
    engine = open_database(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()

    with pytest.raises(DatabaseUnavailableError, match="newer release"):
        open_database(url)


def test_everything_that_is_known_of_a_lead_is_kept(engine):
    lead = EnrichedLead.model_validate(
        {
            "email": "ada@example.com",
            "firstName": "Ada",
            "lastName": "Lovelace",
            "position": "Owner",
            "seniority": "executive",
            "department": "management",
            "company": {"name": "B", "domain": "b.uk", "industry": "Health", "employees": 12, "location": "Leeds, GB"},
            "phone": "+44 113 496 0000",
            "linkedin": "https://www.linkedin.com/in/ada",
            "website": "https://b.uk",
            "placeId": "place-1",
            "confidence": 97.5,
            "verificationStatus": "valid",
            "sources": ["domain-search"],
        }
    )

    LeadStore(engine).save(account="a", list_name="l", leads=[lead], saved_by="plan:save")
    # A later save that knows nothing but the address erases nothing.
    LeadStore(engine).save(account="a", list_name="l", leads=[EnrichedLead(email="ada@example.com")], saved_by="other")

    with engine.connect() as connection:
        row = connection.execute(select(LeadRow.__table__)).mappings().one()
    kept = {name: row[name] for name in row if name not in ("id", "list_id", "created_at", "updated_at")}
    assert kept == {
        "email": "ada@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "position": "Owner",
        "seniority": "executive",
        "department": "management",
        "company_name": "B",
        "company_domain": "b.uk",
        "company_industry": "Health",
        "company_employees": "12",
        "company_location": "Leeds, GB",
        "phone": "+44 113 496 0000",
        "linkedin": "https://www.linkedin.com/in/ada",
        "website": "https://b.uk",
        "place_id": "place-1",
        "confidence": 97.5,
        "verification_status": "valid",
        "sources": ["domain-search"],
        "first_saved_by": "plan:save",
    }
    assert row["updated_at"] > row["created_at"]


@pytest.mark.parametrize(
    ("given", "normalised"),
    [
        (" Ada.Lovelace+x@Example.COM\n", "ada.lovelace+x@example.com"),
        ("info@Bücher.de", "info@xn--bcher-kva.de"),
        ("u\u0308@example.com", "\u00fc@example.com"),
        ("", None),
        ("ada", None),
        ("@example.com", None),
        ("ada@", None),
        ("a da@example.com", None),
        ("ada@exa mple.com", None),
        ("ada@..", None),
        (f"{'x' * 320}@example.com", None),
    ],
)
def test_addresses_are_compared_in_one_form(given, normalised):
    assert normalise_email(given) == normalised
