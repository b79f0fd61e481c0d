"""The checker can fail: it finds every known defect of an executor, and prints seed and a plan's story."""

import subprocess
import sys
from pathlib import Path

import pytest
from fault_mutants import MUTATIONS

COMMAND = [sys.executable, str(Path(__file__).with_name("run_faults.py"))]
SEEDS = ("1", "2", "3", "4")
"""When a fault strikes depends on the machine: a defect that shows only in a moment may hide from one run."""

RULES_THAT_NOTICE = {
    "no_fence": {"one executor at a time", "log rules"},
    "ack_before_append": {"not completed", "lost"},
    "retries_in_two_places": {"attempts are sent once unless taken over"},
    "skip_not_transitive": {"log rules", "effects are those of the log"},
    "follow_before_store": {"attempts are sent once unless taken over", "final events are stored before what follows"},
}
"""For each known defect, rules of which at least one must break. Others may break as well."""


@pytest.mark.parametrize("mutation", list(MUTATIONS))
def test_a_known_defect_is_found_and_its_story_told(mutation: str):
    seed, found = first_run_that_finds(mutation)
    broken = {line.split(": ")[1] for line in found.splitlines() if line.startswith("BROKEN")}
    assert broken & RULES_THAT_NOTICE[mutation], found
    assert f"seed {seed}" in found
    assert "history of p" in found


def first_run_that_finds(mutation: str) -> tuple[str, str]:
    """Seed and output of the first run that ends with a broken rule."""
    for seed in SEEDS:
        size = ["--plans", "40", "--faults", "8", "--seed", seed, "--stall-seconds", "8"]
        command = [*COMMAND, *size, "--mutation", mutation]
        outcome = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert outcome.returncode in (0, 1), outcome.stdout + outcome.stderr[-2000:]
        if outcome.returncode == 1:
            return seed, outcome.stdout
    pytest.fail(f"{mutation} broke no rule in {len(SEEDS)} runs; the last one: {outcome.stdout}")


def test_the_rules_that_notice_are_told_for_every_mutation():
    assert RULES_THAT_NOTICE.keys() == MUTATIONS.keys()
