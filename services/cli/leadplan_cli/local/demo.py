"""``leadplan demo``: one plan from goal to result, and once more by its monitor, on an installation of its own."""

import asyncio
import contextlib
import shlex
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from nats.aio.client import Client

from leadplan_cli import leads_commands
from leadplan_cli.errors import FAILED
from leadplan_cli.local.faults import API_PATHS, break_api
from leadplan_cli.local.progress_note import progress_note
from leadplan_cli.local.result_summary import RunSummary, saved_again, summarise
from leadplan_cli.local.stack import LocalStack, StackPlan, local_stack
from leadplan_cli.monitor_lines import monitor_lines
from leadplan_cli.running import connected
from leadplan_cli.watching import exit_code, watch
from leadplan_client import MonitorClient, PlanClient
from leadplan_client.errors import UnknownMonitorError
from leadplan_contracts import LeadGenPlan, LeadPlanEventPayload, SupervisorUserContext
from leadplan_contracts.events import PlanCompleted

_EPILOGUE = "Companies and people are the sandbox's inventions. To keep everything running: leadplan dev"
_SHOWN_LEADS = 5
ACCOUNT = "demo"
USER = SupervisorUserContext(user_id="demo", account_id=ACCOUNT, email="demo@example.com")


@dataclass(frozen=True)
class Demo:
    """What the demo does.

    Attributes:
        plan: the plan to run.
        nats_url: a server that runs; None starts one.
        tools: the tools to serve.
        failing: those of them to make fail.
        as_json: print the events of both runs and nothing else.
    """

    plan: LeadGenPlan
    nats_url: str | None
    tools: Collection[str]
    failing: Collection[str]
    as_json: bool


async def run_demo(demo: Demo) -> int:
    """Start everything, run the plan and its monitor, print what came of it, remove everything; returns the exit code.

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
        run = _DemoRun(nc, demo, stack.leads_database_url)
        try:
            return await run.to_the_end()
        finally:
            await run.clean_up()


class _DemoRun:
    def __init__(self, nc: Client, demo: Demo, leads_database_url: str) -> None:
        self._nc = nc
        self._demo = demo
        self._leads_database_url = leads_database_url
        self._client = PlanClient(nc)
        self._monitors = MonitorClient(nc)
        self._monitor_id: str | None = None

    async def to_the_end(self) -> int:
        """The plan, what can be read back of it, and one run of its monitor; returns the exit code."""
        submission = await self._client.submit(self._demo.plan, USER)
        last = await self._watch(self._demo.plan.id, submission)
        if not isinstance(last, PlanCompleted):
            return FAILED
        summary = await self._summary(self._demo.plan.id)
        self._say("", *summary.lines)
        self._monitor_id = summary.data.get("monitor", {}).get("monitorId")
        if "save" in summary.data:
            await self._show_leads(summary.data["save"]["listName"])
        code = exit_code(last)
        if self._monitor_id is not None:
            await self._show_monitor(self._monitor_id)
            code = max(code, await self._fire(self._monitor_id))
        self._say("", _EPILOGUE)
        return code

    async def clean_up(self) -> None:
        """On a server that stays, the demo's monitor would submit a plan every week that nobody can run."""
        if self._demo.nats_url is not None and self._monitor_id is not None:
            with contextlib.suppress(UnknownMonitorError):
                await self._monitors.remove(self._monitor_id)

    async def _show_leads(self, list_name: str) -> None:
        if self._demo.as_json:
            return
        self._say("", f"$ leadplan leads show {shlex.quote(list_name)} --limit {_SHOWN_LEADS}")
        await asyncio.to_thread(
            leads_commands.show, list_name, limit=_SHOWN_LEADS, account=ACCOUNT, database=self._leads_database_url
        )

    async def _show_monitor(self, monitor_id: str) -> None:
        monitors = [monitor for monitor in await self._monitors.list(account=ACCOUNT) if monitor.id == monitor_id]
        shown = [line for monitor in monitors for line in monitor_lines(monitor)]
        self._say("", "$ leadplan monitors list", *shown)

    async def _fire(self, monitor_id: str) -> int:
        self._say("", f"$ leadplan monitors fire {monitor_id}")
        fired = await self._monitors.fire(monitor_id, account=ACCOUNT)
        last = await self._watch(fired.plan_id, fired.submission)
        if not isinstance(last, PlanCompleted):
            return FAILED
        summary = await self._summary(fired.plan_id)
        saved = summary.data.get("save")
        self._say("", f"the monitor ran: {saved_again(saved)}" if saved else "\n".join(summary.lines))
        return exit_code(last)

    async def _watch(self, plan_id: str, submission: int) -> LeadPlanEventPayload:
        return await watch(self._nc, plan_id, as_json=self._demo.as_json, submission=submission)

    async def _summary(self, plan_id: str) -> RunSummary:
        return await summarise(self._client, await self._client.result(plan_id))

    def _say(self, *lines: str) -> None:
        if not self._demo.as_json:
            print("\n".join(lines), flush=True)  # noqa: T201 - this is the output
