"""Lists of plans, read from an index and logs that the test writes, on a real server: no executor runs here."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from nats.js.errors import APIError
from structlog.testing import capture_logs

from leadplan_bus.connection import connect
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_contracts import LeadPlanEventType, OverallStatus, SupervisorUserContext
from leadplan_contracts.control import ListRequest, PlanState
from leadplan_contracts.events import decode_event
from leadplan_contracts.plan import LeadGenGoal
from leadplan_contracts.times import format_time
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_executor import plan_listing
from leadplan_executor.clock import now_ms
from leadplan_executor.core import PlanRun, evolve
from leadplan_executor.core.status import plan_state
from leadplan_executor.plan_index import PlanIndex, PlanIndexEntry, index_subject
from leadplan_executor.plan_listing import InvalidListRequestError, PlanLister

TIME = "2026-11-23T09:15:02.417Z"
LATER = "2026-11-23T09:16:00.000Z"
FINISHED = {
    "state": PlanState.COMPLETED,
    "overall_status": OverallStatus.SUCCEEDED,
    "sequence": 4,
    "started_at": TIME,
    "finished_at": TIME,
}
RUNNING = {"state": PlanState.RUNNING, "sequence": 1, "started_at": TIME}


def entry_of(**fields):
    return PlanIndexEntry(
        **{"changed_at": TIME, "title": "Dentists", "goal": "Find dentists", "user_id": "u1", "steps": 1, **FINISHED}
        | fields
    )


class Plans:
    """Writes entries and logs as executors do, and lists plans."""

    def __init__(self, nc, make_plan):
        self.nc = nc
        self.js = nc.jetstream()
        self.index = PlanIndex(nc)
        self._make_plan = make_plan

    async def put(self, plan_id, **fields):
        await self.index.put(plan_id, entry_of(**fields))

    async def append(self, plan_id, kind, **fields):
        """One more event of a plan's log."""
        event = {"type": kind, "planId": plan_id, "time": LATER, **fields}
        await self.js.publish(f"plans.log.{plan_id}", json.dumps(event).encode())

    async def start(self, plan_id, **fields):
        submission = self._make_plan(plan_id, [{"id": "a"}]) | fields
        rest = {"plan": submission["plan"], "user": submission["user"], "meta": {"executor": "e1"}}
        await self.append(plan_id, "PLAN_STARTED", sequence=1, **rest | {"time": TIME})

    async def step(self, plan_id, kind, sequence, status="running", **meta):
        result = {"stepId": "a", "status": status, "attempts": 1}
        step = {"id": "a", "tool": "ECHO"}
        await self.append(plan_id, kind, sequence=sequence, step=step, result=result, meta=meta)

    async def complete(self, plan_id, sequence, status="partial"):
        times = {"startedAt": TIME, "finishedAt": LATER}
        result = {"planId": plan_id, "overallStatus": status, "stepResults": [], **times}
        await self.append(plan_id, "PLAN_COMPLETED", sequence=sequence, result=result, meta={})

    async def settle(self):
        """Wait until everything that was published to the index is stored: what is refused waits its turn as well."""
        with pytest.raises(APIError, match="wrong last sequence"):
            await self.js.publish(index_subject("x"), headers={"Nats-Expected-Last-Sequence": "1000000000"})

    async def page(self, **request):
        await self.settle()
        return await PlanLister(self.nc).page(ListRequest(**request))

    async def ids(self, **request):
        return [plan.plan_id for plan in (await self.page(**request)).plans]

    async def only(self, **request):
        (plan,) = (await self.page(**request)).plans
        return plan

    async def walk(self, **request):
        """The ids on all pages, and how many pages these were."""
        found, cursor, pages = [], None, 0
        while pages == 0 or cursor is not None:
            page = await self.page(**request, cursor=cursor)
            found += [plan.plan_id for plan in page.plans]
            cursor, pages = page.next, pages + 1
        return found, pages

    async def entry(self, plan_id):
        """The entry as it lies in the index, and its stream sequence."""
        await self.settle()
        message = await self.js.get_last_msg("KV_PLAN_INDEX", index_subject(plan_id))
        return json.loads(message.data), message.seq


@pytest.fixture
async def plans(nc, make_plan):
    await ensure_topology(nc.jetstream(), Retention())
    return Plans(nc, make_plan)


# --- order and paging


async def test_without_plans_the_list_is_empty_and_ends(plans):
    page = await plans.page()
    assert (page.plans, page.next) == ([], None)


