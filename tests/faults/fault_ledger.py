"""The ledger: every request that a tool of the fault tests receives, and every real effect, a line in a file.

Several processes append to one file, each line in one write, so that lines never mix. A line that a killed process
leaves unfinished can't be: a write of this size is whole or absent.
"""

import json
import os
import time
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

READING_TOOLS = frozenset({"LEDGER_PLAIN"})
"""Tools that announce ``effects="none"``, whatever the ledger has of them."""
ONCE_TOOLS = frozenset({"LEDGER_ONCE"})
"""Tools of the SDK with ``effects="once"`` and a ``resolve`` that looks into the ledger."""


class What(Enum):
    """What a line tells."""

    REQUEST = "REQUEST"
    BUSY = "BUSY"
    EFFECT = "EFFECT"


class Entry(NamedTuple):
    """A line of the ledger; ``at`` is nanoseconds since 1970, ``round`` that of the plan."""

    at: int
    what: What
    tool: str
    plan_id: str
    step_id: str
    attempt: int
    process: int
    round: int = 1


class Ledger:
    """A ledger file, to write or to read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, what: What, *, tool: str, plan_id: str, step_id: str, attempt: int, round_number: int = 1) -> None:
        """Append a line; it is there when this returns, whatever becomes of the process."""
        line = (
            json.dumps([time.time_ns(), what.value, tool, plan_id, step_id, attempt, os.getpid(), round_number]) + "\n"
        )
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def entries(self) -> Iterator[Entry]:
        """All lines, in the order in which they were written."""
        if not self.path.exists():
            return
        with self.path.open() as lines:
            for line in lines:
                at, what, *rest = json.loads(line)
                yield Entry(at, What(what), *rest)

    def has_effect(self, plan_id: str, step_id: str) -> bool:
        """Whether the effect of a step has happened."""
        return any(
            (entry.what, entry.plan_id, entry.step_id) == (What.EFFECT, plan_id, step_id) for entry in self.entries()
        )
