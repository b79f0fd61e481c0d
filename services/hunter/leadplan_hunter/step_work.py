"""The lists that one step works through, one after the other, within its time."""

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from leadplan_hunter.bounded_work import work_through
from leadplan_hunter.errors import StepStoppedError
from leadplan_responder.limits import Limit

Report = Callable[[float, str], Awaitable[None]]
Item = TypeVar("Item")

AT_ONCE = 60
"""Items worked on at once. The rate limits bound the calls under way; this leaves room beside them for the contacts
whose verification isn't done yet, which wait up to a minute without a call under way."""

_OUT_OF_TIME = "The step's time was over before its turn. Give the step a larger timeoutMs."


class StepWork:
    """What a step does item by item.

    Args:
        limits: of Hunter's endpoints.
        report: told the share that is done, with a message.
        seconds_left: of the attempt.

    Attributes:
        stopped_by: why Hunter refuses every further call for good; None while it doesn't.
    """

    def __init__(self, limits: Mapping[str, Limit], report: Report, seconds_left: Callable[[], float]) -> None:
        self.stopped_by: StepStoppedError | None = None
        self._limits = limits
        self._report = report
        self._seconds_left = seconds_left
        self._done = 0.0

    @property
    def why_unasked(self) -> str:
        """Why an item's turn didn't come."""
        return _OUT_OF_TIME if self.stopped_by is None else self.stopped_by.message

    async def on(
        self,
        what: str,
        items: Sequence[Item],
        ask: Callable[[Item], Awaitable[None]],
        *,
        endpoints: Sequence[str],
        share: float,
    ) -> None:
        """Ask about each item; about none when Hunter refuses every call.

        Args:
            what: the items, for people.
            items: in the order in which they are asked about.
            ask: called with one item.
            endpoints: those that it calls.
            share: of what is left of the step's time and progress.

        Raises:
            StepStoppedError: Hunter refuses every call for a while.
        """
        if not items or self.stopped_by is not None:
            return
        begun_at, done = self._done, 0

        async def ask_and_report(item: Item) -> None:
            nonlocal done
            await ask(item)
            done += 1
            self._done = begun_at + (1.0 - begun_at) * share * done / len(items)
            await self._report(self._done, f"{done} of {len(items)} {what}")

        limits = list(dict.fromkeys(self._limits[endpoint] for endpoint in endpoints))
        seconds = share * self._seconds_left()
        try:
            await work_through(items, ask_and_report, at_once=AT_ONCE, seconds=seconds, limits=limits)
        except StepStoppedError as error:
            if error.retryable:
                pause = f" of {math.ceil(error.retry_after)} s" if error.retry_after else ""
                await self._report(self._done, f"{done} of {len(items)} {what}; Hunter asked for a pause{pause}")
                raise
            self.stopped_by = error