async def test_those_that_changed_last_come_first(plans):
    for plan_id in ("a", "b", "c", "a"):
        await plans.put(plan_id)
    assert await plans.ids() == ["a", "c", "b"]


async def test_a_summary_tells_what_the_entry_does(plans):
    await plans.put("p1", account_id="acme", steps=7)
    plan = await plans.only()
    assert json.loads(encode(plan)) == {
        "planId": "p1",
        "state": "completed",
        "changedAt": TIME,
        "title": "Dentists",
        "goal": "Find dentists",
        "overallStatus": "succeeded",
        "userId": "u1",
        "accountId": "acme",
        "startedAt": TIME,
        "finishedAt": TIME,
        "steps": 7,
        "lastEvent": "PLAN_COMPLETED",
    }


async def test_pages_hold_every_plan_once_though_entries_were_replaced(plans):
    for number in range(3000):
        await plans.put(f"p{number % 1700}")
    expected = [f"p{number % 1700}" for number in range(2999, 1299, -1)]
    assert await plans.walk(limit=37) == (expected, 46)
    assert await plans.walk(limit=500) == (expected, 4)
    assert (await plans.walk())[0] == expected


async def test_the_last_page_says_that_it_is(plans):
    for number in range(10):
        await plans.put(f"p{number}")
    assert await plans.walk(limit=10) == ([f"p{number}" for number in range(9, -1, -1)], 1)
    assert await plans.walk(limit=5) == ([f"p{number}" for number in range(9, -1, -1)], 2)


async def test_a_plan_that_changes_between_pages_is_not_seen_twice(plans):
    for number in range(10):
        await plans.put(f"p{number}")
    first = await plans.page(limit=3)
    await plans.put("p9")
    await plans.put("p5")
    rest = await plans.ids(cursor=first.next)
    assert [plan.plan_id for plan in first.plans] == ["p9", "p8", "p7"]
    assert rest == ["p6", "p4", "p3", "p2", "p1", "p0"], "p5 has moved to the front"
    assert (await plans.ids(limit=2)) == ["p5", "p9"]


async def test_a_filter_that_fits_little_is_answered_in_parts(plans, monkeypatch):
    monkeypatch.setattr(plan_listing, "_LOOK_AT_MOST", 700)
    for number in range(3000):
        await plans.put(f"p{number}", account_id="rare" if number in (5, 2995) else "many")
    first = await plans.page(account_id="rare")
    assert [plan.plan_id for plan in first.plans] == ["p2995"]
    found, pages = await plans.walk(account_id="rare")
    assert found == ["p2995", "p5"]
    assert 3 < pages < 6
    found, pages = await plans.walk(account_id="nobody")
    assert (found, pages < 6) == ([], True)


async def test_a_page_fits_into_a_message(plans, nc):
    for number in range(500):
        await plans.put(f"{number:03d}" + "x" * 125, title="表" * 300, goal="目" * 300)
    page = await plans.page(limit=500)
    assert len(encode(page)) < nc.max_payload / 2
    assert len((await plans.walk(limit=500))[0]) == 500


@pytest.mark.parametrize("cursor", ["", "x", "-1", "0", "1.5", "٣", "9" * 64])
async def test_a_cursor_that_is_none_is_refused(plans, cursor):
    with pytest.raises(InvalidListRequestError, match="cursor: is no `next` of an earlier page"):
        await plans.page(cursor=cursor)


async def test_a_cursor_from_before_the_bucket_was_lost_begins_at_the_end(plans):
    await plans.put("p1")
    assert await plans.ids(cursor="100000") == ["p1"]


# --- filters


@pytest.fixture
async def several(plans):
    await plans.put("done", account_id="acme", user_id="u2")
    await plans.put("part", overall_status=OverallStatus.PARTIAL, title="DENTISTS in Łódź", changed_at=LATER)
    await plans.put("failed-1", overall_status=OverallStatus.FAILED, goal="Find STRASSE bakers")
    await plans.put("queued", state=PlanState.QUEUED, overall_status=None, sequence=0, title=None, goal=None)
    await plans.put("broken", state=PlanState.REJECTED, overall_status=None, sequence=0, account_id="acme")
    await plans.start("running")
    await plans.put("running", **RUNNING, overall_status=None, finished_at=None)
    return plans


