"""Executors, tools and a submitter on a cluster: plans are submitted while something happens to it, then judged."""

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import msgspec
from core_plans import USER
from fault_cluster import Cluster, until
from fault_evidence import judged, whole_subject
from fault_fleet import EXECUTOR, TOOLS, Process
from fault_followers import Follower
from fault_workload import plan_of, submission_of
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.connection import close, connect
from leadplan_bus.service_answers import ask_services
from leadplan_client import PlanClient
from leadplan_client.errors import SubmissionError
from leadplan_contracts import LeadGenPlan, LeadPlanEventPayload, subjects
from leadplan_contracts.events import PlanResumed, PlanStarted, decode_event
from leadplan_contracts.validation import read_plan_submission
from leadplan_executor.core import PlanRun, PlanSubmitted, decide

Events = Callable[[], Awaitable[None]]
TRACEPARENT = f"00-{1:032x}-{1:016x}-01"
_EXECUTOR_SETTINGS = {"LEADPLAN_LEASE_MS": "1500", "LEADPLAN_GRACE_MS": "500"}
_AGAIN_SECONDS = 0.1
_PACE_SECONDS = 0.1
_SUBMIT_SECONDS = 1.0
_SOME, _SOME_HELD = 5, 2
_SLOW_STEP_MS, _SLOW_STEPS = 500, 5
_END_SECONDS = 45.0


def first_event(plan_id: str, executor: str) -> PlanStarted:
    """What an executor appends when it begins a plan."""
    plan = msgspec.structs.replace(plan_of(1, 0), id=plan_id)
    submitted = PlanSubmitted(read_plan_submission(submission_of(plan)), 1, executor, TRACEPARENT, 1)
    (event,) = decide(PlanRun(plan_id), submitted, 1_800_000_000_000)
    assert isinstance(event, PlanStarted)
    return event


def slow_plan(number: int) -> LeadGenPlan:
    """A plan that is under way for some seconds: steps that act once, one after the other."""
    plan = plan_of(1, 0)
    steps = [
        msgspec.structs.replace(
            plan.steps[0],
            id=f"s{place}",
            tool="LEDGER_ONCE",
            params={"ms": _SLOW_STEP_MS},
            depends_on=[f"s{place - 1}"] if place else None,
        )
        for place in range(_SLOW_STEPS)
    ]
    return msgspec.structs.replace(plan, id=f"slow{number}", steps=steps)


