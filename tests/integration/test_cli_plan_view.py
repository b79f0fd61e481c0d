"""What viewers of a plan show, without any server: folding events, lines of text, the table."""

import io
from typing import Any

import msgspec
import pytest
from rich.console import Console

from leadplan_cli.displays import JsonDisplay, LineDisplay
from leadplan_cli.plan_lines import duration, event_line
from leadplan_cli.plan_table import plan_table
from leadplan_cli.plan_view import PlanView, StepState, StepView, select_rows
from leadplan_contracts import LeadPlanEventPayload, LeadPlanEventType
from leadplan_contracts.events import decode_event
from leadplan_contracts.times import format_time, parse_time

START_MS = parse_time("2026-11-23T09:15:00.000Z")
PLAN = {
    "id": "p",
    "title": "Dentists in Leeds",
    "goal": {"description": "Find dentists in Leeds"},
    "createdAt": "2026-11-23T09:15:00.000Z",
    "steps": [
        {"id": "search", "tool": "SEARCH", "label": "Find dentists", "params": {}},
        {"id": "save", "tool": "SAVE", "params": {}, "dependsOn": ["search"]},
    ],
}


def at(milliseconds: int) -> str:
    return format_time(START_MS + milliseconds)


def event(kind: str, milliseconds: int, **more: Any) -> LeadPlanEventPayload:
    return decode_event(msgspec.json.encode({"type": kind, "planId": "p", "time": at(milliseconds), **more}))


def step_event(kind: str, milliseconds: int, step: str = "search", **more: Any) -> LeadPlanEventPayload:
    return event(kind, milliseconds, step={"id": step, "tool": step.upper()}, **more)


def result(status: str, attempts: int = 1, step: str = "search", **more: Any) -> dict[str, Any]:
    return {"stepId": step, "status": status, "attempts": attempts, "startedAt": at(100), **more}


def started() -> LeadPlanEventPayload:
    return event("PLAN_STARTED", 0, plan=PLAN, meta={"executor": "e1"})


def retrying() -> LeadPlanEventPayload:
    meta = {"delayMs": 1000, "retryAt": at(1500), "errorCode": "timeout"}
    return step_event("STEP_RETRYING", 500, result=result("running", errorMessage="too slow"), meta=meta)


def progress(milliseconds: int, fraction: float | None, message: str | None = None) -> LeadPlanEventPayload:
    return step_event("STEP_PROGRESS", milliseconds, meta={"progress": fraction, "message": message})


def completed(status: str = "failed") -> LeadPlanEventPayload:
    times = {"startedAt": at(0), "finishedAt": at(3000)}
    return event("PLAN_COMPLETED", 3000, result={"planId": "p", "overallStatus": status, "stepResults": [], **times})


RUN = [
    started(),
    step_event("STEP_STARTED", 100, result=result("running")),
    retrying(),
    step_event("STEP_STARTED", 1500, result=result("running", attempts=2)),
    progress(1700, 0.4, "4 of 10"),
    step_event(
        "STEP_FAILED",
        2900,
        result=result("failed", attempts=2, finishedAt=at(2900), errorMessage="broken"),
        meta={"errorCode": "tool_error"},
    ),
    step_event(
        "STEP_SKIPPED",
        2950,
        "save",
        result={"stepId": "save", "status": "skipped", "attempts": 0, "errorMessage": "Skipped because …"},
        meta={"errorCode": "dependency_failed"},
    ),
    completed(),
]
PLAN_EVENTS = [
    event("PLAN_RESUMED", 10, meta={"executor": "e2", "reason": "lease expired"}),
    event("PLAN_PAUSED", 20, meta={"by": "ann", "reason": "lunch"}),
    event("PLAN_UNPAUSED", 30),
    event("PLAN_CANCELLING", 40, meta={"by": "ann"}),
    event("PLAN_RETRIED", 50),
    event(
        "PLAN_REJECTED",
        60,
        meta={"errors": [{"path": "plan.id", "code": "bad_id", "message": "is no id"}], "original": {}},
    ),
    step_event("STEP_SUCCEEDED", 70, result=result("succeeded", finishedAt=at(400))),
    step_event("STEP_WAITING", 80, "save"),
    step_event("STEP_APPROVED", 90, "save", meta={"by": "ann"}),
    step_event("STEP_DENIED", 95, "save", meta={"reason": "too dear"}),
]


def seen(*events: LeadPlanEventPayload) -> PlanView:
    view = PlanView("p")
    for one in events:
        view.fold(one)
    return view


def drawn(view: PlanView, now_ms: int = START_MS + 1000, **options: Any) -> str:
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(plan_table(view, now_ms, **{"height": 40, **options}))
    return console.export_text()


def test_a_run_seen_step_by_step():
    view = PlanView("p")
    states = []
    for one in RUN:
        view.fold(one)
        search = view.steps["search"]
        states.append((search.state.value, search.attempts, search.note, search.progress))
    assert states == [
        ("pending", 0, "", None),
        ("running", 1, "", None),
        ("retrying", 1, "too slow", None),
        ("running", 2, "", None),
        ("running", 2, "4 of 10", 0.4),
        ("failed", 2, "broken", None),
        ("failed", 2, "broken", None),
        ("failed", 2, "broken", None),
    ]
    assert view.counts() == {StepState.FAILED: 1, StepState.SKIPPED: 1}
    assert (view.status, view.elapsed_ms(0)) == ("failed", 3000)
    assert view.steps["search"].elapsed_ms(0) == 2800


