"""When a monitor's cron schedule fires next, by the rules of the NATS server that fires it."""

from datetime import datetime
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

_LOWEST_AND_HIGHEST = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def next_run(pattern: str, time_zone: str, after: datetime) -> datetime | None:
    """The first time after a moment at which the server fires a schedule; None where that can't be told.

    It can't for intervals: the server counts them from when the schedule was stored, or from its own start.

    Args:
        pattern: ``Nats-Schedule``, six cron fields.
        time_zone: what they are read in.
        after: with a time zone of any kind.
    """
    fields = pattern.split()
    if len(fields) != len(_LOWEST_AND_HIGHEST):
        return None
    expression = " ".join(
        _without_open_steps(field, *limits) for field, limits in zip(fields, _LOWEST_AND_HIGHEST, strict=True)
    )
    try:
        # With six fields cronsim goes through the times as a clock on the wall does: one that is skipped doesn't come,
        # and one that comes twice fires twice. Just so does the server.
        return next(CronSim(expression, after.astimezone(ZoneInfo(time_zone))))
    except (CronSimError, StopIteration, OSError, ValueError, KeyError):
        return None


def _without_open_steps(field: str, lowest: int, highest: int) -> str:
    """A field that means to cronsim what it means to the server.

    To the server only ``*`` leaves a field open, wherever it stands in a list. To cronsim any field does that begins
    with it, ``*/2`` as well; and it counts the days of the week up to 7.
    """
    parts = field.split(",")
    if "*" in parts or "*/1" in parts:
        return "*"
    return ",".join(_closed(part, lowest, highest) for part in parts)


def _closed(part: str, lowest: int, highest: int) -> str:
    span, slash, step = part.partition("/")
    if not slash or "-" in span:
        return part
    first = str(lowest) if span == "*" else span
    return f"{first}-{highest}/{step}"
