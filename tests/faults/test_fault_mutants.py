"""The checker can fail: it finds every known defect of an executor, and tells the story of a plan."""

import subprocess
import sys
from pathlib import Path

import pytest
from fault_mutants import MUTATIONS

FAULTS, CRASH_POINTS = "run_faults.py", "run_crash_points.py"
SEEDS = ("1", "2", "3", "4")
"""When a fault strikes depends on the machine: a defect that shows only in a moment may hide from one run."""

RULES_THAT_NOTICE = {
    "no_fence": {"one executor at a time", "log rules"},
    "ack_before_append": {"not completed", "lost"},
}
"""For each defect, rules of which at least one must break. Others may break as well."""

SHAPES_THAT_TELL = {
    "retries_in_two_places": "retried once-tool",
    "skip_not_transitive": "failure with skips",
    "follow_before_store": "chain",
    "requests_forgotten": "one step run again",
    "parked_without_timer": "step deadline while it waits",
}
"""For each of the others the shape of a plan whose crash points show it.

They would show a missing fence to nobody: the one whose power is gone appends nothing more.
"""


def test_every_known_defect_is_looked_for():
    assert sorted([*RULES_THAT_NOTICE, *SHAPES_THAT_TELL]) == sorted(MUTATIONS)


@pytest.mark.parametrize("mutation", SHAPES_THAT_TELL)
def test_crash_points_find_a_known_defect_and_tell_its_story(mutation: str):
    size = ["--doubles", "0", "--shape", SHAPES_THAT_TELL[mutation]]
    found = run(CRASH_POINTS, *size, "--mutation", mutation)
    assert found.returncode == 1, found.stdout + found.stderr[-2000:]
    assert " ms  log " in found.stdout, "the story of a plan is told"


@pytest.mark.parametrize("mutation", RULES_THAT_NOTICE)
def test_fault_runs_find_a_known_defect_and_tell_its_story(mutation: str):
    seed, found = first_run_that_finds(mutation)
    broken = {line.split(": ")[1] for line in found.splitlines() if line.startswith("BROKEN")}
    assert broken & RULES_THAT_NOTICE[mutation], found
    assert f"seed {seed}" in found
    assert "history of p" in found


def first_run_that_finds(mutation: str) -> tuple[str, str]:
    """Seed and output of the first run that ends with a broken rule."""
    for seed in SEEDS:
        size = ["--plans", "40", "--faults", "8", "--seed", seed, "--stall-seconds", "8"]
        outcome = run(FAULTS, *size, "--mutation", mutation)
        assert outcome.returncode in (0, 1), outcome.stdout + outcome.stderr[-2000:]
        if outcome.returncode == 1:
            return seed, outcome.stdout
    pytest.fail(f"{mutation} broke no rule in {len(SEEDS)} runs; the last one: {outcome.stdout}")


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(Path(__file__).with_name(program)), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