def test_progress_after_a_step_s_end_and_before_the_plan_s_start_does_no_harm():
    view = seen(*RUN, progress(3100, 0.9, "late"))
    assert view.steps["search"].note == "broken"
    early = seen(progress(0, 0.1), started(), RUN[1])
    assert list(early.steps) == ["search", "save"]
    assert early.steps["search"].label == "Find dentists"


def test_a_new_round_keeps_what_succeeded():
    failed = [one for one in RUN if one is not RUN[0]]
    view = seen(started(), PLAN_EVENTS[6], event("PLAN_RETRIED", 4000))
    assert view.steps["search"].state is StepState.SUCCEEDED
    view = seen(started(), *failed, event("PLAN_RETRIED", 4000))
    assert (view.status, view.counts()) == (None, {StepState.PENDING: 2})


def test_each_event_is_one_line_of_text():
    view = PlanView("p")
    lines = []
    for one in RUN:
        view.fold(one)
        lines.append(event_line(view, one))
    assert lines == [
        "    0.00 s  plan p started: Dentists in Leeds (2 steps)",
        "    0.10 s  search     started: Find dentists (SEARCH)",
        "    0.50 s  search     attempt 1 failed (timeout), again in 1.0 s: too slow",
        "    1.50 s  search     attempt 2 started",
        "    1.70 s  search     40% 4 of 10",
        "    2.90 s  search     failed after 2 attempts (tool_error): broken",
        "    2.95 s  save       skipped: Skipped because …",
        "    3.00 s  plan failed after 3.0 s: 1 failed, 1 skipped",
    ]


def test_every_event_type_has_a_line_and_a_place_in_the_table():
    events = [*RUN, *PLAN_EVENTS]
    assert {str(type(one).__struct_config__.tag) for one in events} == {kind.value for kind in LeadPlanEventType}
    lines = {}
    for one in PLAN_EVENTS:
        view = seen(started(), one)
        assert drawn(view)
        lines[str(type(one).__struct_config__.tag)] = event_line(view, one).partition(" s  ")[2]
    assert lines == {
        "PLAN_RESUMED": "plan taken over by e2 (lease expired)",
        "PLAN_PAUSED": "plan paused by ann: lunch",
        "PLAN_UNPAUSED": "plan goes on",
        "PLAN_CANCELLING": "plan being cancelled by ann",
        "PLAN_RETRIED": "plan begun again",
        "PLAN_REJECTED": "plan p: a submission was rejected\n  plan.id: is no id [bad_id]",
        "STEP_SUCCEEDED": "search     succeeded after 0.3 s",
        "STEP_WAITING": "save       waits for an approval",
        "STEP_APPROVED": "save       approved by ann",
        "STEP_DENIED": "save       denied: too dear",
    }


def test_the_table_shows_what_runs():
    text = drawn(seen(*RUN[:5]), START_MS + 2100)
    assert "Dentists in Leeds  p  running  2.1 s" in text
    assert "▶  Find dentists  SEARCH      2    2.0 s" in text
    assert "━" in text
    assert "4 of 10" in text
    assert "·  save           SAVE" in text


def test_the_table_shows_how_it_ended():
    text = drawn(seen(*RUN))
    assert "Dentists in Leeds  p  failed  3.0 s" in text
    assert "✗  Find dentists  SEARCH      2    2.8 s  broken" in text
    assert "–  save           SAVE" in text
    assert "again in 0.5 s: too slow" in drawn(seen(*RUN[:3]))


def test_before_the_start_and_after_a_rejection_there_is_a_heading():
    assert "p  waiting for an executor" in drawn(PlanView("p"))
    text = drawn(seen(PLAN_EVENTS[5]))
    assert "p  rejected" in text
    assert "plan.id: is no id [bad_id]" in text


def test_a_terminal_that_knows_ascii_only_gets_ascii_signs():
    text = drawn(seen(*RUN), ascii_only=True)
    assert "x  Find dentists" in text
    assert "✗" not in text


def test_of_more_steps_than_fit_those_are_shown_that_matter():
    view = PlanView("p", title="Many", started_ms=START_MS)
    states = [StepState.SUCCEEDED] * 500 + [StepState.FAILED] + [StepState.RUNNING] * 2 + [StepState.PENDING] * 500
    for number, state in enumerate(states):
        view.steps[f"s{number}"] = StepView(f"s{number}", "T", f"step {number}", state)
    rows, others = select_rows(view, 6)
    assert [row.id for row in rows] == ["s500", "s501", "s502", "s503", "s504"]
    assert others == {StepState.PENDING: 498, StepState.SUCCEEDED: 500}
    assert len(drawn(view, height=12).splitlines()) <= 12
    assert "and 997 more: 497 pending, 500 succeeded" in drawn(view, height=12)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(0, "0.0 s"), (340, "0.3 s"), (59_900, "59.9 s"), (125_000, "2 min 05 s"), (3_725_000, "1 h 02 min")],
)
def test_durations(milliseconds: int, text: str):
    assert duration(milliseconds) == text


def test_lines_show_a_step_s_progress_at_most_once_a_second():
    out = io.StringIO()
    display = LineDisplay(PlanView("p"), out)
    for one in [started(), progress(0, 0.1), progress(400, 0.2), progress(999, 0.3), progress(1000, 0.4)]:
        display.show(one)
    assert [line.split()[-1] for line in out.getvalue().splitlines()[1:]] == ["10%", "40%"]


def test_json_lines_are_the_events_themselves():
    out = io.StringIO()
    spread_out = msgspec.json.format(msgspec.json.encode(started()), indent=2)
    for one in [decode_event(spread_out), *RUN]:
        JsonDisplay(out).show(one)
    assert [decode_event(line.encode()) for line in out.getvalue().splitlines()] == [started(), *RUN]
