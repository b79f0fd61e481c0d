"""The SDK's types as an outside user meets them: good.py is clean, and wrong.py is caught line by line."""

import re
import runpy
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent
_MARK = re.compile(r"# error: (?P<codes>[a-z, -]+)$")
_REPORTED = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+): error: .*\[(?P<code>[a-z-]+)\]$")

Lines = dict[str, dict[int, set[str]]]


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """Error codes by file and line, as mypy reports them with no configuration but --strict."""
    folder = tmp_path_factory.mktemp("consumer")
    for name in ("good.py", "wrong.py"):
        (folder / name).write_text((HERE / name).read_text())
    options = ["--strict", "--config-file=", "--no-color-output", "--no-error-summary", "--hide-error-context"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, "--no-pretty", "good.py", "wrong.py"],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines: Lines = {"good.py": defaultdict(set), "wrong.py": defaultdict(set)}
    for line in done.stdout.splitlines():
        if ": note: " in line:
            continue
        match = _REPORTED.match(line)
        assert match, f"unexpected output: {line}"
        lines[match["file"]][int(match["line"])].add(match["code"])
    return lines


def marked(name: str) -> dict[int, set[str]]:
    """What the file itself says must be reported."""
    found = ((number, _MARK.search(line)) for number, line in enumerate((HERE / name).read_text().splitlines(), 1))
    return {number: set(match["codes"].split(", ")) for number, match in found if match}


def test_good_uses_are_clean(reported: Lines):
    assert dict(reported["good.py"]) == {}


def test_good_uses_work_when_they_run():
    tools = runpy.run_path(str(HERE / "good.py"))["responder"].tools
    assert sorted(tools) == ["COUNT", "GREET", "SEARCH"]


def test_each_wrong_use_is_reported_where_it_stands(reported: Lines):
    wanted = marked("wrong.py")
    assert len(wanted) > 20
    assert dict(reported["wrong.py"]) == wanted
