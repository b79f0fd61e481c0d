"""Running a suspected plan in a process of its own: whatever it does there harms no other plan, and is seen.

The process (``quarantined.py``) gets the delivery as one line of JSON on its standard input and says what becomes of
it, a line each, on its standard output. It ends itself when its input ends, that is when its parent has died. The lease
stays with the parent, and so does settling the delivery.
"""

import asyncio
import base64
import contextlib
import signal
import sys
from typing import TypeAlias

import msgspec
import structlog
from msgspec import Struct
from nats.aio.client import Client

from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.plan_execution import RunLimits

log = structlog.get_logger(__name__)

COMMAND = [sys.executable, "-m", "leadplan_executor.quarantined"]
"""What is started for a suspect."""
PLACES = 4
"""Suspects that an executor runs at once: each takes about 60 MB, and half a second of processor time to start."""
_START_SECONDS = 60.0
_START_AGAIN_SECONDS = 5.0


class QuarantineSettings(Struct, frozen=True):
    """What the process needs to know of its executor's settings."""

    executor: str
    limits: RunLimits
    stall_limit_ms: int
    log_level: str
    unknown_tools: str = "attempt"


class Order(Struct, frozen=True):
    """What the process is told: the delivery, and why the plan is to be ended, where it is.

    The addresses in ``nats_url`` may hold a password, so they go the same way and not into an argument.
    """

    settings: QuarantineSettings
    nats_url: str
    subject: str
    body: str
    headers: dict[str, str]
    stream_sequence: int
    delivered: int
    ending: str | None


class Report(Struct, frozen=True, omit_defaults=True):
    """A line that the process says; one without fields is a sign of life. The first one comes before the plan is read.

    Attributes:
        plan_id: the plan's id, as soon as it was read.
        done: ``ack``, ``hand_back``, ``let_go`` or ``raised``: the last line.
        seconds: of a hand-back.
        survived: of a hand-back that nobody asked for: the plan got further, lasted long enough, or has to wait.
        problem: what was raised.
    """

    plan_id: str | None = None
    done: str | None = None
    seconds: float = 0.0
    survived: bool = False
    problem: str = ""


class Acknowledged(Struct, frozen=True):
    """The plan is done."""


class HandedBack(Struct, frozen=True):
    """The plan goes back to the queue."""

    seconds: float = 0.0
    survived: bool = False


class LetGo(Struct, frozen=True):
    """Another executor has the plan."""


class Crashed(Struct, frozen=True):
    """The process died, hung, or reported an exception, after it was up."""

    problem: str


Outcome: TypeAlias = Acknowledged | HandedBack | LetGo | Crashed

_report_decoder = msgspec.json.Decoder(Report)


class Suspect:
    """One suspected plan and the process that has it.

    Attributes:
        plan_id: the plan's id; None until the process has read it.
    """

    def __init__(self, order: Order) -> None:
        self.plan_id: str | None = None
        self._order = order
        self._silence = max(5.0, 2 * order.settings.stall_limit_ms / 1000)
        self._process: asyncio.subprocess.Process | None = None
        self._is_up = False
        self._stopped = False
        self._lost = False

    def stop(self) -> None:
        """Have the plan handed back once no attempt is with a tool."""
        self._stopped = True
        self._signal(signal.SIGTERM)

    def abandon(self) -> None:
        """End the process now; the plan is handed back."""
        self._stopped = True
        self._signal(signal.SIGKILL)

    def let_go(self) -> None:
        """End the process now, for another executor has the plan."""
        self._lost = True
        self._signal(signal.SIGKILL)

    async def settle(self) -> Outcome:
        """Run the process until it has said what becomes of the plan, or has ended."""
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # What is sent to the process group of its parent (Ctrl-C, a supervisor's signal) is the parent's to
                # act on: without a word from it such an end would look like a crash.
                start_new_session=True,
            )
        except OSError as error:
            log.error("no process could be started for a suspected plan", problem=str(error))
            return HandedBack(_START_AGAIN_SECONDS)
        try:
            return await self._watch(process)
        finally:
            self._signal(signal.SIGKILL)
            await process.communicate()

    async def _watch(self, process: asyncio.subprocess.Process) -> Outcome:
        assert process.stdin is not None  # noqa: S101 - for mypy: a pipe was asked for
        assert process.stdout is not None  # noqa: S101 - likewise
        if self._stopped or self._lost:
            return self._ended("it was stopped before it began")
        process.stdin.write(msgspec.json.encode(self._order) + b"\n")
        while (line := await self._next_line(process.stdout)) is not None:
            if not line:
                return self._ended(_end_of(await process.wait()))
            report = _report_decoder.decode(line)
            self._is_up = True
            self.plan_id = report.plan_id or self.plan_id
            if report.done is not None:
                return self._outcome(report)
        return self._ended("gave no sign of life")

    async def _next_line(self, stdout: asyncio.StreamReader) -> bytes | None:
        """The next line, empty at the end; None after a long silence.

        It is waited for twice: where this process stood still itself, the line has come by the second time.
        """
        for _ in range(2):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout((self._silence if self._is_up else _START_SECONDS) / 2):
                    return await stdout.readline()
        return None

    def _outcome(self, last_word: Report) -> Outcome:
        match last_word.done:
            case "ack":
                return Acknowledged()
            case "hand_back":
                return HandedBack(last_word.seconds, last_word.survived)
            case "let_go":
                return LetGo()
            case _:
                return Crashed(last_word.problem)

    def _ended(self, how: str) -> Outcome:
        """The process ended, or must be, without a last word."""
        if self._lost:
            return LetGo()
        if self._stopped or how == _TERMINATED:
            return HandedBack()  # whoever stops a service may signal all its processes
        if not self._is_up:
            # It hasn't looked at the plan yet: that is about this installation or machine, or about NATS.
            log.error("the process for a suspected plan didn't start", problem=how)
            return HandedBack(_START_AGAIN_SECONDS)
        return Crashed(f"its process {how}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


class Quarantine:
    """Makes suspects' processes, and has room for a few at once.

    Args:
        nc: the connection: the processes connect to the same servers.
        settings: what they must know.
    """

    def __init__(self, nc: Client, settings: QuarantineSettings) -> None:
        self._nc = nc
        self._settings = settings
        self._free = PLACES

    def reserve_place(self) -> bool:
        """Take a place for a suspect, if there is one."""
        if not self._free:
            return False
        self._free -= 1
        return True

    def release_place(self) -> None:
        """Give a place back."""
        self._free += 1

    def suspect(self, delivery: PlanDelivery, ending: str | None) -> Suspect:
        """A suspect whose process isn't started yet.

        Args:
            delivery: the plan's; acknowledging or handing it back is left to the caller.
            ending: why the plan is to be ended; None to run it.
        """
        return Suspect(
            Order(
                self._settings,
                # Those that were configured come first; what a cluster told of itself has no credentials.
                ",".join(server.geturl() for server in self._nc.servers),
                delivery.subject,
                base64.b64encode(delivery.body).decode(),
                dict(delivery.headers),
                delivery.stream_sequence,
                delivery.delivered,
                ending,
            )
        )


_TERMINATED = "was ended by SIGTERM"


def _end_of(status: int) -> str:
    if status >= 0:
        return f"ended with exit code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
