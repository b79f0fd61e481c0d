"""Settling deliveries so that a plan whose handling crashes ends after a few tries, and harms nobody else meanwhile.

``core.takeovers`` has the rules and the reasons for them; this carries them out: look the plan up in the book, store
that it was taken, handle it here or in a process of its own, and note how that ended.
"""

import contextlib
from typing import assert_never

import structlog
from nats.errors import Error as NatsError

from leadplan_bus.errors import BusError
from leadplan_executor.core.takeovers import (
    Course,
    TakeOvers,
    after_crash,
    after_hand_back,
    after_survival,
    delay_seconds,
    reason,
    with_plan_id,
)
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.errors import crash_of
from leadplan_executor.plan_handler import PlanHandler
from leadplan_executor.quarantine import Acknowledged, Crashed, HandedBack, LetGo, Quarantine, Suspect
from leadplan_executor.takeover_book import Entry, TakeOverBook

log = structlog.get_logger(__name__)

_ROOM_AGAIN_SECONDS = 1.0


class PlanGuard:
    """Settles deliveries by the book of take-overs.

    Args:
        handler: handles plans in this process.
        book: the book.
        quarantine: runs suspects in processes of their own.
    """

    def __init__(self, handler: PlanHandler, book: TakeOverBook, quarantine: Quarantine) -> None:
        self._handler = handler
        self._book = book
        self._quarantine = quarantine
        self._suspects: dict[Suspect, Entry] = {}
        self._draining = False

    def drain(self) -> None:
        """Start no attempt and no plan any more; hand plans back as their attempts end."""
        self._handler.runs.drain()
        self._draining = True
        for suspect in self._suspects:
            suspect.stop()

    def abandon(self) -> None:
        """Hand back what is still held, now."""
        self._handler.runs.abandon()
        for suspect in self._suspects:
            suspect.abandon()

    async def let_go_of_lost_plans(self) -> None:
        """Let go of plans that another executor has taken over; their deliveries aren't settled.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        await self._handler.runs.let_go_of_lost_plans()
        for suspect, entry in list(self._suspects.items()):
            if await self._book.was_taken_by_another(entry):
                suspect.let_go()

    async def settle(self, delivery: PlanDelivery) -> None:
        """Settle one delivery: it is acknowledged, handed back, rejected, or let go of.

        Raises:
            nats.errors.Error: the server didn't answer; the delivery isn't settled.
            leadplan_bus.errors.BusError: the server refused something; likewise.
        """
        with contextlib.ExitStack() as place:
            entry = await self._take(delivery, place)
            if entry is None:
                await delivery.hand_back(_ROOM_AGAIN_SECONDS)
                return
            noted = _NotedDelivery(delivery, self._book, entry)
            try:
                await self._follow(entry.taken.course, noted)
            except (NatsError, BusError):
                with contextlib.suppress(NatsError):
                    await noted.note_hand_back()
                raise
            except Exception as error:
                log.exception("handling a plan failed, handing it back", message=delivery.stream_sequence)
                await noted.hand_back_after_crash(crash_of(error))

    async def _take(self, delivery: PlanDelivery, place: contextlib.ExitStack) -> Entry | None:
        """Store that the plan was taken, where it isn't the first time; None where a suspect finds no room."""
        if delivery.delivered == 1:
            return self._book.first_delivery(delivery.stream_sequence)
        has_place = False
        while True:
            entry = await self._book.look(delivery.stream_sequence)
            if entry.taken.alone and not has_place:
                if not self._quarantine.reserve_place():
                    return None
                place.callback(self._quarantine.release_place)
                has_place = True
            if await self._book.store(entry, entry.taken.entry):
                return entry

    async def _follow(self, course: Course, noted: "_NotedDelivery") -> None:
        taken = noted.entry.taken
        if course is Course.REJECT:
            await self._handler.reject_unread(noted, taken.entry.plan_id, reason(taken.entry))
        elif taken.alone:
            await self._settle_alone(noted, reason(taken.entry) if course is Course.END else None)
        elif course is Course.END:
            await self._handler.give_up(noted, reason(taken.entry))
        else:
            await self._handler.handle(noted)

    async def _settle_alone(self, noted: "_NotedDelivery", ending: str | None) -> None:
        log.warning("plan is suspected and runs in a process of its own", message=noted.stream_sequence)
        suspect = self._quarantine.suspect(noted, ending)
        self._suspects[suspect] = noted.entry
        if self._draining:
            suspect.stop()
        try:
            outcome = await suspect.settle()
        finally:
            del self._suspects[suspect]
        if suspect.plan_id is not None:
            noted.note_plan_id(suspect.plan_id)
        match outcome:
            case Acknowledged():
                await noted.ack()
            case HandedBack(seconds, survived):
                await noted.hand_back(seconds, survived=survived)
            case LetGo():
                log.info("a suspected plan is run by another executor, letting go", message=noted.stream_sequence)
            case Crashed(problem):
                log.error("a suspected plan crashed its process", message=noted.stream_sequence, problem=problem)
                await noted.hand_back_after_crash(problem)
            case _:
                assert_never(outcome)


class _NotedDelivery:
    """A delivery whose hand-back is entered in the book first, with the reason: on purpose, or because of a crash.

    Where the book says that the plan was delivered to somebody else meanwhile, it isn't handed back: that would take
    it from them. A first delivery that is handed back on purpose needs no entry.
    """

    def __init__(self, delivery: PlanDelivery, book: TakeOverBook, entry: Entry) -> None:
        self.body = delivery.body
        self.headers = delivery.headers
        self.subject = delivery.subject
        self.stream_sequence = delivery.stream_sequence
        self.submitted_as = delivery.submitted_as
        self.delivered = delivery.delivered
        self.entry = entry
        self._delivery = delivery
        self._book = book

    async def ack(self) -> None:
        await self._delivery.ack()

    async def hand_back(self, delay_seconds: float = 0.0, *, survived: bool = False) -> None:
        if await self.note_hand_back(survived=survived):
            await self._delivery.hand_back(delay_seconds)

    async def hand_back_after_crash(self, problem: str) -> None:
        crashed = after_crash(self.entry.taken.entry, problem)
        if await self._note(crashed):
            await self._delivery.hand_back(delay_seconds(crashed))

    async def note_hand_back(self, *, survived: bool = False) -> bool:
        """Whether the plan is still ours to hand back."""
        if self.entry.revision is None:
            return True
        taken = self.entry.taken
        return await self._note(after_survival(taken.entry) if survived else after_hand_back(taken.entry, taken.course))

    def note_plan_id(self, plan_id: str) -> None:
        """Have what is stored next name the plan."""
        self.entry.taken = self.entry.taken._replace(entry=with_plan_id(self.entry.taken.entry, plan_id))

    async def _note(self, now: TakeOvers) -> bool:
        if await self._book.store(self.entry, now):
            return True
        log.info("plan was delivered to another executor, letting go", message=self.stream_sequence)
        return False
