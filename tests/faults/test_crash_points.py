"""Every crash point of plans of every shape, one after the other; and tests that know of no crash, with crashes.

``make crash-points`` tries pairs of crash points as well, and runs all integration tests so.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from fault_crash_shapes import SHAPES
from fault_crash_sweep import sweep_shapes
from fault_permanent_crashes import CANNOT, FAMILIES, SWITCH

HERE = Path(__file__).parent
INTEGRATION = HERE.parent / "integration"

SAMPLED_SHAPES = [shape for shape in SHAPES if not shape.waits][::5]
SAMPLED_SHAPES += [shape for shape in SHAPES if shape.name in ("step deadline while it waits", "repeat far away")]
"""A fifth of the shapes, and two that wait for a time to come; ``make crash-points`` takes them all.

Those two come to the same end however slow the machine is. A plan's own deadline doesn't: where it passes before the
plan waits, nothing waits for it any more.
"""


async def test_every_crash_point_of_a_fifth_of_the_shapes(tmp_path: Path, record_property: Any):
    shapes = SAMPLED_SHAPES
    swept = await sweep_shapes(tmp_path, shapes, doubles=0, seed=1)
    assert not [problem for one in swept for problem in one.problems]
    for one in swept:
        assert one.tried == one.there_are, one.shape
        assert one.struck == one.come_to, one.shape
    assert len(swept) == len(shapes) > 6
    record_property("shapes", len(swept))
    record_property("crash points", sum(one.there_are.total() for one in swept))


def test_tests_that_know_of_no_crash_pass_with_crashes(tmp_path: Path):
    tests = [str(INTEGRATION / "test_running_a_plan.py")]
    outcome = run(
        ["-m", "pytest", "-q", f"--basetemp={tmp_path / 'tests'}", "-p", "no:cacheprovider", *tests],
        **{SWITCH: "append,request,reply,ack"},
    )
    assert outcome.returncode == 0, outcome.stdout[-5000:] + outcome.stderr[-2000:]
    found = re.search(r"^executors lost: (\d+)", outcome.stdout, re.MULTILINE)
    assert found, outcome.stdout[-2000:]
    assert int(found[1]) > 100


def test_reasons_are_given_for_tests_and_crash_points_that_there_are():
    tests = "".join(path.read_text() for path in INTEGRATION.glob("test_*.py"))
    assert [name for name in CANNOT if f"def {name}(" not in tests] == []
    assert {family for cannot in CANNOT.values() for family in cannot.families.split()} <= set(FAMILIES)


def run(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Python, in a process of its own that knows nothing of this test run."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    return subprocess.run(
        [sys.executable, *arguments],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
