"""The ledger of outreach, on SQLite and PostgreSQL."""

import threading
from datetime import timedelta

import pytest

from leadplan_leads.database import open_database
from leadplan_leads.outreach import FOUND, Asked, Claimant, OutreachState, outreach_to, settle_abandoned
from leadplan_leads.transactions import account_transaction, reading

ACCOUNT = "acct_3"
ADA, BEN, EVA = (f"{name}@a.com" for name in ("ada", "ben", "eva"))
MINE = Claimant(ACCOUNT, 42, "plan_a:outreach")
OTHER = Claimant(ACCOUNT, 42, "plan_b:outreach")
ELSEWHERE = Claimant(ACCOUNT, 7, "plan_c:outreach")


@pytest.fixture
def engine(leads_database_url):
    engine = open_database(leads_database_url)
    yield engine
    engine.dispose()


@pytest.fixture
def write(engine):
    def run(work, account=ACCOUNT):
        with account_transaction(engine, account) as connection:
            return work(connection)

    return run


@pytest.fixture
def states(engine):
    def read(account=ACCOUNT):
        with reading(engine) as connection:
            found = outreach_to(connection, account, [ADA, BEN, EVA])
        return {
            (one.email, one.sequence_id): (str(one.state), one.claimed_by, one.reason)
            for some in found.values()
            for one in some
        }

    return read


def test_an_address_goes_from_claimed_over_asked_to_added(write, states):
    write(lambda c: MINE.claim(c, [ADA, BEN]))
    assert states() == {(ADA, 42): ("claimed", MINE.key, None), (BEN, 42): ("claimed", MINE.key, None)}
    assert write(lambda c: MINE.ask(c, [ADA])) == Asked([ADA], [ADA])
    assert states()[ADA, 42][0] == "asked"
    write(lambda c: MINE.settle_added(c, [ADA]))
    assert states()[ADA, 42] == ("added", MINE.key, None)


def test_asking_again_says_who_was_asked_for_before(write):
    write(lambda c: MINE.claim(c, [ADA, BEN]))
    write(lambda c: MINE.ask(c, [ADA]))
    assert write(lambda c: MINE.ask(c, [BEN, ADA])) == Asked([BEN, ADA], [BEN])


def test_a_claim_takes_nothing_from_another_step_nor_undoes_what_is_settled(write, states):
    write(lambda c: OTHER.claim(c, [ADA, BEN]))
    write(lambda c: OTHER.settle_added(c, [BEN]))
    write(lambda c: MINE.claim(c, [ADA, BEN, EVA]))
    assert {email: by for (email, _), (_, by, _) in states().items()} == {ADA: OTHER.key, BEN: OTHER.key, EVA: MINE.key}
    assert write(lambda c: MINE.ask(c, [ADA, BEN, EVA])) == Asked([EVA], [EVA])


def test_a_refused_address_can_be_claimed_anew(write, states):
    write(lambda c: OTHER.claim(c, [ADA]))
    write(lambda c: OTHER.settle_refused(c, {ADA: "invalid"}))
    assert states()[ADA, 42] == ("refused", OTHER.key, "invalid")
    write(lambda c: MINE.claim(c, [ADA]))
    assert states()[ADA, 42] == ("claimed", MINE.key, None)


def test_settling_keeps_the_reasons_and_touches_only_what_is_this_steps(write, states):
    write(lambda c: MINE.claim(c, [ADA, BEN]))
    write(lambda c: OTHER.claim(c, [EVA]))
    write(lambda c: MINE.settle_refused(c, {ADA: "bounced", EVA: "bounced"}))
    write(lambda c: MINE.settle_found(c, [BEN, EVA]))
    assert states() == {
        (ADA, 42): ("refused", MINE.key, "bounced"),
        (BEN, 42): ("added", MINE.key, FOUND),
        (EVA, 42): ("claimed", OTHER.key, None),
    }


