"""The executor's memory is bounded by the plans that it has under way, whatever lies in the log."""

import asyncio
from pathlib import Path
from typing import Any

from fault_gate import TOOL, Gate
from fault_resources import MIB, MeasuredProcess, Scene, plan_of_steps, scene, sized, until
from nats.aio.client import Client

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep

PLANS = sized(1_500, 10_000)
JUDGED = sized(150, 1_000)
BYTES_A_PLAN = 40 * 1024
"""Measured: 15 to 25 KiB for a plan of one step that is with its tool."""
FIXED_BYTES = 30 * MIB
"""For what doesn't depend on the number of plans under way: buffers, the allocator's free room."""
LATER_MS = sized(2_000, 40_000)
OLD_EVENTS = sized(50_000, 1_000_000)


def plans_under_way(round_: int) -> list[LeadGenPlan]:
    """Half of them wait with a slow tool; half of them for a retry, and then with the tool."""

    def step(number: int) -> LeadGenPlanStep:
        params = {"laterMs": LATER_MS} if number % 2 else {}
        return LeadGenPlanStep(id="wait", tool=TOOL, params=params, timeout_ms=600_000)

    return [plan_of_steps(f"r{round_}-{number}", [step(number)]) for number in range(PLANS)]


async def run_a_round(here: Scene, gate: Gate, executor: MeasuredProcess, round_: int) -> tuple[int, int]:
    """The executor's memory with all plans under way, and after their end."""
    sent_away = gate.sent_away
    await here.submit(plans_under_way(round_))
    await until(lambda: gate.sent_away - sent_away == PLANS // 2, 120, "all first attempts")
    await until(lambda: len(gate.waiting) >= PLANS // 2, 120, "the slow tool's requests")
    during = executor.memory
    await until(lambda: len(gate.waiting) == PLANS, 180, "the second attempts")
    during = max(during, executor.memory)
    await gate.open()
    await here.all_ended(180)
    return during, executor.memory


async def test_plans_under_way(tmp_path: Path, record_property: Any):
    """EXPECTED: memory grows in proportion to the plans under way, and a second round of as many takes no more: what
    ended plans held is used again.
    """
    async with scene(tmp_path) as here:
        gate = Gate(here.nc, here.ledger)
        await gate.serve()
        executor = await here.executor(LEADPLAN_MAX_PLANS="10000", LEADPLAN_LEASE_MS="4000")
        before = executor.memory
        first_during, first_after = await run_a_round(here, gate, executor, 1)
        second_during, second_after = await run_a_round(here, gate, executor, 2)
        peak = executor.peak_memory
        assert await here.judged(JUDGED) == ""
    figures = {
        "plans under way": PLANS,
        "MiB before": before / MIB,
        "MiB with all under way, round 1 and 2": (first_during / MIB, second_during / MIB),
        "MiB after, round 1 and 2": (first_after / MIB, second_after / MIB),
        "MiB at most": peak / MIB,
        "KiB a plan": (max(first_during, second_during) - before) / PLANS / 1024,
    }
    for name, figure in figures.items():
        record_property(name, figure)
    assert max(first_during, second_during) < before + PLANS * BYTES_A_PLAN + FIXED_BYTES, figures
    assert peak < before + PLANS * BYTES_A_PLAN + 2 * FIXED_BYTES, figures
    assert second_during < first_during * 1.2 + FIXED_BYTES / 3, figures
    assert second_after < first_after * 1.2 + FIXED_BYTES / 3, figures


async def write_old_events(nc: Client, count: int) -> None:
    """Fill the log with events of other plans, a hundred each."""
    body = b'{"type":"STEP_STARTED","planId":"old","filling":"' + b"x" * 250 + b'"}'
    acknowledged = 0

    async def note(_: Any) -> None:
        nonlocal acknowledged
        acknowledged += 1

    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, cb=note)
    for number in range(count):
        await nc.publish(f"plans.log.old-{number // 100}", body, reply=inbox)
        if number % 2_000 == 1_999:
            await until(lambda wanted=number - 8_000: acknowledged >= wanted, 60, "the server to follow")
    await until(lambda: acknowledged == count, 60, "all old events to be stored")
    await subscription.unsubscribe()


async def start_up(here: Scene, name: str) -> tuple[float, int]:
    """Seconds until a fresh executor serves, and its memory then; it is stopped again."""
    begun = asyncio.get_running_loop().time()
    executor = await here.executor(name)
    seconds, memory = asyncio.get_running_loop().time() - begun, executor.memory
    await executor.terminate()
    return seconds, memory


async def test_a_long_log(tmp_path: Path, record_property: Any):
    """EXPECTED: starting costs the same as with an empty log, in memory and, as reported, in time; a plan that is taken
    over is read by its own subject alone, so its new executor's memory is what it was.
    """
    async with scene(tmp_path) as here:
        gate = Gate(here.nc, here.ledger)
        await gate.serve()
        empty_seconds, empty_memory = await start_up(here, "on-an-empty-log")
        first = await here.executor("first")
        waits = LeadGenPlanStep(id="wait", tool=TOOL, params={}, timeout_ms=600_000)
        await here.submit([plan_of_steps("taken-over", [waits])])
        await until(lambda: len(gate.waiting) == 1, 20, "the request")
        await here.follower.stop()  # it would only take the writer's time
        await write_old_events(here.nc, OLD_EVENTS)
        await here.follower.start(here.server.url)
        first.kill()
        seconds, memory = await start_up(here, "on-a-long-log")
        requests = len(gate.waiting)
        begun = asyncio.get_running_loop().time()
        second = await here.executor("second")
        await until(lambda: len(gate.waiting) > requests, 20, "the request of who took the plan over")
        taken_over = asyncio.get_running_loop().time() - begun
        await gate.open()
        await here.all_ended(20)
        memory_behind = second.memory
        stored = (await here.nc.jetstream().stream_info("PLAN_LOG")).state.messages
        assert await here.judged() == ""
    assert stored > OLD_EVENTS
    record_property("events in the log", stored)
    record_property("seconds to start on an empty log, and on this one", (empty_seconds, seconds))
    in_mib = tuple(memory_then / MIB for memory_then in (empty_memory, memory, memory_behind))
    record_property("MiB on an empty log, on this one, and after a take-over", in_mib)
    record_property("seconds from the start until the plan is taken over", taken_over)
    assert memory < empty_memory + 8 * MIB
    assert memory_behind < empty_memory + 16 * MIB
