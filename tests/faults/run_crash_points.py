"""Let an executor lose power at every point of plans of every shape, and say how many points there were.

    python tests/faults/run_crash_points.py --doubles 20

Exit code 0 when every run kept all rules and ended as the run without a crash; else every problem is printed with a
readable history of its plan, and the exit code is 1.
"""

import argparse
import asyncio
import logging
import sys
import tempfile
import time
from pathlib import Path

import structlog

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

from fault_crash_shapes import SHAPES  # noqa: E402 - found on the path that was just extended
from fault_crash_sweep import sweep_shapes, table  # noqa: E402
from fault_mutants import MUTATIONS  # noqa: E402

_MOST_PROBLEMS = 20


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    names = [shape.name for shape in SHAPES]
    parser.add_argument("--shape", action="append", choices=names, help="only this shape; may be given again")
    parser.add_argument(
        "--doubles", default="20", help="runs with two crashes, a shape; `all` for every pair (default 20)"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides which pairs (default 1)")
    parser.add_argument("--mutation", choices=list(MUTATIONS), help="with an executor that has this known defect")
    return parser.parse_args()


async def main() -> int:
    """Run; returns the exit code."""
    asked = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.ERROR)
    if asked.mutation is not None:
        MUTATIONS[asked.mutation]()
    doubles = None if asked.doubles == "all" else int(asked.doubles)
    shapes = [shape for shape in SHAPES if asked.shape is None or shape.name in asked.shape]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="leadplan-crash-points-") as folder:
        swept = await sweep_shapes(
            Path(folder), shapes, doubles=doubles, seed=asked.seed, until_bad=asked.mutation is not None, begun=_tell
        )
    print("\n".join(table(swept)))
    runs = sum(1 + one.tried.total() + one.doubles for one in swept)
    print(f"\n{runs} runs in {time.monotonic() - begun:.0f} s, seed {asked.seed}")
    problems = [problem for one in swept for problem in one.problems]
    print("\n".join(problems[:_MOST_PROBLEMS]) or "every run kept all rules and ended as the run without a crash")
    return 1 if problems else 0


def _tell(shape: str) -> None:
    print(f"{shape} …", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
