"""Many plans of every shape under random faults; ``test_fault_mutants.py`` shows that the checker can fail.

LEADPLAN_FAULT_PLANS, LEADPLAN_FAULTS and LEADPLAN_SEED make it longer, or another one; ``make faults`` is the long run.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

PLANS = os.environ.get("LEADPLAN_FAULT_PLANS", "300")
FAULTS = os.environ.get("LEADPLAN_FAULTS", "30")
SEED = os.environ.get("LEADPLAN_SEED", "1")
COMMAND = [sys.executable, str(Path(__file__).with_name("run_faults.py"))]


def figure(outcome: subprocess.CompletedProcess[str], name: str) -> int:
    found = re.search(rf"^{name} +(\d+)", outcome.stdout, re.MULTILINE)
    assert found, outcome.stdout + outcome.stderr
    return int(found[1])


def test_no_rule_is_broken_whatever_fails(record_property: Any):
    # In a process of its own, as people run it: what a client library leaves behind ends with it.
    command = [*COMMAND, "--plans", PLANS, "--faults", FAULTS, "--seed", SEED]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=420, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr[-2000:]
    figures = {
        name: figure(outcome, name)
        for name in ("plans", "events", "effects", "faults", "failovers", "repeated effects", "lost plans")
    }
    assert figures["plans"] >= int(PLANS)
    assert figures["faults"] >= int(FAULTS)
    assert figures["failovers"] > 0
    assert (figures["repeated effects"], figures["lost plans"]) == (0, 0)
    for name, number in figures.items():
        record_property(name, number)
