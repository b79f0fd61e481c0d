"""Who listens badly or talks too much harms nobody else."""

import asyncio
import json
import signal
import sys
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

from fault_resources import HERE, LONG, MIB, Scene, plan_of_steps, scene, sized, until
from fault_subscribers import FOLLOWING_PROCESS, StuckSubscriber, come_and_go
from nats.aio.msg import Msg

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, RetryPolicy
from leadplan_contracts.times import parse_time

PLANS = sized(80, 1_500)
PATIENCE = "" if LONG else 'write_deadline: "1s"'
"""How long the server waits for a subscriber that takes nothing: 10 s by default, too long for a short test."""
FLOOD_MESSAGES = sized(100_000, 1_000_000)


def talkative(plan_id: str) -> LeadGenPlan:
    """About 400 kB of events: each step's data goes out with its end, and all of it with the plan's."""
    steps = [
        LeadGenPlanStep(id=f"s{n}", tool="LEDGER_PLAIN", params={"answer_bytes": 50_000, "ms": 2}) for n in range(4)
    ]
    return plan_of_steps(plan_id, steps)


async def run_plans(here: Scene, name: str) -> tuple[float, float]:
    """Plans a second, and the longest pause between the ends of two plans, as the log has them."""
    clock = asyncio.get_running_loop().time
    begun = clock()
    plans = [talkative(f"{name}-{number}") for number in range(PLANS)]
    await here.submit(plans)
    await here.all_ended(300)
    seconds = clock() - begun
    results = [await here.result_of(plan.id) for plan in plans]
    ends = sorted(parse_time(result.finished_at) for result in results)
    return PLANS / seconds, max(later - earlier for earlier, later in pairwise(ends)) / 1000


HARM = {
    "append not confirmed, asking again",
    "connected to the NATS server again",
    "plan is run by another executor, letting go",
    "JetStream doesn't answer, no plan goes on",
}
"""What an executor would say that listeners get in the way of. That a busy machine let it wait isn't among it."""


async def test_subscribers_that_do_not_read(tmp_path: Path, record_property: Any):
    """EXPECTED: the server drops subscribers that don't read; executors don't notice, plans run as fast as without
    them (told, not asserted). A follower that was dropped with the rest gets every event once it reads again: the
    client library connects anew and repairs the gap from the log.
    """
    async with scene(tmp_path, extra=PATIENCE) as here, AsyncExitStack() as stuck:
        await here.tools()
        executor = await here.executor(LEADPLAN_LEASE_MS="10000")
        alone = await run_plans(here, "alone")
        memory = executor.memory
        for _ in range(5):
            one = await stuck.enter_async_context(StuckSubscriber())
            await one.start(here.server.port)
        followed = [f"crowded-{number}" for number in range(0, PLANS, 2)]
        # The last one has ended: once it is read, the subscriptions to all before it are in force.
        frozen = here.process("frozen", [*FOLLOWING_PROCESS, *followed, "alone-0"])
        output = here.folder / "frozen.log"
        await until(lambda: "FOLLOWED alone-0" in output.read_text(), 20, "the follower")
        frozen.signal(signal.SIGSTOP)
        crowd = asyncio.create_task(come_and_go(here.server.port, sized(150, 1_500)))
        crowded = await run_plans(here, "crowded")
        await crowd
        await until(lambda: "Slow Consumer Detected" in here.server.log.read_text(), 20, "the server to drop one")
        assert "FOLLOWED crowded" not in output.read_text()
        frozen.signal(signal.SIGCONT)
        await until(lambda: "RECONNECTS" in output.read_text(), 60, "the follower's end")
        lines = [line.split() for line in output.read_text().splitlines()]
        assert {(plan_id, count) for what, plan_id, count in (line for line in lines if line[0] == "FOLLOWED")} == {
            (plan_id, "10") for plan_id in [*followed, "alone-0"]
        }
        reconnects = next(int(line[1]) for line in lines if line[0] == "RECONNECTS")
        assert reconnects >= 1, "the frozen follower wasn't dropped, so this showed nothing"
        assert executor.memory < memory + 16 * MIB
        assert HARM & {line.get("event") for line in here.log_of("executor")} == set()
        assert await here.judged(200) == ""
    record_property("plans a second and longest pause, alone and with subscribers that don't read", (alone, crowded))


