"""PROCESS TESTS: EMAIL_SEQUENCE_SETUP is killed where it matters, and Hunter may go on with what it was asked for.

After the next attempt everybody is in the sequence once, got one mail, and stands in the ledger as added.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
from nats.aio.client import Client
from sequence_sandbox import SequenceSandbox, numbered, saved, sequence_sandbox
from tool_requests import ask_tool, tool_request

from leadplan_bus.discovery import discover_tools
from leadplan_leads.database import open_database
from leadplan_leads.outreach import Claimant
from leadplan_leads.transactions import reading

PEOPLE = numbered(70)
ADDING, STARTING = "/v2/sequences/42/recipients", "/v2/sequences/42/start"
RESPONDER = [sys.executable, "-c", "from leadplan_email_sequence.responder import responder; responder().run()"]
SOON_MS, LATE_MS, NEVER_MS = 1_000, 5_000, 120_000
"""Before the next attempt can begin, after its end, and never."""


@dataclass(frozen=True)
class Strike:
    """When the process is killed: while Hunter's answer to the given call is kept back by the fault."""

    path: str
    fault: dict[str, Any]
    asked: int
    """How many POSTs to the path have come by then."""
    done: int
    """How many people Hunter has in the sequence by then."""


STRIKES = {
    "asked, and Hunter adds them after the kill": Strike(ADDING, {"delayMs": LATE_MS}, asked=1, done=0),
    "asked, and Hunter has added them": Strike(ADDING, {"bodyMs": NEVER_MS}, asked=1, done=50),
    "asked, and Hunter never hears of it": Strike(ADDING, {"delayMs": SOON_MS, "status": 503}, asked=1, done=0),
    "between the batches": Strike(ADDING, {"delayMs": SOON_MS, "status": 503, "after": 1}, asked=2, done=50),
    "in the last batch, which is added": Strike(ADDING, {"bodyMs": NEVER_MS, "after": 1}, asked=2, done=70),
    "before the start": Strike(STARTING, {"delayMs": SOON_MS, "status": 503}, asked=1, done=70),
    "started, after the kill": Strike(STARTING, {"delayMs": LATE_MS}, asked=1, done=70),
    "started, before the kill": Strike(STARTING, {"bodyMs": NEVER_MS}, asked=1, done=70),
}


class Process:
    """The tool as a process that can be killed and started again."""

    def __init__(self, nc: Client, environment: dict[str, str], log: Any) -> None:
        self._nc = nc
        self._environment = {**os.environ, **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self, eventually: Any) -> None:
        self._process = self._spawn()
        await eventually(self._is_announced, within=30, what="the tool's announcement")

    def _spawn(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(RESPONDER, env=self._environment, stdout=self._log, stderr=self._log)

    async def _is_announced(self) -> bool:
        return bool(await discover_tools(self._nc))

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def hunter() -> Any:
    with sequence_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def make_process(nc: Client, nats_url: str, hunter: SequenceSandbox, tmp_path: Any) -> Any:
    with (tmp_path / "tool.log").open("ab") as log, contextlib.ExitStack() as stack:

        def make(database_url: str) -> Process:
            environment = {**hunter.environment, "NATS_URL": nats_url, "LEADPLAN_LEADS_DATABASE_URL": database_url}
            process = Process(nc, environment, log)
            stack.callback(process.kill)
            return process

        yield make


@pytest.mark.parametrize("strike", STRIKES.values(), ids=STRIKES)
async def test_after_a_kill_everybody_is_in_once_and_mailed_once(
    nc: Client, make_process: Any, hunter: SequenceSandbox, tmp_path: Any, eventually: Any, strike: Strike
):
    database_url = f"sqlite:///{tmp_path}/leads.db"
    process = make_process(database_url)
    hunter.fault(strike.path, method="POST", times=1, **strike.fault)
    params = {"sourceStepId": "save", "sequenceId": 42, "start": True}
    request = tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)})
    await process.start(eventually)
    broken_off = asyncio.create_task(ask_tool(nc, request, within=120))

    def is_the_moment() -> bool:
        asked = len(hunter.requests("POST", strike.path))
        return asked == strike.asked and len(hunter.recipients()) == strike.done

    await eventually(is_the_moment, within=20)
    process.kill()
    broken_off.cancel()
    await process.start(eventually)
    reply = await ask_tool(nc, {**request, "attempt": 2})

    assert reply["success"], reply
    data = reply["data"]
    assert (data["recipientsAdded"], data["leftOut"], data["started"]) == (70, [], True)
    await eventually(lambda: all(one["status"] for one in hunter.requests()), within=20, what="the late requests' end")
    assert hunter.recipients() == PEOPLE
    assert hunter.mailed() == Counter(PEOPLE)
    database = open_database(database_url)
    with reading(database) as connection:
        entries = Claimant("acct_3", 42, "plan_a:step").entries(connection)
    database.dispose()
    assert sorted((one.email, str(one.state), one.reason) for one in entries) == sorted(
        (email, "added", None) for email in PEOPLE
    )


async def test_a_plan_that_never_comes_back_loses_nobody_to_the_next_one(
    nc: Client, make_process: Any, hunter: SequenceSandbox, leads_database_url: str, eventually: Any
):
    """The first plan dies with its batch in doubt. Another one for the same sequence finds out, and takes the rest."""
    process = make_process(leads_database_url)
    hunter.fault(ADDING, method="POST", times=1, bodyMs=NEVER_MS)
    params = {"sourceStepId": "save", "sequenceId": 42, "start": True}
    request = tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)})
    await process.start(eventually)
    broken_off = asyncio.create_task(ask_tool(nc, request, within=120))
    await eventually(lambda: len(hunter.recipients()) == 50, within=20)
    process.kill()
    broken_off.cancel()
    await process.start(eventually)
    other = tool_request("EMAIL_SEQUENCE_SETUP", params, {"save": saved(*PEOPLE)}, planId="plan_b")
    data = (await ask_tool(nc, other))["data"]
    assert (data["recipientsAdded"], data["alreadyIn"], data["started"]) == (20, 50, True)
    assert hunter.mailed() == Counter(PEOPLE)
