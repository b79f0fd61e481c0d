"""Which names are suggested to somebody who mistyped one."""

import pytest

from leadplan_executor.near_matches import did_you_mean, near_matches

KNOWN = (
    "EMAIL_SEQUENCE_SETUP",
    "GOOGLE_PLACES_SEARCH",
    "HUNTER_DOMAIN_LOOKUP",
    "HUNTER_ENRICH",
    "LEAD_LIST_SAVE",
    "MONITOR_SETUP",
)


@pytest.mark.parametrize(
    ("mistyped", "meant"),
    [
        ("GOOGLE_PLACE_SEARCH", "GOOGLE_PLACES_SEARCH"),
        ("GOOGLEPLACESSEARCH", "GOOGLE_PLACES_SEARCH"),
        ("SEARCH_GOOGLE_PLACES", "GOOGLE_PLACES_SEARCH"),
        ("HUNTER_ENRICHMENT", "HUNTER_ENRICH"),
        ("HUNTER_DOMAINLOOKUP", "HUNTER_DOMAIN_LOOKUP"),
        ("LEAD_LISTS_SAVE", "LEAD_LIST_SAVE"),
        ("SAVE_LEAD_LIST", "LEAD_LIST_SAVE"),
        ("MONITOR_SET_UP", "MONITOR_SETUP"),
    ],
)
def test_what_was_meant_comes_first(mistyped, meant):
    assert near_matches(mistyped, KNOWN)[0] == meant


@pytest.mark.parametrize("other", ["ECHO", "X", "SEND_FAX", "A" * 64])
def test_other_names_suggest_nothing(other):
    assert near_matches(other, KNOWN) == ()


def test_at_most_three_are_suggested_the_likest_first():
    known = [f"GREET_{number}" for number in range(9)] + ["GREET"]
    assert near_matches("GREET_", reversed(known)) == ("GREET", "GREET_0", "GREET_1")


def test_the_question_names_them_all():
    assert did_you_mean(("A", "B")) == "; did you mean A or B?"
    assert did_you_mean(()) == ""
