"""Times on the wire are RFC 3339 UTC texts with milliseconds; inside they are whole milliseconds since 1970."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from leadplan_contracts.wire import TIMESTAMP_PATTERN

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(TIMESTAMP_PATTERN)


@lru_cache(maxsize=64)
def _second_text(epoch_second: int) -> str:
    # isoformat, because strftime leaves out the leading zeros of a year before 1000.
    return (_EPOCH + timedelta(seconds=epoch_second)).replace(tzinfo=None).isoformat()


@lru_cache(maxsize=256)
def format_time(epoch_ms: int) -> str:
    """Milliseconds since 1970 as ``2026-11-23T09:15:02.417Z``."""
    second, millisecond = divmod(epoch_ms, 1000)
    return f"{_second_text(second)}.{millisecond:03d}Z"


def parse_time(text: str) -> int:
    """An RFC 3339 text with any offset as milliseconds since 1970; finer fractions are cut off.

    Raises:
        ValueError: the text is no RFC 3339 time, has no offset, or names a day or second that isn't there (a leap
            second too).
    """
    # datetime.fromisoformat alone reads all of ISO 8601: week dates, basic format, no offset.
    if not _RFC_3339.match(text):
        raise ValueError(f"{text[:80]!r} is no RFC 3339 time, such as 2026-11-23T09:15:02.417Z")
    return (datetime.fromisoformat(text.upper()) - _EPOCH) // timedelta(milliseconds=1)
