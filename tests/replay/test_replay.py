"""What every version stored is read by this one: logs fold as they did then, and can be taken over anywhere."""

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from core_invariants import check_log
from core_simulation import Simulation
from core_state_rules import check_state
from replay_formats import STORED, Field, Format, differences, present_format, read_format, written_format
from replay_states import Entry, LoggedEvent, folded, state_of, submission_of

from leadplan_contracts import LeadGenStepResult, LeadPlanEventPayload, LeadPlanEventType
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.errors import PlanRejectedError
from leadplan_contracts.events import PlanCompleted, PlanRejected, PlanStarted, decode_event, event_type
from leadplan_contracts.recurrence import OverlapPolicy, RecurringRun
from leadplan_contracts.times import parse_time
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import Steering, read_wake
from leadplan_executor.core import PlanRun, Proceed, TakenOver, decide, evolve
from leadplan_executor.core.overlap import decide_overlap
from leadplan_executor.core.summary import execution_result
from leadplan_executor.core.takeovers import Holder, take_over
from leadplan_executor.service import VERSION

HERE = Path(__file__).parent
VERSIONS = sorted(HERE.glob("v*/"))
NO_LOGS = {"buckets", "rejections", "step-results", "submissions", "wakes"}
LOGS = [file for version in VERSIONS for file in sorted(version.glob("*.jsonl")) if file.stem not in NO_LOGS]

WIDENED: dict[str, str] = {}
"""Paths whose type is another one than some version stored, each with the reason why every stored value still fits."""

NOT_STORED = {LeadPlanEventType.STEP_PROGRESS}
"""Progress is live only."""


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@cache
def log_of(path: Path) -> list[LoggedEvent]:
    return [msgspec.json.decode(line, type=LoggedEvent) for line in path.read_bytes().splitlines()]


def events_of(path: Path) -> list[LeadPlanEventPayload]:
    return [decode_event(bytes(line.event)) for line in log_of(path)]


def entries(version: Path, name: str) -> list[Entry]:
    return [msgspec.json.decode(line, type=Entry) for line in (version / f"{name}.jsonl").read_bytes().splitlines()]


def assert_kept(stored: Any, read: Any, where: str = "") -> None:
    """Everything that was stored is still there once it was read and written again; more may be."""
    if isinstance(stored, dict):
        assert isinstance(read, dict), where
        for key, value in stored.items():
            assert key in read or value is None, f"{where}.{key} is lost"
            assert_kept(value, read.get(key), f"{where}.{key}")
    elif isinstance(stored, list):
        assert isinstance(read, list), where
        assert len(read) == len(stored), where
        for number, (one, other) in enumerate(zip(stored, read, strict=True)):
            assert_kept(one, other, f"{where}[{number}]")
    else:
        assert read == stored, where


def assert_reads_whole(stored: msgspec.Raw, model: Any) -> Any:
    """What a model reads, having lost nothing of it."""
    read = msgspec.json.decode(stored, type=model)
    assert_kept(json.loads(bytes(stored)), json.loads(encode(read)))
    return read


# --- logs


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_a_recorded_log_folds_to_what_it_folded_to_then(path: Path):
    events = events_of(path)
    run = PlanRun(events[0].plan_id)
    for event, line in zip(events, log_of(path), strict=True):
        assert_kept(json.loads(bytes(line.event)), json.loads(encode(event)))
        evolve(run, event)
        assert state_of(run) == line.state
        check_state(run)
    completed = with_results(path.parent, events[-1])
    before_its_end = folded(events[:-1], run.plan_id)
    assert execution_result(before_its_end, parse_time(completed.time)) == completed.result


