"""``leadplan monitors`` and ``MonitorClient`` against a real server, with monitors that the tool has set up."""

import asyncio
import json
from datetime import UTC, datetime

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.connection import connect
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_cli import monitor_lines, monitors_commands
from leadplan_cli.main import main
from leadplan_client import (
    InvalidMonitorIdError,
    MonitorClient,
    StreamsMissingError,
    UnknownMonitorError,
    UnreadableMonitorError,
)
from leadplan_contracts import SupervisorUserContext
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_monitor.responder import responder
from leadplan_responder.testing import call_tool

TIME = "2026-11-23T09:15:02.417Z"
PLAN = {
    "id": "plan_1",
    "title": "Dentists in Leeds",
    "goal": {"description": "Find dentists in Leeds"},
    "createdAt": TIME,
    "steps": [
        {"id": "search", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": "dentists in Leeds"}},
        {"id": "save", "tool": "LEAD_LIST_SAVE", "params": {}, "dependsOn": ["search"]},
        {"id": "monitor", "tool": "MONITOR_SETUP", "params": {}, "dependsOn": ["save"]},
    ],
}
OURS = SupervisorUserContext(user_id="u_7", account_id="acct_3")
THEIRS = SupervisorUserContext(user_id="u_8", account_id="acct_4")


async def set_up(nc: Client, user=OURS, **params):
    params = {"schedule": "0 9 * * 1", "timeZone": "Europe/London", **params}
    call = await call_tool(responder(), "MONITOR_SETUP", params, plan=PLAN, user=user, step_id="monitor", nats=nc)
    assert call.result.success, call.result


@pytest.fixture
async def three_monitors(nc):
    await ensure_topology(nc.jetstream(), Retention())
    await set_up(nc, monitorId="weekly")
    await set_up(nc, monitorId="often", schedule="every 90m", overlap="queue")
    await set_up(nc, monitorId="theirs", user=THEIRS)
    return MonitorClient(nc)


async def remember_run(nc, run, waiting=None, monitor_id="weekly"):
    bucket = await nc.jetstream().key_value("MONITOR_RUNS")
    await bucket.put(monitor_id, msgspec.json.encode(RecurringRuns(running=run, waiting=waiting)))


async def test_the_list_says_what_each_monitor_is(three_monitors):
    often, theirs, weekly = await three_monitors.list()

    assert msgspec.to_builtins(weekly) == {
        "id": "weekly",
        "account": "acct_3",
        "userId": "u_7",
        "schedule": "0 9 * * 1",
        "timeZone": "Europe/London",
        "serverSchedule": "0 0 9 * * 1",
        "overlap": "skip",
        "planId": "plan_1-weekly",
        "planTitle": "Dentists in Leeds",
        "steps": [{"id": "search", "tool": "GOOGLE_PLACES_SEARCH"}, {"id": "save", "tool": "LEAD_LIST_SAVE"}],
        "setUpAt": weekly.set_up_at,
    }
    age = datetime.now(UTC) - datetime.fromisoformat(weekly.set_up_at)
    assert 0 <= age.total_seconds() < 60
    assert (often.schedule, often.time_zone, often.overlap) == ("every 90m", None, "queue")
    assert (theirs.id, theirs.account) == ("theirs", "acct_4")
    assert [monitor.id for monitor in await three_monitors.list(account="acct_4")] == ["theirs"]
    assert await three_monitors.list(account="acct_5") == []


async def test_the_list_says_how_the_last_run_ended(three_monitors, nc):
    js = nc.jetstream()

    async def weekly():
        (found,) = [monitor for monitor in await three_monitors.list() if monitor.id == "weekly"]
        return found

    async def last_run():
        return (await weekly()).last_run

    first = await three_monitors.fire("weekly")
    assert await last_run() is None
    run = RecurringRun(plan_id=first.plan_id, submission=first.submission)
    await remember_run(nc, run, waiting=RecurringRun(plan_id="gone", submission=900))
    assert (await last_run()).state == "starting"
    assert (await weekly()).waiting_run is None, "its message is gone"
    second = await three_monitors.fire("weekly")
    await remember_run(nc, run, waiting=RecurringRun(plan_id=second.plan_id, submission=second.submission))
    assert (await weekly()).waiting_run == second.plan_id

    log = f"plans.log.{first.plan_id}"
    started = {"type": "PLAN_STARTED", "planId": first.plan_id, "sequence": 1, "time": TIME, "plan": PLAN}
    await js.publish(log, json.dumps({**started, "meta": {"executor": "e", "submission": 1}}).encode())
    assert ((await last_run()).state, (await last_run()).started_at) == ("running", TIME)
    result = {"planId": first.plan_id, "overallStatus": "partial", "startedAt": TIME, "finishedAt": TIME}
    completed = {"type": "PLAN_COMPLETED", "planId": first.plan_id, "sequence": 2, "time": TIME}
    await js.publish(log, json.dumps({**completed, "result": {**result, "stepResults": []}}).encode())
    assert ((await last_run()).state, (await last_run()).finished_at) == ("partial", TIME)

    await js.purge_stream("PLAN_LOG")
    await js.purge_stream("PLANS", subject="plans.execute")
    assert (await last_run()).state == "unknown"
    await js.publish(f"plans.rejected.{first.plan_id}", b"{}")
    assert (await last_run()).state == "rejected"


async def test_a_firing_by_hand_is_a_message_like_those_of_the_schedule(three_monitors, nc):
    js = nc.jetstream()
    schedule = await js.get_last_msg("PLANS", "plans.schedule.weekly")
    fired = await three_monitors.fire("weekly")

    message = await js.get_msg("PLANS", seq=fired.submission)
    assert (message.subject, message.data) == ("plans.execute", schedule.data)
    assert message.headers["Nats-Scheduler"].startswith("plans.schedule.weekly:")
    assert fired.plan_id == f"plan_1-weekly-{fired.submission}"
    assert (await js.get_last_msg("PLANS", "plans.schedule.weekly")).seq == schedule.seq, "the schedule stays"
    assert (await three_monitors.fire("weekly")).plan_id != fired.plan_id


async def test_what_can_t_be_removed_or_fired_is_told(three_monitors, nc):
    for act in (three_monitors.remove, three_monitors.fire):
        with pytest.raises(UnknownMonitorError, match=r"no monitor weekli: did you mean weekly\?"):
            await act("weekli")
        with pytest.raises(UnknownMonitorError, match=r"no monitor WEEK: did you mean weekly\?"):
            await act("WEEK")
        with pytest.raises(UnknownMonitorError, match="no monitor theirs of account acct_3"):
            await act("theirs", account="acct_3")
        for bad in ("*", ">", "a.b", "", "x" * 129, "weekly:token"):
            with pytest.raises(InvalidMonitorIdError):
                await act(bad)
    assert len(await three_monitors.list()) == 3
    headers = {"Nats-Schedule": "@every 5m", "Nats-Schedule-Target": "plans.execute"}
    await nc.jetstream().publish("plans.schedule.junk", b"\xff", headers=headers)
    with pytest.raises(UnreadableMonitorError, match="junk holds no plan"):
        await three_monitors.fire("junk")
    (junk,) = [monitor for monitor in await three_monitors.list() if monitor.id == "junk"]
    assert (junk.schedule, junk.plan_id, junk.account) == ("@every 5m", None, None)
    assert "  plan      unreadable" in monitor_lines.monitor_lines(junk)
    await three_monitors.remove("junk")


async def test_without_streams_it_is_said_who_makes_them(nc):
    for act in (MonitorClient(nc).list(), MonitorClient(nc).fire("a"), MonitorClient(nc).remove("a")):
        with pytest.raises(StreamsMissingError, match="no executor ever ran"):
            await act


# --- the command


@pytest.fixture
def leadplan(nats_url, monkeypatch, capsys):
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("NATS_URL", nats_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main(("monitors", *arguments))
        captured = capsys.readouterr()
        return int(raised.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def monitors(nats_url):
    """The same three monitors, for tests without a loop of their own."""

    async def store():
        nc = await connect(nats_url, name="test")
        await ensure_topology(nc.jetstream(), Retention())
        await set_up(nc, monitorId="weekly")
        await set_up(nc, monitorId="often", schedule="every 90m", overlap="queue")
        await set_up(nc, monitorId="theirs", user=THEIRS)
        await nc.close()

    asyncio.run(store())


def ids(leadplan, *arguments):
    code, out, _ = leadplan("list", "--json", *arguments)
    assert code == 0
    return [json.loads(line)["id"] for line in out.splitlines()]


def test_list_shows_people_what_they_want_to_know(monitors, leadplan):
    code, out, err = leadplan("list", "--account", "acct_3")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "often  every 90m"
    assert lines[3] == "  overlap   queue"
    assert lines[4].startswith("weekly  0 9 * * 1 (Europe/London), next Mon 2")
    assert lines[5] == "  plan      Dentists in Leeds (2 steps: search, save)"
    assert lines[6].startswith("  account   acct_3, set up 2")
    assert "theirs" not in out


def test_list_as_json_has_the_next_run_of_cron_schedules(monitors, leadplan):
    _, out, _ = leadplan("list", "--json")
    often, theirs, weekly = (json.loads(line) for line in out.splitlines())
    upcoming = datetime.fromisoformat(weekly["nextRunAt"])
    assert upcoming > datetime.now(UTC)
    assert upcoming.weekday() == 0
    assert theirs["nextRunAt"] == weekly["nextRunAt"]
    assert "nextRunAt" not in often


def test_an_empty_list_says_where_monitors_come_from(monitors, leadplan):
    code, out, _ = leadplan("list", "--account", "acct_5")
    assert (code, out) == (0, "There are no monitors of account acct_5. A plan's step MONITOR_SETUP sets one up.\n")
    assert leadplan("list", "--account", "acct_5", "--json") == (0, "", "")


def test_remove_takes_several_and_says_so(monitors, leadplan):
    assert leadplan("remove", "weekly", "often") == (0, "removed monitor weekly\nremoved monitor often\n", "")
    assert ids(leadplan) == ["theirs"]
    code, out, err = leadplan("remove", "weekly")
    assert (code, out) == (1, "")
    assert err.startswith("leadplan: there is no monitor weekly")
    assert leadplan("remove", "theirs", "--json") == (0, '{"removed":"theirs"}\n', "")


def test_remove_all_is_of_one_account_and_asked_for(monitors, leadplan, monkeypatch):
    code, out, err = leadplan("remove", "--all", "--account", "acct_3")
    assert (code, out) == (2, "")
    assert "give --yes" in err
    assert len(ids(leadplan)) == 3

    asked = []
    monkeypatch.setattr(monitors_commands.sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question, **options: asked.append(question))
    code, out, _ = leadplan("remove", "--all", "--account", "acct_3")
    assert asked == ["Remove often, weekly of account acct_3?"]
    assert (code, out) == (0, "removed monitor often\nremoved monitor weekly\n")
    assert ids(leadplan) == ["theirs"]
    assert leadplan("remove", "--all", "--account", "acct_4", "--yes")[:2] == (0, "removed monitor theirs\n")
    assert leadplan("remove", "--all", "--account", "acct_4", "--yes")[:2] == (0, "there was nothing to remove\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["remove"], "name the monitors to remove, or give --all and --account"),
        (["remove", "weekly", "--all", "--account", "acct_3"], "name the monitors to remove"),
        (["remove", "--all"], "give --account"),
        (["remove", "*"], "'*' is no monitor id"),
        (["fire", "a.b"], "'a.b' is no monitor id"),
        (["fire"], "ID"),
        (["nonsense"], "nonsense"),
    ],
)
def test_bad_use_is_told_and_exits_with_2(monitors, leadplan, arguments, said):
    code, out, err = leadplan(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert len(ids(leadplan)) == 3


def test_fire_says_how_to_follow_the_run(monitors, leadplan):
    code, out, _ = leadplan("fire", "weekly")
    assert code == 0
    assert out.startswith("monitor weekly fired; next: leadplan watch plan_1-weekly-")
    fired = json.loads(leadplan("fire", "weekly", "--json")[1])
    assert (fired["monitorId"], fired["planId"]) == ("weekly", f"plan_1-weekly-{fired['submission']}")
    assert leadplan("fire", "weekly", "--account", "acct_4")[0] == 1


@pytest.mark.parametrize("command", [[], ["list"], ["remove"], ["fire"]])
def test_help_has_an_example(leadplan, command):
    code, out, _ = leadplan(*command, "--help")
    assert code == 0
    assert "leadplan monitors" in out.partition("Example")[2]
    assert "..." not in out.partition("Commands:")[2]
