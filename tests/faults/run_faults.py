"""Run many plans under many faults, check everything, and print the figures.

    python tests/faults/run_faults.py --plans 2000 --faults 200 --seed 7

Exit code 0 when no rule is broken. When one is, the seed, every violation and a readable history of the plans
concerned are printed, and the exit code is 1.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

from fault_run import FaultRun, Outcome, Size  # noqa: E402 - found on the path that was just extended

_MOST_HISTORIES = 3


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--plans", type=int, default=2000, help="plans to submit, at least (default 2000)")
    parser.add_argument("--faults", type=int, default=200, help="faults to strike, at least (default 200)")
    parser.add_argument("--seed", type=int, default=1, help="decides plans and faults (default 1)")
    parser.add_argument("--executors", type=int, default=3, help="executor processes (default 3)")
    parser.add_argument("--tools", type=int, default=2, help="responder processes (default 2)")
    parser.add_argument("--lease-ms", type=int, default=1000, help="lease of the executors (default 1000)")
    parser.add_argument(
        "--stall-seconds", type=float, default=25.0, help="with no plan ended for so long, give up (default 25)"
    )
    parser.add_argument("--mutation", help="run executors with a known defect (see fault_mutants.py)")
    parser.add_argument("--keep", type=Path, help="an empty folder for data and logs, kept afterwards")
    return parser.parse_args()


def report(outcome: Outcome) -> None:
    """Print the figures, and what is wrong."""
    print("\n".join(outcome.lines()))
    for violation in outcome.violations:
        print(f"BROKEN  {violation}")
    for plan_id, story in list(outcome.histories.items())[:_MOST_HISTORIES]:
        print(f"\nhistory of {plan_id}\n{story}")


async def main() -> int:
    """Run; returns the exit code."""
    asked = arguments()
    logging.disable(logging.WARNING)  # lost connections are what this is about
    size = Size(
        asked.seed,
        asked.plans,
        asked.faults,
        executors=asked.executors,
        tools=asked.tools,
        lease_ms=asked.lease_ms,
        stall_seconds=asked.stall_seconds,
        mutation=asked.mutation,
    )
    with tempfile.TemporaryDirectory(prefix="leadplan-faults-") as temporary:
        folder = asked.keep or Path(temporary)
        folder.mkdir(exist_ok=True)
        outcome = await FaultRun(size, folder, lambda text: print(text, file=sys.stderr, flush=True)).run()
    report(outcome)
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
