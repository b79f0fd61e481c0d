"""Five-field cron, as people write it, to the six fields that the NATS server takes.

The server's rules (server/cron.go, release 2.14) differ from crontab in three points. Two are bridged here: the server
wants seconds first, and knows Sunday as 0 but not as 7. The third stays and is documented: when both day of month and
day of week are restricted, a day that fits either is taken, and the server counts ``*/2`` as a restriction.
"""

import re
from typing import NamedTuple

from leadplan_monitor.errors import ScheduleError


class _Field(NamedTuple):
    name: str
    lowest: int
    highest: int
    names: tuple[str, ...] = ()

    def value(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower()) + self.lowest
        if not re.fullmatch(r"[0-9]{1,2}", text):
            raise ScheduleError(f"{text!r} is no {self.name}")
        if not self.lowest <= int(text) <= self.highest:
            raise ScheduleError(f"{self.name} {text} is outside {self.lowest} to {self.highest}")
        return int(text)


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY_OF_MONTH = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS)
_DAY_OF_WEEK = _Field("day of week", 0, 7, _WEEKDAYS)
_FIELDS = (_Field("minute", 0, 59), _Field("hour", 0, 23), _DAY_OF_MONTH, _MONTH, _DAY_OF_WEEK)
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_SUNDAY_AS_SEVEN = 7


def to_server_cron(text: str) -> str:
    """Turn ``0 9 * * 1`` into ``0 0 9 * * 1``.

    Each field is ``*`` or a list of numbers, names (months, days of week) and ranges, each with an optional ``/step``.

    Raises:
        ScheduleError: it is no five-field cron expression, or no such day ever comes; the message names the field.
    """
    fields = text.split()
    if len(fields) == len(_FIELDS) + 1:
        raise ScheduleError(f"{text!r} has six fields: leave out the seconds, a monitor runs at most once a minute")
    if len(fields) != len(_FIELDS):
        raise ScheduleError(
            f"{text!r} is no schedule: write five cron fields (minute, hour, day of month, month, day of week) such as "
            f"'0 9 * * 1', or an interval such as 'every 15m'"
        )
    server_fields = [_server_field(field, given) for field, given in zip(_FIELDS, fields, strict=True)]
    _check_that_a_day_comes(*fields[2:])
    return " ".join(["0", *server_fields])


def _server_field(field: _Field, text: str) -> str:
    return ",".join(_server_part(field, part) for part in text.split(","))


def _check_that_a_day_comes(days: str, months: str, weekdays: str) -> None:
    # Where days of week are restricted too, one of them comes in any month.
    if "*" not in weekdays.split(","):
        return
    first_day = min(_values(_DAY_OF_MONTH, days))
    if all(first_day > _LONGEST_MONTHS[month - 1] for month in _values(_MONTH, months)):
        raise ScheduleError(f"day of month {days} never comes in month {months}")


def _values(field: _Field, text: str) -> set[int]:
    """What a field that is known to be well-formed stands for."""
    values: set[int] = set()
    for part in text.split(","):
        span, slash, step = part.partition("/")
        if span == "*":
            lowest, highest = field.lowest, field.highest
        else:
            first, dash, last = span.partition("-")
            lowest = field.value(first)
            open_ended = slash and not dash  # `5/10` goes from 5 to the end
            highest = field.highest if open_ended else field.value(last or first)
        values.update(range(lowest, highest + 1, int(step or 1)))
    return values


def _server_part(field: _Field, part: str) -> str:
    span, slash, step_text = part.partition("/")
    if slash and not re.fullmatch(r"[1-9][0-9]?", step_text):
        raise ScheduleError(f"step {step_text!r} of the {field.name} field must be a number from 1 to 99")
    if span == "*":
        return part
    first_text, dash, last_text = span.partition("-")
    first = field.value(first_text)
    last = field.value(last_text) if dash else first
    if first > last:
        raise ScheduleError(f"the {field.name} range {span!r} runs backwards: write a list")
    if field is _DAY_OF_WEEK and last == _SUNDAY_AS_SEVEN:
        days = range(first, last + 1, int(step_text or 1))
        return ",".join(str(day % _SUNDAY_AS_SEVEN) for day in days)
    return part
