"""The generator of the tables on the tools' pages, and the reading of error codes from source."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from error_codes_in_source import codes_reported_from
from pydantic import BaseModel, Field

from leadplan_cli.installed_tools import own_tools
from leadplan_cli.tool_pages import generate
from leadplan_cli.tool_pages.schema_rows import rows_of
from leadplan_cli.tool_pages.tables import params_table, returns_table, tool_of
from leadplan_responder import Responder, ToolContext

ROOT = Path(__file__).parent.parent.parent


class Point(BaseModel):
    """A point in ``degrees``."""

    latitude: Annotated[float, Field(ge=-90, le=90)]


class Tree(BaseModel):
    """One and its children."""

    name: str
    children: list["Tree"] = []


class Params(BaseModel):
    """Everything that a table can show."""

    query: Annotated[str, Field(min_length=1, description="What | to look for.")]
    count: Annotated[int, Field(ge=1, le=60, description="How many.")] = 20
    ratio: Annotated[float, Field(gt=0)] = 0.5
    code: Annotated[str, Field(pattern="^(a|b)$")] | None = None
    kinds: Annotated[list[Literal["x", "y"]], Field(max_length=3)] = []
    exact: bool = False
    near: Point | None = None
    tree: Tree
    facts: dict[str, int] = {}
    either: int | str = 1


class Returned(BaseModel):
    """What comes back."""

    total: int
    points: list[Point] = []
    note: str | None = None


class ReturnedStruct(msgspec.Struct):
    total: int
    note: str | None = None


def declared(returned: type) -> Responder:
    responder = Responder("made-up", version="1.0.0", description="for tests")

    async def find(params: Params, ctx: ToolContext) -> None:
        """Find things."""

    find.__annotations__["return"] = returned
    responder.tool("FIND", effects="none")(find)
    return responder


def test_params_as_a_table() -> None:
    assert params_table(declared(Returned).tools["FIND"]).splitlines() == [
        "| param | type | default | meaning |",
        "| --- | --- | --- | --- |",
        "| `query` | text, not empty | needed | What \\| to look for. |",
        "| `count` | whole number, 1 to 60 | `20` | How many. |",
        "| `ratio` | number, above 0 | `0.5` |  |",
        "| `code` | text, as `^(a\\|b)$` |  |  |",
        "| `kinds` | list of `x`, `y`, at most 3 of them | `[]` |  |",
        "| `exact` | true or false | `false` |  |",
        "| `near` | object |  | A point in `degrees`. |",
        "| `near.latitude` | number, -90 to 90 | needed |  |",
        "| `tree` | object | needed | One and its children. |",
        "| `tree.name` | text | needed |  |",
        "| `tree.children` | list of objects | `[]` | One and its children. |",
        "| `facts` | object of names, each with whole number | `{}` |  |",
        "| `either` | whole number or text | `1` |  |",
    ]


@pytest.mark.parametrize("returned", [Returned, ReturnedStruct])
def test_results_as_a_table(returned: type) -> None:
    lines = returns_table(declared(returned).tools["FIND"]).splitlines()
    assert lines[2] == "| `total` | whole number | always |  |"
    assert lines[-1] == "| `note` | text | if known |  |"
    if returned is Returned:
        assert lines[3:5] == [
            "| `points` | list of objects | always | A point in `degrees`. |",
            "| `points[].latitude` | number, -90 to 90 | always |  |",
        ]


def test_a_handler_that_says_nothing_of_its_result_is_an_error() -> None:
    with pytest.raises(TypeError, match="FIND must be annotated"):
        returns_table(declared(type(None)).tools["FIND"])


def test_an_empty_schema_has_no_rows() -> None:
    assert rows_of({"type": "object"}) == []


def test_check_names_a_stale_page_and_writing_mends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stale = tmp_path / "MONITOR_SETUP.md"
    stale.write_text("before\n<!-- generated: params -->\nold\n<!-- end -->\nbehind\n")
    (tmp_path / "README.md").write_text("<!-- generated: params -->\nnot a tool's page\n<!-- end -->\n")
    assert generate.main(["--check"], tmp_path) == 1
    assert "docs/tools/MONITOR_SETUP.md" in capsys.readouterr().err
    assert generate.main([], tmp_path) == 0
    text = stale.read_text()
    assert text.startswith("before\n<!-- generated: params -->\n| param |")
    assert text.endswith("|\n<!-- end -->\nbehind\n")
    assert generate.main(["--check"], tmp_path) == 0
    assert "not a tool's page" in (tmp_path / "README.md").read_text()


def test_a_new_page_is_started_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--start", "monitor-setup"], tmp_path) == 0
    text = (tmp_path / "MONITOR_SETUP.md").read_text()
    assert text.startswith(f"# MONITOR_SETUP\n\n{tool_of('MONITOR_SETUP').description}\n")
    assert "| `schedule` |" in text
    assert generate.main(["--check"], tmp_path) == 0
    assert generate.main(["--start", "monitor-setup"], tmp_path) == 2
    assert "has a page already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("NO_SUCH_TOOL", "", "no tool is called"),
        ("MONITOR_SETUP", "<!-- generated: prams -->\n<!-- end -->\n", "nothing generates 'prams'"),
    ],
)
def test_a_page_that_fits_no_tool_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, said: str
) -> None:
    (tmp_path / f"{name}.md").write_text(text)
    assert generate.main([], tmp_path) == 2
    assert said in capsys.readouterr().err


def test_outside_of_a_checkout_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate.main(["--check"], tmp_path / "missing") == 2
    assert "in a checkout only" in capsys.readouterr().err


def test_tables_need_no_keys_and_touch_no_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HUNTER_API_KEY", raising=False)
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", f"sqlite:///{tmp_path}/precious.db")
    before = dict(os.environ)
    assert [tool_of(name).name for name in own_tools()] == own_tools()
    assert os.environ == before
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_page_for_each_tool_and_no_other() -> None:
    assert [page.stem for page in generate.tool_pages(ROOT / "docs" / "tools")] == own_tools()


CODES = """
from leadplan_made_up_words import TOLD
from leadplan_responder import ToolError
from leadplan_responder.limits import RATE_LIMITED

TABLE = {1: ("by_table", "words"), 2: ("by_table_too", "words")}


class OwnError(ToolError):
    def __init__(self, code):
        super().__init__("…", code=code)


def _final(code, message):
    return ToolError(message, code=code, retryable=False)


def chosen(error):
    match error:
        case 1:
            return "by_return", "words"
        case _:
            return None


def fail(error, late):
    ToolError("not_a_code", code="by_name")
    _final("by_place", "words")
    OwnError("by_class")
    code, words = TABLE[error]
    ToolError(words, code=code)
    own = chosen(error)
    reason, words = own or (error.code, "words")
    ToolError(words, code=reason)
    ToolError("words", code="late" if late else "early")
    ToolError("words", code=RATE_LIMITED)
    ToolError("words", code=TOLD)
    raise ToolError("words", code=error.code) from None
"""


def test_error_codes_are_found_however_they_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "leadplan_made_up.py").write_text(CODES)
    (tmp_path / "leadplan_made_up_words.py").write_text('TOLD = "by_import"\n')
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert codes_reported_from("leadplan_made_up") == {
        "by_name", "by_place", "by_class", "by_table", "by_table_too", "by_return", "late", "early", "rate_limited",
        "by_import",
    }  # fmt: skip
