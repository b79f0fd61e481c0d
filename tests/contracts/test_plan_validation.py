"""Reading a submission: each problem that protocol section 2 names, with path, code and message, all at once."""

import json

import pytest

from leadplan_contracts import LeadGenPlan, PlanRejectedError
from leadplan_contracts.validation import MAX_PROBLEM_BYTES, MAX_PROBLEMS, read_plan_submission
from leadplan_contracts.wire import MAX_NESTING, encode


def body_of(submission):
    return json.dumps(submission, ensure_ascii=False).encode()


def problems_of(body, **options):
    with pytest.raises(PlanRejectedError) as caught:
        read_plan_submission(body, **options)
    return [(problem.path, problem.code, problem.message) for problem in caught.value.problems]


def rejected_id(body, **options):
    with pytest.raises(PlanRejectedError) as caught:
        read_plan_submission(body, **options)
    return caught.value.plan_id


def step(name, depends_on=(), tool="ECHO", **params):
    return {"id": name, "tool": tool, "params": params, "dependsOn": list(depends_on)}


def test_the_protocols_plan_is_accepted_and_kept_as_it_was_sent(submission):
    submission["plan"]["steps"][0]["colour"] = "unknown keys stay"
    body = body_of(submission)
    read = read_plan_submission(body)
    assert isinstance(read.plan, LeadGenPlan)
    assert [each.id for each in read.plan.steps] == ["search", "domains", "enrich", "save", "outreach", "monitor"]
    assert read.user.account_id == "acct_3"
    assert bytes(read.plan_json) in body
    assert json.loads(bytes(read.plan_json)) == submission["plan"]


MISSING = object()
NO_ID = "is no id"


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        ("plan", MISSING, ("plan", "missing_field", "plan is required")),
        ("plan", "text", ("plan", "invalid_field", "must be an object, not a string")),
        ("user", MISSING, ("user", "missing_field", "user is required")),
        ("user.userId", MISSING, ("user.userId", "missing_field", "userId is required")),
        ("user.userId", 7, ("user.userId", "invalid_field", "Expected `str`, got `int`")),
        ("plan.id", MISSING, ("plan.id", "missing_field", "id is required")),
        ("plan.id", "a.b", ("plan.id", "bad_id", NO_ID)),
        ("plan.id", "plan\n", ("plan.id", "bad_id", NO_ID)),
        ("plan.id", "_mine", ("plan.id", "bad_id", NO_ID)),
        ("plan.id", "", ("plan.id", "bad_id", NO_ID)),
        ("plan.id", "x" * 129, ("plan.id", "bad_id", NO_ID)),
        ("plan.title", None, ("plan.title", "missing_field", "title is required")),
        ("plan.goal", "leads", ("plan.goal", "invalid_field", "must be an object, not a string")),
        ("plan.goal.targetCount", 0, ("plan.goal.targetCount", "invalid_field", ">= 1")),
        ("plan.context", [1], ("plan.context", "invalid_field", "Expected `object | null`, got `array`")),
        ("plan.createdAt", "today", ("plan.createdAt", "invalid_field", "'today' is no time: give an RFC 3339 time")),
        ("plan.createdAt", "2026-02-30T00:00:00Z", ("plan.createdAt", "invalid_field", "is no time")),
        ("plan.maxConcurrency", 0, ("plan.maxConcurrency", "invalid_field", ">= 1")),
        ("plan.deadlineMs", "1h", ("plan.deadlineMs", "invalid_field", "Expected `int | null`, got `str`")),
        ("plan.steps", MISSING, ("plan.steps", "missing_field", "steps is required")),
        ("plan.steps", {}, ("plan.steps", "invalid_field", "Expected `array`, got `object`")),
        ("plan.steps", [], ("plan.steps", "no_steps", "there must be at least one step")),
        ("plan.steps.5", 5, ("plan.steps[5]", "invalid_field", "must be an object, not a number")),
        ("plan.steps.5.id", "a b", ("plan.steps[5].id", "bad_id", NO_ID)),
        ("plan.steps.5.id", "step\n", ("plan.steps[5].id", "bad_id", NO_ID)),
        ("plan.steps.5.id", "x" * 65, ("plan.steps[5].id", "bad_id", NO_ID)),
        (
            "plan.steps.5.id",
            "search",
            ("plan.steps[5].id", "duplicate_step_id", "step id 'search' stands already at plan.steps[0]"),
        ),
        ("plan.steps.5.tool", "monitor", ("plan.steps[5].tool", "invalid_field", "'monitor' is no tool: a capital")),
        ("plan.steps.5.tool", MISSING, ("plan.steps[5].tool", "missing_field", "tool is required")),
        ("plan.steps.5.params", None, ("plan.steps[5].params", "missing_field", "params is required")),
        ("plan.steps.5.dependsOn", "save", ("plan.steps[5].dependsOn", "invalid_field", "got `str`")),
        ("plan.steps.5.dependsOn.0", 3, ("plan.steps[5].dependsOn[0]", "invalid_field", "Expected `str`, got `int`")),
        (
            "plan.steps.5.dependsOn.0",
            "svae",
            ("plan.steps[5].dependsOn[0]", "unknown_step", "there is no step 'svae' in this plan"),
        ),
        (
            "plan.steps.5.dependsOn.0",
            "monitor",
            ("plan.steps[5].dependsOn", "dependency_cycle", "the dependencies have a cycle: 'monitor' needs 'monitor'"),
        ),
        ("plan.steps.5.timeoutMs", 0, ("plan.steps[5].timeoutMs", "invalid_field", ">= 1")),
        ("plan.steps.5.optional", "yes", ("plan.steps[5].optional", "invalid_field", "got `str`")),
        ("plan.steps.5.retry", {"maxRetries": 1.5}, ("plan.steps[5].retry.maxRetries", "invalid_field", "got `float`")),
        ("plan.steps.5.retry", {"jitter": 2}, ("plan.steps[5].retry.jitter", "invalid_field", "<= 1")),
        (
            "plan.steps.4.params.sourceStepId",
            "monitor",
            ("plan.steps[4].params.sourceStepId", "source_not_a_dependency", "doesn't depend on 'monitor': add it to"),
        ),
        (
            "plan.steps.4.params.sourceStepId",
            "svae",
            ("plan.steps[4].params.sourceStepId", "source_not_a_dependency", "there is no step 'svae' in this plan"),
        ),
        (
            "plan.steps.4.params.sourceStepId",
            "outreach",
            ("plan.steps[4].params.sourceStepId", "source_not_a_dependency", "the step names itself"),
        ),
    ],
)
def test_one_problem_is_named_with_path_code_and_message(submission, place, value, expected):
    *parents, last = (int(key) if key.isdigit() else key for key in place.split("."))
    holder = submission
    for key in parents:
        holder = holder[key]
    if value is MISSING:
        del holder[last]
    else:
        holder[last] = value
    ((path, code, message),) = problems_of(body_of(submission))
    assert (path, code) == expected[:2]
    assert expected[2] in message


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\x00\xff",
        b"{",
        b'{"plan": "\xff"}',
        b'{"plan": 1e999}',
        b"[" * 100_000,
        b'"\\ud800"',
        b"{}x",
    ],
)
def test_what_is_no_json_has_no_plan_id(body):
    ((path, code, message),) = problems_of(body)
    assert (path, code) == ("", "invalid_json")
    assert message.startswith("the message can't be read: ")
    assert rejected_id(body) is None


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b'"plan"'])
def test_json_that_is_no_object_is_named(body):
    ((path, code, message),) = problems_of(body)
    assert (path, code) == ("", "invalid_field")
    assert message.startswith("must be an object, not ")


