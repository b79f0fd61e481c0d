"""The next run that ``leadplan monitors list`` shows is the one that the server itself announces."""

import struct
import time
import zoneinfo
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from leadplan_bus.topology import Retention, ensure_topology, executors_consumer
from leadplan_cli.next_run import next_run

WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


def patterns(moment: datetime) -> list[str]:
    """Schedules that all fire at this moment, and then at quite different ones."""
    at = f"{moment.second} {moment.minute} {moment.hour}"
    day, month, weekday = moment.day, moment.month, moment.isoweekday() % 7
    other_weekday = (weekday + 3) % 7
    return [
        f"{moment.second} {moment.minute} * * * *",
        f"{moment.second} */7,{moment.minute} * * * *",
        f"{moment.second} 3/20,{moment.minute} {moment.hour},5-7 * * *",
        f"{moment.second} {moment.minute} */5,{moment.hour} * * *",
        f"{at} * * *",
        f"{at} {day} * *",
        f"{at} {day} {month} *",
        f"{at} {day},29 {month},feb *",
        f"{at} {day},31 * *",
        f"{at} 10/7,{day} * *",
        # Either of the two days fits.
        f"{at} {day} * {other_weekday}",
        f"{at} 13 * {weekday}",
        f"{at} */2 * {weekday}",
        f"{at} {day} * */2",
        f"{at} 29 2,{month} {weekday}",
        # A star in a list leaves the field open; a step that isn't one doesn't.
        f"{at} *,5 * {weekday}",
        f"{at} 5,* * {weekday}",
        f"{at} */1 * {weekday}",
        f"{at} {day} * *,3",
        f"{at} * * {WEEKDAYS[weekday]},{WEEKDAYS[other_weekday].upper()}",
        f"{at} * * 1/2,{weekday}",
        f"{at} * * {weekday}/2",
        f"{at} * * 0-6/3,{weekday}",
        f"{at} * * {weekday}-6",
        f"{at} * {month}/3 *",
    ]


@pytest.fixture
async def fire(nc):
    """Store schedules and wait until each has fired: pattern, zone, when it fired, and when the server will next."""
    js = nc.jetstream()
    await ensure_topology(js, Retention())
    await js.add_consumer("PLANS", executors_consumer(lease_seconds=30, max_ack_pending=1000))
    plans = await js.pull_subscribe_bind(durable="executors", stream="PLANS")

    async def fire(schedules: list[tuple[str, str]]) -> list[tuple[str, str, datetime, datetime]]:
        for number, (pattern, zone) in enumerate(schedules):
            headers = {
                "Nats-Schedule": pattern,
                "Nats-Schedule-Target": "plans.execute",
                "Nats-Schedule-Time-Zone": zone,
                "Nats-TTL": "never",
            }
            await js.publish(f"plans.schedule.m{number}", b"{}", headers=headers)
        fired = {}
        while len(fired) < len(schedules):
            for message in await plans.fetch(len(schedules), timeout=15):
                await message.ack()
                number = int(message.headers["Nats-Scheduler"].removeprefix("plans.schedule.m"))
                upcoming = datetime.fromisoformat(message.headers["Nats-Schedule-Next"])
                fired.setdefault(number, (*schedules[number], message.metadata.timestamp, upcoming))
        return list(fired.values())

    return fire


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
async def test_the_next_run_is_the_servers(fire, zone):
    moment = datetime.now(ZoneInfo(zone)).replace(microsecond=0) + timedelta(seconds=3)
    fired = await fire([(pattern, zone) for pattern in patterns(moment)])

    computed = [(pattern, next_run(pattern, zone, at)) for pattern, zone, at, _ in fired]
    assert computed == [(pattern, upcoming) for pattern, _, _, upcoming in fired]


def time_zone_file(change_at: int, before: int, after: int) -> bytes:
    """A time zone whose clock is changed once (RFC 9636): seconds since 1970, and seconds east of Greenwich."""

    def block(number_format: str) -> bytes:
        counts = struct.pack(">6l", 0, 0, 0, 1, 2, 8)
        changes = struct.pack(f">{number_format}B", change_at, 1)
        types = struct.pack(">lbblbb", before, 0, 0, after, 1, 4)
        return b"TZif2" + bytes(15) + counts + changes + types + b"OLD\0NEW\0"

    return block("l") + block("q") + b"\n\n"


@pytest.fixture
def clocks_about_to_change(tmp_path, monkeypatch):
    """Zones ``Forward`` and ``Back`` where it is nearly half past two, when the clock is moved by an hour.

    Their value is the second of the minute just before that.
    """
    change_at = int(time.time()) + 6
    # Whole minutes, for RFC 3339 knows no others.
    offset = (2 * 3600 + 30 * 60 + change_at % 60 - change_at) % 86_400
    folder = tmp_path / "zones"
    folder.mkdir()
    (folder / "Forward").write_bytes(time_zone_file(change_at, offset, offset + 3600))
    (folder / "Back").write_bytes(time_zone_file(change_at, offset, offset - 3600))
    monkeypatch.setenv("ZONEINFO", str(folder))  # where the server looks first
    before = zoneinfo.TZPATH
    zoneinfo.reset_tzpath([str(folder), *before])
    ZoneInfo.clear_cache()
    yield (change_at - 1) % 60
    zoneinfo.reset_tzpath(before)
    ZoneInfo.clear_cache()


async def test_a_time_that_the_clock_skips_does_not_come_and_one_that_comes_twice_fires_twice(
    clocks_about_to_change, fire
):
    # It fires just before the change. 02:45 is skipped, so 02:29 tomorrow is next; or 02:29 comes once more today.
    pattern, days = f"{clocks_about_to_change} 29,30,45 2 * * *", {"Forward": 1, "Back": 0}

    fired = await fire([(pattern, zone) for zone in days])

    for _, zone, at, upcoming in fired:
        computed = next_run(pattern, zone, at)
        # As moments: in two zones Python calls a time that comes twice never equal.
        assert computed is not None
        assert computed.timestamp() == upcoming.timestamp()
        local, today = upcoming.astimezone(ZoneInfo(zone)), at.astimezone(ZoneInfo(zone))
        assert (f"{local:%H:%M}", (local.date() - today.date()).days) == ("02:29", days[zone])


@pytest.mark.parametrize(
    ("pattern", "zone"),
    [("@every 900s", "UTC"), ("@at 2026-11-23T09:00:00Z", "UTC"), ("0 0 9 31 2 *", "UTC"), ("0 0 9 * * 1", "No/Where"),
     ("0 0 9 * * 1", "../etc"), ("junk junk junk junk junk junk", "UTC"), ("", "UTC")],
)  # fmt: skip
def test_where_it_can_t_be_told_nothing_is_said(pattern, zone):
    assert next_run(pattern, zone, datetime(2026, 11, 23, tzinfo=UTC)) is None


@pytest.mark.parametrize(
    ("pattern", "zone", "upcoming"),
    [
        ("0 0 9 * * 1", "Europe/London", "2026-11-30T09:00:00+00:00"),
        ("0 0 9 28 3 *", "Europe/London", "2027-03-28T09:00:00+01:00"),
        ("0 30 1 28 3 *", "Europe/London", "2028-03-28T01:30:00+01:00"),  # not in 2027: the clock skips it
        ("0 0 0 29 2 *", "UTC", "2028-02-29T00:00:00+00:00"),
    ],
)
def test_some_days_to_come(pattern, zone, upcoming):
    after = datetime(2026, 11, 23, 9, 0, tzinfo=ZoneInfo("Europe/London"))
    assert next_run(pattern, zone, after) == datetime.fromisoformat(upcoming)