def with_results(version: Path, event: LeadPlanEventPayload) -> PlanCompleted:
    """The last event, with the step results that lie beside the log of a large plan."""
    assert isinstance(event, PlanCompleted)
    if (ref := event.result.step_results_ref) is None:
        return event
    (body,) = [entry.value for entry in entries(version, "step-results") if entry.where == ref.name]
    results = assert_reads_whole(body, list[LeadGenStepResult])
    result = msgspec.structs.replace(event.result, step_results=results, step_results_ref=None)
    return msgspec.structs.replace(event, result=result)


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_a_log_that_was_cut_anywhere_is_taken_over_and_ends_by_the_rules(path: Path):
    events = events_of(path)
    started = events[0]
    assert isinstance(started, PlanStarted)
    submission = submission_of(started)
    for length in range(1, len(events)):
        run = folded(events[:length], started.plan_id)
        now = parse_time(events[length - 1].time) + 1
        resumed = decide(run, TakenOver("executor-of-today", "replay", 1), now)
        if run.completed:  # a round that another one follows
            assert resumed == []
            continue
        assert [event_type(event) for event in resumed] == [LeadPlanEventType.PLAN_RESUMED]
        evolve(run, resumed[0])
        check_state(run)
        while following := decide(run, Proceed(), now):
            for event in following:
                evolve(run, event)
                check_state(run)
        simulated = Simulation(submission, log=[bytes(line.event) for line in log_of(path)[:length]]).run_to_end()
        check_log(submission.plan, simulated.events)


@pytest.mark.parametrize("path", LOGS, ids=name_of)
def test_fields_of_a_later_version_change_nothing(path: Path):
    run = PlanRun(events_of(path)[0].plan_id)
    for line in log_of(path):
        evolve(run, decode_event(json.dumps(with_more_fields(json.loads(bytes(line.event)))).encode()))
        assert state_of(run) == line.state
    later = with_more_fields(json.loads(bytes(log_of(path)[0].event)))
    read_plan_submission(json.dumps({"plan": later["plan"], "user": later["user"], "later": 1}).encode())


ANY_JSON = {"params", "context", "data"}


def with_more_fields(value: Any) -> Any:
    """The same with a field more in every object of the contract; what is anybody's JSON stays as it is."""
    if isinstance(value, dict):
        inner = {key: one if key in ANY_JSON else with_more_fields(one) for key, one in value.items()}
        return {**inner, "fieldOfALaterVersion": {"x": [1, None]}}
    return [with_more_fields(one) for one in value] if isinstance(value, list) else value


# --- what else is stored


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_recorded_rejections_are_read(version: Path):
    codes = set()
    for entry in entries(version, "rejections"):
        event = assert_reads_whole(entry.value, LeadPlanEventPayload)
        assert isinstance(event, PlanRejected)
        codes |= {problem.code for problem in event.meta.errors}
    assert codes <= set(RejectionCode)


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_recorded_submissions_that_wait_in_the_queue_are_read(version: Path):
    refused = {entry.where for entry in entries(version, "rejections")}
    for entry in entries(version, "submissions"):
        if entry.where in refused:
            with pytest.raises(PlanRejectedError):
                read_plan_submission(bytes(entry.value))
        else:
            assert_reads_whole(entry.value, STORED["submission"])
            assert read_plan_submission(bytes(entry.value)).plan.steps


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_recorded_wake_messages_are_read(version: Path):
    recorded = entries(version, "wakes")
    for entry in recorded:
        wake = assert_reads_whole(entry.value, STORED["wake"])
        if wake.directive is not None:
            assert_reads_whole(wake.directive.request, STORED[f"{wake.directive.endpoint} request"])
            assert wake.directive.read().plan_id == read_wake(bytes(entry.value)).plan_id
    assert {entry.where for entry in recorded} == {*Steering, "timer"}


def is_taken(entry: Any) -> None:
    take_over(entry, Holder(executor="executor-of-today", service="s"), holder_gone=True, most=5)


def is_asked_about(runs: Any) -> None:
    decide_overlap(OverlapPolicy.QUEUE, runs, RecurringRun(plan_id="later", submission=10**6), running_ended=True)


