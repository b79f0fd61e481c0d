"""Monitors in real executors: firings become runs, and runs of one monitor don't overlap."""

import asyncio
import json
from collections import Counter

import pytest

from leadplan_client import MonitorClient
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_contracts.wire import encode

NEVER = "0 0 9 1 1 *"


class SlowTool:
    """Holds every request until it is let go; afterwards it answers at once."""

    def __init__(self):
        self.held = asyncio.Event()

    async def __call__(self, request):
        await self.held.wait()
        return {"success": True, "data": request["stepId"]}


@pytest.fixture
def monitors(nc):
    return MonitorClient(nc)


@pytest.fixture
def set_up(nc, make_plan):
    """Store a schedule as the monitor tool does, but with any pattern."""

    async def set_up(monitor_id="weekly", overlap=None, pattern=NEVER, **plan):
        message = make_plan(f"plan-{monitor_id}", [{"id": "a", "tool": "SLOW"}], **plan)
        if overlap is not None:
            message["recurrence"] = {"id": monitor_id, "overlap": overlap, "schedule": pattern, "timeZone": "UTC"}
        headers = {"Nats-Schedule": pattern, "Nats-Schedule-Target": "plans.execute", "Nats-TTL": "never"}
        await nc.jetstream().publish(f"plans.schedule.{monitor_id}", json.dumps(message).encode(), headers=headers)

    return set_up


@pytest.fixture
def entry(nc):
    """What is remembered of a monitor's runs."""

    async def entry(monitor_id="weekly"):
        bucket = await nc.jetstream().key_value("MONITOR_RUNS")
        return json.loads((await bucket.get(monitor_id)).value or b"")

    return entry


@pytest.fixture
async def slow(serve_tool):
    behaviour = SlowTool()
    behaviour.tool = await serve_tool("SLOW", behaviour)
    return behaviour


def runs_of(feed, event_type="PLAN_COMPLETED"):
    return list(dict.fromkeys(event["planId"] for event in feed.events if event["type"] == event_type))


def codes(event):
    return [problem["code"] for problem in event["meta"]["errors"]]


async def queued(nc):
    return (await nc.jetstream().stream_info("PLANS", subjects_filter="plans.execute")).state.subjects or {}


async def until_queue_is_empty(nc, eventually):
    async def is_empty():
        return not await queued(nc)

    await eventually(is_empty, what="an empty queue")


async def test_a_monitor_fires_and_its_runs_appear_after_a_restart_of_the_server_too(
    executor, feed, slow, set_up, nats_server
):
    slow.held.set()
    await set_up(overlap="skip", pattern="@every 1s")
    await feed.until(lambda: len(runs_of(feed)) >= 2)
    before = len(runs_of(feed))
    nats_server.kill()
    nats_server.start()
    await feed.until(lambda: len(runs_of(feed)) >= before + 2, within=30)
    assert all(run.startswith("plan-weekly-") for run in runs_of(feed))
    assert len({request["planId"] for request in slow.tool.requests}) >= 4


async def test_a_replaced_monitor_runs_the_new_plan_and_a_removed_one_no_more(
    executor, feed, slow, set_up, monitors, nc
):
    slow.held.set()
    await set_up(overlap="skip", pattern="@every 1s")
    await feed.until(lambda: runs_of(feed))
    await set_up(overlap="skip", pattern="@every 1s", title="Another plan")
    await feed.until(
        lambda: any(
            event["type"] == "PLAN_STARTED" and event["plan"]["title"] == "Another plan" for event in feed.events
        )
    )
    await monitors.remove("weekly")
    assert await monitors.list() == []
    schedules = await nc.jetstream().stream_info("PLANS", subjects_filter="plans.schedule.*")
    assert not schedules.state.subjects, "nothing is left that could fire"


async def test_a_firing_while_the_run_before_goes_on_is_skipped_with_a_reason(executor, feed, slow, set_up, monitors):
    await set_up(overlap="skip")
    first = await monitors.fire("weekly")
    await feed.until(lambda: slow.tool.requests)
    second = await monitors.fire("weekly")
    rejection = await feed.rejection(second.plan_id)

    assert codes(rejection) == ["previous_run_active"]
    assert first.plan_id in rejection["meta"]["errors"][0]["message"]
    assert rejection["meta"]["submission"] == second.submission
    assert await feed.rejects(second.plan_id) == [rejection]
    assert await feed.log(second.plan_id) == []
    slow.held.set()
    assert (await feed.result(first.plan_id))["overallStatus"] == "succeeded"
    third = await monitors.fire("weekly")
    assert (await feed.result(third.plan_id))["overallStatus"] == "succeeded"