@pytest.mark.parametrize(
    ("request_fields", "expected"),
    [
        ({}, ["running", "broken", "queued", "failed-1", "part", "done"]),
        ({"states": [PlanState.QUEUED, PlanState.RUNNING]}, ["running", "queued"]),
        ({"states": [PlanState.PAUSED]}, []),
        ({"states": []}, ["running", "broken", "queued", "failed-1", "part", "done"]),
        ({"overall_statuses": [OverallStatus.PARTIAL, OverallStatus.FAILED]}, ["failed-1", "part"]),
        ({"account_id": "acme"}, ["broken", "done"]),
        ({"account_id": "ACME"}, []),
        ({"user_id": "u2"}, ["done"]),
        ({"text": "dentists IN łódź"}, ["part"]),
        ({"text": "straße"}, ["failed-1"]),
        ({"text": "FAILED-"}, ["failed-1"]),
        ({"text": ""}, ["running", "broken", "queued", "failed-1", "part", "done"]),
        ({"changed_after": TIME}, ["part"]),
        (
            {"changed_after": "2026-11-23T10:15:02.416+01:00"},
            ["running", "broken", "queued", "failed-1", "part", "done"],
        ),
        ({"changed_after": LATER}, []),
        ({"states": [PlanState.COMPLETED], "account_id": "acme", "text": "dent"}, ["done"]),
    ],
)
async def test_filters(several, request_fields, expected):
    assert await several.ids(**request_fields) == expected


async def test_older_entries_are_not_read_for_a_filter_by_time(plans, monkeypatch):
    """What was stored long before can't have changed after."""
    for number in range(2000):
        await plans.put(f"p{number}", changed_at=TIME)
    page = await plans.page(changed_after=format_time(now_ms() + 3_600_000))
    assert (page.plans, page.next) == ([], None)
    looked_at = []
    take = plan_listing._Picked.take
    monkeypatch.setattr(
        plan_listing._Picked, "take", lambda self, window: looked_at.append(len(window)) or take(self, window)
    )
    await plans.page(changed_after=format_time(now_ms() + 3_600_000), limit=25)
    assert looked_at == [100]


async def test_a_time_that_is_none_is_refused(plans):
    with pytest.raises(InvalidListRequestError, match="changedAfter: "):
        await plans.page(changed_after="2026-02-30T00:00:00Z")


# --- what counts is the log


async def test_a_completion_whose_entry_was_lost_is_seen_and_written_anew(plans):
    await plans.start("p1")
    await plans.put("p1", **RUNNING, overall_status=None, finished_at=None, account_id="acme")
    await plans.step("p1", "STEP_STARTED", 2)
    assert (await plans.only()).state is PlanState.RUNNING
    await plans.complete("p1", 3)

    assert await plans.ids(states=[PlanState.RUNNING]) == [], "it no longer fits the filter"
    entry, _ = await plans.entry("p1")
    assert entry == {
        "state": "completed",
        "changedAt": LATER,
        "sequence": 3,
        "title": "Dentists",
        "goal": "Find dentists",
        "overallStatus": "partial",
        "userId": "u1",
        "accountId": "acme",
        "startedAt": TIME,
        "finishedAt": LATER,
        "steps": 1,
    }
    plan = await plans.only(states=[PlanState.COMPLETED])
    assert (plan.last_event, plan.overall_status) == (LeadPlanEventType.PLAN_COMPLETED, OverallStatus.PARTIAL)


async def test_steps_that_ran_are_told_and_leave_the_entry_as_it_is(plans):
    await plans.start("p1")
    await plans.put("p1", **RUNNING, overall_status=None, finished_at=None)
    await plans.step("p1", "STEP_STARTED", 2)
    _, before = await plans.entry("p1")
    plan = await plans.only()
    assert (plan.state, plan.changed_at, plan.last_event) == (PlanState.RUNNING, LATER, LeadPlanEventType.STEP_STARTED)
    assert (await plans.entry("p1"))[1] == before


