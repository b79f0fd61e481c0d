"""What each signal of the tool layer means for the attempt (the table of protocol section 5)."""

from functools import partial

import pytest
from core_plans import failed, ok, step
from msgspec import UNSET, Raw
from msgspec.structs import replace

from leadplan_contracts import DataRef, LeadToolExecutionResult
from leadplan_executor.core.outcome import AskAgain, AttemptFailed, AttemptSucceeded, judge, unless_busy
from leadplan_executor.core.signals import (
    BadReply,
    DataUnavailable,
    NoResponders,
    PayloadTooLarge,
    Replied,
    ServiceFailed,
    StayedBusy,
    TimedOut,
    ToolLost,
    ToolSignal,
)

STEP = step("a", tool="HUNTER_ENRICH")
ONCE = step("a", tool="HUNTER_ENRICH", at_most_once=True)

# signal, errorCode, repeated?, repeated when atMostOnce?
TABLE: list[tuple[ToolSignal, str, bool, bool]] = [
    (NoResponders(), "no_responders", True, True),
    (TimedOut(30_000), "timeout", True, False),
    (ToolLost(15_000), "tool_lost", True, False),
    (BadReply("a list"), "bad_reply", True, True),
    (ServiceFailed(408, "later"), "service_error", True, True),
    (ServiceFailed(429, "later"), "service_error", True, True),
    (ServiceFailed(500, "oops"), "service_error", True, True),
    (ServiceFailed(599, "oops"), "service_error", True, True),
    (ServiceFailed(400, "bad"), "service_error", False, False),
    (ServiceFailed(404, "none"), "service_error", False, False),
    (ServiceFailed(0, "?"), "service_error", False, False),
    (ServiceFailed(600, "not 5xx"), "service_error", False, False),
    (ServiceFailed(5000, "not 5xx"), "service_error", False, False),
    (PayloadTooLarge("2 MB"), "payload_too_large", False, False),
    (StayedBusy(30_000), "busy", True, True),
    # The tool has done its work; only keeping what it returned failed.
    (DataUnavailable("no bucket"), "claim_check_failed", True, False),
]


def test_every_signal_has_a_row():
    assert {type(signal) for signal, *_ in TABLE} | {Replied} == set(ToolSignal.__args__)


@pytest.mark.parametrize(("signal", "code", "repeated", "repeated_once"), TABLE, ids=[str(row[0]) for row in TABLE])
def test_code_and_repeating(signal, code, repeated, repeated_once):
    outcome, outcome_once = judge(signal, STEP), judge(signal, ONCE)
    assert isinstance(outcome, AttemptFailed)
    assert (outcome.code, outcome.retryable, outcome.retry_after_ms) == (code, repeated, 0)
    assert outcome_once == replace(outcome, retryable=repeated_once)
    assert outcome.message


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (NoResponders(), ["HUNTER_ENRICH"]),
        (TimedOut(1234), ["HUNTER_ENRICH", "1234 ms"]),
        (ToolLost(15_000), ["HUNTER_ENRICH", "15000 ms"]),
        (BadReply("`success` is missing"), ["HUNTER_ENRICH", "`success` is missing"]),
        (ServiceFailed(503, "over quota"), ["HUNTER_ENRICH", "503", "over quota"]),
        (PayloadTooLarge("request of 2 MB"), ["request of 2 MB"]),
        (StayedBusy(777), ["HUNTER_ENRICH stayed busy for 777 ms"]),
        (StayedBusy(777, ""), ["HUNTER_ENRICH stayed busy for 777 ms"]),
        (StayedBusy(777, "Hunter limits requests"), ["HUNTER_ENRICH stayed busy for 777 ms: Hunter limits requests"]),
        (DataUnavailable("no bucket PLAN_DATA"), ["no bucket PLAN_DATA"]),
    ],
)
def test_the_message_says_who_and_what(signal, words):
    outcome = judge(signal, STEP)
    assert isinstance(outcome, AttemptFailed)
    assert all(word in outcome.message for word in words)


