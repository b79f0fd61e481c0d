"""A monitor's schedule as its author writes it, and as the NATS server takes it."""

import difflib
import functools
import re
import zoneinfo
from dataclasses import dataclass

from leadplan_monitor.cron import to_server_cron
from leadplan_monitor.errors import ScheduleError

SHORTEST_INTERVAL_SECONDS = 60
LONGEST_INTERVAL_SECONDS = 366 * 86_400
_SECONDS_OF_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_INTERVAL = re.compile(r"((?:[0-9]{1,9}[smhd])+)", re.IGNORECASE)


@dataclass(frozen=True)
class ServerSchedule:
    """What stands in the headers of a message schedule.

    Attributes:
        pattern: ``Nats-Schedule``: six-field cron, or ``@every`` with seconds.
        time_zone: ``Nats-Schedule-Time-Zone``; None for an interval, which the server refuses to take with a zone.
    """

    pattern: str
    time_zone: str | None


def parse_schedule(schedule: str, time_zone: str) -> ServerSchedule:
    """Read a five-field cron expression or an interval, such as ``every 15m`` or ``every 1h30m``.

    Raises:
        ScheduleError: it is neither, it is more often than once a minute, or the time zone is unknown.
    """
    check_time_zone(time_zone)
    first_word, _, rest = schedule.strip().partition(" ")
    if first_word.lower().lstrip("@") == "every":
        return ServerSchedule(f"@every {_interval_seconds(rest)}s", None)
    return ServerSchedule(to_server_cron(schedule.strip()), time_zone)


def check_time_zone(name: str) -> None:
    """Refuse what is no IANA time zone; the server checks again, with its own data.

    Raises:
        ScheduleError: with names that look alike.
    """
    known = _known_time_zones()
    # A machine without time zone data can't judge: the server does.
    if name in known or not known:
        return
    alike = difflib.get_close_matches(name, known, n=3)
    hint = f": did you mean {' or '.join(alike)}?" if alike else ": use an IANA name such as Europe/London, or UTC"
    raise ScheduleError(f"{name!r} is no time zone{hint}")


@functools.cache
def _known_time_zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def _interval_seconds(text: str) -> int:
    compact = re.sub(r"\s+", "", text)
    if not _INTERVAL.fullmatch(compact):
        raise ScheduleError(
            f"'every {text.strip()}' is no interval: write for example 'every 15m', 'every 6h', 'every 1d'"
        )
    parts = re.findall(r"([0-9]+)([smhd])", compact.lower())
    seconds = sum(int(number) * _SECONDS_OF_UNIT[unit] for number, unit in parts)
    if seconds < SHORTEST_INTERVAL_SECONDS:
        raise ScheduleError(f"'every {text.strip()}' is too often: a monitor runs at most once a minute")
    if seconds > LONGEST_INTERVAL_SECONDS:
        raise ScheduleError(f"'every {text.strip()}' is too seldom: at most 366 days lie between two runs")
    return seconds
