"""One fault run: plans are submitted, faults strike, and in the end everything is read and checked."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

from fault_checker import Stored, Violation, by_plan, history, violations
from fault_control import Answer, Asked
from fault_evidence import read_evidence
from fault_fleet import Fleet, Link
from fault_followers import Follower
from fault_kinds import Faults, Struck
from fault_ledger import Ledger, What
from fault_operator import Operator
from fault_workload import plan_of, submission_of
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.connection import close, connect
from leadplan_contracts import LeadGenPlan, subjects
from leadplan_contracts.events import PlanResumed, PlanRetried, PlanStarted, decode_event

_TELLS_OWNER = tuple(f'{{"type":"{kind}"'.encode() for kind in ("PLAN_STARTED", "PLAN_RESUMED", "PLAN_RETRIED"))
_HELD = b"no longer held it"
"""In the reason of a take-over from an executor that is gone. Others take up what nobody held."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Size:
    """How large a run is.

    Attributes:
        seed: decides plans and faults.
        plans: submitted at least.
        faults: that strike at least.
        plans_at_once: under way at most, by the submitter's count.
        executors, tools: processes.
        lease_ms: of the executors.
        stall_seconds: where no plan ended for so long, those under way are taken to be lost. Faults last seconds.
        mutation: a known defect of the executors (``fault_mutants``); None for executors as they are.
    """

    seed: int
    plans: int
    faults: int
    plans_at_once: int = 60
    executors: int = 3
    tools: int = 2
    lease_ms: int = 1000
    stall_seconds: float = 25.0
    mutation: str | None = None


