"""Run the same six-step work on leadplan and on its peers, and print the figures side by side.

python benchmarks/peers/run_peers.py    # nine minutes, and two more at first: it installs the peers
python benchmarks/peers/run_peers.py --only leadplan,DBOS --rounds 1
"""

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from comparison import Outcome, comparison
from environments import PeerMissingError, python_of
from load import Figures
from systems import SYSTEMS, Load, System

_RESULTS = Path(__file__).resolve().parents[2] / "bench-results"
_LOAD_LIMIT_SECONDS = 120


def tell(line: str = "") -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def one_round(system: System, options: argparse.Namespace) -> Figures:
    """Start a system with empty data, measure it, and stop it.

    Raises:
        PeerMissingError: it can't be had here.
        RuntimeError: it didn't do the work.
    """
    with (
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as folder,
        system.start(Path(folder)) as load,
    ):
        return _figures(load, system.in_flight, options)


def _figures(load: Load, in_flight: tuple[int, ...], options: argparse.Namespace) -> Figures:
    durations = [
        "--latency-seconds",
        str(options.latency_seconds),
        "--saturation-seconds",
        str(options.saturation_seconds),
    ]
    command = [*load.command, *durations, "--in-flight", *map(str, in_flight)]
    environment = {**os.environ, **load.environment}
    try:
        done = subprocess.run(  # noqa: S603 - the load generator beside this file
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LOAD_LIMIT_SECONDS,
            check=False,
            start_new_session=True,  # a peer's client that signals its group doesn't end this process
        )
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"the round took more than {_LOAD_LIMIT_SECONDS} s") from None
    if done.returncode:
        raise RuntimeError(done.stderr[-1500:])
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def prepared(system: System) -> Outcome:
    """A system whose Python packages are installed, or why they can't be."""
    outcome = Outcome(system)
    try:
        if system.requirements:
            python_of(system.requirements)
    except PeerMissingError as reason:
        outcome.missing = str(reason)
        tell(f"skipped {system.name}: {reason}")
    return outcome


def measure(outcome: Outcome, options: argparse.Namespace) -> None:
    """Add a round to an outcome, or the reason why there is none."""
    begun = time.monotonic()
    name = outcome.system.name
    try:
        figures = one_round(outcome.system, options)
    except PeerMissingError as reason:
        outcome.missing = str(reason)
        tell(f"skipped {name}: {reason}")
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:
        outcome.missing = f"failed: {str(error).strip().splitlines()[-1]}"
        tell(f"{name} failed:\n{error}")
    else:
        outcome.rounds.append(figures)
        took = time.monotonic() - begun
        best = max(figures.throughput.values())
        tell(f"{name}: {figures.latency_ms:.1f} ms, {best:.0f} workflows/s (took {took:.0f} s)")


def run(systems: list[System], options: argparse.Namespace) -> list[Outcome]:
    """All rounds, each of all systems in turn, so that a slow minute of the machine hits them all."""
    outcomes = [prepared(system) for system in systems]
    started = time.monotonic()
    for number in range(options.rounds):
        if number and (time.monotonic() - started) * (number + 1) / number > options.limit_minutes * 60:
            tell(f"no round {number + 1}: it would take longer than {options.limit_minutes:g} minutes")
            break
        tell(f"Round {number + 1} of {options.rounds}")
        for outcome in outcomes:
            if not outcome.missing:
                measure(outcome, options)
    return outcomes


def document(outcomes: list[Outcome], options: argparse.Namespace) -> dict[str, Any]:
    """Every round's figures, with what they were measured on."""
    rows = [
        {
            "name": outcome.system.name,
            "durability": outcome.system.durability,
            "setting": outcome.system.setting,
            "missing": outcome.missing or None,
            "rounds": [asdict(figures) for figures in outcome.rounds],
        }
        for outcome in outcomes
    ]
    return {
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "settings": {"latencySeconds": options.latency_seconds, "saturationSeconds": options.saturation_seconds},
        "systems": rows,
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency-seconds", type=float, default=2.0, help="one workflow after the other for so long")
    parser.add_argument("--saturation-seconds", type=float, default=3.5, help="many at once for so long")
    parser.add_argument("--limit-minutes", type=float, default=10.0, help="no round is begun that would end later")
    parser.add_argument("--only", default="", help="systems whose names begin with one of these, by commas")
    options = parser.parse_args()
    # What was started is stopped then as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))
    wanted = tuple(name.strip().lower() for name in options.only.split(","))
    outcomes = run([system for system in SYSTEMS if system.name.lower().startswith(wanted)], options)
    table = comparison(outcomes)
    _RESULTS.mkdir(exist_ok=True)
    (_RESULTS / "peers.md").write_text(table + "\n")
    (_RESULTS / "peers.json").write_text(json.dumps(document(outcomes, options), indent=2) + "\n")
    tell(f"\n{table}\n\nWritten to {_RESULTS.name}/peers.md and peers.json")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