@pytest.mark.parametrize(
    ("before", "kind", "after"),
    [
        (PlanState.RUNNING, "PLAN_PAUSED", PlanState.PAUSED),
        (PlanState.RUNNING, "PLAN_CANCELLING", PlanState.CANCELLING),
        (PlanState.PAUSED, "PLAN_UNPAUSED", PlanState.RUNNING),
        (PlanState.PAUSED, "PLAN_CANCELLING", PlanState.CANCELLING),
        (PlanState.PAUSED, "PLAN_RESUMED", PlanState.PAUSED),
        (PlanState.WAITING, "PLAN_RESUMED", PlanState.RUNNING),
        (PlanState.RUNNING, "PLAN_RETRIED", PlanState.RUNNING),
        (PlanState.PAUSED, "STEP_STARTED", PlanState.RUNNING),
        (PlanState.PAUSED, "STEP_SUCCEEDED", PlanState.PAUSED),
        (PlanState.CANCELLING, "STEP_FAILED", PlanState.CANCELLING),
        (PlanState.WAITING, "STEP_APPROVED", PlanState.RUNNING),
        (PlanState.WAITING, "STEP_RETRYING", PlanState.WAITING),
        (PlanState.WAITING, "STEP_WAITING", PlanState.WAITING),
    ],
)
async def test_the_last_event_corrects_the_state(plans, before, kind, after):
    await plans.start("p1")
    await plans.put("p1", state=before, overall_status=None, finished_at=None, sequence=1)
    await plans.step("p1", kind, 2)
    assert (await plans.only()).state is after
    assert (await plans.entry("p1"))[0]["state"] == after


async def test_an_older_entry_that_came_late_is_recognised(plans):
    await plans.start("p1")
    await plans.complete("p1", 2)
    await plans.put("p1", sequence=2)
    await plans.put("p1", **RUNNING, overall_status=None, finished_at=None)
    assert (await plans.only()).state is PlanState.COMPLETED


async def test_an_entry_that_is_ahead_of_the_log_that_a_replica_has_is_believed(plans):
    await plans.start("p1")
    await plans.put("p1", state=PlanState.PAUSED, sequence=5, overall_status=None)
    plan = await plans.only()
    assert (plan.state, plan.changed_at) == (PlanState.PAUSED, TIME)


async def test_a_repair_never_replaces_an_entry_that_came_later(plans, monkeypatch):
    await plans.start("p1")
    await plans.put("p1", **RUNNING, overall_status=None, finished_at=None)
    await plans.complete("p1", 2)
    compare = plan_listing.compare_with_logs

    async def compare_while_it_is_retried(nc, found):
        checked = await compare(nc, found)
        await plans.put("p1", **RUNNING | {"sequence": 3})
        await plans.settle()
        return checked

    monkeypatch.setattr(plan_listing, "compare_with_logs", compare_while_it_is_retried)
    await plans.page()
    assert (await plans.entry("p1"))[0]["sequence"] == 3


async def test_a_plan_whose_log_has_aged_out_is_left_out(plans):
    await plans.put("gone", **RUNNING)
    await plans.put("waits", state=PlanState.QUEUED, sequence=0)
    assert await plans.ids() == ["waits"]


@pytest.mark.parametrize("state", [PlanState.QUEUED, PlanState.REJECTED])
async def test_a_plan_that_was_sent_again_is_told_from_its_whole_log(plans, make_plan, state):
    """The second submission noted what became of it under the same id, and it may be somebody else's."""
    await plans.start("p1", user={"userId": "owner", "accountId": "acme", "email": "owner@example.org"})
    await plans.append("p1", "PLAN_PAUSED", sequence=2, meta={})
    await plans.index.note_submission("p1", state, user=SupervisorUserContext(user_id="other"))
    assert await plans.ids(user_id="other") == []
    plan = await plans.only(user_id="owner")
    title = make_plan("p1", [{"id": "a"}])["plan"]["title"]
    assert (plan.state, plan.title, plan.account_id, plan.steps) == (PlanState.PAUSED, title, "acme", 1)
    assert (await plans.entry("p1"))[0]["state"] == "paused"


async def test_a_log_that_no_executor_wrote_costs_only_its_own_plan(plans):
    for plan_id in ("no-start", "junk"):
        await plans.index.note_submission(plan_id, PlanState.QUEUED)
    await plans.step("no-start", "STEP_STARTED", 7)
    await plans.js.publish("plans.log.junk", b"\xff{")
    await plans.put("fine")
    await plans.js.publish("plans.log.running", b"[]")
    await plans.put("running", **RUNNING)
    with capture_logs() as lines:
        assert await plans.ids() == ["running", "fine"]
    assert {line["event"] for line in lines} == {
        "last event of a plan can't be read",
        "log of a plan can't be read, leaving it out",
    }