async def test_at_most_one_firing_waits_and_starts_when_the_run_before_has_ended(
    start_executor, feed, slow, set_up, monitors, entry, eventually
):
    for _ in range(2):
        await start_executor()
    await set_up(overlap="queue")
    first = await monitors.fire("weekly")
    await feed.until(lambda: slow.tool.requests)
    second = await monitors.fire("weekly")

    async def waits():
        return (await entry()).get("waiting") is not None

    await eventually(waits)
    third = await monitors.fire("weekly")
    rejection = await feed.rejection(third.plan_id)
    assert codes(rejection) == ["previous_run_active"]
    assert second.plan_id in rejection["meta"]["errors"][0]["message"]
    assert feed.of(second.plan_id) == []

    slow.held.set()
    for run in (first, second):
        assert (await feed.result(run.plan_id))["overallStatus"] == "succeeded"
    assert slow.tool.most_at_once == 1
    assert Counter(request["planId"] for request in slow.tool.requests) == {first.plan_id: 1, second.plan_id: 1}
    assert await entry() == {"running": {"planId": second.plan_id, "submission": second.submission}}


async def test_of_many_firings_at_once_in_two_executors_one_runs_at_a_time(
    start_executor, feed, slow, set_up, monitors, nc, eventually
):
    for _ in range(2):
        await start_executor()
    await set_up(overlap="queue")
    fired = await asyncio.gather(*(monitors.fire("weekly") for _ in range(10)))
    await feed.until(lambda: len(runs_of(feed, "PLAN_REJECTED")) == 8)
    slow.held.set()
    await feed.until(lambda: len(runs_of(feed)) == 2)
    await until_queue_is_empty(nc, eventually)

    assert slow.tool.most_at_once == 1
    assert len(slow.tool.requests) == 2
    assert set(runs_of(feed)) | set(runs_of(feed, "PLAN_REJECTED")) == {run.plan_id for run in fired}
    assert not set(runs_of(feed)) & set(runs_of(feed, "PLAN_REJECTED"))


async def test_monitors_without_the_choice_run_as_before_and_don_t_know_of_one_another(
    executor, feed, slow, set_up, monitors
):
    await set_up("old")
    await set_up("other", overlap="skip")
    runs = [await monitors.fire(name) for name in ("old", "old", "other")]
    await feed.until(lambda: slow.tool.running == 3)
    slow.held.set()
    for run in runs:
        assert (await feed.result(run.plan_id))["overallStatus"] == "succeeded"


async def test_a_plan_that_no_schedule_fired_doesn_t_ask(executor, feed, slow, set_up, monitors, make_plan):
    await set_up(overlap="skip")
    await monitors.fire("weekly")
    await feed.until(lambda: slow.tool.running == 1)
    message = make_plan("by-hand", [{"id": "a", "tool": "SLOW"}])
    message["recurrence"] = {"id": "weekly", "overlap": "skip"}
    await feed.submit(message)
    await feed.until(lambda: slow.tool.running == 2)


@pytest.mark.parametrize("recurrence", [{"id": "a.b", "overlap": "skip"}, {"id": "w", "overlap": "sometimes"}, 7])
async def test_a_choice_that_isn_t_one_is_rejected(executor, feed, make_plan, recurrence):
    await feed.submit({**make_plan("p1", [{"id": "a"}]), "recurrence": recurrence})
    problems = (await feed.rejection("p1"))["meta"]["errors"]
    assert [problem["path"].partition(".")[0] for problem in problems] == ["recurrence"]


async def test_a_firing_that_waits_when_its_monitor_is_removed_doesn_t_run(
    executor, feed, slow, set_up, monitors, entry, eventually
):
    await set_up(overlap="queue")
    first = await monitors.fire("weekly")
    await feed.until(lambda: slow.tool.requests)
    second = await monitors.fire("weekly")
    await eventually(lambda: _waiting(entry))
    await monitors.remove("weekly")

    assert codes(await feed.rejection(second.plan_id)) == ["schedule_removed"]
    slow.held.set()
    assert (await feed.result(first.plan_id))["overallStatus"] == "succeeded", "the run that goes on isn't stopped"
    await set_up(overlap="queue")
    third = await monitors.fire("weekly")
    assert (await feed.result(third.plan_id))["overallStatus"] == "succeeded"


async def _waiting(entry):
    return (await entry()).get("waiting") is not None


async def test_executors_that_die_while_a_firing_waits(
    executor_process, feed, slow, set_up, monitors, entry, eventually
):
    first_process = executor_process()
    await eventually(lambda: first_process.serving)
    await set_up(overlap="queue")
    first = await monitors.fire("weekly")
    await feed.until(lambda: slow.tool.requests)
    second = await monitors.fire("weekly")
    await eventually(lambda: _waiting(entry))
    first_process.kill()
    second_process = executor_process()
    await eventually(lambda: second_process.serving)
    await feed.until(lambda: feed.of(first.plan_id, "PLAN_RESUMED"))
    assert feed.of(second.plan_id) == []
    slow.held.set()
    for run in (first, second):
        assert (await feed.result(run.plan_id))["overallStatus"] == "succeeded"
    starts = [event["planId"] for event in feed.events if event["type"] in ("PLAN_STARTED", "PLAN_COMPLETED")]
    assert starts == [first.plan_id, first.plan_id, second.plan_id, second.plan_id]


