"""Times as people write them in options."""

import re
from datetime import UTC, datetime, timedelta

from leadplan_cli.errors import BAD_USE, CommandError

_AGE = re.compile(r"(\d{1,6})(min|h|d|w)")
_UNITS = {"min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, option: str = "--since") -> datetime:
    """The time that a text means: a day or a time (UTC unless it says otherwise), or an age such as 7d or 30min.

    Raises:
        CommandError: it is none.
    """
    try:
        if age := _AGE.fullmatch(text.strip()):
            return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
        time = datetime.fromisoformat(text.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        message = f"{option} {text!r} is no day such as 2026-11-23, no time and no age such as 7d, 12h or 30min"
        raise CommandError(message, exit_code=BAD_USE) from None
