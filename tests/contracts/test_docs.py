"""The pages of docs/ and the services' READMEs say what the code says."""

import ast
import re
from pathlib import Path

import pytest

from leadplan_contracts import LeadGenPlanStep
from leadplan_contracts.error_codes import RejectionCode, StepErrorCode, WarningCode
from leadplan_executor.core import signals
from leadplan_executor.core.outcome import AttemptFailed, judge
from leadplan_executor.core.transitions import PLAN_TRANSITIONS, STEP_TRANSITIONS
from leadplan_executor.generate import DOCS_FOLDER, PARTS, main, stale_pages
from leadplan_executor.settings import ExecutorSettings
from leadplan_executor.settings_page import settings_table, variable

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/*.md"),
        *ROOT.glob("services/*/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def prose(page):
    """A page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def doc(name):
    return (ROOT / "docs" / name).read_text()


def anchors(page):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table(page, heading):
    """The rows of the first table behind a heading, as lists of cells, without its head."""
    section = re.split(r"^#+ ", page.partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("|")]
    assert len(rows) > 2, f"no table behind {heading!r}"
    return [[cell.strip() for cell in row] for row in rows[2:]]


def in_code(cell):
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"https?://|mailto:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_the_index_lists_every_page():
    linked = set(re.findall(r"\]\(([\w-]+\.md)", doc("README.md")))
    assert linked == {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}


def test_the_generated_parts_are_fresh_and_all_used():
    assert stale_pages(DOCS_FOLDER) == [], "run: make schemas"
    used = re.findall(r"<!-- generated: (.+) -->", "".join(page.read_text() for page in DOCS_FOLDER.glob("*.md")))
    assert sorted(used) == sorted(PARTS)


def test_the_diagrams_show_every_transition_and_where_it_ends():
    page = doc("states.md")
    for (before, event), after in [*STEP_TRANSITIONS.items(), *PLAN_TRANSITIONS.items()]:
        assert f"    {before} --> {after}: {event}\n" in page
        assert re.search(rf"^\| {before} \|.*`{event}` {after}", page, re.MULTILINE)
    assert re.findall(r"(\w+) --> \[\*\]", page) == ["succeeded", "failed", "skipped", "completed"]
    assert re.findall(r"\[\*\] --> (\w+)", page) == ["pending", "unstarted"]


def test_check_names_a_stale_page_and_writing_it_mends_that(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- generated: executor settings -->\nold\n<!-- end -->\nbehind\n")
    assert main(["--check"], tmp_path) == 1
    assert "docs/page.md" in capsys.readouterr().err
    assert page.read_text().splitlines()[2] == "old"
    assert main([], tmp_path) == 0
    assert (
        page.read_text() == f"before\n<!-- generated: executor settings -->\n{settings_table()}\n<!-- end -->\nbehind\n"
    )
    assert main(["--check"], tmp_path) == 0
    assert main(["--check"], tmp_path / "missing") == 2


def test_every_rejection_code_is_explained():
    rows = table(doc("submitting.md"), "Rejections")
    assert [in_code(row[0]) for row in rows] == [[code.value] for code in RejectionCode]
    assert all(row[1] for row in rows)


def test_every_warning_code_is_explained():
    rows = table(doc("errors.md"), "Warnings of a check")
    assert [in_code(row[0]) for row in rows] == [[code.value] for code in WarningCode]
    assert all(row[1] for row in rows)


def test_every_step_error_code_is_explained():
    rows = table(doc("errors.md"), "Of the executor")
    assert [in_code(row[0]) for row in rows] == [[code.value] for code in StepErrorCode]
    assert all(row[1] and row[2] for row in rows)


@pytest.mark.parametrize(
    "signal",
    [
        signals.NoResponders(),
        signals.TimedOut(1),
        signals.ToolLost(1),
        signals.BadReply("detail"),
        signals.PayloadTooLarge("detail"),
        signals.StayedBusy(1),
        signals.DataUnavailable("detail"),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_the_page_says_truly_what_is_repeated(signal):
    often = judge(signal, LeadGenPlanStep(id="a", tool="T", params={}))
    once = judge(signal, LeadGenPlanStep(id="a", tool="T", params={}, at_most_once=True))
    assert isinstance(often, AttemptFailed)
    assert isinstance(once, AttemptFailed)
    truth = {(True, True): "yes", (True, False): "yes, unless `atMostOnce`", (False, False): "no"}
    (row,) = (row for row in table(doc("errors.md"), "Of the executor") if in_code(row[0]) == [often.code])
    assert row[2] == truth[often.retryable, once.retryable]


_MAKES_FAILURE = {"failure", "Interruption"}
_NEVER_SENT = {"not_sent"}  # stands in the process's own figures only


def codes_in_sdk():
    """Every error code that the SDK's source writes into a reply."""
    codes = set()
    for path in (ROOT / "services" / "responder_sdk").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
                codes.add(node.value.value)
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MAKES_FAILURE:
                codes |= {node.args[1].value} if isinstance(node.args[1], ast.Constant) else set()
    return codes


def test_every_code_of_the_sdk_is_explained():
    rows = table(doc("errors.md"), "Of every tool that uses the SDK")
    explained = {code for row in rows for code in in_code(row[0])}
    assert explained - {StepErrorCode.TOOL_ERROR} == codes_in_sdk() - _NEVER_SENT


def test_log_lines_that_the_page_names_are_written_by_the_executor():
    source = "".join(path.read_text() for path in (ROOT / "services" / "executor").rglob("*.py"))
    named = [in_code(row[0])[0] for row in table(doc("operations.md"), "What to watch in the logs")]
    assert [message for message in named if f'"{message}"' not in source] == []


def test_every_variable_that_a_page_names_is_read_somewhere():
    variables = {variable(name) for name in ExecutorSettings.model_fields}
    pattern = re.compile(r"\bLEADPLAN_[A-Z_]*[A-Z]\b")
    for path in (ROOT / "services").rglob("*.py"):
        variables |= set(pattern.findall(path.read_text()))
    named = {word for page in (ROOT / "docs").glob("*.md") for word in pattern.findall(page.read_text())}
    assert named - variables == set()


def test_the_module_tables_list_every_module():
    package = ROOT / "services" / "executor" / "leadplan_executor"
    rows = (ROOT / "services" / "executor" / "README.md").read_text().partition("## Where things are")[2]
    modules = {path.stem for path in package.rglob("*.py")} - {"__init__", "errors"}
    assert modules - set(in_code(rows)) == set()
    packages = {path.parent.name for path in ROOT.glob("services/*/leadplan_*/__init__.py")} | {"leadplan_contracts"}
    assert {name for name in packages if name not in doc("architecture.md")} == set()
