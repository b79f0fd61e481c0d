import asyncio
import dataclasses
import re

import pytest
from nats.js.api import RawStreamMsg

from leadplan_bus.topology import Retention, ensure_topology, plans_stream
from leadplan_contracts import OverlapPolicy, Recurrence, SupervisorUserContext
from leadplan_contracts.validation import read_plan_submission
from leadplan_monitor.responder import responder
from leadplan_responder.testing import call_tool

PLAN = {
    "id": "plan_1",
    "title": "Dentists in Leeds",
    "goal": {"description": "Find dentists in Leeds"},
    "createdAt": "2026-11-23T09:15:02.417Z",
    "steps": [
        {"id": "search", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": "dentists in Leeds"}},
        {"id": "aside", "tool": "ECHO", "params": {}},
        {"id": "monitor", "tool": "MONITOR_SETUP", "params": {}, "dependsOn": ["search"]},
    ],
}
USER = SupervisorUserContext(user_id="u_7", account_id="acct_3")


@pytest.fixture
async def js(nc):
    context = nc.jetstream()
    await ensure_topology(context, Retention())
    return context


async def set_up(nc, *, plan=PLAN, user=USER, step_id="monitor", round=1, cancel=None, **params):  # noqa: A002 - a request's field
    params = {"schedule": "0 9 * * 1", **params}
    return await call_tool(
        responder(), "MONITOR_SETUP", params, plan=plan, user=user, step_id=step_id, round=round, cancel=cancel, nats=nc
    )


async def stored(js, monitor_id) -> RawStreamMsg:
    return await js.get_last_msg("PLANS", f"plans.schedule.{monitor_id}")


async def test_a_monitor_is_a_message_schedule_that_submits_its_part_of_the_plan(nc, js):
    call = await set_up(nc, timeZone="Europe/London")

    assert call.result.success, call.result
    assert call.data == {
        "monitorId": "plan_1-monitor",
        "schedule": "0 9 * * 1",
        "timeZone": "Europe/London",
        "overlap": "skip",
        "planId": "plan_1-monitor",
        "subject": "plans.schedule.plan_1-monitor",
    }
    schedule = await stored(js, "plan_1-monitor")
    sent = {name: value for name, value in (schedule.headers or {}).items() if name.startswith("Nats-")}
    assert sent["Nats-Schedule"] == "0 0 9 * * 1"
    assert sent["Nats-Schedule-Target"] == "plans.execute"
    assert sent["Nats-Schedule-Time-Zone"] == "Europe/London"
    assert sent["Nats-TTL"] == "never"
    submission = read_plan_submission(schedule.data or b"", plan_id_suffix="-17")
    assert submission.plan.id == "plan_1-monitor-17"
    assert [step.id for step in submission.plan.steps] == ["search"]
    assert submission.user == USER
    assert submission.recurrence == Recurrence(
        id="plan_1-monitor", overlap=OverlapPolicy.SKIP, schedule="0 9 * * 1", time_zone="Europe/London"
    )


async def test_a_monitor_whose_runs_wait_for_one_another(nc, js):
    call = await set_up(nc, overlap="queue", monitorId="weekly")

    assert call.data["overlap"] == "queue"
    submission = read_plan_submission((await stored(js, "weekly")).data or b"")
    assert submission.recurrence is not None
    assert (submission.recurrence.id, submission.recurrence.overlap) == ("weekly", OverlapPolicy.QUEUE)


async def test_an_interval_is_stored_without_a_time_zone(nc, js):
    call = await set_up(nc, schedule="every 15m", timeZone="Europe/London")

    assert call.result.success, call.result
    headers = (await stored(js, "plan_1-monitor")).headers or {}
    assert headers["Nats-Schedule"] == "@every 900s"
    assert "Nats-Schedule-Time-Zone" not in headers


async def test_setting_up_again_replaces_the_schedule(nc, js):
    await set_up(nc, monitorId="weekly")
    call = await set_up(nc, monitorId="weekly", schedule="0 7 * * *", plan={**PLAN, "id": "plan_2"})

    assert call.data["planId"] == "plan_2-weekly"
    state = (await js.stream_info("PLANS", subjects_filter="plans.schedule.>")).state
    assert state.subjects == {"plans.schedule.weekly": 1}
    assert (await stored(js, "weekly")).headers["Nats-Schedule"] == "0 0 7 * * *"


async def test_a_repeat_leaves_the_very_same_schedule_alone(nc, js):
    first = await set_up(nc, schedule="every 1h")
    before = (await stored(js, "plan_1-monitor")).seq
    again = await set_up(nc, schedule="every 1h")

    assert again.data == first.data
    # Storing it again would start the hour anew.
    assert (await stored(js, "plan_1-monitor")).seq == before


async def test_a_retried_plan_leaves_a_monitor_that_is_set_up_alone(nc, js):
    first = await set_up(nc, schedule="every 1h")
    before = await stored(js, "plan_1-monitor")
    again = await set_up(nc, schedule="every 1h", round=2)

    assert again.data == first.data
    assert (await stored(js, "plan_1-monitor")).seq == before.seq


async def test_a_retried_plan_sets_up_the_monitor_that_was_refused_before(nc, js):
    stranger = SupervisorUserContext(user_id="u_8", account_id="acct_4")
    await set_up(nc, monitorId="weekly", user=stranger)
    assert (await set_up(nc, monitorId="weekly")).result.error_code == "monitor_taken"
    await js.purge_stream("PLANS", subject="plans.schedule.weekly")  # the stranger removes it

    again = await set_up(nc, monitorId="weekly", round=2)

    assert again.result.success, again.result
    assert read_plan_submission((await stored(js, "weekly")).data or b"").user == USER


async def test_a_retried_plan_finds_what_a_cancelled_one_stored(nc, js):
    """The notice comes when the schedule is stored, and before the step has its reply."""
    cancel = asyncio.Event()
    publish = js.publish

    async def store_and_hang(*args, **kwargs):
        await publish(*args, **kwargs)
        cancel.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nats.js.JetStreamContext.publish", lambda self, *args, **kwargs: store_and_hang(*args, **kwargs))
        call = await set_up(nc, schedule="every 1h", cancel=cancel)
    assert call.result.error_code == "cancelled"
    before = await stored(js, "plan_1-monitor")

    again = await set_up(nc, schedule="every 1h", round=2)

    assert again.result.success, again.result
    assert (await stored(js, "plan_1-monitor")).seq == before.seq


async def test_another_account_cant_replace_a_monitor(nc, js):
    await set_up(nc, monitorId="weekly")
    stranger = SupervisorUserContext(user_id="u_8", account_id="acct_4")
    colleague = SupervisorUserContext(user_id="u_9", account_id="acct_3")
    refused = await set_up(nc, monitorId="weekly", user=stranger)

    assert (refused.result.success, refused.result.error_code, refused.result.retryable) == (
        False,
        "monitor_taken",
        False,
    )
    assert read_plan_submission((await stored(js, "weekly")).data or b"").user == USER
    assert (await set_up(nc, monitorId="weekly", user=colleague)).result.success


async def test_many_set_ups_of_one_monitor_at_once_end_with_one_schedule(nc, js):
    calls = await asyncio.gather(*(set_up(nc, monitorId="one", schedule=f"{minute} * * * *") for minute in range(8)))

    refused = [call.result for call in calls if not call.result.success]
    assert len(refused) < len(calls)
    assert all(result.retryable is not False and "same moment" in str(result.error_message) for result in refused)
    assert (await js.stream_info("PLANS")).state.messages == 1


@pytest.mark.parametrize(
    ("params", "code", "complaint"),
    [
        ({"schedule": "0 9 * *"}, "bad_schedule", "five cron fields"),
        ({"schedule": "* * * * * *"}, "bad_schedule", "at most once a minute"),
        ({"schedule": "every 30s"}, "bad_schedule", "at most once a minute"),
        ({"timeZone": "Mars/Olympus"}, "bad_schedule", "no time zone"),
        ({"plan": {**PLAN, "steps": None}}, "bad_monitored_part", "over 32 KiB"),
        ({"step_id": "aside"}, "bad_monitored_part", "depends on no step"),
        ({"schedule": "0 9 31 2 *"}, "bad_schedule", "31 never comes in month 2"),
        ({"overlap": "sometimes"}, "invalid_params", "overlap"),
    ],
)
async def test_misuse_is_refused_for_good_and_nothing_is_stored(nc, js, params, code, complaint):
    call = await set_up(nc, **params)

    assert (call.result.success, call.result.error_code, call.result.retryable) == (False, code, False)
    assert re.search(complaint, str(call.result.error_message)), call.result.error_message
    assert (await js.stream_info("PLANS")).state.messages == 0


@pytest.mark.parametrize("monitor_id", ["", "a.b", "a b", ">", "x" * 129])
async def test_a_monitor_id_must_be_one_token(nc, js, monitor_id):
    call = await set_up(nc, monitorId=monitor_id)

    assert (call.result.success, call.result.retryable) == (False, False)
    assert "monitorId" in str(call.result.error_message)


async def test_without_the_stream_the_step_may_be_repeated(nc):
    call = await set_up(nc)

    assert (call.result.success, call.result.error_code) == (False, "schedule_not_stored")
    assert call.result.retryable is not False
    assert "stream PLANS isn't there" in str(call.result.error_message)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"allow_msg_schedules": False}, "doesn't allow schedules"),
        ({"allow_msg_ttl": False}, "doesn't allow a TTL"),
        ({"subjects": ["plans.schedule.*"]}, "plans.execute"),
    ],
)
async def test_a_stream_that_takes_no_schedules_is_named(nc, changes, complaint):
    await nc.jetstream().add_stream(dataclasses.replace(plans_stream(Retention()), **changes))

    call = await set_up(nc)

    assert (call.result.success, call.result.retryable) == (False, False)
    assert complaint in str(call.result.error_message)