@pytest.mark.parametrize(
    "make",
    [BadReply, PayloadTooLarge, DataUnavailable, lambda text: ServiceFailed(500, text), partial(StayedBusy, 1)],
)
def test_long_messages_are_cut(make):
    outcome = judge(make("x" * 100_000), STEP)
    assert isinstance(outcome, AttemptFailed)
    assert len(outcome.message) == 4_000
    assert outcome.message.endswith("x…")


def test_success_carries_the_data():
    assert judge(ok(b'{"a":1}').signal, STEP) == AttemptSucceeded(Raw(b'{"a":1}'), None)
    assert judge(Replied(LeadToolExecutionResult(success=True)), STEP) == AttemptSucceeded(UNSET, None)
    ref = DataRef(bucket="PLAN_DATA", name="n", size=300_000, digest="SHA-256=x")
    assert judge(Replied(LeadToolExecutionResult(success=True, data_ref=ref)), STEP) == AttemptSucceeded(UNSET, ref)


@pytest.mark.parametrize("of", [STEP, ONCE], ids=["plain", "atMostOnce"])
@pytest.mark.parametrize(
    ("attempt", "expected"),
    [
        (failed("full"), AttemptFailed("tool_error", "full", True)),
        (failed("full", retryable=True, retry_after_ms=20_000), AttemptFailed("tool_error", "full", True, 20_000)),
        (failed("gone", retryable=False, error_code="no_list"), AttemptFailed("no_list", "gone", False)),
        (failed("", error_code=""), AttemptFailed("tool_error", "the tool reported a failure without a message", True)),
        (failed("m" * 5_000, error_code="c" * 99), AttemptFailed("c" * 63 + "…", "m" * 3_999 + "…", True)),
        (failed("m" * 4_000, error_code="c" * 64), AttemptFailed("c" * 64, "m" * 4_000, True)),
    ],
)
def test_a_reported_failure_is_taken_at_its_word(of, attempt, expected):
    assert judge(attempt.signal, of) == expected


def test_a_success_with_an_error_beside_it_is_a_success():
    reply = LeadToolExecutionResult(success=True, error_message="only 3 pages", error_code="partly", retryable=False)
    assert judge(Replied(reply), STEP) == AttemptSucceeded(UNSET, None)


@pytest.mark.parametrize(("retry_after_ms", "expected"), [(None, 1_000), (0, 10), (2_500, 2_500), (10**12, 300_000)])
def test_a_busy_tool_is_asked_again_when_it_said_within_bounds(retry_after_ms, expected):
    signal = failed(error_code="busy", retry_after_ms=retry_after_ms).signal
    assert unless_busy(signal, 0, 3_600_000) == AskAgain(expected)


@pytest.mark.parametrize(
    ("waited_ms", "limit_ms", "expected"),
    [
        (0, 250, AskAgain(250)),
        (750, 1_000, AskAgain(250)),
        (751, 1_000, StayedBusy(751, "full")),
        (0, 249, StayedBusy(0, "full")),
        (0, 0, StayedBusy(0, "full")),
        (5_000, 1_000, StayedBusy(5_000, "full")),
    ],
)
def test_a_busy_tool_is_waited_for_only_within_the_limit(waited_ms, limit_ms, expected):
    signal = failed("full", error_code="busy", retry_after_ms=250).signal
    assert unless_busy(signal, waited_ms, limit_ms) == expected


@pytest.mark.parametrize(
    "signal",
    [
        failed(error_code="quota_exceeded", retry_after_ms=2_500).signal,
        failed().signal,
        ok().signal,
        Replied(LeadToolExecutionResult(success=True, error_code="busy")),
        *[signal for signal, *_ in TABLE],
    ],
)
def test_any_other_signal_ends_the_attempt_as_it_is(signal):
    assert unless_busy(signal, 0, 3_600_000) is signal
    assert unless_busy(signal, 10**9, 0) is signal