def test_what_the_provider_added_for_this_step_is_its_own_even_if_another_took_the_entry_over(write, states):
    write(lambda c: OTHER.claim(c, [ADA]))
    write(lambda c: MINE.settle_added(c, [ADA]))
    assert states()[ADA, 42] == ("added", MINE.key, None)


def test_release_gives_up_only_what_nobody_was_asked_for(write, states):
    write(lambda c: MINE.claim(c, [ADA, BEN, EVA]))
    write(lambda c: MINE.ask(c, [BEN, EVA]))
    write(lambda c: MINE.withdraw(c, [EVA]))
    assert write(MINE.release) == 2
    assert states() == {(BEN, 42): ("asked", MINE.key, None)}


def test_entries_are_those_of_the_step_alone(write, engine):
    for claimant, email in ((MINE, ADA), (OTHER, BEN), (ELSEWHERE, ADA)):
        write(lambda c, claimant=claimant, email=email: claimant.claim(c, [email]))
    with reading(engine) as connection:
        [entry] = MINE.entries(connection)
        both = outreach_to(connection, ACCOUNT, [ADA])[ADA]
    assert (entry.email, entry.sequence_id, entry.state) == (ADA, 42, OutreachState.CLAIMED)
    assert entry.claimed_at.utcoffset() == timedelta(0)
    assert [one.sequence_id for one in both] == [42, 7]


def test_accounts_see_nothing_of_one_another(write, states):
    stranger = Claimant("acct_other", 42, MINE.key)
    write(lambda c: MINE.claim(c, [ADA]))
    write(lambda c: stranger.claim(c, [ADA]), "acct_other")
    write(stranger.release, "acct_other")
    assert (states(), states("acct_other")) == ({(ADA, 42): ("claimed", MINE.key, None)}, {})


def test_abandoned_entries_are_settled_by_what_the_provider_has(write, states, engine):
    write(lambda c: OTHER.claim(c, [ADA, BEN]))
    write(lambda c: OTHER.ask(c, [ADA, BEN]))
    with reading(engine) as connection:
        entries = OTHER.entries(connection)
    write(lambda c: settle_abandoned(c, ACCOUNT, entries, {ADA}))
    assert states() == {(ADA, 42): ("added", OTHER.key, None)}


def test_an_abandoned_entry_that_moved_on_meanwhile_stays(write, states, engine):
    write(lambda c: OTHER.claim(c, [ADA, BEN]))
    with reading(engine) as connection:
        entries = OTHER.entries(connection)
    write(lambda c: OTHER.ask(c, [ADA]))
    write(lambda c: settle_abandoned(c, ACCOUNT, entries, set()))
    assert states() == {(ADA, 42): ("asked", OTHER.key, None)}


def test_thousands_of_addresses_fit(write, engine):
    emails = [f"lead{number}@a.com" for number in range(12_000)]
    write(lambda c: MINE.claim(c, emails))
    write(lambda c: MINE.settle_added(c, emails))
    with reading(engine) as connection:
        assert len(outreach_to(connection, ACCOUNT, emails)) == 12_000


def test_of_two_steps_that_choose_the_same_person_at_the_same_moment_one_gets_them(engine, states):
    """Each looks who is free and claims them, as the tool does, for a sequence of its own."""
    steps = [Claimant(ACCOUNT, number, f"plan_{number}:outreach") for number in range(1, 9)]
    together = threading.Barrier(len(steps))
    got = {}

    def choose(step):
        together.wait(10)
        with account_transaction(engine, ACCOUNT) as connection:
            taken = outreach_to(connection, ACCOUNT, [ADA, BEN])
            free = [email for email in (ADA, BEN) if email not in taken]
            step.claim(connection, free)
            got[step.sequence_id] = free

    threads = [threading.Thread(target=choose, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(len(free) for free in got.values()) == [0] * 7 + [2]
    assert len(states()) == 2
