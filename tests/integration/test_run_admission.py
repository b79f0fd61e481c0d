"""Whether a firing may begin, asked of a real server without any executor: each fact that counts, and many at once."""

import asyncio
import json

import pytest

from leadplan_bus.connection import connect
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_client import MonitorClient
from leadplan_contracts import OverlapPolicy, Recurrence
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_contracts.wire import encode
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.run_admission import Refuse, Refused, RunAdmission, Start, Wait

SKIP = Recurrence(id="weekly", overlap=OverlapPolicy.SKIP)
QUEUE = Recurrence(id="weekly", overlap=OverlapPolicy.QUEUE)
GONE = RecurringRun(plan_id="plan-900", submission=900)
ALSO_GONE = RecurringRun(plan_id="plan-901", submission=901)
TIME = "2026-11-23T09:15:02.417Z"


@pytest.fixture
async def js(nc, make_plan):
    js = nc.jetstream()
    await ensure_topology(js, Retention())
    body = json.dumps(make_plan("plan", [{"id": "a"}])).encode()
    headers = {"Nats-Schedule": "0 0 9 1 1 *", "Nats-Schedule-Target": "plans.execute", "Nats-TTL": "never"}
    await js.publish("plans.schedule.weekly", body, headers=headers)
    return js


@pytest.fixture
def fire(nc, js):
    """A firing whose message lies in the queue."""

    async def fire():
        fired = await MonitorClient(nc).fire("weekly")
        return RecurringRun(plan_id=fired.plan_id, submission=fired.submission)

    return fire


@pytest.fixture
def admission(nc, js):
    return RunAdmission(nc, PlanLog(nc, "executor-1"))


@pytest.fixture
def remember(js):
    async def remember(running, waiting=None):
        bucket = await js.key_value("MONITOR_RUNS")
        await bucket.put("weekly", encode(RecurringRuns(running=running, waiting=waiting)))

    return remember


@pytest.fixture
def remembered(js):
    async def remembered():
        entry = await (await js.key_value("MONITOR_RUNS")).get("weekly")
        runs = json.loads(entry.value or b"")
        return runs["running"]["planId"], runs.get("waiting", {}).get("planId")

    return remembered


async def log(js, run, event_type):
    result = {"planId": run.plan_id, "overallStatus": "succeeded", "startedAt": TIME, "finishedAt": TIME}
    more = {"PLAN_COMPLETED": {"result": {**result, "stepResults": []}}, "PLAN_PAUSED": {"meta": {}}}[event_type]
    event = {"type": event_type, "planId": run.plan_id, "sequence": 1, "time": TIME, **more}
    await js.publish(f"plans.log.{run.plan_id}", json.dumps(event).encode())


@pytest.mark.parametrize("recurrence", [SKIP, QUEUE])
async def test_the_first_firing_starts_and_may_do_so_again(admission, fire, remembered, recurrence):
    first = await fire()
    assert await admission.admit(recurrence, first) == Start()
    assert await admission.admit(recurrence, first) == Start(), "its executor died before the plan's first event"
    assert await remembered() == (first.plan_id, None)


async def test_a_run_goes_on_while_its_message_lies_there_and_its_log_isn_t_complete(admission, fire, remembered, js):
    first, second, third = [await fire() for _ in range(3)]
    assert await admission.admit(QUEUE, first) == Start()
    assert await admission.admit(QUEUE, second) == Wait(), "not begun"
    await log(js, first, "PLAN_PAUSED")
    assert await admission.admit(QUEUE, second) == Wait(), "begun"
    assert isinstance(await admission.admit(QUEUE, third), Refuse)
    assert isinstance(await admission.admit(SKIP, third), Refuse)
    await log(js, first, "PLAN_COMPLETED")
    assert await admission.admit(QUEUE, second) == Start(), "completed, though its message isn't taken off yet"
    assert await remembered() == (second.plan_id, None)


async def test_a_run_whose_message_is_gone_goes_on_no_more_whatever_its_log_says(admission, fire, js):
    first, second = await fire(), await fire()
    assert await admission.admit(SKIP, first) == Start()
    await log(js, first, "PLAN_PAUSED")
    assert isinstance(await admission.admit(SKIP, second), Refuse)
    await js.delete_msg("PLANS", first.submission)
    assert await admission.admit(SKIP, second) == Start()


async def test_who_waits_and_is_gone_leaves_its_place(admission, fire, remember, remembered):
    first, second = await fire(), await fire()
    await remember(first, waiting=GONE)
    assert await admission.admit(QUEUE, second) == Wait()
    assert await remembered() == (first.plan_id, second.plan_id)


async def test_when_all_are_gone_the_next_one_starts(admission, fire, remember, remembered):
    first = await fire()
    await remember(GONE, waiting=ALSO_GONE)
    assert await admission.admit(QUEUE, first) == Start()
    assert await remembered() == (first.plan_id, None)


@pytest.mark.parametrize("recurrence", [SKIP, QUEUE])
async def test_a_firing_that_was_rejected_before_gets_no_other_answer(admission, fire, js, remember, recurrence):
    first = await fire()
    meta = {"errors": [], "original": {"text": ""}, "submission": first.submission}
    event = {"type": "PLAN_REJECTED", "planId": first.plan_id, "time": TIME, "meta": meta}
    await js.publish(f"plans.rejected.{first.plan_id}", json.dumps(event).encode())
    assert await admission.admit(recurrence, first) == Refused()
    await remember(GONE)
    assert await admission.admit(recurrence, first) == Refused()
    await js.purge_stream("PLANS", subject="plans.schedule.weekly")
    assert await admission.admit(recurrence, first) == Refused()


async def test_a_run_that_has_begun_is_never_refused(admission, fire, js, remember, remembered):
    first, second = await fire(), await fire()
    await log(js, second, "PLAN_PAUSED")
    await remember(first)
    for recurrence in (SKIP, QUEUE):
        assert await admission.admit(recurrence, second) == Start()
    await js.purge_stream("PLANS", subject="plans.schedule.weekly")
    assert await admission.admit(SKIP, second) == Start()
    assert await remembered() == (first.plan_id, None)


@pytest.mark.parametrize("recurrence", [SKIP, QUEUE])
@pytest.mark.parametrize("before", [None, GONE])
async def test_of_many_at_once_one_starts_and_at_most_one_waits(
    nats_url, fire, remember, remembered, recurrence, before
):
    connections = [await connect(nats_url, name=f"executor {number}") for number in range(4)]
    admissions = [RunAdmission(connection, PlanLog(connection, "executor-1")) for connection in connections]
    if before is not None:
        await remember(before)
    firings = [await fire() for _ in range(12)]

    answers = await asyncio.gather(
        *(admissions[number % 4].admit(recurrence, firing) for number, firing in enumerate(firings))
    )

    started = [firing for firing, answer in zip(firings, answers, strict=True) if answer == Start()]
    waiting = [firing for firing, answer in zip(firings, answers, strict=True) if answer == Wait()]
    assert (len(started), len(waiting)) == (1, 1 if recurrence is QUEUE else 0)
    assert await remembered() == (started[0].plan_id, waiting[0].plan_id if waiting else None)
    for connection in connections:
        await connection.close()
