"""How long to wait before the next attempt, and when there is none (protocol section 3, rule 3)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from leadplan_contracts import RetryPolicy
from leadplan_executor.core.outcome import AttemptFailed
from leadplan_executor.core.retry import LONGEST_RETRY_AFTER_MS, retry_delay_ms

FAILED = AttemptFailed("tool_error", "no", retryable=True)
DAY_MS = 86_400_000


def delays(policy: RetryPolicy | None, *, failed: AttemptFailed = FAILED, random: float = 0.0) -> list[int]:
    """Every wait of a step that fails always."""
    waits: list[int] = []
    while (delay := retry_delay_ms(policy, len(waits) + 1, failed, random)) is not None:
        waits.append(delay)
    return waits


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (None, [1_000, 2_000]),
        (RetryPolicy(), [1_000, 2_000]),
        (RetryPolicy(max_retries=0), []),
        (RetryPolicy(max_retries=1), [1_000]),
        (RetryPolicy(max_retries=8), [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]),
        (RetryPolicy(base_delay_ms=100), [100, 200]),
        (RetryPolicy(base_delay_ms=0, max_retries=3), [0, 0, 0]),
        (RetryPolicy(max_delay_ms=0), [0, 0]),
        (RetryPolicy(max_delay_ms=1_500, max_retries=3), [1_000, 1_500, 1_500]),
        (RetryPolicy(base_delay_ms=5_000, max_delay_ms=300), [300, 300]),
        (RetryPolicy(jitter=1.0), [1_000, 2_000]),
    ],
)
def test_waits_double_up_to_the_longest(policy, expected):
    assert delays(policy) == expected


def test_a_thousand_repeats_stay_at_the_longest_wait():
    waits = delays(RetryPolicy(max_retries=1000, base_delay_ms=30 * DAY_MS, max_delay_ms=30 * DAY_MS))
    assert waits == [30 * DAY_MS] * 1000


@pytest.mark.parametrize("policy", [None, RetryPolicy(max_retries=1000)])
def test_what_is_pointless_is_not_repeated(policy):
    pointless = AttemptFailed("tool_error", "no such sequence", retryable=False, retry_after_ms=5)
    assert retry_delay_ms(policy, 1, pointless, 0.0) is None


@pytest.mark.parametrize(
    ("retry_after_ms", "expected"),
    [
        (0, [1_000, 2_000]),
        (1_500, [1_500, 2_000]),
        (20_000, [20_000, 20_000]),
        (90_000, [90_000, 90_000]),
        (LONGEST_RETRY_AFTER_MS, [7 * DAY_MS] * 2),
        (10**30, [7 * DAY_MS] * 2),
    ],
)
def test_never_sooner_than_the_tool_asked_for(retry_after_ms, expected):
    assert delays(None, failed=replace(FAILED, retry_after_ms=retry_after_ms)) == expected


@pytest.mark.parametrize(
    ("jitter", "random", "expected"),
    [
        (None, 1.0, [1_000, 2_000]),
        (0.0, 1.0, [1_000, 2_000]),
        (0.2, 0.0, [1_000, 2_000]),
        (0.2, 0.5, [1_100, 2_200]),
        (0.2, 1.0, [1_200, 2_400]),
        (1.0, 1.0, [2_000, 4_000]),
    ],
)
def test_jitter_adds_a_share_of_the_wait(jitter, random, expected):
    assert delays(RetryPolicy(jitter=jitter), random=random) == expected


@settings(max_examples=300)
@given(
    base=st.integers(0, 30 * DAY_MS),
    longest=st.integers(0, 30 * DAY_MS),
    jitter=st.floats(0, 1),
    random=st.floats(0, 1),
    attempts=st.integers(1, 1000),
    retry_after=st.integers(0, 10 * DAY_MS),
)
def test_a_wait_stays_within_its_bounds(base, longest, jitter, random, attempts, retry_after):
    policy = RetryPolicy(max_retries=1000, base_delay_ms=base, max_delay_ms=longest, jitter=jitter)
    delay = retry_delay_ms(policy, attempts, FAILED, random)
    assert delay is not None
    assert min(base * 2 ** (attempts - 1), longest) <= delay <= longest, (
        "maxDelayMs is the longest wait, jitter included"
    )
    asked = retry_delay_ms(policy, attempts, replace(FAILED, retry_after_ms=retry_after), random)
    assert asked == max(delay, min(retry_after, LONGEST_RETRY_AFTER_MS))
