"""Properties of reading submissions: nothing but a rejection comes out, and what is valid is accepted."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from leadplan_contracts import PlanRejectedError
from leadplan_contracts.json_schema import schema_documents
from leadplan_contracts.validation import read_plan_submission
from leadplan_contracts.wire import encode

PROPERTY = settings(max_examples=200)
SUBMISSION = json.loads((Path(__file__).parent / "protocol_examples" / "plan-submission.json").read_text())
SCHEMA = Draft202012Validator(schema_documents()["plan-submission"])
STRUCTURE_CODES = {"duplicate_step_id", "unknown_step", "dependency_cycle", "source_not_a_dependency"}

# JSON Schema takes 1.0 for an integer, msgspec doesn't: only fractions, so that the two can be compared.
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False).filter(lambda number: number % 1 != 0)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8)
any_json = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)
step_ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
tools = st.from_regex(r"[A-Z][A-Z0-9_]{0,63}", fullmatch=True)
milliseconds = st.integers(0, 30 * 86_400_000)


def optional_fields(**fields):
    return st.fixed_dictionaries({}, optional={name: st.none() | values for name, values in fields.items()})


@st.composite
def valid_submissions(draw):
    names = draw(st.lists(step_ids, min_size=1, max_size=8, unique=True))
    steps = []
    for index, name in enumerate(names):
        depends_on = draw(st.lists(st.sampled_from(names[:index]), max_size=3)) if index else []
        params = draw(
            st.dictionaries(st.text(max_size=6).filter(lambda key: key != "sourceStepId"), any_json, max_size=3)
        )
        if depends_on and draw(st.booleans()):
            params["sourceStepId"] = draw(st.sampled_from(depends_on))
        extra = draw(
            optional_fields(
                label=st.text(max_size=9),
                timeoutMs=st.integers(1, 86_400_000),
                optional=st.booleans(),
                requiresApproval=st.booleans(),
                atMostOnce=st.booleans(),
                retry=optional_fields(
                    maxRetries=st.integers(0, 1000),
                    baseDelayMs=milliseconds,
                    maxDelayMs=milliseconds,
                    jitter=st.floats(0, 1),
                ),
            )
        )
        steps.append({**extra, "id": name, "tool": draw(tools), "params": params, "dependsOn": depends_on or None})
    plan = {
        **draw(
            optional_fields(
                maxConcurrency=st.integers(1, 10_000), context=st.dictionaries(st.text(), any_json, max_size=2)
            )
        ),
        "id": draw(st.from_regex(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,120}", fullmatch=True)),
        "title": draw(st.text(max_size=20)),
        "goal": {"description": draw(st.text(max_size=20))},
        "createdAt": draw(st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")),
        "steps": draw(st.permutations(steps)),
    }
    return {"plan": plan, "user": {"userId": draw(st.text(min_size=1, max_size=20))}}


def rejection_of(body, **options):
    """The rejection, or None for an accepted message; anything else that is raised fails the test."""
    try:
        read_plan_submission(body, **options)
    except PlanRejectedError as error:
        rejection = error
    else:
        return None
    assert rejection.problems
    assert all(problem.code and problem.message for problem in rejection.problems)
    assert len(json.loads(encode(rejection.problems))) == len(rejection.problems)
    return rejection


@PROPERTY
@given(st.binary(max_size=200), st.sampled_from(["", "-9"]))
def test_random_bytes_are_rejected(body, suffix):
    assert rejection_of(body, plan_id_suffix=suffix)


@PROPERTY
@given(any_json, st.sampled_from(["", "-9"]))
def test_random_json_is_rejected(value, suffix):
    for message in (value, {"plan": value, "user": value}):
        assert rejection_of(encode(message), plan_id_suffix=suffix)


@settings(PROPERTY, max_examples=100)
@given(valid_submissions(), st.sampled_from(["", "-9"]))
def test_a_valid_plan_is_accepted_in_any_order_of_its_steps(submission, suffix):
    body = encode(submission)
    read = read_plan_submission(body, plan_id_suffix=suffix)
    assert read.plan.id == submission["plan"]["id"] + suffix
    assert json.loads(bytes(read.plan_json)) == {**submission["plan"], "id": read.plan.id}
    again = read_plan_submission(encode({"plan": read.plan, "user": read.user}))
    assert again.plan == read.plan
    assert [step.params for step in read.plan.steps] == [step["params"] for step in submission["plan"]["steps"]]
    assert SCHEMA.is_valid(submission)


@st.composite
def one_value_replaced(draw):
    """The protocol's submission with one value in it exchanged for any JSON, or taken away."""
    submission = json.loads(json.dumps(SUBMISSION))
    place = submission
    while True:
        key = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 3)):
            place = place[key]
            continue
        if draw(st.integers(0, 4)):
            place[key] = draw(any_json)
        else:
            del place[key]
        return submission


@settings(PROPERTY, max_examples=300)
@given(one_value_replaced())
def test_the_schema_and_the_reader_agree_on_the_shape(submission):
    rejection = rejection_of(encode(submission))
    if rejection is None or {problem.code for problem in rejection.problems} <= STRUCTURE_CODES:
        assert SCHEMA.is_valid(submission)
    else:
        assert not SCHEMA.is_valid(submission)