async def test_a_responder_that_floods_progress(tmp_path: Path, record_property: Any):
    """EXPECTED: the executor's memory stays bounded, the feed gets at most twenty reports a second and the last one,
    the step ends with the reply behind the flood, and other plans go on meanwhile.
    """
    async with scene(tmp_path) as here:
        await here.tools()
        here.process("flood", [sys.executable, str(HERE / "fault_flood_tool.py")])
        await until(lambda: "serving" in (here.folder / "flood.log").read_text(), 20, "the tool")
        executor = await here.executor()
        before = executor.memory
        progress: list[float] = []

        async def note(message: Msg) -> None:
            event = json.loads(message.data)
            if event["type"] == "STEP_PROGRESS":
                progress.append(event["meta"]["progress"])

        await here.nc.subscribe("plans.events.flooded", cb=note)
        params = {"messages": FLOOD_MESSAGES, "bytes": 100}
        step = LeadGenPlanStep(id="loud", tool="FLOOD", params=params, timeout_ms=120_000)
        begun = asyncio.get_running_loop().time()
        flooded = plan_of_steps("flooded", [step])
        await here.submit([flooded])
        await until(lambda: bool(progress), 20, "the flood")
        quiet = [
            plan_of_steps(f"quiet-{n}", [LeadGenPlanStep(id="a", tool="LEDGER_ONCE", params={})]) for n in range(50)
        ]
        await here.submit(quiet)
        beside = await until(lambda: {plan.id for plan in quiet} <= here.follower.completed, 60, "the quiet plans")
        ended_first = "flooded" not in here.follower.completed
        await here.all_ended(120)
        seconds = asyncio.get_running_loop().time() - begun
        peak = executor.peak_memory
        here.submitted.remove(flooded)  # its tool writes no ledger
        assert await here.judged() == ""
    record_property("messages of the flood, and seconds that it took", (FLOOD_MESSAGES, seconds))
    record_property("reports on the feed", len(progress))
    record_property("seconds until 50 plans beside it had ended, and whether before the flood", (beside, ended_first))
    record_property("MiB before, and at most", (before / MIB, peak / MIB))
    assert progress == sorted(progress)
    assert progress[-1] == (FLOOD_MESSAGES - 1) / FLOOD_MESSAGES, "the last report was lost"
    assert len(progress) <= 20 * seconds + 2
    assert peak < before + 64 * MIB


async def test_a_responder_that_is_stuck(tmp_path: Path, record_property: Any):
    """EXPECTED: attempts at a frozen responder end by their time-out, and those at others aren't held up: a plan that
    asks both ends as the frozen one's retries say, and all plans that ask only others end before.
    """
    retry = RetryPolicy(max_retries=1, base_delay_ms=10)
    async with scene(tmp_path) as here:
        await here.tools()
        await here.executor()
        flood = here.process("flood", [sys.executable, str(HERE / "fault_flood_tool.py")])
        await until(lambda: "serving" in (here.folder / "flood.log").read_text(), 20, "the tool")
        flood.signal(signal.SIGSTOP)
        stuck = LeadGenPlanStep(id="stuck", tool="FLOOD", params={}, timeout_ms=1_500, retry=retry)
        beside = LeadGenPlanStep(id="beside", tool="LEDGER_ONCE", params={})
        behind = LeadGenPlanStep(id="behind", tool="LEDGER_ONCE", params={}, depends_on=["stuck"])
        waiting = [plan_of_steps(f"stuck-{n}", [stuck, beside, behind]) for n in range(200)]
        others = [plan_of_steps(f"other-{n}", [beside]) for n in range(50)]
        await here.submit([*waiting, *others])
        seconds = await until(lambda: {plan.id for plan in others} <= here.follower.completed, 30, "the others")
        assert not any(plan.id in here.follower.completed for plan in waiting)
        await here.all_ended(30)
        here.submitted = others + waiting[::10]
        assert await here.judged() == ""
        results = [await here.result_of(plan.id) for plan in waiting]
    record_property("seconds until 50 plans beside 200 stuck ones had ended", seconds)
    ends = {tuple((step.status.value, step.attempts) for step in result.step_results) for result in results}
    assert ends == {(("failed", 2), ("succeeded", 1), ("skipped", 0))}