USED: dict[str, Callable[[Any], object]] = {"PLAN_TAKEOVERS": is_taken, "MONITOR_RUNS": is_asked_about}


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_recorded_entries_of_buckets_are_read(version: Path):
    recorded = entries(version, "buckets")
    for entry in recorded:
        read = assert_reads_whole(entry.value, STORED[entry.where])
        USED.get(entry.where, lambda _: None)(read)
    assert {entry.where for entry in recorded} == {name for name in STORED if name.isupper()}


# --- the format, field by field


@pytest.mark.parametrize("version", VERSIONS, ids=lambda path: path.name)
def test_no_field_is_gone_or_of_another_type_and_new_ones_have_defaults(version: Path):
    recorded = read_format((version / "formats.json").read_bytes())
    found = [one for one in differences(version.name, recorded, present_format()) if one.split()[0] not in WIDENED]
    assert not found, "\n".join(found)


BASE = {
    "event[A]": Field(["object"], required=False),
    "event[A].id": Field(["str"], required=True),
    "event[A].kind": Field(["one of a, b"], required=False),
}
CHANGES: dict[str, tuple[dict[str, Field | None], str]] = {
    "gone": ({"event[A].id": None}, "event[A].id was stored by v1 and is gone"),
    "type gone": ({"event[A]": None}, "event[A] was stored by v1 and is gone"),
    "retyped": ({"event[A].id": Field(["int"], required=True)}, "event[A].id is int, and v1 stored str"),
    "narrowed": ({"event[A].kind": Field(["one of a"], required=False)}, "is one of a, and v1 stored one of a, b"),
    "required now": ({"event[A].kind": Field(["one of a, b"], required=True)}, "event[A].kind must be there now"),
    "new, required": ({"event[A].new": Field(["str"], required=True)}, "event[A].new is new"),
}
FINE: dict[str, dict[str, Field | None]] = {
    "nothing": {},
    "new with a default": {"event[A].new": Field(["str"], required=False)},
    "another type as well": {"event[A].id": Field(["int", "str"], required=True)},
    "another value as well": {"event[A].kind": Field(["one of a, b, c"], required=False)},
    "may be absent now": {"event[A].id": Field(["str"], required=False)},
    "a new event": {"event[B]": Field(["object"], required=False), "event[B].id": Field(["str"], required=True)},
}


def with_change(change: dict[str, Field | None]) -> Format:
    return {path: field for path, field in {**BASE, **change}.items() if field is not None}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_breaks_what_is_stored_is_told_with_a_remedy(name: str):
    change, expected = CHANGES[name]
    (told,) = differences("v1", BASE, with_change(change))
    assert expected in told
    assert any(remedy in told for remedy in ("Put it back", "Take the old type as well", "give it a default"))


@pytest.mark.parametrize("name", FINE)
def test_a_change_that_keeps_what_is_stored_is_fine(name: str):
    assert list(differences("v1", BASE, with_change(FINE[name]))) == []


def test_a_format_is_recorded_whole():
    present = present_format()
    assert read_format(written_format(present)) == present
    assert {f"event[{kind}]" for kind in LeadPlanEventType} <= present.keys()


# --- the recordings themselves


def test_this_version_is_recorded():
    assert HERE / f"v{VERSION}" in VERSIONS, "run `python tests/replay/record.py` and commit the new folder"


def test_the_recordings_hold_every_event_and_nothing_private():
    own = [path for path in LOGS if path.parent.name == f"v{VERSION}"]
    kinds = {event_type(event) for path in own for event in events_of(path)} | {LeadPlanEventType.PLAN_REJECTED}
    assert kinds == set(LeadPlanEventType) - NOT_STORED
    texts = [file.read_text() for version in VERSIONS for file in version.iterdir()]
    assert sum(map(len, texts)) < 400_000 * len(VERSIONS)
    addresses = {address for text in texts for address in re.findall(r"[\w.+-]*@[\w.-]*", text)}
    assert addresses == {"owner@example.com"}
