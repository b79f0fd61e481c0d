"""What a recurring plan says beside plan and user: read as it is, and refused where something is wrong with it."""

import json
from pathlib import Path

import msgspec
import pytest

from leadplan_contracts import OverlapPolicy, PlanRejectedError, PlanSubmission, Recurrence
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns
from leadplan_contracts.validation import read_plan_submission

EXAMPLE = json.loads((Path(__file__).parent / "protocol_examples" / "plan-submission.recurring.json").read_text())


def read(**recurrence):
    body = json.dumps({**EXAMPLE, "recurrence": {**EXAMPLE["recurrence"], **recurrence}})
    return read_plan_submission(body.encode(), plan_id_suffix="-17")


def test_it_is_read_beside_the_plan():
    assert read(more="unknown keys are ignored").recurrence == Recurrence(
        id="leeds-dentists", overlap=OverlapPolicy.QUEUE, schedule="0 9 * * 1", time_zone="Europe/London"
    )
    assert read().plan.id == "plan_01HZX4-leeds-dentists-17"


@pytest.mark.parametrize("absent", [{}, {"recurrence": None}])
def test_a_submission_without_it_is_as_before(absent):
    body = json.dumps({**{name: EXAMPLE[name] for name in ("plan", "user")}, **absent}).encode()
    assert read_plan_submission(body).recurrence is None
    assert "recurrence" not in msgspec.to_builtins(msgspec.json.decode(body, type=PlanSubmission))


@pytest.mark.parametrize(
    ("wrong", "path", "code"),
    [
        ({"id": "a.b"}, "recurrence.id", "bad_id"),
        ({"id": ""}, "recurrence.id", "bad_id"),
        ({"id": None}, "recurrence.id", "missing_field"),
        ({"overlap": "sometimes"}, "recurrence.overlap", "invalid_field"),
        ({"overlap": None}, "recurrence.overlap", "missing_field"),
        ({"schedule": 7}, "recurrence.schedule", "invalid_field"),
    ],
)
def test_what_is_wrong_with_it_is_told(wrong, path, code):
    with pytest.raises(PlanRejectedError) as caught:
        read(**wrong)
    assert [(problem.path, problem.code) for problem in caught.value.problems] == [(path, code)]
    assert caught.value.plan_id == "plan_01HZX4-leeds-dentists-17"


def test_the_bucket_s_entries_keep_their_form():
    runs = RecurringRuns(running=RecurringRun(plan_id="weekly-7", submission=7))
    assert msgspec.json.encode(runs) == b'{"running":{"planId":"weekly-7","submission":7}}'
    waiting = msgspec.structs.replace(runs, waiting=RecurringRun(plan_id="weekly-9", submission=9))
    assert msgspec.json.decode(msgspec.json.encode(waiting), type=RecurringRuns) == waiting
