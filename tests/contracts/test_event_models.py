"""Every event type: written, read back the same, and described by the event schema."""

import json

import msgspec
import pytest
from jsonschema import Draft202012Validator
from msgspec import Raw

from leadplan_contracts import (
    DataRef,
    LeadGenExecutionResult,
    LeadGenStepResult,
    LeadGenStepStatus,
    LeadPlanEventType,
    OverallStatus,
    PlanProblem,
    SupervisorUserContext,
)
from leadplan_contracts import events as e
from leadplan_contracts.error_codes import RejectionCode, StepErrorCode
from leadplan_contracts.json_schema import schema_documents
from leadplan_contracts.wire import encode

TIME = "2026-11-23T09:15:02.417Z"
COMMON = {"plan_id": "p1", "sequence": 3, "time": TIME, "user": SupervisorUserContext(user_id="u_7")}
STEP = {**COMMON, "step": e.StepReference(id="a", tool="ECHO", label="Echo")}
RESULT = LeadGenStepResult(step_id="a", status=LeadGenStepStatus.RUNNING, attempts=1, started_at=TIME)
PLAN = Raw(
    b'{"id":"p1","title":"t","goal":{"description":"d"},"createdAt":"2026-11-23T09:15:02Z","mine":[1e3, "\\u00e9"],'
    b'"steps":[{"id":"a","tool":"ECHO","params":{}}]}'
)
CONTROL = e.ControlMeta(by="ops", reason="wrong list")
FAILED = msgspec.structs.replace(
    RESULT, status=LeadGenStepStatus.FAILED, error_message="no", error_code=StepErrorCode.TIMEOUT
)

EVENTS = [
    e.PlanStarted(**COMMON, plan=PLAN, meta=e.PlanStartedMeta(executor="x1", submission=12)),
    e.StepStarted(**STEP, result=RESULT),
    e.StepRetrying(
        **STEP, result=RESULT, meta=e.RetryMeta(delay_ms=1000, retry_at=TIME, error_code=StepErrorCode.NO_RESPONDERS)
    ),
    e.StepSucceeded(
        **STEP, result=msgspec.structs.replace(RESULT, status=LeadGenStepStatus.SUCCEEDED, data=Raw(b'{"b": [null]}'))
    ),
    e.StepFailed(**STEP, result=FAILED, meta=e.StepEndMeta(error_code=StepErrorCode.TIMEOUT)),
    e.StepSkipped(**STEP, result=FAILED, meta=e.StepEndMeta(error_code=StepErrorCode.DEPENDENCY_FAILED)),
    e.StepWaiting(**STEP),
    e.StepApproved(**STEP, meta=CONTROL),
    e.StepDenied(**STEP, meta=CONTROL),
    e.StepProgress(plan_id="p1", time=TIME, step=STEP["step"], meta=e.ProgressMeta(progress=0.4, message="12 of 30")),
    e.PlanResumed(**COMMON, meta=e.PlanResumedMeta(executor="x2", reason="crash")),
    e.PlanPaused(**COMMON, meta=CONTROL),
    e.PlanUnpaused(**COMMON),
    e.PlanCancelling(**COMMON, meta=CONTROL),
    e.PlanRetried(**COMMON, meta=CONTROL),
    e.PlanCompleted(
        **COMMON,
        result=LeadGenExecutionResult(
            plan_id="p1", overall_status=OverallStatus.PARTIAL, started_at=TIME, finished_at=TIME, step_results=[FAILED]
        ),
    ),
    e.PlanRejected(
        plan_id="_unreadable",
        time=TIME,
        meta=e.PlanRejectedMeta(
            errors=[PlanProblem(path="", code=RejectionCode.INVALID_JSON, message="no JSON")],
            original=e.OriginalMessage(data_ref=DataRef(bucket="PLAN_DATA", name="n", size=1, digest="SHA-256=x")),
        ),
    ),
]


def test_there_is_an_event_of_each_type():
    assert [e.event_type(event) for event in EVENTS] == list(dict.fromkeys(map(e.event_type, EVENTS)))
    assert set(map(e.event_type, EVENTS)) == set(LeadPlanEventType)


@pytest.mark.parametrize("event", EVENTS, ids=e.event_type)
def test_an_event_survives_the_wire(event):
    body = encode(event)
    read = e.decode_event(body)
    assert type(read) is type(event)
    assert encode(read) == body
    written = json.loads(body)
    assert written["type"] == e.event_type(event)
    assert isinstance(written["meta"], dict)  # always there, be it empty
    Draft202012Validator(schema_documents()["event"]).validate(written)


def test_undecoded_parts_keep_their_bytes():
    assert bytes(e.decode_event(encode(EVENTS[0])).plan) == bytes(PLAN)
    assert bytes(e.decode_event(encode(EVENTS[3])).result.data) == b'{"b": [null]}'


def test_unknown_keys_are_ignored_and_null_means_absent():
    written = json.loads(encode(EVENTS[6]))
    read = e.decode_event(json.dumps({**written, "new": 1, "user": None, "sequence": None}).encode())
    assert read == msgspec.structs.replace(EVENTS[6], user=None, sequence=None)
    assert "user" not in json.loads(encode(read))


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"type": "NOPE"}', b'{"type": "STEP_WAITING", "planId": "p"}'])
def test_what_is_no_event_is_refused(body):
    with pytest.raises(msgspec.DecodeError):
        e.decode_event(body)


def test_an_events_attributes_cannot_be_set():
    with pytest.raises(AttributeError):
        EVENTS[0].sequence = 4
