"""``leadplan demo``: one plan from goal to result on an installation that lives as long as it runs."""

import contextlib
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from leadplan_cli.errors import FAILED
from leadplan_cli.local.faults import API_PATHS, break_api
from leadplan_cli.local.progress_note import progress_note
from leadplan_cli.local.result_summary import summary_lines
from leadplan_cli.local.stack import LocalStack, StackPlan, local_stack
from leadplan_cli.running import connected
from leadplan_cli.watching import exit_code, watch
from leadplan_client import PlanClient
from leadplan_contracts import LeadGenPlan, SupervisorUserContext
from leadplan_contracts.events import PlanCompleted
from leadplan_contracts.subjects import PLANS_STREAM, plan_schedule_subject

_EPILOGUE = "Companies and people are the sandbox's inventions. To keep everything running: leadplan dev"
USER = SupervisorUserContext(user_id="demo", account_id="demo", email="demo@example.com")


@dataclass(frozen=True)
class Demo:
    """What the demo does.

    Attributes:
        plan: the plan to run.
        nats_url: a server that runs; None starts one.
        tools: the tools to serve.
        failing: those of them to make fail.
        as_json: print events only.
    """

    plan: LeadGenPlan
    nats_url: str | None
    tools: Collection[str]
    failing: Collection[str]
    as_json: bool


async def run_demo(demo: Demo) -> int:
    """Start everything, run the plan, print what came of it, remove everything; returns the exit code.

    Raises:
        CommandError: something didn't start or ended on the way.
    """
    with tempfile.TemporaryDirectory(prefix="leadplan-demo-") as folder:
        served = [tool for tool in demo.tools if tool not in demo.failing or tool in API_PATHS]
        async with contextlib.AsyncExitStack() as stopping:
            with progress_note() as report:
                plan = StackPlan(Path(folder), demo.nats_url, served)
                stack = await stopping.enter_async_context(local_stack(plan, report))
            return await stack.guard(_run_plan(demo, stack))


async def _run_plan(demo: Demo, stack: LocalStack) -> int:
    for tool in demo.failing:
        if tool in API_PATHS:
            await break_api(stack.sandbox_url, tool)
    async with connected("leadplan demo", stack.nats_url) as nc:
        client = PlanClient(nc)
        submission = await client.submit(demo.plan, USER)
        last = await watch(nc, demo.plan.id, as_json=demo.as_json, submission=submission)
        if not isinstance(last, PlanCompleted):
            return FAILED
        result = await client.result(demo.plan.id)
        lines, monitor_id = await summary_lines(client, result)
        if not demo.as_json:
            print("\n".join(["", *lines, "", _EPILOGUE]))  # noqa: T201 - this is the output
        if demo.nats_url is not None and monitor_id is not None:
            await _remove_monitor(nc, monitor_id)
    return exit_code(last)


async def _remove_monitor(nc: Client, monitor_id: str) -> None:
    """On a server that stays, the demo's monitor would submit a plan every week that nobody can run."""
    await nc.jetstream().purge_stream(PLANS_STREAM, subject=plan_schedule_subject(monitor_id))
