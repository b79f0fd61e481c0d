"""Measure how fast plans are run: everything that is needed is started here, and ended again.

    make bench                                   everything but the growth, about nine minutes
    make bench ARGS="--only chain,fan --rounds 2"
    make bench ARGS="--quick"                    whether it works; the figures say little
    make bench ARGS="--only growth"              cost as work grows, about twenty minutes

The method, and how to read the results: docs/performance.md.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import msgspec
from bench_cells import GROUPS, Cell, cells
from bench_growth import Growth
from bench_machine import machine
from bench_processes import tell
from bench_report import report
from bench_results import Results
from bench_rounds import Options, Rounds
from rich.console import Console

GROWTH = "growth"
_ROUNDS = 3
_WIDTH = 200


def _arguments() -> argparse.Namespace:
    groups = "\n".join(f"  {name:<9}{meaning}" for name, meaning in GROUPS.items())
    epilog = f"groups for --only:\n{groups}\n  {GROWTH:<9}cost against plans in flight, steps, log size, executors"
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", help="groups, separated by commas (default: all but growth)")
    parser.add_argument("--rounds", type=int, help=f"how often each is measured (default: {_ROUNDS}; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="tiny measurements, to see that it works")
    parser.add_argument(
        "--responder", choices=("plain", "sdk"), default="plain", help="the tool: nats-py alone, or our SDK"
    )
    parser.add_argument("--executor", action="append", default=[], metavar="NAME=VALUE", help="a setting of executors")
    parser.add_argument(
        "--floor", action="append", default=[], choices=("overlap", "raw"), help="see docs/performance.md; repeatable"
    )
    parser.add_argument("--out", type=Path, default=Path("bench-results"), help="folder for results (bench-results)")
    arguments = parser.parse_args()
    arguments.groups = set(arguments.only.split(",")) if arguments.only else set(GROUPS)
    if unknown := sorted(arguments.groups - {*GROUPS, GROWTH}):
        parser.error(f"no such group: {', '.join(unknown)}")
    if not all("=" in one for one in arguments.executor):
        parser.error("--executor takes NAME=VALUE, such as LEADPLAN_LOG_LEVEL=WARNING")
    return arguments


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        rounds=arguments.rounds or (1 if arguments.quick else _ROUNDS),
        responder=arguments.responder,
        executor_settings=dict(one.split("=", 1) for one in arguments.executor),
        split_plans=(10 if arguments.quick else 200) if "split" in arguments.groups else 0,
        starts="start" in arguments.groups,
        floor=",".join(arguments.floor),
    )


async def _measure(arguments: argparse.Namespace, wanted: list[Cell], options: Options, results: Results) -> None:
    with tempfile.TemporaryDirectory(prefix="leadplan-bench-") as folder:
        if wanted or options.starts or options.split_plans:
            await Rounds(wanted, options, results, Path(folder)).run()
        if GROWTH in arguments.groups:
            await Growth(options, results, Path(folder), quick=arguments.quick).run()


def _write(results: Results, wanted: list[Cell], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results)))
    report(results, wanted, Console(width=_WIDTH))
    with (out / "results.txt").open("w") as file:
        report(results, wanted, Console(file=file, width=_WIDTH))
    drawn = _draw(results, out)
    tell(f"\nwritten to {out}: results.json, results.txt{''.join(f', {name}' for name in drawn)}")


def _draw(results: Results, out: Path) -> list[str]:
    """The names of the plots; none where what draws them isn't installed."""
    try:
        from bench_plots import plot  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        tell(f"no plots, for {error.name} isn't installed: pip install 'leadplan[bench]'")
        return []
    return plot(results, out)


def main() -> int:
    """Measure, print, and write; 1 where a measurement is void."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _stop)
    wanted, options = cells(arguments.groups, quick=arguments.quick), _options(arguments)
    results = Results(machine=machine(options))
    try:
        asyncio.run(_measure(arguments, wanted, options, results))
    finally:
        _write(results, wanted, arguments.out)  # after a failure too, what was measured until then
    return 1 if results.problems else 0


def _stop(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(143)  # through all that ends the processes


if __name__ == "__main__":
    sys.exit(main())
