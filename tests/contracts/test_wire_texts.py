"""Identifiers, times and nesting: the texts whose form the contract fixes."""

import re

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leadplan_contracts.plan import LeadToolIdentifier
from leadplan_contracts.times import format_time, parse_time
from leadplan_contracts.wire import MAX_NESTING, PlanId, StepId, SubmittedPlanId, Timestamp, is_nested_too_deep

PROPERTY = settings(max_examples=300)
LAST_MS_OF_9999 = 253_402_300_799_999
FIRST_MS_OF_YEAR_1 = -62_135_596_800_000


@pytest.mark.parametrize(
    ("kind", "longest"),
    [(PlanId, "a" * 128), (SubmittedPlanId, "a" * 128), (StepId, "a" * 64), (LeadToolIdentifier, "A" * 64)],
)
def test_an_identifier_has_a_longest_form_and_nothing_after_it(kind, longest):
    assert msgspec.convert(longest, kind) == longest
    for wrong in ("", longest + longest[0], f"{longest[:5]}\n", "\nA", "A.B", "A B", "A*", "A>", "Ä", "A\x00", "A/B"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(wrong, kind)


def test_only_ours_may_begin_with_an_underscore():
    assert msgspec.convert("_unreadable", PlanId) == "_unreadable"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert("_unreadable", SubmittedPlanId)


@PROPERTY
@given(st.integers(FIRST_MS_OF_YEAR_1, LAST_MS_OF_9999))
def test_a_time_survives_being_written(epoch_ms):
    text = format_time(epoch_ms)
    assert re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z", text)
    assert msgspec.convert(text, Timestamp) == text
    assert parse_time(text) == epoch_ms


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("2026-11-23T09:15:02Z", "2026-11-23T09:15:02.000Z"),
        ("2026-11-23t09:15:02.417z", "2026-11-23T09:15:02.417Z"),
        ("2026-11-23T10:15:02.417+01:00", "2026-11-23T09:15:02.417Z"),
        ("2026-11-23T09:15:02.4-00:00", "2026-11-23T09:15:02.400Z"),
        ("2026-11-23T09:15:02.417999999Z", "2026-11-23T09:15:02.417Z"),
    ],
)
def test_other_forms_of_rfc_3339_are_read(text, same_as):
    assert format_time(parse_time(text)) == same_as


@pytest.mark.parametrize(
    "text",
    ["", "now", "2026-11-23", "2026-11-23T09:15:02", "2026-11-23 09:15:02Z", "20261123T091502Z", "2026-W48-1T09:15:02Z",
     "2026-11-23T09:15:02.417Z\n", "2026-02-30T09:15:02Z", "2026-11-23T24:15:02Z", "٢٠٢٦-11-23T09:15:02Z"],
)  # fmt: skip
def test_what_is_no_rfc_3339_time_is_refused(text):
    with pytest.raises(ValueError, match=r"\S"):
        parse_time(text)


@pytest.mark.parametrize("text", ["٢٠٢٦-11-23T09:15:02Z", "2026-11-23T09:15:02.417Z\n", "2026-11-23T09:15:02"])
def test_the_model_refuses_times_of_another_form(text):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(text, Timestamp)


def depth(value):
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, parts), default=0) if isinstance(value, dict | list) else 0


@settings(PROPERTY, max_examples=100)
@given(
    st.recursive(
        st.text('[]{}"\\é') | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text('[{"\\'), inner)
    ),
    st.integers(MAX_NESTING - 4, MAX_NESTING + 1),
)
def test_nesting_is_counted_outside_of_strings_only(value, around):
    for _ in range(around):
        value = [value, "[[[[[{"]
    assert is_nested_too_deep(msgspec.json.encode(value)) == (depth(value) > MAX_NESTING)


def test_many_brackets_side_by_side_are_not_deep():
    assert not is_nested_too_deep(b"[" + b",".join([b'{"a":[]}'] * 1000) + b"]")
    assert is_nested_too_deep(b"[" * (MAX_NESTING + 1) + b"]" * (MAX_NESTING + 1))
    assert not is_nested_too_deep(b"[" * MAX_NESTING + b"]" * MAX_NESTING)
