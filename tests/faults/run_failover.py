"""Measure how long a plan stands still when its executor is gone, with the default lease.

    python tests/faults/run_failover.py --runs 20

Two executors. Again and again a plan with a long step is begun, and the executor that has it is killed, frozen, cut off
from the network, or stopped cleanly. The time until the other one has stored that it took the plan over is measured by
the server's clock. Each plan ends by its deadline, so that the next one finds the executors idle.
"""

import argparse
import asyncio
import random
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core")]

from core_plans import USER  # noqa: E402 - found on the path that was just extended
from fault_checker import Stored  # noqa: E402
from fault_evidence import stored  # noqa: E402
from fault_fleet import Fleet, Member  # noqa: E402
from nats.aio.client import Client  # noqa: E402
from nats.errors import Error as NatsError  # noqa: E402

from leadplan_bus.connection import close, connect  # noqa: E402
from leadplan_bus.stored_messages import read_subject  # noqa: E402
from leadplan_contracts import (  # noqa: E402
    LeadGenGoal,
    LeadGenPlan,
    LeadGenPlanStep,
    LeadPlanEventPayload,
    PlanSubmission,
    subjects,
)
from leadplan_contracts.events import PlanCompleted, PlanResumed, StepStarted, decode_event  # noqa: E402
from leadplan_contracts.wire import encode  # noqa: E402

_DEADLINE_BEHIND_LEASE_MS = 4_000
_LATEST_HARM_SECONDS = 2.0
_HOUR_MS = 3_600_000

Harm = Callable[[Member], Awaitable[None]]
Mend = Callable[[Member], None]


async def _kill(member: Member) -> None:
    member.process.kill()


async def _freeze(member: Member) -> None:
    member.process.signal(signal.SIGSTOP)


async def _cut(member: Member) -> None:
    member.link.cut()


async def _silence(member: Member) -> None:
    member.link.hold()


async def _stop_cleanly(member: Member) -> None:
    member.process.signal(signal.SIGTERM)


def _start_again(member: Member) -> None:
    member.process.kill()
    member.start()


KINDS: dict[str, tuple[Harm, Mend]] = {
    "killed": (_kill, _start_again),
    "frozen": (_freeze, lambda member: member.process.signal(signal.SIGCONT)),
    "link cut": (_cut, lambda member: member.link.mend()),
    "link silent": (_silence, lambda member: member.link.mend()),
    "stopped cleanly": (_stop_cleanly, _start_again),
}


def plan_with_a_long_step(plan_id: str, lease_ms: int) -> LeadGenPlan:
    """A plan that is with its tool until its deadline passes, some time after it was taken over."""
    step = LeadGenPlanStep(id="long", tool="LEDGER_IDEMPOTENT", params={"ms": _HOUR_MS}, timeout_ms=_HOUR_MS)
    return LeadGenPlan(
        id=plan_id,
        title="A long step",
        goal=LeadGenGoal(description="Outlive executors"),
        created_at="2026-11-23T09:15:02.417Z",
        deadline_ms=lease_ms + _DEADLINE_BEHIND_LEASE_MS,
        steps=[step],
    )


class Failover:
    """Two executors, one of which is harmed while it has a plan."""

    def __init__(self, nc: Client, fleet: Fleet, lease_ms: int) -> None:
        self._nc = nc
        self._fleet = fleet
        self._lease_ms = lease_ms
        self._plans = 0
        self._chance = random.Random(1)

    async def seconds(self, harm: Harm, mend: Mend) -> float:
        """Have a plan begun and harm its owner; how long it took until the other one had the plan."""
        await self._until_serving()
        self._plans += 1
        plan = plan_with_a_long_step(f"failover-{self._plans}", self._lease_ms)
        await self._nc.jetstream().publish(subjects.PLANS_EXECUTE, encode(PlanSubmission(plan=plan, user=USER)))
        (*_, called) = await self._until(plan.id, StepStarted)
        owner = next(one for one in self._fleet.executors if (called.executor or "").startswith(one.instance))
        await asyncio.sleep(self._chance.uniform(0, _LATEST_HARM_SECONDS))  # at any time since it renewed its lease
        at = time.time_ns()
        await harm(owner)
        log = await self._until(plan.id, PlanResumed)
        resumed = next(one for one in log if isinstance(decode_event(one.body), PlanResumed))
        assert not (resumed.executor or "").startswith(owner.instance)
        mend(owner)
        await self._until(plan.id, PlanCompleted)
        return (resumed.at - at) / 1e9

    async def _until(self, plan_id: str, kind: type[LeadPlanEventPayload]) -> list[Stored]:
        """The plan's log as soon as it has an event of a kind."""
        async with asyncio.timeout(60):
            while True:
                subject = subjects.plan_log_subject(plan_id)
                log = [stored(one) for one in await read_subject(self._nc, subjects.PLAN_LOG_STREAM, subject)]
                if any(isinstance(decode_event(one.body), kind) for one in log):
                    return log
                await asyncio.sleep(0.01)

    async def _until_serving(self) -> None:
        """Both executors answer: the one that was harmed has come back."""
        async with asyncio.timeout(60):
            while True:
                if await self._answering() == len(self._fleet.executors):
                    return
                await asyncio.sleep(0.02)

    async def _answering(self) -> int:
        inbox = self._nc.new_inbox()
        answers = await self._nc.subscribe(inbox)
        await self._nc.publish(f"$SRV.PING.{subjects.EXECUTOR_SERVICE_NAME}", b"", reply=inbox)
        count = 0
        try:
            while count < len(self._fleet.executors):
                await answers.next_msg(0.3)
                count += 1
        except NatsError:
            pass
        await answers.unsubscribe()
        return count


async def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="how often an executor is killed (default 20)")
    parser.add_argument("--other-runs", type=int, default=5, help="how often each other harm is done (default 5)")
    parser.add_argument("--lease-ms", type=int, default=4000, help="the lease (default 4000, as in production)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="leadplan-failover-") as folder:
        fleet = Fleet(Path(folder), executors=2, tools=1, lease_ms=asked.lease_ms)
        try:
            await fleet.start()
            nc = await connect(fleet.server.url, name="failover", within_seconds=20)
            failover = Failover(nc, fleet, asked.lease_ms)
            print(f"lease {asked.lease_ms} ms; seconds until another executor had the plan", flush=True)
            for kind, (harm, mend) in KINDS.items():
                runs = asked.runs if kind == "killed" else asked.other_runs
                times = [await failover.seconds(harm, mend) for _ in range(runs)]
                print(f"{kind:<16} {runs:>3} runs   median {median(times):.2f}   worst {max(times):.2f}", flush=True)
            await close(nc)
        finally:
            await fleet.stop()
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