def test_all_problems_of_a_message_are_listed_at_once(submission):
    plan = submission["plan"]
    plan["id"] = "bad id"
    plan["createdAt"] = "2026-13-01T00:00:00Z"
    del plan["title"]
    plan["steps"] = [
        step("a", ["b", "x"], tool="low"),
        step("b", ["a"], sourceStepId="a"),
        step("a"),
        step("c", ["d"], sourceStepId="a"),
        step("d", ["c"], sourceStepId="c"),
    ]
    submission["user"] = {}
    assert [(path, code) for path, code, _ in problems_of(body_of(submission))] == [
        ("plan.id", "bad_id"),
        ("plan.title", "missing_field"),
        ("plan.steps[0].tool", "invalid_field"),
        ("user.userId", "missing_field"),
        ("plan.createdAt", "invalid_field"),
        ("plan.steps[2].id", "duplicate_step_id"),
        ("plan.steps[0].dependsOn[1]", "unknown_step"),
        ("plan.steps[0].dependsOn", "dependency_cycle"),
        ("plan.steps[3].dependsOn", "dependency_cycle"),
        ("plan.steps[3].params.sourceStepId", "source_not_a_dependency"),
    ]


def test_a_cycle_is_named_by_its_steps_and_not_by_those_behind_it(submission):
    submission["plan"]["steps"] = [step("behind", ["p"]), step("p", ["q"]), step("q", ["r"]), step("r", ["p"])]
    ((path, _, message),) = problems_of(body_of(submission))
    assert path == "plan.steps[1].dependsOn"
    assert message == "the dependencies have a cycle: 'p' needs 'q' needs 'r' needs 'p'"


def test_a_cycle_behind_another_one_is_named_too(submission):
    # 'a' leads into the other cycle before it comes back to itself.
    submission["plan"]["steps"] = [step("a", ["y", "b"]), step("b", ["a"]), step("x", ["y"]), step("y", ["x"])]
    assert [path for path, _, _ in problems_of(body_of(submission))] == [
        "plan.steps[0].dependsOn",
        "plan.steps[2].dependsOn",
    ]