@dataclass
class Outcome:
    """What came of a run."""

    size: Size
    seconds: float
    plans: int
    events: int
    effects: int
    repeated_effects: int
    faults: Counter[str]
    failovers: list[float]
    failovers_of_suspects: list[float]
    asked: list[Asked]
    parked: int
    rounds: int
    violations: list[Violation]
    histories: dict[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """The figures, for people."""
        slowest = max((one.seconds for one in self.asked), default=0.0)
        lost = sum(one.rule in ("lost", "not completed") for one in self.violations)
        return [
            f"seed {self.size.seed}, {self.seconds:.0f} s",
            f"plans             {self.plans}",
            f"events            {self.events}",
            f"effects           {self.effects}",
            f"faults            {sum(self.faults.values())}",
            *(f"  {count:>4}  {kind}" for kind, count in self.faults.most_common()),
            f"failovers         {_figures(self.failovers)}; lease {self.size.lease_ms} ms",
            f"  of suspects     {_figures(self.failovers_of_suspects)}",
            f"let go, taken up  {self.parked}",
            f"further rounds    {self.rounds}",
            f"requests          {len(self.asked)}, slowest answer {slowest:.1f} s",
            *(f"  {count:>4}  {what}" for what, count in Counter(map(_what_was_answered, self.asked)).most_common()),
            f"repeated effects  {self.repeated_effects}",
            f"lost plans        {lost}",
            f"broken rules      {len(self.violations)}",
        ]


def _what_was_answered(asked: Asked) -> str:
    why = f" ({asked.reply['code']})" if asked.answer is Answer.REFUSED else ""
    return f"{asked.endpoint}: {asked.answer.value}{why}"


def _figures(seconds: list[float]) -> str:
    if not seconds:
        return "0"
    return f"{len(seconds)} (median {median(seconds):.2f} s, worst {max(seconds):.2f} s)"


class Progress:
    """Notices when nothing ends any more."""

    def __init__(self, stall_seconds: float) -> None:
        self._stall_seconds = stall_seconds
        self._ended = 0
        self._at = time.monotonic()

    def stalled(self, ended: int) -> bool:
        """Whether as many have ended as long ago."""
        if ended != self._ended:
            self._ended, self._at = ended, time.monotonic()
        return time.monotonic() - self._at > self._stall_seconds


class FaultRun:
    """A run in a folder of its own."""

    def __init__(self, size: Size, folder: Path, say: Say) -> None:
        self._size = size
        self._say = say
        self._fleet = Fleet(
            folder, executors=size.executors, tools=size.tools, lease_ms=size.lease_ms, mutation=size.mutation
        )
        self._chance = random.Random(size.seed)
        self._steady, self._troubled = Follower("steady"), Follower("troubled")
        self._operator: Operator | None = None
        self._plans: list[LeadGenPlan] = []
        self._struck: list[Struck] = []

    async def run(self) -> Outcome:
        """Do all of it.

        Raises:
            TimeoutError: plans are still under way long after the last fault. They are told as violations, so this
                means that the evidence itself can't be read.
        """
        begun = time.monotonic()
        link = None
        try:
            await self._fleet.start()
            link = Link(self._fleet.server.port)
            await link.start()
            nc = await connect(self._fleet.server.url, name="fault run", within_seconds=20)
            await self._steady.start(self._fleet.server.url)
            await self._troubled.start(link.url)
            await self._until_ready(nc)
            self._operator = Operator(nc, self._steady, random.Random(f"{self._size.seed} people"))
            await self._under_faults(nc, link, self._operator)
            await self._operator.see_to_the_end((plan.id for plan in self._plans), self._size.stall_seconds)
            outcome = await self._judged(nc, begun)
            await close(nc)
            return outcome
        finally:
            await self._steady.stop()
            await self._troubled.stop()
            if link is not None:
                await link.stop()
            await self._fleet.stop()

    async def _until_ready(self, nc: Client) -> None:
        async with asyncio.timeout(60):
            while True:
                try:
                    await nc.jetstream().consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
                    return
                except NatsError:
                    await asyncio.sleep(0.05)

    async def _under_faults(self, nc: Client, follower_link: Link, operator: Operator) -> None:
        size = self._size
        faults = Faults(self._fleet, nc, size.lease_ms / 1000, self._chance)
        striking = [asyncio.create_task(self._strike_again_and_again(faults)) for _ in range(2)]
        striking.append(asyncio.create_task(self._trouble(follower_link)))
        steering = asyncio.create_task(operator.steer(self._plans))
        progress = Progress(self._size.stall_seconds)
        try:
            while len(self._plans) < size.plans or len(self._struck) < size.faults:
                if progress.stalled(len(self._steady.completed)):
                    break
                if len(self._plans) - len(self._steady.completed) < size.plans_at_once:
                    await self._submit(nc)
                else:
                    await asyncio.sleep(0.01)
                for task in (*striking, steering):
                    if task.done():
                        task.result()
                self._progress()
        finally:
            for task in striking:
                task.cancel()
            await asyncio.gather(*striking, return_exceptions=True)
            await self._all_well()
            steering.cancel()
            await asyncio.gather(steering, return_exceptions=True)

    async def _strike_again_and_again(self, faults: Faults) -> None:
        while True:
            kind = faults.draw()
            at = time.time_ns()
            striking = asyncio.ensure_future(faults.strike(kind))
            try:
                instance = await asyncio.shield(striking)
            except asyncio.CancelledError:
                await striking  # or what it starts again would outlive the run
                raise
            self._struck.append(Struck(kind, at, instance))
            await asyncio.sleep(self._chance.uniform(0.0, 0.3))

    async def _trouble(self, link: Link) -> None:
        while True:
            await asyncio.sleep(self._chance.uniform(0.5, 3.0))
            link.cut()
            await asyncio.sleep(self._chance.uniform(0.0, 0.5))
            link.mend()

    async def _all_well(self) -> None:
        """The last faults are over: whoever is down starts again, so that the plans can end."""
        if not self._fleet.server.process.running:
            await self._fleet.server.start()
        for process in [
            self._fleet.server.process,
            *self._fleet.tools,
            *(one.process for one in self._fleet.executors),
        ]:
            if process.running:
                process.signal(signal.SIGCONT)
        for tools in self._fleet.tools:
            if not tools.running:
                tools.start()
        for member in self._fleet.executors:
            member.link.mend()
            if not member.process.running:
                member.start()

    async def _submit(self, nc: Client) -> None:
        """Submit the next plan, again until it is acknowledged: the same plan sent twice runs once."""
        plan = plan_of(self._size.seed, len(self._plans), steered=True)
        body = submission_of(plan)
        while True:
            try:
                await nc.jetstream().publish(subjects.PLANS_EXECUTE, body, timeout=1)
                break
            except NatsError:
                await asyncio.sleep(0.05)
        self._plans.append(plan)

    def _progress(self) -> None:
        if len(self._plans) % 100 == 0:
            done = len(self._steady.completed)
            self._say(f"{len(self._plans)} plans submitted, {done} seen to end, {len(self._struck)} faults")

    async def _judged(self, nc: Client, begun: float) -> Outcome:
        self._say("reading logs and ledger")
        entries = list(Ledger(self._fleet.ledger_path).entries())
        ledger = by_plan(entries)
        found = [
            Violation("feed", one.name, what) for one in (self._steady, self._troubled) for what in one.contradictions
        ]
        evidences = {}
        for plan in self._plans:
            asked = self._operator.asked[plan.id] if self._operator is not None else ()
            evidence = await read_evidence(nc, plan, ledger.get(plan.id, []), (self._steady, self._troubled), asked)
            evidences[plan.id] = evidence
            found += violations(evidence)
        logs = [evidence.log for evidence in evidences.values()]
        effects = Counter((entry.plan_id, entry.step_id) for entry in entries if entry.what is What.EFFECT)
        taken = list(failovers(self._struck, logs))
        once = {(entry.plan_id, entry.step_id) for entry in entries if entry.tool == "LEDGER_ONCE"}
        return Outcome(
            size=self._size,
            seconds=time.monotonic() - begun,
            plans=len(self._plans),
            events=sum(map(len, logs)),
            effects=sum(effects.values()),
            repeated_effects=sum(effects[key] - 1 for key in once if effects[key] > 1),
            faults=Counter(one.kind for one in self._struck),
            failovers=[one.seconds for one in taken if not one.suspect],
            failovers_of_suspects=[one.seconds for one in taken if one.suspect],
            asked=self._operator.all_asked() if self._operator is not None else [],
            parked=sum(1 for log in logs for one in log if b'"PLAN_RESUMED"' in one.body and _HELD not in one.body),
            rounds=sum(1 for log in logs for one in log if b'"PLAN_RETRIED"' in one.body),
            violations=found,
            histories={one.plan_id: history(evidences[one.plan_id]) for one in found if one.plan_id in evidences},
        )


class Failover(NamedTuple):
    """A plan was taken over from an executor that a fault had struck.

    Attributes:
        seconds: from the fault until then.
        suspect: the plan had lost so many executors that it waited for a process of its own.
    """

    seconds: float
    suspect: bool


def failovers(struck: Iterable[Struck], logs: Iterable[list[Stored]]) -> Iterable[Failover]:
    """Every time that a plan was taken over from an executor that a fault had struck."""
    by_instance = {one.instance: one.at for one in struck if one.instance is not None and "cleanly" not in one.kind}
    for log in logs:
        owner: str | None = None
        for stored in log:
            if not stored.body.startswith(_TELLS_OWNER):
                continue
            event = decode_event(stored.body)
            assert isinstance(event, PlanStarted | PlanResumed | PlanRetried)
            if isinstance(event, PlanResumed) and _HELD in stored.body and owner is not None:
                at = next((at for instance, at in by_instance.items() if owner.startswith(instance)), None)
                if at is not None and at < stored.at:
                    yield Failover((stored.at - at) / 1e9, "-alone-" in event.meta.executor)
            owner = event.meta.executor or owner
