"""A process that we started: its log file, its end, and ours."""

import asyncio
import contextlib
import ctypes
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from leadplan_cli.errors import ChildDiedError

_PR_SET_PDEATHSIG = 1
_TAIL_LINES = 10
_TAIL_BYTES = 8192


class Child:
    """A running process whose output goes to a file.

    It has a session of its own, so that Ctrl-C on the terminal reaches only us and we stop our children in order.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process, log_path: Path) -> None:
        self.name = name
        self.log_path = log_path
        self._process = process

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str], *, log_path: Path, environment: Mapping[str, str]
    ) -> "Child":
        """Start a program; what it writes is appended to ``log_path``."""
        with log_path.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_death_with_parent(),
            )
        return cls(name, process, log_path)

    async def died(self) -> ChildDiedError:
        """Wait for the end of a process that has to run; returns what to raise about it."""
        returncode = await self._process.wait()
        return ChildDiedError(self.name, returncode, self.last_lines())

    def last_lines(self) -> str:
        """The end of its log, indented."""
        with self.log_path.open("rb") as log:
            log.seek(max(self.log_path.stat().st_size - _TAIL_BYTES, 0))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in lines[-_TAIL_LINES:]) or "  (it wrote nothing)"

    async def stop(self, limit_seconds: float) -> None:
        """SIGTERM, and SIGKILL if it still runs after the limit."""
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), limit_seconds)
        except TimeoutError:
            self.kill()
            await self._process.wait()

    def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


def _death_with_parent() -> Callable[[], None] | None:
    """A function for the child, before it becomes the program: the kernel kills it when its parent dies.

    PR_SET_PDEATHSIG rather than a pipe that the child watches, because nats-server isn't ours and watches no pipe.
    The kernel has it on Linux only; elsewhere a parent that is killed outright leaves its children running.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)

    def ask_the_kernel() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    return ask_the_kernel
