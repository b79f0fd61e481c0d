"""The benchmark works: it starts everything, measures, checks what it measured, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "benchmarks" / "run.py"


def bench(*arguments):
    command = [sys.executable, str(RUN), *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        said, _ = process.communicate(timeout=120)
    return process, said


def test_a_quick_run_measures_the_executor_and_the_floor_and_ends_all_processes(tmp_path):
    process, said = bench("--quick", "--only", "chain,split", "--out", str(tmp_path))
    assert process.returncode == 0, said
    results = json.loads((tmp_path / "results.json").read_text())
    measured = {(one["load"], one["variant"]) for one in results["samples"]}
    assert measured == {(load, who) for load in ("one", "saturated") for who in ("leadplan", "floor")}
    for one in results["samples"]:
        assert one["problems"] == []
        assert one["plansPerSecond"] > 0
        assert one["stepsPerSecond"] == pytest.approx(6 * one["plansPerSecond"])
        assert set(one["cpu"]) == {"server", "responder", one["variant"], "generator"}
    assert {one["variant"] for one in results["splits"]} == {"leadplan", "floor"}
    assert "chain of 6" in (tmp_path / "results.txt").read_text()
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_an_unknown_group_is_named(tmp_path):
    process, said = bench("--only", "chain,speed", "--out", str(tmp_path))
    assert process.returncode == 2
    assert "no such group: speed" in said
