"""An executor that dies of certain plans, for the tests of poison: python poison_executor.py executor|quarantined

What a plan's id begins with says how and where. Production code knows nothing of this: functions of it are replaced in
this process, and in those that it starts for suspects.
"""

import os
import signal
import sys
from typing import Any, NoReturn

from leadplan_contracts.validation import ReadSubmission
from leadplan_executor import quarantine, quarantined, service, submissions
from leadplan_executor.core import takeovers
from leadplan_executor.plan_log import PlanLog, StoredEvent
from leadplan_executor.tool_calls import ToolCaller

read_submission = submissions.read_plan_submission
read_log = PlanLog.read
call_tool = ToolCaller.run_lead_tool


def die(how: str) -> NoReturn:
    """End this process, or make it useless."""
    if how == "raise":
        raise ZeroDivisionError("handling this plan can't work")
    if how == "loop":
        while True:
            pass
    os.kill(os.getpid(), signal.SIGSEGV if how == "segfault" else signal.SIGKILL)
    raise AssertionError("a signal that ends a process at once")


def poison(plan_id: str, where: str) -> None:
    """``raise-at-reply-1`` raises where a reply is handled; ``kill-at-log-x`` kills where the log is read."""
    how, _, rest = plan_id.partition("-at-")
    if rest.startswith(where):
        die(how)


def poisoned_read(body: bytes, **rest: Any) -> ReadSubmission:
    submission = read_submission(body, **rest)
    poison(submission.plan.id, "message")
    return submission


async def poisoned_log(self: PlanLog, plan_id: str) -> list[StoredEvent]:
    poison(plan_id, "log")
    return await read_log(self, plan_id)


async def poisoned_call(self: ToolCaller, tool: str, params: Any, env: Any, **rest: Any) -> Any:
    signal = await call_tool(self, tool, params, env, **rest)
    poison(env.plan_id, "reply")
    # A plan whose log is poison must come to have one: its executor dies in the middle of it.
    if env.plan_id.partition("-at-")[2].startswith("log"):
        die("kill")
    return signal


submissions.read_plan_submission = poisoned_read
PlanLog.read = poisoned_log  # type: ignore[method-assign]
ToolCaller.run_lead_tool = poisoned_call  # type: ignore[method-assign]
takeovers._FIRST_DELAY_SECONDS = 0.05
quarantine.COMMAND = [sys.executable, __file__, "quarantined"]

if __name__ == "__main__":
    raise SystemExit({"executor": service.run, "quarantined": quarantined.run}[sys.argv[1]]())
