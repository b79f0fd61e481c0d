"""The bench of the crash point tests: runs a plan with the power going at chosen points, and judges what came of it."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import NamedTuple

import msgspec
from fault_checker import Evidence, history, violations
from fault_control import Asked, Asker
from fault_crash_points import Kind, Moment, SupervisedExecutor
from fault_crash_shapes import Act, Shape
from fault_crash_tools import LedgerTools
from fault_evidence import read_evidence
from fault_followers import Follower
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from leadplan_bus.connection import close, connect
from leadplan_bus.stored_messages import read_subject
from leadplan_client import MonitorClient
from leadplan_contracts import LeadGenStepResult, subjects
from leadplan_contracts.events import PlanCompleted, PlanResumed, StepEvent, StepStarted, decode_event

_RUN_SECONDS = 10.0
_LOOK_SECONDS = 0.003
_PATIENCE_SECONDS = 0.3
_PARK_AFTER_MS = 50


class CrashAt(NamedTuple):
    """The power goes at the nth moment of a kind, counted since the crash before it."""

    kind: Kind
    nth: int

    def __str__(self) -> str:
        return f"{self.kind.value} ({self.nth})"


class Crashes:
    """Lets the power go at chosen points, one after the other, and counts what moments there are.

    Attributes:
        counts: how often each kind of moment was come to; the first entry up to the first crash, and so on.
    """

    def __init__(self, points: Sequence[CrashAt]) -> None:
        self.counts: list[Counter[Kind]] = [Counter()]
        self._points = list(points)

    def __call__(self, moment: Moment) -> bool:
        self.counts[-1][moment.kind] += 1
        if self._points and CrashAt(moment.kind, self.counts[-1][moment.kind]) == self._points[0]:
            del self._points[0]
            self.counts.append(Counter())
            return True
        return False

    @property
    def missed(self) -> list[CrashAt]:
        """Points that haven't been come to."""
        return self._points


class Outcome(NamedTuple):
    """What must be the same with and without crashes."""

    overall: str
    steps: dict[str, tuple[str, int, str | None, str | None]]
    """For each step status, attempts, error code and a digest of its data."""


class Run(NamedTuple):
    """One run of a plan."""

    shape: Shape
    points: tuple[CrashAt, ...]
    crashes: Crashes
    evidence: Evidence
    rejections: int
    settled: bool

    @property
    def name(self) -> str:
        """The shape, and where the power went."""
        where = ", then ".join(map(str, self.points))
        return f"{self.shape.name}: {where}" if where else self.shape.name


