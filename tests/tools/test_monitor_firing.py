"""What the server makes of the schedules that the monitor tool writes."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from leadplan_bus.connection import connect
from leadplan_bus.topology import Retention, ensure_topology, executors_consumer
from leadplan_contracts import OverlapPolicy, Recurrence, SupervisorUserContext
from leadplan_contracts.validation import read_plan_submission
from leadplan_monitor.publishing import publish_schedule
from leadplan_monitor.recurring_plan import build_submission
from leadplan_monitor.schedule import ServerSchedule

USER = SupervisorUserContext(user_id="u_7", account_id="acct_3")
PLAN = {
    "id": "plan_1",
    "title": "Dentists in Leeds",
    "goal": {"description": "Find dentists in Leeds"},
    "createdAt": "2026-11-23T09:15:02.417Z",
    "steps": [
        {"id": "search", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": "dentists in Leeds"}},
        {"id": "monitor", "tool": "MONITOR_SETUP", "params": {}, "dependsOn": ["search"]},
    ],
}
RECURRENCE = Recurrence(id="m1", overlap=OverlapPolicy.SKIP)
SUBMISSION = build_submission(PLAN, USER, RECURRENCE, monitor_step="monitor", recurring_id="plan_1-monitor")


@pytest.fixture
async def plans(nc):
    """The executors' pull subscription."""
    js = nc.jetstream()
    await ensure_topology(js, Retention())
    await js.add_consumer("PLANS", executors_consumer(lease_seconds=30, max_ack_pending=100))
    return await js.pull_subscribe_bind(durable="executors", stream="PLANS")


async def test_a_schedule_fires_a_valid_submission_again_and_again(nc, plans):
    # The tool itself refuses so short an interval.
    schedule = await publish_schedule(nc, "m1", ServerSchedule("@every 1s", None), SUBMISSION, user=USER)

    fired = [(await plans.fetch(1, timeout=5))[0] for _ in range(2)]

    sequences = [message.metadata.sequence.stream for message in fired]
    assert schedule.sequence < sequences[0] < sequences[1]
    for message, sequence in zip(fired, sequences, strict=True):
        assert message.subject == "plans.execute"
        assert message.headers["Nats-Scheduler"] == schedule.subject
        assert not any(name.startswith("Nats-Expected-") for name in message.headers)
        submission = read_plan_submission(message.data, plan_id_suffix=f"-{sequence}")
        assert submission.plan.id == f"plan_1-monitor-{sequence}"
        assert [step.id for step in submission.plan.steps] == ["search"]
        assert submission.user == USER
        assert submission.recurrence == RECURRENCE
        await message.ack()


async def test_monitors_survive_a_restart_of_the_server(nats_server, nc, plans):
    await publish_schedule(nc, "m1", ServerSchedule("@every 1s", None), SUBMISSION, user=USER)
    nats_server.kill()
    killed_at = datetime.now(UTC)
    nats_server.start()

    # A connection of its own: a pull request into the dead one would be lost.
    after_restart = await connect(nats_server.url, name="after restart")
    try:
        restarted = await after_restart.jetstream().pull_subscribe_bind(durable="executors", stream="PLANS")
        (message,) = await restarted.fetch(1, timeout=10)
    finally:
        await after_restart.close()

    assert message.metadata.timestamp > killed_at
    assert read_plan_submission(message.data).plan.id == "plan_1-monitor"


async def test_cron_fields_are_read_in_the_time_zone(nc, plans):
    # An hour of Tokyo's clock that isn't UTC's; the next one too, in case the hour ends right now.
    now = datetime.now(ZoneInfo("Asia/Tokyo"))
    hours = f"{now.hour},{(now + timedelta(hours=1)).hour}"
    await publish_schedule(nc, "utc", ServerSchedule(f"* * {hours} * * *", "UTC"), SUBMISSION, user=USER)
    await publish_schedule(nc, "tokyo", ServerSchedule(f"* * {hours} * * *", "Asia/Tokyo"), SUBMISSION, user=USER)

    (message,) = await plans.fetch(1, timeout=5)

    assert message.headers["Nats-Scheduler"] == "plans.schedule.tokyo"


def weekday(day: datetime) -> str:
    return str(day.isoweekday() % 7)


async def test_a_day_that_fits_day_of_week_alone_is_taken(nc, plans):
    # Tomorrow too, in case the day ends right now.
    today = datetime.now(UTC)
    weekdays = ",".join(weekday(today + timedelta(days=days)) for days in (0, 1))
    another_day = (today.day + 13) % 28 + 1
    await publish_schedule(nc, "m1", ServerSchedule(f"* * * {another_day} * {weekdays}", "UTC"), SUBMISSION, user=USER)

    assert len(await plans.fetch(1, timeout=5)) == 1


async def test_every_second_day_counts_as_a_restriction_unlike_in_crontab(nc, plans):
    # Of today and tomorrow one fits `*/2` and the other one fits the day of week; none fits both.
    today = datetime.now(UTC)
    even = [day for day in (today, today + timedelta(days=1)) if day.day % 2 == 0] or [today + timedelta(days=3)]
    schedule = ServerSchedule(f"* * * */2 * {weekday(even[0])}", "UTC")
    await publish_schedule(nc, "m1", schedule, SUBMISSION, user=USER)

    assert len(await plans.fetch(1, timeout=5)) == 1
