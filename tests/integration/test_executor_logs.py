"""Every line of an executor's log is a JSON object, whoever wrote it."""

import json
import subprocess
import sys
from typing import Any

import pytest

SCRIPT = """
import logging
import structlog
from leadplan_executor.logs import configure_logs

configure_logs("INFO")
own, library = structlog.get_logger("own").bind(plan_id="p1"), logging.getLogger("library")
own.debug("not shown")
own.info("ours", count=2, odd=object, text="zwei\\nZeilen")
library.info("theirs: %s", "text", extra={"tool": "ECHO"})
try:
    raise ValueError("broken")
except ValueError:
    own.exception("ours failed")
    library.exception("theirs failed")
"""


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == ""
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_lines_come_in_order_with_time_and_level(lines: list[dict[str, Any]]):
    assert [(line["event"], line["level"]) for line in lines] == [
        ("ours", "info"),
        ("theirs: text", "info"),
        ("ours failed", "error"),
        ("theirs failed", "error"),
    ]
    assert [line["timestamp"] for line in lines] == sorted(line["timestamp"] for line in lines)


def test_fields_are_kept_whatever_they_are(lines: list[dict[str, Any]]):
    ours, theirs, *_ = lines
    assert (ours["plan_id"], ours["count"], ours["text"]) == ("p1", 2, "zwei\nZeilen")
    assert "object" in ours["odd"]
    assert theirs["tool"] == "ECHO"


def test_exceptions_are_told(lines: list[dict[str, Any]]):
    for line in lines[2:]:
        assert line["exception"][0]["exc_type"] == "ValueError"
        assert line["exception"][0]["exc_value"] == "broken"