async def test_hostile_entries_are_left_out_with_one_warning(plans):
    await plans.put("fine")
    bodies = [b"junk", b"\xff\xfe", b"{}", b"[]", b'{"state":"odd","changedAt":"x"}', b"null", b"[" * 10_000]
    for number, body in enumerate(bodies):
        await plans.js.publish(index_subject(f"bad{number}"), body)
    await plans.js.publish(index_subject("long"), encode(entry_of()).replace(b"Find", b"F" * 100_000))
    await plans.js.publish(index_subject("not.a.plan"), encode(entry_of()))
    await plans.js.publish(index_subject("deleted"), b"", headers={"KV-Operation": "DEL"})
    with capture_logs() as lines:
        assert await plans.ids() == ["fine"]
    (line,) = lines
    assert (line["log_level"], line["entries"]) == ("warning", len(bodies) + 2)


# --- writing the index


async def test_a_run_is_noted_as_it_stands(plans):
    await plans.start("p1", user={"userId": "u1", "accountId": "acme", "email": "u1@example.org"})
    run = PlanRun("p1")
    message = await plans.js.get_last_msg("PLAN_LOG", "plans.log.p1")
    evolve(run, decode_event(message.data))
    await plans.index.note(run, plan_state(run))
    plan = await plans.only()
    assert (plan.state, plan.account_id, plan.started_at, plan.changed_at) == (PlanState.RUNNING, "acme", TIME, TIME)
    await plans.complete("p1", 2, status="cancelled")
    message = await plans.js.get_last_msg("PLAN_LOG", "plans.log.p1")
    evolve(run, decode_event(message.data))
    await plans.index.note(run, plan_state(run))
    entry, _ = await plans.entry("p1")
    assert (entry["state"], entry["overallStatus"], entry["finishedAt"]) == ("completed", "cancelled", LATER)
    assert b"example.org" not in encode(entry)


async def test_long_texts_are_cut_and_a_page_reads_them(plans, make_plan):
    submission = read_plan_submission(json.dumps(make_plan("p1", [{"id": "a"}])).encode())
    plan = submission.plan.__class__(
        **{name: getattr(submission.plan, name) for name in submission.plan.__struct_fields__}
        | {"title": "t" * 5000, "goal": LeadGenGoal(description="ü" * 5000)}
    )
    await plans.index.note_submission("p1", PlanState.QUEUED, plan=plan, user=submission.user)
    summary = await plans.only()
    assert (len(summary.title), len(summary.goal), summary.steps) == (300, 300, 1)
    assert (summary.state, summary.last_event) == (PlanState.QUEUED, None)


async def test_a_rejected_submission_is_listed_and_an_unreadable_one_isnt(plans):
    await plans.index.note_submission("p1", PlanState.REJECTED)
    await plans.index.note_submission("_unreadable", PlanState.REJECTED)
    plan = await plans.only()
    assert (plan.plan_id, plan.state, plan.last_event) == ("p1", PlanState.REJECTED, LeadPlanEventType.PLAN_REJECTED)


async def test_what_was_noted_before_an_acknowledgement_outlives_who_noted_it(plans, nats_url, eventually):
    """The executor that dies once its plan's message is off the queue."""
    executor = await connect(nats_url, name="dies at once")
    for number in range(50):
        await PlanIndex(executor).put(f"p{number}", entry_of())
    await executor.request("plans.rejected.x", b"{}")
    await executor.close()

    async def all_are_there():
        return (await plans.js.stream_info("KV_PLAN_INDEX")).state.messages == 50

    await eventually(all_are_there)


async def test_an_index_that_takes_nothing_is_a_warning(plans, nc):
    await nc.close()
    with capture_logs() as lines:
        await plans.put("p1")
    assert [line["event"] for line in lines] == ["entry of the plan index can't be published"]


async def test_many_lists_at_once_keep_apart(plans):
    for number in range(300):
        await plans.put(f"p{number}", account_id=f"account-{number % 10}")
    pages = await asyncio.gather(*(plans.ids(account_id=f"account-{number}") for number in range(10)))
    for number, page in enumerate(pages):
        assert page == [f"p{found}" for found in range(290 + number, -1, -10)]


def test_the_benchmark_runs():
    """With fewer plans: that it can be run, and that it finds every plan once."""
    script = Path(__file__).parents[2] / "benchmarks" / "list_plans.py"
    command = [sys.executable, script, "--plans", "1200", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = dict(re.findall(r"^(.+?)  +(\d+) plans", done.stdout, re.MULTILINE))
    assert figures["all, in pages of 500"] == "1200"
    assert figures["500 that run (their logs compared)"] == "500"
    assert figures["all of one account, in pages of 500"] == "6"
    assert figures["a filter that fits nothing"] == "0"
