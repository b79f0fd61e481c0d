"""The processes of a whole installation on one machine, from start to stop."""

import asyncio
import contextlib
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from leadplan_cli.errors import ChildDiedError, CommandError
from leadplan_cli.local.child import Child
from leadplan_cli.local.nats_server import nats_server_command, nats_server_url
from leadplan_cli.local.readiness import executor_ready, sandbox_url, tools_ready
from leadplan_cli.running import connected

T = TypeVar("T")
Report = Callable[[str], None]

_START_SECONDS = 60.0
_STOP_SECONDS = 8.0
_GRACE_MS = "2000"
_POLL_SECONDS = "0.3"


@dataclass(frozen=True)
class StackPlan:
    """What is to be started.

    Attributes:
        folder: for data and logs; it exists.
        nats_url: a server that runs; None starts one.
        tools: names of the tools to serve.
    """

    folder: Path
    nats_url: str | None
    tools: Collection[str]


class LocalStack:
    """A sandbox, an executor and tools, and a NATS server where none is given; made by ``local_stack``.

    Attributes:
        nats_url: the server's address, once it runs.
        sandbox_url: the sandbox's address, once it runs.
        log_folder: where each process has its log.
        leads_database_url: where the leads are kept.
    """

    def __init__(self, plan: StackPlan, report: Report) -> None:
        self.nats_url = plan.nats_url or ""
        self.sandbox_url = ""
        self.log_folder = plan.folder / "logs"
        self.leads_database_url = f"sqlite:///{plan.folder / 'leads.db'}"
        self._plan = plan
        self._tell = report
        self._doing = ""
        self._children: list[list[Child]] = []  # in the order of their start; those of one list side by side
        self._watches: list[asyncio.Task[None]] = []
        self._death: asyncio.Future[ChildDiedError] = asyncio.get_running_loop().create_future()

    async def start(self) -> None:
        """Start everything and wait until it can be used.

        Raises:
            CommandError: a process ended (``ChildDiedError``) or the time is over.
        """
        self.log_folder.mkdir(exist_ok=True)
        try:
            async with asyncio.timeout(_START_SECONDS):
                await self.guard(self._start_in_order())
        except TimeoutError:
            raise CommandError(f"after {_START_SECONDS:g} s still {self._doing}; {self._log_ends()}") from None

    async def guard(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something while everything runs.

        Raises:
            ChildDiedError: a process ended before the work did.
        """
        working = asyncio.ensure_future(work)
        try:
            either: set[asyncio.Future[Any]] = {working, self._death}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise self._death.result()
            return working.result()
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)

    async def stop(self) -> None:
        """Stop everything, the last one started first; those that started together at the same time."""
        for watch in self._watches:
            watch.cancel()
        for group in reversed(self._children):
            await asyncio.gather(*(child.stop(_STOP_SECONDS) for child in group))

    def kill(self) -> None:
        """End at once what still runs."""
        for group in self._children:
            for child in group:
                child.kill()

    async def _start_in_order(self) -> None:
        if self._plan.nats_url is None:
            self._report("starting a NATS server")
            command = nats_server_command(self._plan.folder, "leadplan-local")
            await self._start([("nats-server", command)], os.environ)
            self.nats_url = await nats_server_url(self._plan.folder)
        self._report("starting the sandbox")
        keys = {"SANDBOX_GOOGLE_KEY": secrets.token_hex(), "SANDBOX_HUNTER_KEY": secrets.token_hex()}
        here = {"SANDBOX_HOST": "127.0.0.1", "SANDBOX_PORT": "0"}
        (sandbox,) = await self._start([("sandbox", _leadplan("sandbox"))], {**os.environ, **keys, **here})
        self.sandbox_url = await sandbox_url(sandbox.log_path)
        self._report(f"starting an executor and {len(self._plan.tools)} tools")
        commands = [(tool.lower().replace("_", "-"), _leadplan("tool", tool)) for tool in self._plan.tools]
        await self._start([("executor", _leadplan("executor")), *commands], self._environment(keys))
        async with connected("leadplan local", self.nats_url) as nc:
            await executor_ready(nc)
            await tools_ready(nc, self._plan.tools, self._report)

    def _environment(self, keys: Mapping[str, str]) -> dict[str, str]:
        """What executor and tools get; real keys of the user never reach the sandbox."""
        return {
            **os.environ,
            "NATS_URL": self.nats_url,
            "GOOGLE_PLACES_BASE_URL": self.sandbox_url,
            "GOOGLE_PLACES_API_KEY": keys["SANDBOX_GOOGLE_KEY"],
            "HUNTER_BASE_URL": f"{self.sandbox_url}/v2",
            "HUNTER_API_KEY": keys["SANDBOX_HUNTER_KEY"],
            # The sandbox has done a verification when it is asked for the third time, however soon.
            "HUNTER_VERIFIER_POLL_SECONDS": os.environ.get("HUNTER_VERIFIER_POLL_SECONDS", _POLL_SECONDS),
            "LEADPLAN_LEADS_DATABASE_URL": self.leads_database_url,
            "LEADPLAN_GRACE_MS": os.environ.get("LEADPLAN_GRACE_MS", _GRACE_MS),
        }

    async def _start(
        self, commands: Sequence[tuple[str, Sequence[str]]], environment: Mapping[str, str]
    ) -> list[Child]:
        group: list[Child] = []
        self._children.append(group)
        for name, command in commands:
            log_path = self.log_folder / f"{name}.log"
            # A log of an earlier run would be read as this one's.
            log_path.unlink(missing_ok=True)
            child = await Child.start(name, command, log_path=log_path, environment=environment)
            group.append(child)
            self._watches.append(asyncio.create_task(self._watch(child), name=f"watch {name}"))
        return group

    def _report(self, doing: str) -> None:
        self._doing = doing
        self._tell(doing)

    def _log_ends(self) -> str:
        children = [child for group in self._children for child in group]
        return "\n".join(["the end of each log:", *(f"{child.name}:\n{child.last_lines()}" for child in children)])

    async def _watch(self, child: Child) -> None:
        error = await child.died()
        if not self._death.done():
            self._death.set_result(error)


@contextlib.asynccontextmanager
async def local_stack(plan: StackPlan, report: Report) -> AsyncIterator[LocalStack]:
    """Everything of ``plan``, started, and stopped again however the block is left.

    Raises:
        CommandError: something didn't start.
    """
    stack = LocalStack(plan, report)
    try:
        await stack.start()
        yield stack
    finally:
        try:
            await stack.stop()
        finally:
            # A second Ctrl-C ends the waiting, not the duty.
            stack.kill()


def _leadplan(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "leadplan_cli", *arguments]
