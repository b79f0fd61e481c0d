import pytest

from leadplan_monitor import schedule as schedule_module
from leadplan_monitor.errors import ScheduleError
from leadplan_monitor.schedule import ServerSchedule, parse_schedule


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("0 9 * * 1", "0 0 9 * * 1"),
        ("  */15\t8-18 1,15 jan-Mar mon-FRI ", "0 */15 8-18 1,15 jan-Mar mon-FRI"),
        ("5/10 0-23/2 * 12 *", "0 5/10 0-23/2 * 12 *"),
        ("* * * * *", "0 * * * * *"),
        # Sunday may be 7, which the server doesn't know.
        ("0 9 * * 7", "0 0 9 * * 0"),
        ("0 9 * * 5-7", "0 0 9 * * 5,6,0"),
        ("0 9 * * 1-7/3,tue", "0 0 9 * * 1,4,0,tue"),
        ("0 9 * * 0-6", "0 0 9 * * 0-6"),
        # Days that come seldom, or only by their day of week.
        ("0 9 29 2 *", "0 0 9 29 2 *"),
        ("0 9 31 2,3 *", "0 0 9 31 2,3 *"),
        ("0 9 31 */6 *", "0 0 9 31 */6 *"),
        ("0 9 28/3 2 *", "0 0 9 28/3 2 *"),
        ("0 9 31 2 1", "0 0 9 31 2 1"),
    ],
)
def test_five_fields_become_the_servers_six(written, sent):
    assert parse_schedule(written, "Europe/London") == ServerSchedule(sent, "Europe/London")


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("every 15m", "@every 900s"),
        ("every 60s", "@every 60s"),
        ("Every 6h", "@every 21600s"),
        ("every 1h30m", "@every 5400s"),
        ("every 2d 12h", "@every 216000s"),
        ("@every 1m", "@every 60s"),
        ("every 366d", "@every 31622400s"),
    ],
)
def test_intervals_go_without_a_time_zone(written, sent):
    assert parse_schedule(written, "Europe/London") == ServerSchedule(sent, None)


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "no schedule"),
        ("daily", "no schedule"),
        ("0 9 * *", "no schedule"),
        ("0 0 9 * * 1", "six fields.*at most once a minute"),
        ("* * * * * *", "at most once a minute"),
        ("60 9 * * 1", "minute 60 is outside 0 to 59"),
        ("0 24 * * 1", "hour 24 is outside 0 to 23"),
        ("0 9 0 * 1", "day of month 0 is outside 1 to 31"),
        ("0 9 * 13 1", "month 13 is outside 1 to 12"),
        ("0 9 * * 8", "day of week 8 is outside 0 to 7"),
        ("0 9 * * monday", "'monday' is no day of week"),
        ("0 mon * * *", "'mon' is no hour"),
        ("0 9 * * fri-mon", "'fri-mon' runs backwards"),
        ("*/0 * * * *", "step '0' of the minute field"),
        ("*/ * * * *", "step '' of the minute field"),
        ("1,,2 * * * *", "'' is no minute"),
        ("-1 * * * *", "'' is no minute"),
        ("1-2-3 * * * *", "'2-3' is no minute"),
        ("٣ * * * *", "is no minute"),
        ("0 9 ? * 1", "'\\?' is no day of month"),
        ("0 9 31 2 *", "day of month 31 never comes in month 2"),
        ("0 9 30-31 feb *", "day of month 30-31 never comes in month feb"),
        ("0 9 31 4,6,9-11/2 *", "never comes in month 4,6,9-11/2"),
        ("0 9 30/1 2 *", "never comes"),
        ("every 59s", "too often.*once a minute"),
        ("every 0m", "too often"),
        ("every 367d", "too seldom"),
        ("every", "no interval"),
        ("every Monday", "no interval"),
        ("every -5m", "no interval"),
        ("every 1.5h", "no interval"),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(written, complaint):
    with pytest.raises(ScheduleError, match=complaint):
        parse_schedule(written, "UTC")


@pytest.mark.parametrize(
    ("zone", "complaint"),
    [
        ("Europe/Lodnon", "did you mean Europe/London"),
        ("+02:00", "use an IANA name"),
        ("Local", "no time zone"),
        ("", "no time zone"),
        ("../etc/passwd", "no time zone"),
    ],
)
@pytest.mark.parametrize("written", ["0 9 * * 1", "every 15m"])
def test_unknown_time_zones_are_refused(written, zone, complaint):
    with pytest.raises(ScheduleError, match=complaint):
        parse_schedule(written, zone)


def test_a_machine_without_time_zone_data_leaves_the_check_to_the_server(monkeypatch):
    monkeypatch.setattr(schedule_module, "_known_time_zones", frozenset)

    assert parse_schedule("0 9 * * 1", "Asia/Tokyo").time_zone == "Asia/Tokyo"
