"""Measure what steering plans costs, and what plans cost that only wait.

    python benchmarks/control.py --waiting 5000

1. How soon a running handler hears that its plan was cancelled, from the request to the handler.
2. How long the requests take, for a plan that an executor holds and for one that only waits.
3. An executor's memory and start with no waiting plans and with very many, and how soon an approved one goes on.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from statistics import median

from bench_processes import executor_process, nats_server, python_process, tell
from nats.aio.client import Client

from leadplan_client import PlanClient
from leadplan_contracts import LeadGenGoal, LeadGenPlan, LeadGenPlanStep, SupervisorUserContext, subjects

_ROUNDS = 40
_AT_ONCE = 200
_USER = SupervisorUserContext(user_id="bench", account_id="bench")
_CREATED_AT = "2026-11-23T09:15:02.417Z"

_RESPONDER = """
import asyncio, time
import msgspec
from leadplan_responder import Responder, ToolContext

class Params(msgspec.Struct):
    pass

responder = Responder("bench", version="1.0.0", description="What the benchmark calls")

@responder.tool("BENCH_STAYS", effects="none", max_in_flight=500)
async def stays(params: Params, ctx: ToolContext) -> dict:
    try:
        await asyncio.sleep(600)
    except asyncio.CancelledError:
        open("{file}", "a").write(f"{{ctx.plan_id}} {{time.time()}}\\n")
        raise
    return {{}}

@responder.tool("BENCH_ENDS", effects="none", max_in_flight=500)
async def ends(params: Params, ctx: ToolContext) -> dict:
    return {{}}

responder.run()
"""


def _plan(plan_id: str, *steps: LeadGenPlanStep) -> LeadGenPlan:
    return LeadGenPlan(
        id=plan_id, title=plan_id, goal=LeadGenGoal(description="measure"), created_at=_CREATED_AT, steps=list(steps)
    )


def _step(tool: str, step_id: str = "s", **fields: object) -> LeadGenPlanStep:
    return LeadGenPlanStep(id=step_id, tool=tool, params={}, **fields)  # type: ignore[arg-type]


async def _until(condition: Callable[[], Awaitable[bool]], within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.002)


def _figures(seconds: list[float]) -> str:
    return f"median {median(seconds) * 1000:6.1f} ms, worst {max(seconds) * 1000:6.1f} ms of {len(seconds)}"


async def _cancelling(nc: Client, file: str) -> None:
    client = PlanClient(nc)
    took: list[float] = []
    for number in range(_ROUNDS):
        plan_id = f"cancel-{number}"
        await client.submit(_plan(plan_id, _step("BENCH_STAYS")), _USER)
        await _until(lambda plan_id=plan_id: _has_status(client, plan_id, "running"))  # type: ignore[misc]
        asked_at = time.time()
        await client.cancel(plan_id)
        heard = await _heard(file, plan_id)
        took.append(heard - asked_at)
    tell(f"cancel: from the request to the handler      {_figures(took)}")


async def _has_status(client: PlanClient, plan_id: str, status: str) -> bool:
    try:
        found = await client.status(plan_id)
    except Exception:
        return False
    return (found.step_counts or {}).get(status, 0) > 0


async def _heard(file: str, plan_id: str) -> float:
    async with asyncio.timeout(30):
        while True:
            with open(file) as heard:  # noqa: ASYNC230, PTH123 - a line or two
                for line in heard:
                    name, at = line.split()
                    if name == plan_id:
                        return float(at)
            await asyncio.sleep(0.001)


async def _steering(nc: Client) -> None:
    client = PlanClient(nc)
    await client.submit(_plan("steered", _step("BENCH_STAYS")), _USER)
    await _until(lambda: _has_status(client, "steered", "running"))
    for name, ask in (
        ("status", lambda: client.status("steered")),
        ("pause", lambda: client.pause("steered")),
        ("resume", lambda: client.resume("steered")),
    ):
        tell(f"{name:<8}of a plan that is held               {_figures([await _took(ask) for _ in range(_ROUNDS)])}")
    await client.cancel("steered")


async def _took(ask: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await ask()
    return time.perf_counter() - begun


async def _submit_waiting(nc: Client, count: int) -> None:
    client = PlanClient(nc)

    async def one(number: int) -> None:
        steps = (_step("BENCH_ENDS", requires_approval=True), _step("BENCH_ENDS", "behind", depends_on=["s"]))
        await client.submit(_plan(f"waiting-{number}", *steps), _USER)

    for first in range(0, count, _AT_ONCE):
        await asyncio.gather(*(one(number) for number in range(first, min(first + _AT_ONCE, count))))
    await _until(lambda: _nothing_held(nc), within=600)


async def _nothing_held(nc: Client) -> bool:
    js = nc.jetstream()
    infos = [await js.consumer_info(subjects.PLANS_STREAM, name) for name in ("executors", "wakes")]
    return not any(info.num_pending or info.num_ack_pending for info in infos)


async def _approving(nc: Client) -> None:
    client = PlanClient(nc)
    answered, went_on = [], []
    for number in range(_ROUNDS):
        plan_id = f"waiting-{number * 7}"
        begun = time.perf_counter()
        await client.approve(plan_id)
        answered.append(time.perf_counter() - begun)
        await client.result(plan_id, wait_seconds=30)
        went_on.append(time.perf_counter() - begun)
    tell(f"approve a waiting plan: answered             {_figures(answered)}")
    tell(f"approve a waiting plan: both steps done      {_figures(went_on)}")


async def main(waiting: int) -> None:
    """Measure, and print."""
    async with nats_server() as (url, nc):
        file = f"{os.environ.get('TMPDIR', '/tmp')}/cancelled-{os.getpid()}"  # noqa: S108 - removed below
        open(file, "w").close()  # noqa: ASYNC230, PTH123
        try:
            with executor_process(url) as executor:
                tell(f"executor: start {executor.started_in:.2f} s, {executor.memory_mib:.0f} MiB")
                with python_process(_RESPONDER.format(file=file), url, "serving"):
                    await _cancelling(nc, file)
                    await _steering(nc)
                    begun = time.monotonic()
                    await _submit_waiting(nc, waiting)
                    tell(f"{waiting} plans submitted and waiting         in {time.monotonic() - begun:.1f} s")
                    tell(f"executor: {executor.memory_mib:.0f} MiB")
            with executor_process(url) as executor, python_process(_RESPONDER.format(file=file), url, "serving"):
                started = f"start {executor.started_in:.2f} s, {executor.memory_mib:.0f} MiB"
                tell(f"executor with {waiting} plans waiting: {started}")
                await _approving(nc)
                used = executor.cpu_seconds
                await asyncio.sleep(5)
                tell(f"executor with nothing but waiting plans: {(executor.cpu_seconds - used) / 5:.1%} of a core")
                tell(f"a waiting plan's state: {(await PlanClient(nc).status('waiting-1')).state}")
        finally:
            os.remove(file)  # noqa: PTH107


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--waiting", type=int, default=5_000, help="plans that wait for an approval (default 5000)")
    asyncio.run(main(parser.parse_args().waiting))
