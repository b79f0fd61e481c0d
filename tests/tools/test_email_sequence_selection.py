"""Which saved leads EMAIL_SEQUENCE_SETUP takes, and what it says of the others."""

from datetime import UTC, datetime

import pytest

from leadplan_email_sequence.models import SavedLead, SequenceParams
from leadplan_email_sequence.selection import OnRecord, select_recipients, usable_address
from leadplan_leads.outreach import FOUND, OutreachEntry, OutreachState

KEY = "plan_a:outreach"
THEN = datetime(2026, 11, 16, 9, tzinfo=UTC)
ADA = "ada@a.com"


def lead(email=ADA, *, is_new=True, status="valid"):
    return SavedLead(email=email, is_new=is_new, verification_status=status)


def entry(state, *, sequence=42, key=KEY, reason=None, email=ADA):
    return OutreachEntry(email, sequence, OutreachState(state), key, reason, THEN)


def select(*leads, suppressed=None, outreach=(), **params):
    by_email = {}
    for one in outreach:
        by_email.setdefault(one.email, []).append(one)
    given = SequenceParams(source_step_id="save", sequence_id=42, **params)
    return select_recipients(leads, given, OnRecord(suppressed or {}, by_email), KEY)


def reasons(selection):
    return {left.email: left.reason for left in selection.left_out}


def test_new_and_verified_leads_are_taken_in_their_order():
    selection = select(lead("eva@a.com"), lead(status="accept_all"))
    assert (selection.to_add, selection.left_out) == (["eva@a.com", ADA], [])


@pytest.mark.parametrize(
    ("unwanted", "reason", "explanation"),
    [
        (lead(is_new=False), "not_new", "it was in the list before"),
        (lead(status=None), "unverified", "the address isn't verified"),
        (lead(status="invalid"), "bad_verification_status", "its verification status is invalid"),
        (lead(status="unknown"), "bad_verification_status", "its verification status is unknown"),
    ],
)
def test_others_are_left_out_with_the_reason(unwanted, reason, explanation):
    selection = select(lead("ben@a.com"), unwanted)
    assert selection.to_add == ["ben@a.com"]
    [left] = selection.left_out
    assert (left.email, left.reason, left.explanation) == (ADA, reason, explanation)


@pytest.mark.parametrize(
    "text",
    [
        "", "ada at a.com", "ada@a", "ada@a..com", "ada@a.com,eva@a.com", "@a.com", "ada@", "a.@a.com", ".a@a.com",
        "a..b@a.com", '"a b"@a.com', "ada@[127.0.0.1]", "ada@127.0.0.1", "ada@-a.com", "ada@a-.com", "ada@a_b.com",
        "zoë@a.com", "ada@a.c", f"{'a' * 65}@a.com", f"a@{'a' * 64}.com", f"a@{'a.' * 125}com", "<ada@a.com>",
        "mailto:ada@a.com", "ada@@a.com", "ada\x00@a.com",
    ],
)  # fmt: skip
def test_what_hunter_could_refuse_a_batch_for_is_no_address(text):
    assert usable_address(text) is None
    assert reasons(select(lead(text))) == {text: "no_address"}


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (" Ada@A.com ", ADA),
        ("o'hara+x@mail.a-b.co.uk", "o'hara+x@mail.a-b.co.uk"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("ada@xn--e1afmkfd.xn--p1ai", "ada@xn--e1afmkfd.xn--p1ai"),
    ],
)
def test_proper_addresses_are_taken_in_one_form(text, address):
    assert usable_address(text) == address


def test_known_leads_are_taken_when_not_only_new_ones_are_wanted():
    assert select(lead(is_new=False), only_new=False).to_add == [ADA]


def test_the_wanted_statuses_can_be_chosen():
    selection = select(lead(status="webmail"), lead("eva@a.com"), verification_statuses=["webmail", "unknown"])
    assert (selection.to_add, reasons(selection)) == ([ADA], {"eva@a.com": "bad_verification_status"})


