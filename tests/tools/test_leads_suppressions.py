from datetime import UTC, datetime

import pytest
from sqlalchemy import insert, select

from leadplan_leads.addresses import address_digest
from leadplan_leads.database import open_database
from leadplan_leads.objections import record_objections
from leadplan_leads.saving import Lead, save_leads
from leadplan_leads.suppressions import list_suppressions, suppress, suppressed, unsuppress
from leadplan_leads.tables import LeadRow, OutreachRow
from leadplan_leads.transactions import account_transaction, reading

ADA, BEN, EVE = "ada@example.com", "ben@shop.example.org", "eve@example.net"


@pytest.fixture
def engine(leads_database_url):
    opened = open_database(leads_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def connection(engine):
    """In a transaction of the account `a`."""
    with account_transaction(engine, "a") as opened:
        yield opened


def test_an_address_or_its_domain_or_a_domain_above_is_suppressed(connection):
    assert suppress(connection, "a", [ADA], reason="bounced") == [ADA]
    assert suppress(connection, "a", ["example.org"], reason="customer", note="since May") == ["example.org"]

    found = suppressed(connection, "a", [ADA, BEN, EVE, "ada@notexample.com", "ben@myexample.org", "x@org"])

    assert found == {ADA: "bounced", BEN: "customer"}


def test_a_domain_says_nothing_of_the_domains_above_it(connection):
    suppress(connection, "a", ["shop.example.org"], reason="customer")
    assert suppressed(connection, "a", [BEN, "ben@example.org"]) == {BEN: "customer"}


def test_the_nearest_entry_gives_the_reason_unless_somebody_objected(connection):
    suppress(connection, "a", ["example.org"], reason="customer")
    suppress(connection, "a", ["shop.example.org"], reason="asked")
    assert suppressed(connection, "a", [BEN]) == {BEN: "asked"}
    suppress(connection, "a", [BEN], reason="bounced")
    assert suppressed(connection, "a", [BEN]) == {BEN: "bounced"}
    record_objections(connection, "a", [address_digest(BEN)])
    assert suppressed(connection, "a", [BEN]) == {BEN: "objected"}


def test_accounts_have_lists_of_their_own(connection):
    suppress(connection, "a", [ADA], reason="asked")
    assert suppressed(connection, "b", [ADA]) == {}
    assert list(list_suppressions(connection, "b")) == []


def test_suppressing_again_changes_reason_and_note_but_not_who_objected(connection):
    suppress(connection, "a", [ADA], reason="asked")
    record_objections(connection, "a", [address_digest(EVE)])

    assert suppress(connection, "a", [ADA, BEN, EVE], reason="bounced", note="again") == [BEN]

    entries = {entry.address: (entry.reason, entry.note) for entry in list_suppressions(connection, "a")}
    assert entries == {ADA: ("bounced", "again"), BEN: ("bounced", "again"), None: ("objected", None)}


@pytest.mark.parametrize("reason", ["objected", "", "Two Words", "x" * 65])
def test_a_reason_that_cant_be_kept_with_an_address_is_a_mistake(connection, reason):
    with pytest.raises(ValueError, match="can't be the reason"):
        suppress(connection, "a", [ADA], reason=reason)


def test_unsuppressing_says_what_became_of_each(connection):
    suppress(connection, "a", [ADA, "example.org"], reason="asked")
    record_objections(connection, "a", [address_digest(EVE)])

    outcome = unsuppress(connection, "a", [ADA, BEN, EVE])

    assert (outcome.removed, outcome.unknown, outcome.objected) == ([ADA], [BEN], [EVE])
    assert suppressed(connection, "a", [ADA, BEN, EVE]) == {BEN: "asked", EVE: "objected"}
    assert unsuppress(connection, "a", [EVE], objection_withdrawn=True).removed == [EVE]
    assert suppressed(connection, "a", [EVE]) == {}


def test_entries_are_listed_newest_first_and_by_reason(engine):
    for subject, reason in ((ADA, "asked"), (BEN, "bounced"), (EVE, "asked")):
        with account_transaction(engine, "a") as connection:
            suppress(connection, "a", [subject], reason=reason)
    with reading(engine) as connection:
        assert [entry.address for entry in list_suppressions(connection, "a")] == [EVE, BEN, ADA]
        assert [entry.address for entry in list_suppressions(connection, "a", reason="asked")] == [EVE, ADA]


def test_thousands_are_looked_up_and_suppressed_at_once(connection):
    emails = [f"lead{number}@company{number}.example.com" for number in range(12_000)]
    suppress(connection, "a", emails[::2], reason="asked")
    assert list(suppressed(connection, "a", emails)) == emails[::2]
    assert len(unsuppress(connection, "a", emails).removed) == 6000


def test_an_objection_erases_the_person_and_leaves_a_digest(engine):
    for account, name in (("a", "Leeds"), ("a", "York"), ("b", "Leeds")):
        leads = [Lead(email=ADA), Lead(email=BEN)]
        save_leads(engine, account=account, list_name=name, leads=leads, saved_by="plan:save")
    with account_transaction(engine, "a") as connection:
        suppress(connection, "a", [ADA], reason="asked", note="Ada said so")
        for account, email, sequence in (("a", ADA, 42), ("a", ADA, 43), ("a", BEN, 42), ("b", ADA, 44)):
            row = {"account": account, "email": email, "sequence_id": sequence, "state": "added"}
            connection.execute(insert(OutreachRow).values(**row, claimed_by="key", claimed_at=datetime.now(UTC)))

        erased = record_objections(connection, "a", [address_digest(ADA)])
        repeated = record_objections(connection, "a", [address_digest(ADA)])

    assert (erased.leads, erased.sequence_ids) == (2, {42, 43})
    assert (repeated.leads, repeated.sequence_ids) == (0, frozenset())
    with reading(engine) as connection:
        (entry,) = list_suppressions(connection, "a")
        assert (entry.address, entry.reason, entry.note) == (None, "objected", None)
        assert connection.scalars(select(LeadRow.email).order_by(LeadRow.email)).all() == [ADA, BEN, BEN, BEN]
        outreach = select(OutreachRow.account, OutreachRow.email).order_by(OutreachRow.account)
        assert [tuple(row) for row in connection.execute(outreach)] == [("a", BEN), ("b", ADA)]


def test_nothing_of_the_person_stays_readable_in_the_file(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path}/leads.db")
    lead = Lead(email="unmistakable@example.com", first_name="Unmistakable")
    save_leads(engine, account="a", list_name="Leeds", leads=[lead], saved_by="k")
    with account_transaction(engine, "a") as connection:
        record_objections(connection, "a", [address_digest("unmistakable@example.com")])
    engine.dispose()  # the last connection moves the journal into the file

    assert [path.name for path in tmp_path.iterdir()] == ["leads.db"]
    assert b"nmistakable" not in (tmp_path / "leads.db").read_bytes()
