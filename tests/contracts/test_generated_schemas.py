"""The generated JSON Schema files: fresh, valid, and of one mind with the models."""

import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jsonschema import Draft202012Validator, ValidationError

from leadplan_contracts.generate import PACKAGE_FOLDER, main, stale_files
from leadplan_contracts.json_schema import TOP_LEVEL_MODELS, schema_documents

EXAMPLES = sorted((Path(__file__).parent / "protocol_examples").glob("*.json"))
DOCUMENTS = schema_documents()


def validate(name: str, value: Any) -> None:
    Draft202012Validator(DOCUMENTS[name]).validate(value)


def changed(value: Any, path: str, new: Any) -> Any:
    """The value with another one put at a dotted path; a list index is a key too."""
    value = json.loads(json.dumps(value))
    *parents, last = (int(key) if key.isdigit() else key for key in path.split("."))
    place = value
    for key in parents:
        place = place[key]
    place[last] = new
    return value


def test_the_generated_files_are_those_of_the_models():
    assert stale_files(PACKAGE_FOLDER) == [], "run: make schemas"


def test_check_names_stale_missing_and_left_over_files(tmp_path, capsys):
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    (tmp_path / "json" / "plan.schema.json").write_text("{}")
    (tmp_path / "json" / "old-model.schema.json").write_text("{}")
    (tmp_path / "asyncapi.json").unlink()
    capsys.readouterr()
    assert main(["--check"], tmp_path) == 1
    listed = capsys.readouterr().err
    assert "make schemas" in listed
    assert re.findall(r"^  (\S+)$", listed, re.MULTILINE) == [
        "asyncapi.json", "json/old-model.schema.json", "json/plan.schema.json",
    ]  # fmt: skip
    assert main([], tmp_path) == 0
    assert stale_files(tmp_path) == []


@pytest.mark.parametrize("name", TOP_LEVEL_MODELS)
def test_a_schema_is_valid_2020_12_names_itself_and_refers_only_to_what_it_holds(name):
    document = DOCUMENTS[name]
    Draft202012Validator.check_schema(document)
    assert document["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert document["$id"] == f"urn:leadplan:v1:{name}"
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', json.dumps(document)))
    assert references == set(document.get("$defs", {}))
    assert json.dumps(document).count('"$ref"') == len(re.findall(r'"\$ref": "#/\$defs/', json.dumps(document)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_of_the_protocol_fits_schema_and_model(example):
    name = example.name.partition(".")[0]
    text = example.read_bytes()
    validate(name, json.loads(text))
    model = msgspec.json.decode(text, type=TOP_LEVEL_MODELS[name])
    assert json.loads(msgspec.json.encode(model)) == json.loads(text)


def test_every_top_level_model_has_an_example():
    assert {path.name.partition(".")[0] for path in EXAMPLES} == set(TOP_LEVEL_MODELS)


@pytest.mark.parametrize(
    ("name", "path", "wrong"),
    [
        ("plan-submission", "plan", None),
        ("plan-submission", "plan.id", "with.dot"),
        ("plan-submission", "plan.id", "plan\n"),
        ("plan-submission", "plan.id", "_reserved"),
        ("plan-submission", "plan.id", "x" * 129),
        ("plan-submission", "plan.createdAt", "yesterday"),
        ("plan-submission", "plan.createdAt", "2026-11-23T09:15:02.417Z\n"),
        ("plan-submission", "plan.createdAt", "٢٠٢٦-11-23T09:15:02.417Z"),
        ("plan-submission", "plan.steps", []),
        ("plan-submission", "plan.steps.0.id", "step\n"),
        ("plan-submission", "plan.steps.0.tool", "hunter"),
        ("plan-submission", "plan.steps.0.params", [1]),
        ("plan-submission", "plan.steps.1.dependsOn", "search"),
        ("plan-submission", "plan.steps.1.timeoutMs", 0),
        ("plan-submission", "plan.steps.1.retry", {"maxRetries": -1}),
        ("plan-submission", "plan.maxConcurrency", 0),
        ("plan-submission", "user.userId", ""),
        ("plan", "goal", {}),
        ("step-result", "status", "done"),
        ("step-result", "attempts", -1),
        ("step-result", "dataRef.size", "large"),
        ("execution-result", "overallStatus", "running"),
        ("event", "type", "PLAN_EXPLODED"),
        ("event", "step", None),
        ("event", "sequence", 0),
        ("event", "result.stepId", "a b"),
        ("tool-request", "attempt", 0),
        ("tool-request", "priorResults.search", {}),
        ("tool-reply", "success", "yes"),
        ("tool-reply", "retryAfterMs", -1),
        ("tool-progress", "progress", 1.5),
        ("cancel-notice", "stepId", ""),
        ("plan-problem", "code", 7),
    ],
)
def test_schema_and_model_refuse_the_same(name, path, wrong):
    example = json.loads((Path(__file__).parent / "protocol_examples" / f"{name}.json").read_text())
    value = changed(example, path, wrong)
    with pytest.raises(ValidationError):
        validate(name, value)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(value), type=TOP_LEVEL_MODELS[name])


def test_the_schemas_know_what_the_models_keep_undecoded():
    started = {
        "type": "PLAN_STARTED", "planId": "p", "sequence": 1, "time": "2026-11-23T09:15:02.417Z",
        "plan": json.loads((Path(__file__).parent / "protocol_examples" / "plan.json").read_text()),
        "meta": {"executor": "e1"},
    }  # fmt: skip
    validate("event", started)
    with pytest.raises(ValidationError):
        validate("event", changed(started, "plan.steps", []))
    request = json.loads((Path(__file__).parent / "protocol_examples" / "tool-request.large-plan.json").read_text())
    with pytest.raises(ValidationError):
        validate("tool-request", changed(request, "plan", {"id": "p"}))