class Bench:
    """A server's worth of plans: tools, a follower, and one executor that is replaced at each crash.

    Attributes:
        executor: the one.

    Args:
        url: the server; nothing else may run on it.
    """

    def __init__(self, url: str, nc: Client) -> None:
        self._nc = nc
        self._tools = LedgerTools(nc)
        self._follower = Follower("follower")
        self._url = url
        self._crashes = Crashes(())
        settings = {
            "executor_name": "mortal",
            "lease_ms": 2000,
            "grace_ms": 0,
            "server_checks": "off",
            "park_after_ms": _PARK_AFTER_MS,
        }
        self.executor = SupervisedExecutor(url, nc, self._cuts, settings)
        self._runs = 0

    async def start(self) -> None:
        """Serve tools, follow, and run an executor."""
        await self.executor.start()
        await self._tools.start()
        await self._follower.start(self._url)

    async def stop(self) -> None:
        """Stop it all."""
        await self.executor.stop()
        await self._tools.stop()
        await self._follower.stop()

    async def run(self, shape: Shape, *points: CrashAt) -> Run:
        """Run a plan of this shape, with the power going at these points."""
        await self.executor.steady()
        self._crashes = crashes = Crashes(points)
        self._runs += 1
        plan_id, sequence = await self._submit(shape, f"p{self._runs}")
        asked: list[Asked] = []
        settled = True
        try:
            async with asyncio.timeout(_RUN_SECONDS):
                for number, act in enumerate(shape.acts):
                    asked.append(await self._do(act, plan_id, f"{plan_id}-{number}"))
                await self._until_settled(plan_id, sequence)
                await self.executor.steady()
        except TimeoutError:
            settled = False
        plan = shape.plan(plan_id)
        evidence = await read_evidence(self._nc, plan, self._tools.of_plan(plan_id), [self._follower], asked)
        rejections = await read_subject(self._nc, subjects.PLAN_REJECTS_STREAM, subjects.plan_rejected_subject(plan_id))
        return Run(shape, points, crashes, evidence, len(rejections), settled)

    def _cuts(self, moment: Moment) -> bool:
        return self._crashes(moment)

    async def _submit(self, shape: Shape, plan_id: str) -> tuple[str, int]:
        """The id that the plan runs under, and the stream sequence of its message."""
        body = shape.submission(plan_id)
        js = self._nc.jetstream()
        if not shape.recurring:
            return plan_id, (await js.publish(subjects.PLANS_EXECUTE, body)).seq
        headers = {
            subjects.SCHEDULE_HEADER: "0 0 9 1 1 *",
            subjects.SCHEDULE_TARGET_HEADER: subjects.PLANS_EXECUTE,
            "Nats-TTL": "never",
        }
        await js.publish(subjects.plan_schedule_subject(plan_id), body, headers=headers)
        fired = await MonitorClient(self._nc).fire(plan_id)
        return fired.plan_id, fired.submission

    async def _do(self, act: Act, plan_id: str, request_id: str) -> Asked:
        """Ask what is to be asked, once the plan's log is so."""
        while self._follower.count(plan_id, *act.after) < act.count:  # noqa: ASYNC110 - a feed, not an event of ours
            await asyncio.sleep(_LOOK_SECONDS)
        asked = await Asker(self._nc, _PATIENCE_SECONDS).ask(act.endpoint, plan_id, request_id, **act.fields)
        if act.releases:
            self._tools.held[plan_id].set()
        return asked

    async def _until_settled(self, plan_id: str, sequence: int) -> None:
        """Until the plan has ended, or was rejected, and nothing of it is in the queue any more."""
        js = self._nc.jetstream()
        while True:
            try:
                await js.get_msg(subjects.PLANS_STREAM, sequence)
            except NotFoundError:
                if await self._is_over(plan_id):
                    return
            await asyncio.sleep(_LOOK_SECONDS)

    async def _is_over(self, plan_id: str) -> bool:
        """Whether a plan whose submission is off the queue has ended, and isn't to be taken up again."""
        js = self._nc.jetstream()
        try:
            last = await js.get_last_msg(subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
        except NotFoundError:
            return True  # rejected
        try:
            await js.get_last_msg(subjects.PLANS_STREAM, subjects.plan_wake_subject(plan_id))
        except NotFoundError:
            return isinstance(decode_event(last.data or b""), PlanCompleted)
        return False


@asynccontextmanager
async def crash_bench(url: str) -> AsyncIterator[Bench]:
    """A started bench."""
    nc = await connect(url, name="crash bench")
    bench = Bench(url, nc)
    try:
        await bench.start()
        yield bench
    finally:
        await bench.stop()
        await close(nc)


# --- judging a run


def problems(run: Run, unharmed: Run) -> Iterator[str]:
    """What is wrong with a run, compared with the run without a crash; nothing where all is well."""
    found = list(_problems(run, unharmed))
    yield from (f"{run.name}: {one}" for one in found)
    if found and run.evidence.log:
        yield history(run.evidence)


def _problems(run: Run, unharmed: Run) -> Iterator[str]:
    if not run.settled:
        yield f"not settled within {_RUN_SECONDS:g} s"
    if run.points and len(run.crashes.missed) == len(run.points):
        # A second one may be missed: how a recovery goes depends on what had reached the tools before the power went.
        yield f"never came to: {run.points[0]}"
    yield from map(str, violations(run.evidence))
    if run.rejections != unharmed.rejections:
        yield f"{run.rejections} rejections are stored, {unharmed.rejections} expected"
    got, expected = outcome_of(run), expected_outcome(run, unharmed)
    if got != expected:
        yield f"ended as {got}, expected {expected}"


def outcome_of(run: Run) -> Outcome | None:
    """How the plan ended; None where it hasn't, or was rejected."""
    log = run.evidence.log
    completed = decode_event(log[-1].body) if log else None
    if not isinstance(completed, PlanCompleted):
        return None
    results = run.evidence.results.get(completed.sequence or 0, completed.result.step_results)
    return Outcome(str(completed.result.overall_status), {one.step_id: _told(one) for one in results})


def _told(result: LeadGenStepResult) -> tuple[str, int, str | None, str | None]:
    digest = None
    if result.data_ref is not None:
        digest = result.data_ref.digest
    elif result.data is not msgspec.UNSET:
        digest = sha256(bytes(result.data)).hexdigest()
    return str(result.status), result.attempts, result.error_code, digest


def expected_outcome(run: Run, unharmed: Run) -> Outcome | None:
    """The outcome without a crash, but for steps that may run at most once and were with their tool at a crash."""
    outcome = outcome_of(unharmed)
    doubtful = set(_doubtful(run))
    if outcome is None or not doubtful:
        return outcome
    steps: dict[str, tuple[str, int, str | None, str | None]] = {}
    stopping: set[str] = set()
    for step in run.evidence.plan.steps:
        if step.id in doubtful:
            steps[step.id] = ("failed", 1, "outcome_unknown", None)
        elif stopping.intersection(step.dependencies):
            steps[step.id] = ("skipped", 0, "dependency_failed", None)
        else:
            steps[step.id] = outcome.steps[step.id]
        if steps[step.id][0] != "succeeded" and not (steps[step.id][0] == "failed" and step.optional):
            stopping.add(step.id)
    return Outcome("failed", steps)


def _doubtful(run: Run) -> Iterable[str]:
    may_run_once = {step.id for step in run.evidence.plan.steps if step.at_most_once}
    under_way: set[str] = set()
    for stored in run.evidence.log:
        event = decode_event(stored.body)
        if isinstance(event, StepStarted):
            under_way.add(event.step.id)
        elif isinstance(event, StepEvent):
            under_way.discard(event.step.id)
        elif isinstance(event, PlanResumed):
            yield from under_way & may_run_once