def test_the_rejection_carries_the_plan_id_where_it_can_be_read(submission):
    submission["plan"]["steps"] = []
    assert rejected_id(body_of(submission)) == "plan_01HZX4"
    for unreadable in ("_mine", "a b", 7, None):
        submission["plan"]["id"] = unreadable
        assert rejected_id(body_of(submission)) is None


def test_ten_thousand_steps_are_accepted_and_one_more_is_not(submission):
    steps = [step(f"s{index}", [f"s{index - 1}"] if index else []) for index in range(10_000)]
    submission["plan"]["steps"] = steps
    assert len(read_plan_submission(body_of(submission)).plan.steps) == 10_000
    submission["plan"]["steps"] = [*steps, step("s0", ["nowhere"])]
    assert problems_of(body_of(submission)) == [
        ("plan.steps", "too_many_steps", "there are 10001 steps; at most 10000 are allowed")
    ]


def test_depth_is_limited_wherever_it_stands(submission):
    for holder in (submission, submission["plan"], submission["plan"]["steps"][0]["params"]):
        nested = []
        for _ in range(MAX_NESTING):
            nested = [nested]
        holder["deep"] = nested
        ((path, code, message),) = problems_of(body_of(submission))
        assert (path, code) == ("", "invalid_json")
        assert f"more than {MAX_NESTING} deep" in message
        del holder["deep"]
    assert read_plan_submission(body_of(submission))


class TestPlanIdSuffix:
    def test_it_is_added_to_the_id_and_nothing_else_changes(self, submission):
        submission["plan"]["context"] = {"number": 12345678901234567890123, "float": 1.10}
        body = json.dumps(submission).replace('"float": 1.1', '"float": 1.10').encode()
        plain, fired = read_plan_submission(body), read_plan_submission(body, plan_id_suffix="-17")
        assert fired.plan.id == "plan_01HZX4-17"
        assert b'"float": 1.10' in bytes(fired.plan_json)
        assert json.loads(bytes(fired.plan_json)) == {**json.loads(bytes(plain.plan_json)), "id": "plan_01HZX4-17"}
        assert encode(fired.plan) == encode(plain.plan).replace(b"plan_01HZX4", b"plan_01HZX4-17", 1)

    def test_it_makes_no_good_id_of_a_bad_one(self, submission):
        for bad in ("", "_mine"):
            submission["plan"]["id"] = bad
            assert [code for _, code, _ in problems_of(body_of(submission), plan_id_suffix="-17")] == ["bad_id"]
            assert rejected_id(body_of(submission), plan_id_suffix="-17") is None

    def test_a_rejected_firing_is_rejected_under_its_own_id(self, submission):
        submission["plan"]["steps"] = []
        assert rejected_id(body_of(submission), plan_id_suffix="-17") == "plan_01HZX4-17"

    def test_an_id_that_becomes_too_long_is_named(self, submission):
        submission["plan"]["id"] = "x" * 126
        assert read_plan_submission(body_of(submission), plan_id_suffix="-1").plan.id == "x" * 126 + "-1"
        ((path, code, message),) = problems_of(body_of(submission), plan_id_suffix="-17")
        assert (path, code) == ("plan.id", "bad_id")
        assert "'-17'" in message
        assert rejected_id(body_of(submission), plan_id_suffix="-17") is None


class TestRejectionsFitIntoAMessage:
    def test_the_thousand_first_problems_are_listed_and_the_rest_is_counted(self, submission):
        submission["plan"]["steps"] = [step(f"s{index}", ["nowhere"]) for index in range(1500)]
        problems = problems_of(body_of(submission))
        assert len(problems) == MAX_PROBLEMS + 1
        assert problems[-1] == ("", "more_problems", "and 500 more problems that are not listed")

    def test_long_names_are_cut(self, submission):
        submission["plan"]["steps"] = [step("a", ["x" * 100_000], sourceStepId="y" * 100_000)]
        assert all(len(message) < 300 for _, _, message in problems_of(body_of(submission)))

    def test_a_long_cycle_is_cut_in_the_middle(self, submission):
        submission["plan"]["steps"] = [step(f"s{index}", [f"s{(index + 1) % 1000}"]) for index in range(1000)]
        ((_, _, message),) = problems_of(body_of(submission))
        assert message.startswith("the dependencies have a cycle: 's0' needs 's1' needs 's2' needs ")
        assert message.endswith("needs 's48' needs (951 more) needs 's0'")

    def test_the_worst_message_leaves_room(self, submission):
        # Cycles just short enough to be named in full, of steps with the longest names.
        names = [f"{index:-^64}" for index in range(8000)]
        submission["plan"]["steps"] = [
            {"id": name, "tool": "A", "params": {}, "dependsOn": [names[index // 40 * 40 + (index + 1) % 40]]}
            for index, name in enumerate(names)
        ]
        with pytest.raises(PlanRejectedError) as caught:
            read_plan_submission(body_of(submission))
        assert caught.value.problems[-1].code == "more_problems"
        assert len(encode(caught.value.problems)) < MAX_PROBLEM_BYTES + 200
