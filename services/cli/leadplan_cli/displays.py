"""Where events go: JSON lines, lines of text, or a table that is redrawn."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from typing import Protocol, TextIO

import msgspec

from leadplan_cli.plan_lines import event_line
from leadplan_cli.plan_view import PlanView
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import StepProgress
from leadplan_contracts.times import parse_time
from leadplan_contracts.wire import encode

_REDRAW_SECONDS = 0.1
_PROGRESS_EVERY_MS = 1000


class Display(Protocol):
    """Shows one plan's events as they come."""

    def show(self, event: LeadPlanEventPayload) -> None:
        """Show the next event."""
        ...


class JsonDisplay:
    """Each event as one line of JSON, as it stands on the wire."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: LeadPlanEventPayload) -> None:
        """Write the event."""
        # The plan in PLAN_STARTED is as its author wrote it, line breaks included.
        line = msgspec.json.format(encode(event), indent=-1)
        self._out.write(f"{line.decode()}\n")
        self._out.flush()


class LineDisplay:
    """Each event as one line of text; of a step's progress at most one line a second."""

    def __init__(self, view: PlanView, out: TextIO) -> None:
        self._view = view
        self._out = out
        self._progress_shown_ms: dict[str, int] = {}

    def show(self, event: LeadPlanEventPayload) -> None:
        """Write the line."""
        self._view.fold(event)
        if isinstance(event, StepProgress) and self._is_too_soon(event):
            return
        self._out.write(f"{event_line(self._view, event)}\n")
        self._out.flush()

    def _is_too_soon(self, event: StepProgress) -> bool:
        at = parse_time(event.time)
        if at - self._progress_shown_ms.get(event.step.id, 0) < _PROGRESS_EVERY_MS:
            return True
        self._progress_shown_ms[event.step.id] = at
        return False


class _Folding:
    """Only takes events in; something else draws."""

    def __init__(self, view: PlanView) -> None:
        self._view = view

    def show(self, event: LeadPlanEventPayload) -> None:
        self._view.fold(event)


@contextlib.asynccontextmanager
async def display_for(plan_id: str, *, as_json: bool, out: TextIO | None = None) -> AsyncIterator[Display]:
    """The display that fits: JSON lines on request, a live table on a terminal, lines elsewhere.

    It writes to ``out``, standard output by default.
    """
    view = PlanView(plan_id)
    out = out or sys.stdout
    if as_json:
        yield JsonDisplay(out)
    elif not out.isatty():
        yield LineDisplay(view, out)
    else:
        async with _live_table(view, out):
            yield _Folding(view)


@contextlib.asynccontextmanager
async def _live_table(view: PlanView, out: TextIO) -> AsyncIterator[None]:
    from rich.console import Console  # noqa: PLC0415 - loaded on terminals only
    from rich.live import Live  # noqa: PLC0415

    from leadplan_cli.plan_table import plan_table  # noqa: PLC0415

    console = Console(file=out)
    ascii_only = not console.encoding.startswith("utf")

    def draw() -> None:
        now_ms = time.time_ns() // 1_000_000
        live.update(plan_table(view, now_ms, height=console.height, ascii_only=ascii_only), refresh=True)

    async def redraw() -> None:
        while True:
            draw()
            await asyncio.sleep(_REDRAW_SECONDS)

    with Live(console=console, auto_refresh=False) as live:
        redrawing = asyncio.create_task(redraw(), name="redraw")
        try:
            yield
        finally:
            redrawing.cancel()
            await asyncio.gather(redrawing, return_exceptions=True)
            draw()
