"""Count the processor's instructions that an executor and a tool take, which no other work on the machine changes.

    python benchmarks/instructions.py

Throughput of two runs can't be compared on a machine that others use too; these figures can, to about two in a hundred.
They say what a change gives before its effect is seen in a time. Two runs under valgrind, one with more plans than the
other, and the difference between them: the start counts in neither.
"""

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench_processes import EXECUTOR_CODE, EXECUTOR_READY, HERE, measured_process, nats_server, tell
from bench_shapes import Submissions, shape
from nats.aio.client import Client

from leadplan_contracts import subjects

_FEW = 20
_IN_FLIGHT = 16
_PREFIX = "count"
_EXECUTOR = [sys.executable, "-c", EXECUTOR_CODE]
_TOOL = [sys.executable, str(HERE / "bench_sdk_responder.py")]
_PATIENCE = {"LEADPLAN_STALL_LIMIT_MS": "600000", "LEADPLAN_LEASE_MS": "60000"}


async def count(counted: list[str], plans: int) -> int:
    """Instructions of one of the two processes, from its start to its end, with so many plans of six steps between."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "callgrind"
        under = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]
        async with nats_server() as (url, nc):
            with ExitStack() as stack:
                for command, ready in ((_TOOL, "serving"), (_EXECUTOR, EXECUTOR_READY)):
                    whole = [*under, *command] if command is counted else command
                    stack.enter_context(measured_process(whole, url, ready, _PATIENCE))
                await _run(nc, plans)
        totals = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    if totals is None:
        raise RuntimeError("valgrind wrote no totals")
    return int(totals[1])


async def _run(nc: Client, plans: int) -> None:
    js, submissions, submitted = nc.jetstream(), Submissions(shape("chain-6")), 0
    while True:
        left = (await js.stream_info(subjects.PLANS_STREAM)).state.messages
        if submitted == plans and not left:
            return
        for _ in range(min(_IN_FLIGHT - left, plans - submitted)):
            await js.publish(subjects.PLANS_EXECUTE, submissions.body(_PREFIX, submitted))
            submitted += 1
        await asyncio.sleep(0.02)


def main() -> int:
    """Count and tell; 2 where valgrind isn't there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plans", type=int, default=200, help="how many are counted (default: 200)")
    plans = parser.parse_args().plans
    if shutil.which("valgrind") is None:
        tell("valgrind isn't installed (Debian: apt-get install valgrind)")
        return 2
    for title, counted, times in (
        ("executor, a plan of six steps", _EXECUTOR, plans),
        ("tool with our SDK, a request", _TOOL, 6 * plans),
    ):
        first = asyncio.run(count(counted, _FEW))
        instructions = (asyncio.run(count(counted, _FEW + plans)) - first) / times
        tell(f"{title}: {instructions / 1_000_000:.2f} million instructions")
    return 0


if __name__ == "__main__":
    sys.exit(main())