def test_of_an_address_that_stands_twice_the_first_lead_counts():
    selection = select(lead("Ada@A.com"), lead(" ada@a.com "), lead("eva@a.com", is_new=False), lead("eva@a.com"))
    assert selection.to_add == [ADA]
    assert [left.reason for left in selection.left_out] == ["listed_twice", "not_new", "listed_twice"]


def test_suppression_goes_before_every_other_reason():
    selection = select(lead(is_new=False, status=None), suppressed={ADA: "customer"}, only_new=False)
    assert reasons(selection) == {ADA: "suppressed"}
    assert selection.left_out[0].explanation == "it is on the suppression list (customer)"


def test_who_objected_is_counted_and_not_named():
    selection = select(lead(), lead("ADA@a.com", is_new=False), suppressed={ADA: "objected"})
    assert (selection.objected, selection.left_out, selection.to_add) == (2, [], [])


@pytest.mark.parametrize("state", ["claimed", "asked", "added"])
def test_who_is_in_or_meant_for_another_sequence_is_left_out_unless_recontact_is_allowed(state):
    elsewhere = entry(state, sequence=7, key="plan_b:outreach")
    assert reasons(select(lead(), outreach=[elsewhere])) == {ADA: "contacted_before"}
    assert select(lead(), outreach=[elsewhere], allow_recontact=True).to_add == [ADA]


def test_it_says_when_and_where_somebody_was_contacted():
    elsewhere = entry("added", sequence=7, key="plan_b:outreach")
    [left] = select(lead(), outreach=[elsewhere]).left_out
    assert left.explanation == "it was put on 2026-11-16 into sequence 7"


@pytest.mark.parametrize("allow_recontact", [True, False])
@pytest.mark.parametrize(("state", "reason"), [("added", "already_in_sequence"), ("asked", "contacted_before")])
def test_whom_another_step_put_into_the_same_sequence_is_always_left_out(state, reason, allow_recontact):
    here = entry(state, key="plan_b:outreach")
    selection = select(lead(), outreach=[here], allow_recontact=allow_recontact)
    assert reasons(selection) == {ADA: reason}
    assert selection.already_in == (reason == "already_in_sequence")


def test_a_refusal_elsewhere_holds_nobody_back():
    assert select(lead(), outreach=[entry("refused", sequence=7, key="plan_b:outreach", reason="invalid")]).to_add


@pytest.mark.parametrize("state", ["claimed", "asked"])
def test_what_this_step_claimed_is_still_to_be_added_unless_something_speaks_against_it_by_now(state):
    mine = entry(state)
    assert select(lead(), outreach=[mine]).to_add == [ADA]
    assert reasons(select(lead(), outreach=[mine], suppressed={ADA: "asked"})) == {ADA: "suppressed"}
    elsewhere = entry("added", sequence=7, key="plan_b:outreach")
    assert reasons(select(lead(), outreach=[mine, elsewhere])) == {ADA: "contacted_before"}


def test_whom_this_step_added_counts_as_added_whatever_happened_since():
    selection = select(lead(), outreach=[entry("added")], suppressed={ADA: "unsubscribed"})
    assert (selection.added, selection.to_add, selection.left_out) == ([ADA], [], [])


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("invalid", "invalid"),
        ("bounced", "bounced"),
        ("unsubscribed", "unsubscribed"),
        ("odd", "not_added"),
        (None, "not_added"),
    ],
)
def test_what_hunter_said_to_an_earlier_attempt_of_this_step_stands(said, reason):
    selection = select(lead(), outreach=[entry("refused", reason=said)], suppressed={ADA: "bounced"})
    assert reasons(selection) == {ADA: reason}


def test_whom_hunter_had_before_this_step_is_already_in():
    selection = select(lead(), outreach=[entry("added", reason=FOUND)])
    assert (reasons(selection), selection.already_in) == ({ADA: "already_in_sequence"}, 1)
