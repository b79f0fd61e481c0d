"""A tool may be called while its attempt is being stored where nobody can tell if that is refused, and it helps."""

from typing import Any

import pytest
from core_plans import START, plan, started, step

from leadplan_contracts.events import StepStarted
from leadplan_executor.core import Proceed, decide
from leadplan_executor.core.early_calls import may_be_called_early


@pytest.mark.parametrize(
    ("fields", "changes_nothing", "appending", "expected"),
    [
        ({}, True, 0, True),
        ({}, True, 7, True),
        ({}, True, 8, False),
        ({"optional": True, "timeout_ms": 5_000}, True, 0, True),
        ({}, False, 0, False),
        ({"at_most_once": True}, True, 0, False),
        ({"deadline_ms": 60_000}, True, 0, False),
    ],
)
def test_only_what_changes_nothing_is_called_early(
    fields: dict[str, Any], changes_nothing: bool, appending: int, expected: bool
):
    run = started(plan(step("a"), step("b", **fields)))
    _, begins = decide(run, Proceed(), START)
    assert isinstance(begins, StepStarted)
    assert begins.step.id == "b"
    assert may_be_called_early(run, begins, changes_nothing=changes_nothing, appending=appending) is expected
