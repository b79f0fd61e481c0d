"""Measure how long ``plans.list`` takes with very many plans in the index.

    python benchmarks/list_plans.py --plans 100000

It starts a nats-server, writes the entries straight into the index (each replaced a few times, as the plan's states
would, so that the stream has gaps), with a log for each plan that still runs, and asks for pages in this process.
"""

import argparse
import asyncio
import json
import random
import time
from statistics import median

import msgspec
from bench_processes import nats_server, tell
from nats.aio.client import Client

from leadplan_bus.topology import Retention, ensure_topology
from leadplan_contracts import OverallStatus, subjects
from leadplan_contracts.control import ListRequest, PlanState
from leadplan_contracts.times import format_time
from leadplan_executor.clock import now_ms
from leadplan_executor.plan_index import PlanIndex, PlanIndexEntry
from leadplan_executor.plan_listing import PlanLister

_CHANGES = 3
_RUNNING = 500
_ACCOUNTS = 200
_AT_A_TIME = 1_000
_TICK_SECONDS = 0.002
_GOAL = "Find forty dentists in Vienna who have a website, look up who runs them, and set up a sequence of three mails"


def _entry(number: int, state: PlanState, sequence: int) -> PlanIndexEntry:
    now = format_time(now_ms())
    completed = state is PlanState.COMPLETED
    return PlanIndexEntry(
        state=state,
        changed_at=now,
        sequence=sequence,
        title=f"Leads {number}",
        goal=_GOAL,
        overall_status=OverallStatus.SUCCEEDED if completed else None,
        user_id=f"user-{number % 1000}",
        account_id=f"account-{number % _ACCOUNTS}",
        started_at=now,
        finished_at=now if completed else None,
        steps=6,
    )


async def _fill(nc: Client, plans: int) -> None:
    index, chance = PlanIndex(nc), random.Random(1)  # noqa: S311 - the same gaps each time
    running = min(_RUNNING, plans // 2)
    changes = [number for number in range(plans) for _ in range(_CHANGES)]
    # Plans overlap: each one's changes lie some thousand changes apart.
    changes.sort(key=lambda number: number + chance.random() * 5_000)
    left = dict.fromkeys(range(plans), _CHANGES)
    for count, number in enumerate(changes, 1):
        left[number] -= 1
        ends = left[number] == 0 and number < plans - running
        state = PlanState.COMPLETED if ends else PlanState.RUNNING
        await index.put(f"plan-{number}", _entry(number, state, _CHANGES - left[number]))
        if count % _AT_A_TIME == 0:
            await nc.flush()
    for number in range(plans - running, plans):
        event = {
            "type": "PLAN_RESUMED",
            "planId": f"plan-{number}",
            "sequence": _CHANGES,
            "time": format_time(now_ms()),
        }
        await nc.publish(subjects.plan_log_subject(f"plan-{number}"), json.dumps(event).encode())
    js = nc.jetstream()
    # Nothing is told of entries: what is acknowledged behind them on the same stream was stored after them.
    await (await js.key_value(subjects.PLAN_INDEX_BUCKET)).put("end", b"")
    await js.publish(subjects.plan_log_subject("end"), b"")


class _Stalls:
    """The longest time that nothing else could run: an executor's plans share the process."""

    def __init__(self) -> None:
        self.longest = 0.0

    async def watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(_TICK_SECONDS)
            self.longest = max(self.longest, time.perf_counter() - before - _TICK_SECONDS)


async def _walk(lister: PlanLister, request: ListRequest) -> tuple[int, list[float]]:
    """How many plans are on all pages, and the seconds that each page took."""
    found, seconds = 0, []
    while True:
        began = time.perf_counter()
        page = await lister.page(request)
        seconds.append(time.perf_counter() - began)
        found += len(page.plans)
        if page.next is None:
            return found, seconds
        request = msgspec.structs.replace(request, cursor=page.next)


async def _measure(nc: Client, rounds: int) -> None:
    lister = PlanLister(nc)
    for name, request in {
        "first page of 50": ListRequest(),
        "first page of 500": ListRequest(limit=500),
        "50 that run (their logs compared)": ListRequest(states=[PlanState.RUNNING]),
        "500 that run (their logs compared)": ListRequest(states=[PlanState.RUNNING], limit=500),
        "50 of one account": ListRequest(account_id="account-7"),
    }.items():
        took = []
        for _ in range(rounds):
            began = time.perf_counter()
            page = await lister.page(request)
            took.append(time.perf_counter() - began)
        tell(f"{name:38} {len(page.plans):6} plans {median(took) * 1000:8.1f} ms (longest {max(took) * 1000:.1f})")
    for name, request in {
        "all, in pages of 500": ListRequest(limit=500),
        "all of one account, in pages of 500": ListRequest(account_id="account-7", limit=500),
        "a filter that fits nothing": ListRequest(text="no such text"),
    }.items():
        stalls = _Stalls()
        watching = asyncio.create_task(stalls.watch())
        found, seconds = await _walk(lister, request)
        watching.cancel()
        tell(
            f"{name:38} {found:6} plans {sum(seconds) * 1000:8.1f} ms in {len(seconds)} requests (longest "
            f"{max(seconds) * 1000:.1f}; nothing else ran for at most {stalls.longest * 1000:.1f})"
        )


async def _run(plans: int, rounds: int) -> None:
    async with nats_server() as (_, nc):
        await ensure_topology(nc.jetstream(), Retention())
        began = time.perf_counter()
        await _fill(nc, plans)
        tell(f"{plans} entries, {plans * _CHANGES} changes, written in {time.perf_counter() - began:.1f} s")
        await _measure(nc, rounds)


def main() -> None:
    """Read the arguments, measure, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plans", type=int, default=100_000, help="entries in the index (default: 100000)")
    parser.add_argument("--rounds", type=int, default=20, help="how often each page is asked for (default: 20)")
    given = parser.parse_args()
    asyncio.run(_run(given.plans, given.rounds))


if __name__ == "__main__":
    main()
