"""What the resource tests share: a server with a limited disk, processes whose memory is measured, plans, and judging.

Everything that is measured is a process of its own; the test's process only submits, follows and reads.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

from core_plans import USER
from fault_evidence import judged
from fault_fleet import EXECUTOR, TOOLS, Process, Server
from fault_followers import Follower
from fault_ledger import Ledger
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_bus.connection import close, connect
from leadplan_client import PlanClient
from leadplan_contracts import (
    LeadGenExecutionResult,
    LeadGenGoal,
    LeadGenPlan,
    LeadGenPlanStep,
    PlanSubmission,
    subjects,
)
from leadplan_contracts.wire import encode

MIB = 1024 * 1024
HERE = Path(__file__).parent
LONG = os.environ.get("LEADPLAN_RESOURCES") == "long"
"""Whether the sizes of ``make resources`` are asked for."""

_SERVER_CONFIG = """
listen: "127.0.0.1:{port}"
server_name: resources
jetstream {{ store_dir: "{store}", max_mem: 256MB, max_file: {max_file} }}
feature_flags {{ js_ack_fc_v2: false }}
{extra}
"""
_QUEUE = [
    subjects.EXECUTORS_CONSUMER,
    *map(subjects.lane_consumer, range(subjects.PLAN_LANES)),
    subjects.WAKES_CONSUMER,
]
_CREATED_AT = "2026-11-23T09:15:02.417Z"


def sized(ordinary: int, long: int) -> int:
    """A size: for the ordinary test run, and for the long one."""
    return long if LONG else ordinary


class LimitedServer(Server):
    """A nats-server whose disk can be made small.

    Args:
        folder: made for its files.
        store: where JetStream's data lies; in the folder if not told.
        max_file: the limit of all streams together, as the server's configuration writes it.
        extra: more lines of configuration.
    """

    def __init__(self, folder: Path, *, store: Path | None = None, max_file: str = "8GB", extra: str = "") -> None:
        folder.parent.mkdir(exist_ok=True)
        super().__init__(folder)
        config = _SERVER_CONFIG.format(port=self.port, store=store or folder / "data", max_file=max_file, extra=extra)
        (folder / "nats.conf").write_text(config)
        self.log = folder / "log"

    async def restart(self) -> None:
        """Stop it as an operator does, and start it again."""
        await self.process.terminate()
        await self.start()


class MeasuredProcess(Process):
    """A process whose memory can be read."""

    @property
    def _status(self) -> dict[str, str]:
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return dict(line.split(":", 1) for line in lines)

    @property
    def memory(self) -> int:
        """Bytes of it that are in memory now."""
        return int(self._status["VmRSS"].split()[0]) * 1024

    @property
    def peak_memory(self) -> int:
        """The most that ever were."""
        return int(self._status["VmHWM"].split()[0]) * 1024


class Scene:
    """A server, executors and tools; ``scene`` makes and ends it.

    Attributes:
        nc: the test's own connection, straight to the server.
        follower: has seen the feed from the beginning.
        submitted: plans whose submission was acknowledged.
    """

    def __init__(self, folder: Path, server: LimitedServer) -> None:
        self.folder = folder
        self.server = server
        self.ledger = Ledger(folder / "ledger")
        self.follower = Follower("follower")
        self.nc: Client
        self.submitted: list[LeadGenPlan] = []
        self._last_submitted = 0
        self._processes: list[Process] = []

    async def start(self) -> None:
        """Start the server, and connect."""
        await self.server.start()
        self.nc = await connect(self.server.url, name="resource test", within_seconds=20)
        await self.follower.start(self.server.url)

    async def stop(self) -> None:
        """End everything."""
        await self.follower.stop()
        if hasattr(self, "nc"):
            await close(self.nc)
        for process in [*self._processes, self.server.process]:
            process.kill()

    async def executor(self, name: str = "executor", **settings: str) -> MeasuredProcess:
        """Start an executor, and wait until it takes plans."""
        log = self.folder / f"{name}.log"
        environment = {
            "NATS_URL": self.server.url,
            "LEADPLAN_EXECUTOR_NAME": name,
            "LEADPLAN_LEASE_MS": "1000",
            **settings,
        }
        process = MeasuredProcess(name, EXECUTOR, environment, log)
        self._processes.append(process)
        process.start()
        await until(lambda: log.exists() and '"event":"serving"' in log.read_text(), 30, f"{name} to serve")
        return process

    async def tools(self) -> Process:
        """Start the tools of the fault tests, and wait until they answer."""
        process = self.process("tools", [*TOOLS, str(self.ledger.path)])
        await until(self._tools_answer, 30, "the tools")
        return process

    def process(self, name: str, command: list[str]) -> Process:
        """Start another process of the scene, which finds the server by ``NATS_URL``."""
        process = Process(name, command, {"NATS_URL": self.server.url}, self.folder / f"{name}.log")
        self._processes.append(process)
        process.start()
        return process

    async def _tools_answer(self) -> bool:
        try:
            await self.nc.request("$SRV.PING.ledger", timeout=0.2)
        except NatsError:
            return False
        return True

    def log_of(self, name: str) -> list[dict[str, object]]:
        """What a process of this scene has logged so far."""
        lines = (self.folder / f"{name}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    async def submit(self, plans: Iterable[LeadGenPlan]) -> None:
        """Submit plans; each is acknowledged when this returns."""
        js = self.nc.jetstream()
        acks = []
        for plan in plans:
            acks.append(await js.publish_async(subjects.PLANS_EXECUTE, encode(PlanSubmission(plan=plan, user=USER))))
            self.submitted.append(plan)
        stored = await asyncio.wait_for(asyncio.gather(*acks), 60)
        self._last_submitted = max((ack.seq for ack in stored), default=self._last_submitted)

    async def all_ended(self, within: float) -> float:
        """Wait until every submitted plan has been dealt with; the seconds that it took.

        Told by the queue's consumers, that of new plans first: from there they are moved to lanes. The feed can have
        gaps, and after a full disk the stream can still hold messages that were settled. A consumer learns of a message
        a moment after its submission was acknowledged, so it must have delivered the last one.
        """
        return await until(self._queue_is_settled, within, "the end of all plans")

    async def _queue_is_settled(self) -> bool:
        js = self.nc.jetstream()
        try:
            consumers = [await js.consumer_info(subjects.PLANS_STREAM, name) for name in _QUEUE]
        except NatsError:
            return False
        delivered = consumers[0].delivered.stream_seq if consumers[0].delivered else 0
        waiting = any(consumer.num_pending or consumer.num_ack_pending for consumer in consumers)
        return delivered >= self._last_submitted and not waiting

    async def result_of(self, plan_id: str) -> LeadGenExecutionResult:
        """The result of a plan that has ended."""
        return await PlanClient(self.nc).result(plan_id)

    async def judged(self, most: int | None = None) -> str:
        """Every broken rule of the plans that were submitted, and their histories; an empty text where there is none.

        Args:
            most: judge only so many of them, evenly spread.
        """
        plans = self.submitted[:: max(1, len(self.submitted) // most)] if most else self.submitted
        found, histories = await judged(self.nc, plans, self.ledger.path, [self.follower])
        return "\n".join([*map(str, found[:20]), *histories[:2]])


@asynccontextmanager
async def scene(
    folder: Path, *, store: Path | None = None, max_file: str = "8GB", extra: str = ""
) -> AsyncIterator[Scene]:
    """A scene with a running server; executors and tools are started by the test. Arguments: see LimitedServer."""
    made = Scene(folder, LimitedServer(folder / "nats", store=store, max_file=max_file, extra=extra))
    try:
        await made.start()
        yield made
    finally:
        await made.stop()


async def until(condition: Callable[[], bool] | Callable[[], Awaitable[bool]], within: float, what: str) -> float:
    """Wait until a condition holds; the seconds that it took.

    Raises:
        AssertionError: it didn't in time.
    """
    begun = time.monotonic()
    while True:
        outcome = condition()
        if (await outcome) if isinstance(outcome, Awaitable) else outcome:
            return time.monotonic() - begun
        if time.monotonic() - begun > within:
            raise AssertionError(f"waited {within:g} s for {what}, in vain")
        await asyncio.sleep(0.02)


def plan_of_steps(plan_id: str, steps: list[LeadGenPlanStep], **fields: object) -> LeadGenPlan:
    """A plan for one user."""
    return LeadGenPlan(
        id=plan_id,
        title="Use what there is",
        goal=LeadGenGoal(description="End"),
        created_at=_CREATED_AT,
        steps=steps,
        **fields,  # type: ignore[arg-type]
    )
