import msgspec
import pytest

from leadplan_contracts import OverlapPolicy, Recurrence, SupervisorUserContext
from leadplan_contracts.validation import read_plan_submission
from leadplan_monitor.errors import RecurringPlanError
from leadplan_monitor.recurring_plan import build_submission, default_monitor_id, recurring_plan_id

USER = SupervisorUserContext(user_id="u_7", account_id="acct_3", email="owner@example.com")
RECURRENCE = Recurrence(id="weekly", overlap=OverlapPolicy.QUEUE, schedule="0 9 * * 1", time_zone="UTC")
LONGEST_SUFFIX = f"-{2**64 - 1}"


def step(name, *depends_on, tool="ECHO", **more):
    return {"id": name, "tool": tool, "params": {}, "dependsOn": list(depends_on), **more}


def plan(*steps, **more):
    return {
        "id": "plan_01HZX4",
        "title": "Dentists in Leeds",
        "goal": {"description": "Find dentists in Leeds", "targetCount": 40},
        "context": {"country": "GB"},
        "createdAt": "2026-11-23T09:15:02.417Z",
        "steps": list(steps),
        **more,
    }


FORK = plan(
    step("search", retry={"maxRetries": 5}, note="unknown keys stay"),
    step("aside"),
    step("save", "search"),
    step("outreach", "save"),
    step("monitor", "save", tool="MONITOR_SETUP"),
    maxConcurrency=2,
    origin="unknown keys stay",
)


def built(source, **more):
    arguments = {"monitor_step": "monitor", "recurring_id": "plan_01HZX4-monitor", **more}
    return msgspec.json.decode(build_submission(source, USER, RECURRENCE, **arguments))


def test_only_the_steps_before_the_monitor_run_again():
    submission = built(FORK)

    assert [one["id"] for one in submission["plan"]["steps"]] == ["search", "save"]
    assert submission["plan"]["steps"][0] == FORK["steps"][0]
    assert submission["user"] == {"userId": "u_7", "accountId": "acct_3", "email": "owner@example.com"}
    assert submission["recurrence"] == {
        "id": "weekly", "overlap": "queue", "schedule": "0 9 * * 1", "timeZone": "UTC",
    }  # fmt: skip


def test_the_rest_of_the_plan_stays_as_it_was():
    kept = {name: value for name, value in built(FORK)["plan"].items() if name not in ("id", "steps")}

    assert kept == {name: value for name, value in FORK.items() if name not in ("id", "steps")}


def test_the_plan_order_stays():
    source = plan(step("monitor", "c", "b", tool="MONITOR_SETUP"), step("c", "a"), step("b"), step("a"))

    assert [one["id"] for one in built(source)["plan"]["steps"]] == ["c", "b", "a"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ({name: value for name, value in FORK.items() if name != "steps"}, "over 32 KiB"),
        (plan(step("search"), step("monitor", tool="MONITOR_SETUP")), "depends on no step"),
        (plan(step("search")), "no step 'monitor'"),
        (plan(step("monitor", "gone")), "can't be read"),
        (plan({"id": "monitor"}), "can't be read"),
        (
            plan(
                step("a"),
                step("first", "a", tool="MONITOR_SETUP"),
                step("b", "first"),
                step("monitor", "b", tool="MONITOR_SETUP"),
            ),
            "'first': a monitor can't set up monitors",
        ),
        (plan(step("a", params={"sourceStepId": "b"}), step("monitor", "a", tool="MONITOR_SETUP")), "no step 'b'"),
    ],
)
def test_what_cant_run_on_its_own_is_refused(source, complaint):
    with pytest.raises(RecurringPlanError, match=complaint):
        built(source)


@pytest.mark.parametrize(
    ("plan_id", "monitor_id", "expected"),
    [
        ("plan_1", "plan_1-monitor", "plan_1-monitor"),
        ("plan_1", "weekly", "plan_1-weekly"),
        ("plan_1", "plan_1", "plan_1-plan_1"),
    ],
)
def test_the_recurring_plan_is_named_after_plan_and_monitor(plan_id, monitor_id, expected):
    assert recurring_plan_id(plan_id, monitor_id) == expected


def test_long_ids_are_cut_and_stay_different():
    plan_id = "p" * 128
    monitors = [default_monitor_id(plan_id, "s" * 63 + end) for end in "ab"]
    plans = [recurring_plan_id(plan_id, monitor) for monitor in monitors]

    assert len(set(monitors)) == 2
    assert len(set(plans)) == 2
    assert {len(name) for name in monitors} == {128}
    assert {len(name) for name in plans} == {107}


def test_the_longest_id_still_takes_the_executors_suffix():
    recurring_id = recurring_plan_id("p" * 128, "m" * 128)
    body = build_submission(FORK, USER, RECURRENCE, monitor_step="monitor", recurring_id=recurring_id)

    assert len(read_plan_submission(body, plan_id_suffix=LONGEST_SUFFIX).plan.id) == 128
