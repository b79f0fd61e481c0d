import threading
from datetime import date

import pytest
from sqlalchemy import select

from leadplan_leads.addresses import address_digest
from leadplan_leads.database import open_database
from leadplan_leads.saving import Lead, save_leads
from leadplan_leads.tables import LeadRow
from leadplan_leads.transactions import reading

EVERYTHING = Lead(
    email="Ada@example.com",
    first_name="Ada",
    last_name="Lovelace",
    position="Owner",
    seniority="executive",
    department="management",
    company_name="Bright Dental",
    company_domain="bright.example.com",
    company_industry="Health",
    company_employees="11-50",
    company_location="Leeds, GB",
    company_legal_name="Bright Dental Ltd",
    company_founded_year="1999",
    company_linkedin="https://www.linkedin.com/company/bright",
    phone="+44 113 496 0000",
    linkedin="https://www.linkedin.com/in/ada",
    twitter="ada",
    location="Leeds",
    time_zone="Europe/London",
    website="https://bright.example.com",
    place_id="place-1",
    confidence=97.5,
    verification_status="valid",
    verified_on=date(2026, 11, 2),
    sources=["domain_search"],
    provenance={"position": "domain_search"},
)


@pytest.fixture
def engine(leads_database_url):
    opened = open_database(leads_database_url)
    yield opened
    opened.dispose()


def save(engine, *leads, saved_by="plan_1:save", list_name="Leeds"):
    return save_leads(engine, account="a", list_name=list_name, leads=leads, saved_by=saved_by)


def saved_row(engine):
    with reading(engine) as connection:
        return dict(connection.execute(select(LeadRow.__table__)).mappings().one())


def test_everything_that_is_known_of_a_lead_is_kept(engine):
    save(engine, EVERYTHING)
    # A later save that knows nothing but the address erases nothing.
    save(engine, Lead(email="ada@example.com", first_name="", sources=[], provenance={}), saved_by="plan_2:save")

    row = saved_row(engine)
    of_the_row = ("id", "list_id", "created_at", "updated_at")
    assert {name: value for name, value in row.items() if name not in of_the_row} == {
        **vars(EVERYTHING),
        "email": "ada@example.com",
        "digest": address_digest("ada@example.com"),
        "first_saved_by": "plan_1:save",
    }
    assert row["updated_at"] > row["created_at"]


def test_sources_and_provenance_grow(engine):
    save(engine, EVERYTHING)
    later = {"phone": "person_enrichment", "position": "person_enrichment"}
    learned = Lead(email="ada@example.com", phone="+44 1", sources=["verifier", "domain_search"], provenance=later)
    save(engine, learned, saved_by="plan_2:save")

    row = saved_row(engine)
    assert row["sources"] == ["domain_search", "verifier"]
    assert row["provenance"] == later


@pytest.mark.parametrize("at_once", [False, True])
def test_a_new_verification_without_a_day_doesnt_get_the_day_of_the_old_one(engine, at_once):
    newer = Lead(email="ada@example.com", verification_status="invalid")
    if at_once:
        save(engine, EVERYTHING, newer)
    else:
        save(engine, EVERYTHING)
        save(engine, newer)
    row = saved_row(engine)
    assert (row["verification_status"], row["verified_on"]) == ("invalid", None)


def test_a_lead_of_two_lists_is_new_to_each(engine):
    first, second = save(engine, EVERYTHING, list_name="Leeds"), save(engine, EVERYTHING, list_name="York")
    assert first.leads[0].is_new
    assert second.leads[0].is_new
    assert first.leads[0].id != second.leads[0].id


@pytest.mark.parametrize("empty", [[], [Lead(email="no address")]])
def test_a_save_of_nobody_makes_the_list(engine, empty):
    first = save(engine, *empty)
    assert (first.leads, first.unusable) == ([], [lead.email for lead in empty])
    assert save(engine, EVERYTHING).list_id == first.list_id


def test_overlapping_saves_at_once_count_each_lead_once(engine):
    """Threads of one process, as a responder's saves run; processes are in test_leads_schema.py."""
    outcomes = []
    go = threading.Barrier(6)

    def save_a_part(number):
        leads = [Lead(email=f"lead{index}@example.com") for index in range(20 * number, 20 * number + 60)]
        go.wait(10)
        outcomes.append(save(engine, *(reversed(leads) if number % 2 else leads), saved_by=f"plan_{number}:save"))

    threads = [threading.Thread(target=save_a_part, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(outcomes) == 6
    assert sum(lead.is_new for outcome in outcomes for lead in outcome.leads) == 160
    ids = {lead.email: lead.id for outcome in outcomes for lead in outcome.leads}
    assert all(ids[lead.email] == lead.id for outcome in outcomes for lead in outcome.leads)


def test_ten_thousand_leads_are_saved_at_once(engine):
    leads = [Lead(email=f"lead{n}@company{n // 4}.example.com", first_name="A", position="B") for n in range(10_000)]

    first = save(engine, *leads)
    again = save(engine, *reversed(leads), saved_by="plan_2:save")

    assert sum(lead.is_new for lead in first.leads) == 10_000
    assert [lead.email for lead in again.leads] == [lead.email for lead in reversed(leads)]
    assert not any(lead.is_new for lead in again.leads)