@pytest.fixture
def remember(nc):
    """Leave behind what an executor had stored before it died."""

    async def remember(running, waiting=None, monitor_id="weekly"):
        bucket = await nc.jetstream().key_value("MONITOR_RUNS")
        await bucket.put(monitor_id, encode(RecurringRuns(running=running, waiting=waiting)))

    return remember


def as_run(fired):
    return RecurringRun(plan_id=fired.plan_id, submission=fired.submission)


GONE = [RecurringRun(plan_id=f"plan-weekly-{number}", submission=number) for number in (900, 901)]


@pytest.fixture
async def streams(start_executor):
    """Everything that an executor creates, and none that runs."""
    executor = await start_executor()
    await executor.stop()


async def test_a_run_that_was_let_start_and_never_began_is_begun_by_its_own_redelivery(
    streams, start_executor, feed, slow, set_up, monitors, remember
):
    slow.held.set()
    await set_up(overlap="queue")
    first, second = [await monitors.fire("weekly") for _ in range(2)]
    await remember(as_run(first), as_run(second))
    await start_executor()
    for run in (first, second):
        assert (await feed.result(run.plan_id))["overallStatus"] == "succeeded"
    assert runs_of(feed) == [first.plan_id, second.plan_id]


async def test_firings_whose_messages_are_gone_hold_nobody_up(
    streams, start_executor, feed, slow, set_up, monitors, remember
):
    slow.held.set()
    await set_up(overlap="queue")
    await remember(*GONE)
    await start_executor()
    fired = await monitors.fire("weekly")
    assert (await feed.result(fired.plan_id))["overallStatus"] == "succeeded"


async def test_who_waits_comes_before_who_comes_later(streams, start_executor, feed, slow, set_up, monitors, remember):
    slow.held.set()
    await set_up(overlap="queue")
    first, second = [await monitors.fire("weekly") for _ in range(2)]
    await remember(GONE[0], waiting=as_run(second))
    await start_executor()
    for run in (first, second):
        assert (await feed.result(run.plan_id))["overallStatus"] == "succeeded"
    assert runs_of(feed) == [second.plan_id, first.plan_id]


async def test_a_firing_that_was_rejected_before_is_only_taken_off_the_queue(
    streams, start_executor, feed, slow, set_up, monitors, nc, eventually
):
    slow.held.set()
    await set_up(overlap="skip")
    fired = await monitors.fire("weekly")
    rejected = {
        "type": "PLAN_REJECTED",
        "planId": fired.plan_id,
        "time": "2026-11-23T09:15:02.417Z",
        "meta": {"errors": [], "original": {"text": ""}, "submission": fired.submission},
    }
    await nc.jetstream().publish(f"plans.rejected.{fired.plan_id}", json.dumps(rejected).encode())
    await start_executor()
    await until_queue_is_empty(nc, eventually)
    assert await feed.log(fired.plan_id) == []
    assert len(await feed.rejects(fired.plan_id)) == 1


async def test_a_run_that_ended_without_its_message_taken_off_isn_t_rejected(
    streams, start_executor, feed, slow, set_up, monitors, remember, nc, eventually
):
    slow.held.set()
    await set_up(overlap="skip")
    executor = await start_executor()
    first = await monitors.fire("weekly")
    await feed.result(first.plan_id)
    await executor.stop()
    log = await feed.log(first.plan_id)
    # The message comes again under a new sequence, and what is remembered has gone on to another run.
    again = await monitors.fire("weekly")
    for event in log:
        event["planId"] = again.plan_id
        if event["type"] == "PLAN_STARTED":
            event["meta"]["submission"] = again.submission
            event["plan"]["id"] = again.plan_id
        await nc.jetstream().publish(f"plans.log.{again.plan_id}", json.dumps(event).encode())
    later = await monitors.fire("weekly")
    await remember(as_run(later))
    slow.held.clear()
    await start_executor()

    async def only_the_later_one_is_queued():
        return await queued(nc) == {"plans.execute": 1}

    await eventually(only_the_later_one_is_queued)
    await feed.until(lambda: slow.tool.running == 1)
    assert feed.of(again.plan_id, "PLAN_REJECTED") == []
    assert len(await feed.log(again.plan_id)) == len(log)


async def test_an_unreadable_entry_holds_nobody_up(streams, start_executor, feed, slow, set_up, monitors, nc):
    slow.held.set()
    await set_up(overlap="queue")
    await (await nc.jetstream().key_value("MONITOR_RUNS")).put("weekly", b"junk")
    await start_executor()
    fired = await monitors.fire("weekly")
    assert (await feed.result(fired.plan_id))["overallStatus"] == "succeeded"
