"""The pages of docs/tools say what the tools' code says."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from error_codes_in_source import codes_reported_from
from jsonschema import Draft202012Validator

from leadplan_cli.installed_tools import installed_tools, own_tools
from leadplan_cli.tool_pages import generate
from leadplan_cli.tool_pages.tables import params_rows, result_model, tool_of
from leadplan_contracts import LeadGenPlanStep
from leadplan_responder import payloads

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "docs" / "tools"
SECTIONS = ["Example", "Params", "Returns", "Cost", "Errors"]
_CODE_BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)

SPEAK_FOR_THEMSELVES = ("firstName", "lastName")
OF_ITEMS = {
    # Somebody's objection and work in flight at Hunter never end these steps: they are outcomes of an item, or told as
    # `service_unavailable`.
    "HUNTER_DOMAIN_LOOKUP": {"objected", "in_flight"},
    "HUNTER_ENRICH": {"objected", "in_flight"},
}
"""Codes in the source that no step ends with."""

pytestmark = pytest.mark.parametrize("tool", own_tools())


def page(tool: str) -> str:
    return (FOLDER / f"{tool}.md").read_text()


def section(tool: str, heading: str) -> str:
    """What stands between a heading of the second level and the next one."""
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", page(tool), re.DOTALL | re.MULTILINE)
    assert found, f"{tool}.md has no section {heading}"
    return found[1]


def example(tool: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The step and what it returned."""
    step, result = (json.loads(text) for language, text in _CODE_BLOCK.findall(section(tool, "Example"))[:2])
    return step, result


def error_rows(tool: str) -> list[list[str]]:
    lines = [line for line in section(tool, "Errors").splitlines() if line.startswith("|")]
    assert len(lines) > 2, f"{tool}.md has no table of error codes"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def codes_on_page(tool: str) -> set[str]:
    return {code for row in error_rows(tool) for code in re.findall(r"`([^`]+)`", row[0])}


@cache
def codes_of_every_tool() -> set[str]:
    """Those of the executor and of the SDK, which errors.md explains."""
    general, _, _ = (ROOT / "docs" / "errors.md").read_text().partition("## Of tools that use the SDK's helper")
    rows = re.findall(r"^\| (`[^|]+) \|", general, re.MULTILINE)
    return {code for row in rows for code in re.findall(r"`([^`]+)`", row)}


def test_it_has_every_section_and_says_something_in_each(tool: str) -> None:
    text = page(tool)
    assert text.startswith(f"# {tool}\n\n")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert [heading for heading in headings if heading in SECTIONS] == SECTIONS
    assert [heading for heading in headings if not section(tool, re.escape(heading)).strip()] == []
    about = text.removeprefix(f"# {tool}").partition("\n## ")[0]
    assert len(about.split()) > 20, "what does it do?"


def test_its_tables_are_fresh(tool: str) -> None:
    assert generate.fresh(FOLDER / f"{tool}.md") == page(tool), "run: make schemas"
    assert "<!-- generated: params -->\n|" in section(tool, "Params")
    assert "<!-- generated: returns -->\n|" in section(tool, "Returns")


def test_every_param_is_explained(tool: str) -> None:
    rows = params_rows(tool_of(tool))
    assert [row.name for row in rows if not row.meaning and not row.name.endswith(SPEAK_FOR_THEMSELVES)] == []


def test_the_example_step_can_stand_in_a_plan(tool: str) -> None:
    step, _ = example(tool)
    assert step["tool"] == tool
    msgspec.json.decode(json.dumps(step), type=LeadGenPlanStep)
    declared = tool_of(tool)
    assert list(Draft202012Validator(json.loads(declared.params_schema())).iter_errors(step["params"])) == []
    payloads.convert(step["params"], declared.params_model)


def test_the_example_result_is_what_the_tool_returns(tool: str) -> None:
    _, result = example(tool)
    model = result_model(tool_of(tool))
    written = msgspec.json.decode(payloads.encode(payloads.convert(result, model)))
    assert _changed(result, written) == [], "the model doesn't know these, or writes them otherwise"
    lists = [value for value in result.values() if isinstance(value, list)]
    assert not lists or any(lists), "nothing was found in the example"


def _changed(example: Any, written: Any, where: str = "") -> list[str]:
    """What the example has and the model, having read it, doesn't write again."""
    match example:
        case dict():
            gone = [f"{where}.{name}" for name in example if name not in written]
            both = [name for name in example if name in written]
            return gone + [one for name in both for one in _changed(example[name], written[name], f"{where}.{name}")]
        case list():
            pairs = zip(example, written, strict=True)
            return [one for at, (ours, theirs) in enumerate(pairs) for one in _changed(ours, theirs, f"{where}[{at}]")]
        case _:
            return [] if example == written else [f"{where} is {written}"]


def test_its_error_codes_are_those_of_the_code(tool: str) -> None:
    in_code = codes_reported_from(installed_tools()[tool].module)
    assert in_code
    explained = codes_on_page(tool) | codes_of_every_tool()
    if "busy" in codes_on_page(tool) and tool_of(tool).limits:
        explained.add("rate_limited")  # the SDK says `busy` in its place where the tool declares its limits
    assert in_code - explained - OF_ITEMS.get(tool, set()) == set(), "not explained on the page"
    assert codes_on_page(tool) - in_code - codes_of_every_tool() == set(), "on the page, but never reported"
    assert "../errors.md" in section(tool, "Errors")


def test_every_code_has_its_reason_and_says_what_to_do(tool: str) -> None:
    for code, *cells in error_rows(tool):
        assert len(cells) == 3, code
        assert all(cells), code
        assert re.match(r"yes|no|as |where ", cells[1]), f"{code}: is it repeated?"


def test_its_readme_leads_to_the_page(tool: str) -> None:
    module = installed_tools()[tool].module.partition(".")[0]
    (readme,) = ROOT.glob(f"services/*/{module}/../README.md")
    assert f"docs/tools/{tool}.md" in readme.read_text()


def test_the_index_has_it(tool: str) -> None:
    assert re.search(rf"^\| \[{tool}\]\({tool}\.md\) \| \w.+ \|$", (FOLDER / "README.md").read_text(), re.MULTILINE)
