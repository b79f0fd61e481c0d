"""Record what this version stores, for later ones to be held against: logs of plans of every shape, and the rest.

    python tests/replay/record.py

A real executor runs the plans on a real server. The files go into a new folder named after the version; one that is
there is never written again.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import structlog

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "core"), str(HERE.parent / "faults")]

from fault_checker import violations  # noqa: E402 - found on the path that was just extended
from fault_crash_bench import Bench, CrashAt, Run, crash_bench  # noqa: E402
from fault_crash_points import Kind, quick_starts  # noqa: E402
from fault_crash_shapes import SHAPES, Shape, plan_step  # noqa: E402
from fault_fleet import Server  # noqa: E402
from msgspec import Raw  # noqa: E402
from nats.aio.client import Client  # noqa: E402
from nats.aio.msg import Msg  # noqa: E402
from replay_formats import present_format, written_format  # noqa: E402
from replay_states import Entry, LoggedEvent, state_of  # noqa: E402

from leadplan_bus.claim_check import ClaimCheck  # noqa: E402
from leadplan_bus.connection import close, connect  # noqa: E402
from leadplan_bus.stored_messages import read_subject  # noqa: E402
from leadplan_contracts import LeadToolExecutionResult, RetryPolicy, SupervisorUserContext, ToolRequest, subjects  # noqa: E402
from leadplan_contracts.events import PlanCompleted, decode_event  # noqa: E402
from leadplan_contracts.recurrence import RecurringRun, RecurringRuns  # noqa: E402
from leadplan_contracts.wire import encode  # noqa: E402
from leadplan_executor.control_messages import read_wake  # noqa: E402
from leadplan_executor.core import PlanRun, evolve  # noqa: E402
from leadplan_executor.core.takeovers import Holder, TakeOvers  # noqa: E402
from leadplan_executor.service import VERSION  # noqa: E402
from leadplan_responder.checkpoint import Checkpoint, CheckpointBucket  # noqa: E402
from leadplan_responder.result_memory import Claimed, ResultMemory  # noqa: E402

_INLINE_BYTES = 4_000
"""Data above this counts as large while recording, so that such plans give small files."""
_LOOK_SECONDS = 0.005
_MOST_ENTRIES = 12
"""Of a bucket."""
_LARGE = {
    "large data": Shape("large data", lambda: [plan_step("a", params={"answer_bytes": 6_000}), plan_step("b", "a")]),
    "large result": Shape("large result", lambda: [plan_step(name, params={"answer_bytes": 2_500}) for name in "ab"]),
}
_SILENT: dict[str, Any] = {"tool": "LEDGER_BARE", "params": {"silent": True}}
_RETRY = RetryPolicy(max_retries=1, base_delay_ms=1, max_delay_ms=5, jitter=0.5)
_EVERY_FIELD = Shape(
    "every field",
    lambda: [
        plan_step("a", label="The first", params={"fail_attempts": 1}, optional=True, retry=_RETRY),
        plan_step("b", "a", label="The second", params={"fatal": True}, optional=True, at_most_once=False),
        plan_step("c", "b", requires_approval=False),
    ],
    {"context": {"country": "GB", "nested": [{"deep": None}]}, "max_concurrency": 3, "deadline_ms": 3_600_000},
)


class Scenario(NamedTuple):
    """A plan to be recorded, and where the power goes."""

    name: str
    shape: Shape
    crashes: Sequence[CrashAt] = ()


def plans() -> Iterator[Scenario]:
    """Everything that is recorded: each shape, and some of them taken over."""
    for shape in SHAPES:
        yield Scenario(shape.name, _LARGE.get(shape.name, shape))
    yield Scenario(_EVERY_FIELD.name, _EVERY_FIELD)
    shapes = {shape.name: shape for shape in SHAPES}
    for name, *crashes in (
        ("mixed", CrashAt(Kind.APPEND_UNANSWERED, 6), CrashAt(Kind.REQUEST_SENT, 2)),
        ("at most once", CrashAt(Kind.REQUEST_SENT, 1)),
        ("retried", CrashAt(Kind.APPEND_UNANSWERED, 3), CrashAt(Kind.APPEND_UNANSWERED, 1)),
        ("wide", CrashAt(Kind.REPLY_RECEIVED, 2)),
        ("all approved at once", CrashAt(Kind.APPEND_UNANSWERED, 5)),
        ("paused, then approved", CrashAt(Kind.TIMER_UNANSWERED, 1), CrashAt(Kind.WAKE_UNANSWERED, 1)),
        ("run again", CrashAt(Kind.APPEND_UNANSWERED, 8)),
    ):
        yield Scenario(f"{name}, taken over", shapes[name], crashes)


class Recorder:
    """Runs the plans and keeps what was stored.

    Args:
        nc: a connection of its own.
        bench: where plans run.
        folder: where the files go.
    """

    def __init__(self, nc: Client, bench: Bench, folder: Path) -> None:
        self._nc = nc
        self._bench = bench
        self._folder = folder
        self._objects: list[Entry] = []
        self._queue: list[Entry] = []
        self._wakes: dict[str, Entry] = {}

    async def record(self) -> None:
        """Write every file.

        Raises:
            RuntimeError: a plan broke a rule: nothing that is wrong is to be recorded.
        """
        await self._listen()
        rejections: list[Entry] = []
        for scenario in plans():
            run = await self._run(scenario)
            plan_id = run.evidence.plan.id
            name = scenario.name.replace(",", "").replace(" ", "-")
            if not scenario.shape.large:
                self._queue.append(Entry(name, Raw(scenario.shape.submission(plan_id))))
            if run.evidence.log:
                self._write(name, await self._log(plan_id))
            rejected = await read_subject(
                self._nc, subjects.PLAN_REJECTS_STREAM, subjects.plan_rejected_subject(plan_id)
            )
            rejections += [Entry(name, Raw(message.body)) for message in rejected]
        self._write("rejections", [*rejections, await self._rejected_bytes()])
        self._write("submissions", self._queue)
        self._write("wakes", list(self._wakes.values()))
        self._write("step-results", self._objects)
        self._write("buckets", await self._buckets())
        (self._folder / "formats.json").write_bytes(written_format(present_format()))

    async def _listen(self) -> None:
        """Keep what wakes plans: timers, and messages that carry what somebody asked for; one of each kind."""

        async def keep(message: Msg) -> None:
            directive = read_wake(message.data).directive
            what = directive.endpoint if directive is not None else "timer"
            self._wakes.setdefault(what, Entry(what, Raw(message.data)))

        for subject in (subjects.PLAN_WAKE_ALL, subjects.PLAN_TIMER_ALL):
            await self._nc.subscribe(subject, cb=keep)

    async def _run(self, scenario: Scenario) -> Run:
        run = await self._bench.run(scenario.shape, *scenario.crashes)
        broken = violations(run.evidence)
        if broken or run.crashes.missed or not run.settled:
            raise RuntimeError(f"{scenario.name}: {broken}, never came to {run.crashes.missed}, settled: {run.settled}")
        return run

    async def _log(self, plan_id: str) -> list[LoggedEvent]:
        stored = await read_subject(self._nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id))
        run, lines = PlanRun(plan_id), []
        for message in stored:
            event = decode_event(message.body)
            evolve(run, event)
            lines.append(LoggedEvent(message.headers[subjects.EXECUTOR_HEADER], Raw(message.body), state_of(run)))
            if isinstance(event, PlanCompleted) and (ref := event.result.step_results_ref) is not None:
                body = await ClaimCheck(self._nc.jetstream()).get(ref)
                self._objects.append(Entry(ref.name, Raw(body)))
        return lines

    async def _rejected_bytes(self) -> Entry:
        """The rejection of what is no text."""
        js = self._nc.jetstream()
        await js.publish(subjects.PLANS_EXECUTE, b"\xff\xfe")
        subject = subjects.plan_rejected_subject(subjects.UNREADABLE_PLAN_ID)
        while True:
            if stored := await read_subject(self._nc, subjects.PLAN_REJECTS_STREAM, subject):
                return Entry("no-text", Raw(stored[0].body))
            await asyncio.sleep(_LOOK_SECONDS)

    async def _buckets(self) -> list[Entry]:
        """Entries of every bucket that a later version may find: those of the plans, and one that has every field."""
        await self._remember_results()
        items = CheckpointBucket(self._nc).items_of(_request("keeps"))
        checkpoint = Checkpoint(items, logging.LoggerAdapter(logging.getLogger("record")))
        await checkpoint.keep("first page", {"places": ["a", "b"]})
        full = TakeOvers(
            holder=Holder(executor="executor-3", service="service-3"),
            lost=2,
            gone=("executor-1", "executor-2"),
            problems=("ZeroDivisionError at tool_calls.py:7",),
            endings=1,
            plan_id="p1",
        )
        runs = [RecurringRun(plan_id=f"weekly-{number}", submission=number) for number in (900, 901)]
        js = self._nc.jetstream()
        for name, key, model in (
            (subjects.PLAN_TAKEOVERS_BUCKET, "1000000", full),
            (subjects.MONITOR_RUNS_BUCKET, "weekly", RecurringRuns(running=runs[0], waiting=runs[1])),
        ):
            await (await js.key_value(name)).put(key, encode(model))
        found: dict[bytes, Entry] = {}
        for name in (
            subjects.PLAN_TAKEOVERS_BUCKET,
            subjects.MONITOR_RUNS_BUCKET,
            subjects.TOOL_RESULTS_BUCKET,
            subjects.TOOL_CHECKPOINTS_BUCKET,
            subjects.PLAN_INDEX_BUCKET,
        ):
            bucket = await js.key_value(name)
            for key in sorted(await bucket.keys())[:_MOST_ENTRIES]:
                value = (await bucket.get(key)).value or b""
                found[value] = Entry(name, Raw(value))
        return list(found.values())

    async def _remember_results(self) -> None:
        """One record in each state."""
        memory = ResultMemory(self._nc, service="recorder", instance="instance-1")
        await memory.open()
        claims = {name: await memory.claim(_request(name)) for name in ("runs", "done", "failed", "doubtful")}
        claimed = {name: claim for name, claim in claims.items() if isinstance(claim, Claimed)}
        done = LeadToolExecutionResult(success=True, data=Raw(b'{"added":3}'))
        failed = LeadToolExecutionResult(
            success=False, error_message="no", error_code="refused", retryable=False, retry_after_ms=5
        )
        await memory.remember(claimed["done"], done)
        await memory.remember(claimed["failed"], failed)
        await memory.doubt(claimed["doubtful"])

    def _write(self, name: str, lines: Sequence[LoggedEvent] | Sequence[Entry]) -> None:
        (self._folder / f"{name}.jsonl").write_bytes(b"".join(encode(line) + b"\n" for line in lines))


def _request(step_id: str) -> ToolRequest:
    key = f"recorded:{step_id}"
    return ToolRequest(
        plan_id="recorded",
        step_id=step_id,
        tool="LEDGER_ONCE",
        params={"answer_bytes": 3},
        attempt=1,
        idempotency_key=key,
        deadline="2026-11-23T09:15:02.417Z",
        timeout_ms=1000,
        user=SupervisorUserContext(user_id="u_7"),
        plan=Raw(b"{}"),
        prior_results={},
    )


@contextlib.asynccontextmanager
async def recorder(folder: Path) -> AsyncIterator[Recorder]:
    """A recorder on a server of its own.

    Args:
        folder: where the files go.
    """
    with tempfile.TemporaryDirectory(prefix="leadplan-record-") as data, quick_starts():
        server = Server(Path(data) / "nats")
        await server.start()
        try:
            async with crash_bench(server.url) as bench:
                nc = await connect(server.url, name="recorder")
                with mock.patch.object(subjects, "MAX_INLINE_DATA_BYTES", _INLINE_BYTES):
                    yield Recorder(nc, bench, folder)
                await close(nc)
        finally:
            server.process.kill()


async def record_into(folder: Path) -> None:
    """Write every file into a folder."""
    async with recorder(folder) as recording:
        await recording.record()


def main() -> int:
    """Record; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--into", type=Path, default=HERE, help="where the version's folder is made (default: here)")
    folder: Path = parser.parse_args().into / f"v{VERSION}"
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.ERROR)
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        print(f"{folder} is there already: recorded files are never written again", file=sys.stderr)  # noqa: T201
        return 1
    asyncio.run(record_into(folder))
    files = list(folder.iterdir())
    size = sum(file.stat().st_size for file in files) // 1024
    print(f"{len(files)} files, {size} KiB in {folder}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