class ClusterRun:
    """Everything that runs beside the cluster.

    Args:
        folder: for logs and the ledger.
        cluster: not started yet.
        sides: the addresses that the first and the second of each kind of programs begin with, and learn the others
            from; the submitter is with the second ones. None for all nodes.

    Attributes:
        cluster: its nodes.
        executors, tools: two processes each.
    """

    def __init__(self, folder: Path, cluster: Cluster, *, sides: tuple[str, str] | None = None) -> None:
        self.cluster = cluster
        self._ledger = folder / "ledger"
        self._sides = sides or (cluster.url, cluster.url)
        self._followers = [Follower("follower-0"), Follower("follower-1")]
        self._next = 0
        self._nc: Client | None = None
        self._connections: list[Client] = []
        self.executors, self.tools = [], []
        for number, url in enumerate(self._sides):
            environment = {"NATS_URL": url, "LEADPLAN_REPLICAS": "3", "LEADPLAN_LOG_LEVEL": "WARNING"}
            name, tools = f"executor-{number}", f"tools-{number}"
            own = {**environment, **_EXECUTOR_SETTINGS, "LEADPLAN_EXECUTOR_NAME": name}
            self.executors.append(Process(name, EXECUTOR, own, folder / f"{name}.log"))
            self.tools.append(Process(tools, [*TOOLS, str(self._ledger)], environment, folder / f"{tools}.log"))

    @property
    def nc(self) -> Client:
        """The submitter's connection."""
        assert self._nc is not None
        return self._nc

    async def start(self, *, before_the_cluster: bool = False) -> None:
        """Start the programs, before the cluster or behind it, and wait until plans are taken."""
        if not before_the_cluster:
            await self.cluster.start()
        for process in [*self.tools, *self.executors]:
            process.start()
        if before_the_cluster:
            await self.cluster.start(one_first=True)
        self._nc = await connect(self._sides[1], name="submitter", within_seconds=20)
        self._connections.append(self._nc)
        for follower, url in zip(self._followers, self._sides, strict=True):
            await follower.start(url)
        await until(self._serving, within=60)

    async def connection_at(self, node: str) -> Client:
        """A new connection to one node; it is closed in the end."""
        nc = await connect(self.cluster.url_of(node), name=f"at {node}", within_seconds=20)
        self._connections.append(nc)
        return nc

    async def _serving(self) -> bool:
        js = self.nc.jetstream(timeout=1)
        try:
            await js.stream_info(f"KV_{subjects.TOOL_RESULTS_BUCKET}")
            await js.consumer_info(subjects.PLANS_STREAM, subjects.EXECUTORS_CONSUMER)
            serving = await ask_services(self.nc, f"$SRV.PING.{subjects.EXECUTOR_SERVICE_NAME}")
        except NatsError:
            return False
        return len(serving) == len(self.executors)

    async def stop(self) -> None:
        """End everything."""
        for follower in self._followers:
            await follower.stop()
        for nc in self._connections:
            await close(nc)
        for process in [*self.executors, *self.tools]:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGCONT)
            process.kill()
        await self.cluster.stop()

    async def through(self, count: int, events: Events, *, slow: int = 0) -> list[LeadGenPlan]:
        """Submit plans while things happen; returns the plans once all of them have ended.

        Each plan is submitted again until it is acknowledged, as a Supervisor does. The ``slow`` ones come first.
        """
        first, self._next = self._next, self._next + count
        plans = [*map(slow_plan, range(slow)), *(plan_of(11, number) for number in range(first, first + count))]
        submitting = asyncio.create_task(self._submit_all(plans))
        try:
            await events()
            await submitting
        finally:
            submitting.cancel()
        await self._until_queue_is_empty()
        return plans

    @property
    def plans_begun(self) -> int:
        """How many plans have begun so far, as the submitter's side sees it."""
        return len(self._followers[1].seen)

    async def some_plans_under_way(self, since: int | None = None) -> None:
        """Wait until some plans have begun since then, by default since now."""
        before = self.plans_begun if since is None else since

        async def more_begun() -> bool:
            return self.plans_begun >= before + _SOME

        await until(more_begun)

    async def begun_by(self, executor: str, plans: str) -> None:
        """Wait until an executor has begun some plans whose ids start so, as the submitter's side sees it."""
        await until(lambda: self._holds_some(executor, plans, PlanStarted))

    async def taken_over_by(self, executor: str, plans: str) -> None:
        """Wait until an executor has taken over some plans whose ids start so, as the submitter's side sees it."""
        await until(lambda: self._holds_some(executor, plans, PlanResumed))

    async def _holds_some(self, executor: str, plans: str, since: type[PlanStarted | PlanResumed]) -> bool:
        seen = [events for plan_id, events in self._followers[1].seen.items() if plan_id.startswith(plans)]
        held = [event for events in seen for event in map(decode_event, events.values()) if isinstance(event, since)]
        return sum(_is_of(event, executor) for event in held) >= _SOME_HELD

    def never_restarted(self) -> bool:
        """Whether executors and tools still run as they were started."""
        return all(process.running and process.generation == 1 for process in [*self.executors, *self.tools])

    async def violations(self, plans: list[LeadGenPlan]) -> str:
        """What is wrong with these plans, for people; an empty text where nothing is."""
        found, histories = await judged(self.nc, plans, self._ledger, self._followers)
        return "\n".join([*map(str, found[:20]), *histories[:2]])

    async def taken_over(self, plans: list[LeadGenPlan], by: str) -> list[str]:
        """The plans that an executor took over from another one."""
        found = []
        for plan in plans:
            held = [event for event in await self.log_of(plan.id) if isinstance(event, PlanStarted | PlanResumed)]
            if any(_is_of(after, by) and not _is_of(before, by) for before, after in pairwise(held)):
                found.append(plan.id)
        return found

    async def log_of(self, plan_id: str) -> list[LeadPlanEventPayload]:
        """All events of a plan, though a replica may lag behind."""
        messages = await whole_subject(self.nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
        return [decode_event(message.body) for message in messages]

    async def _submit_all(self, plans: list[LeadGenPlan]) -> None:
        async with asyncio.TaskGroup() as group:
            for plan in plans:
                group.create_task(self._submit(plan))
                await asyncio.sleep(_PACE_SECONDS)

    async def _submit(self, plan: LeadGenPlan) -> None:
        client = PlanClient(self.nc)
        while True:
            try:
                async with asyncio.timeout(_SUBMIT_SECONDS):
                    await client.submit(plan, USER)
            except (SubmissionError, TimeoutError):
                await asyncio.sleep(_AGAIN_SECONDS)
            else:
                return

    async def _until_queue_is_empty(self) -> None:
        """A plan's message leaves the queue once the plan has ended."""
        js = self.nc.jetstream(timeout=1)

        async def empty() -> bool:
            with contextlib.suppress(NatsError):
                return (await js.stream_info(subjects.PLANS_STREAM)).state.messages == 0
            return False

        await until(empty, _END_SECONDS)


def _is_of(event: PlanStarted | PlanResumed, executor: str) -> bool:
    return str(event.meta.executor).startswith(f"{executor}-")
