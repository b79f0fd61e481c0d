"""Whether and when a failed attempt is repeated: a pure function to a decision (protocol section 3, rule 3)."""

from leadplan_contracts import RetryPolicy
from leadplan_executor.core.outcome import AttemptFailed

DEFAULT_MAX_RETRIES = 2
DEFAULT_BASE_DELAY_MS = 1_000
DEFAULT_MAX_DELAY_MS = 60_000
LONGEST_RETRY_AFTER_MS = 7 * 86_400_000


def retry_delay_ms(policy: RetryPolicy | None, attempts: int, failed: AttemptFailed, random: float) -> int | None:
    """Milliseconds to wait before the next attempt, or None when there is none.

    The wait before repeat n is ``baseDelayMs * 2^(n-1)`` plus up to ``jitter`` of itself, at most ``maxDelayMs``, and
    never shorter than the tool's ``retryAfterMs`` (of which at most a week is believed).

    Args:
        policy: the step's ``retry``; absent fields have the protocol's defaults.
        attempts: attempts made so far, the failed one counted.
        failed: how it failed.
        random: from 0 to 1.
    """
    policy = policy or RetryPolicy()
    max_retries = DEFAULT_MAX_RETRIES if policy.max_retries is None else policy.max_retries
    base = DEFAULT_BASE_DELAY_MS if policy.base_delay_ms is None else policy.base_delay_ms
    longest = DEFAULT_MAX_DELAY_MS if policy.max_delay_ms is None else policy.max_delay_ms
    if not failed.retryable or attempts > max_retries:
        return None
    # The exponent is bounded: a delay of 2^64 ms is cut to maxDelayMs all the same.
    delay = min(base << min(attempts - 1, 64), longest)
    delay = min(delay + round(delay * (policy.jitter or 0.0) * random), longest)
    return max(delay, min(failed.retry_after_ms, LONGEST_RETRY_AFTER_MS))
