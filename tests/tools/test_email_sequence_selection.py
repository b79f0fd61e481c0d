"""Which saved leads EMAIL_SEQUENCE_SETUP takes, and what it says of the others."""

import pytest

from leadplan_email_sequence.models import SavedLead, SequenceParams
from leadplan_email_sequence.selection import select_recipients


def lead(email, *, is_new=True, status="valid"):
    return SavedLead(email=email, is_new=is_new, verification_status=status)


def select(*leads, **params):
    selection = select_recipients(leads, SequenceParams(source_step_id="save", sequence_id=42, **params))
    return selection.emails, {left.email: left.reason for left in selection.left_out}


def test_new_and_verified_leads_are_taken_in_their_order():
    emails, left_out = select(lead("eva@a.com"), lead("ada@a.com", status="accept_all"))
    assert emails == ["eva@a.com", "ada@a.com"]
    assert left_out == {}


@pytest.mark.parametrize(
    ("unwanted", "reason"),
    [
        (lead("ada@a.com", is_new=False), "the lead isn't new"),
        (lead("ada@a.com", status=None), "the address isn't verified"),
        (lead("ada@a.com", status="invalid"), "its verification status is invalid"),
        (lead("ada@a.com", status="unknown"), "its verification status is unknown"),
        (lead("ada at a.com"), "it is no e-mail address"),
        (lead("ada@a"), "it is no e-mail address"),
        (lead("ada@a..com"), "it is no e-mail address"),
        (lead("ada@a.com,eva@a.com"), "it is no e-mail address"),
        (lead(""), "it is no e-mail address"),
    ],
)
def test_others_are_left_out_with_the_reason(unwanted, reason):
    assert select(lead("ben@a.com"), unwanted) == (["ben@a.com"], {unwanted.email: reason})


def test_known_leads_are_taken_when_not_only_new_ones_are_wanted():
    assert select(lead("ada@a.com", is_new=False), only_new=False) == (["ada@a.com"], {})


def test_the_wanted_statuses_can_be_chosen():
    emails, left_out = select(
        lead("ada@a.com", status="webmail"), lead("eva@a.com"), verification_statuses=["webmail", "unknown"]
    )
    assert emails == ["ada@a.com"]
    assert left_out == {"eva@a.com": "its verification status is valid"}


def test_an_address_is_taken_once_whatever_its_case():
    emails, left_out = select(lead("Ada@A.com"), lead(" ada@a.com "), lead("ada@a.com", is_new=False))
    assert emails == ["ada@a.com"]
    assert left_out == {" ada@a.com ": "it stands twice in the list", "ada@a.com": "the lead isn't new"}
