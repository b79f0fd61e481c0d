"""Taking new plans so that no account waits for the flood of another: the rules are in ``core.lanes``.

Plans are pulled from the queue whether or not slots are free, and each is run, or moved to a lane, at once. Slots that
are left are filled from the lanes. A plan that must not be moved waits in hand where no slot is free.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeAlias

from nats.aio.client import Client

from leadplan_contracts import subjects
from leadplan_executor.core.lanes import URGENT_LANE, Applicant, Load, Place, Slots, find_place, fits
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.intake import PlanIntake
from leadplan_executor.lane_moves import LaneMover
from leadplan_executor.lane_pulls import LanePulls
from leadplan_executor.pulls import Delivery
from leadplan_executor.slot_holders import SlotHolders
from leadplan_executor.slot_queue import Call, SlotQueue, Waiting
from leadplan_executor.submission_outline import applicant_in_lane, read_applicant

SORTED_AT_ONCE = 256
"""So many plans may be on their way to lanes."""
_HANDS_FULL_SECONDS = 1.0

Work: TypeAlias = Callable[[PlanDelivery], Awaitable[None]]
Hold: TypeAlias = Callable[[Delivery, Work, Callable[[], None]], None]
"""Does some work on a delivery, renews its lease meanwhile, hands it back where the work fails, and then calls what is
to be called in any case."""


class FairIntake:
    """Takes new plans, and those in lanes, as one executor.

    Args:
        nc: the connection.
        slots: how many plans it runs at once.
        settle: runs a plan.
        hold: see ``Hold``.
        mover: moves plans to lanes.
        lease_seconds: tells how long a lease is now.
        on_trouble: called when the queue refuses, for a consumer may be gone.
    """

    def __init__(
        self,
        nc: Client,
        slots: Slots,
        *,
        settle: Work,
        hold: Hold,
        mover: LaneMover,
        lease_seconds: Callable[[], float],
        on_trouble: Callable[[], None],
    ) -> None:
        self._nc = nc
        self._slots = slots
        self._settle = settle
        self._hold = hold
        self._mover = mover
        self._running = SlotHolders()
        self._in_hand = SlotQueue()
        self._new_plans = PlanIntake(
            nc,
            SORTED_AT_ONCE,
            self._sort,
            consumer=subjects.EXECUTORS_CONSUMER,
            lease_seconds=lease_seconds,
            on_trouble=on_trouble,
        )
        self._lanes = LanePulls(
            nc,
            slots,
            running=lambda: self._running.total,
            take=self._take_from_lane,
            lease_seconds=lease_seconds,
            on_trouble=on_trouble,
        )

    async def sort_new_plans(self) -> None:
        """Take new plans until stopped."""
        await self._new_plans.run()

    async def fill_slots(self) -> None:
        """Take plans from the lanes until stopped."""
        await self._lanes.run()

    async def stop(self) -> None:
        """Take no more plans, and hand back those that wait in hand."""
        try:
            await asyncio.gather(self._new_plans.stop(), self._lanes.stop())
        finally:
            self._in_hand.dismiss(Call.HAND_BACK)

    def let_go_of_waiting(self) -> None:
        """Forget the plans that wait in hand: others may have been given them."""
        self._in_hand.dismiss(Call.LET_GO)

    def _sort(self, delivery: Delivery, release: Callable[[], None]) -> None:
        plan = read_applicant(delivery, self._nc.max_payload)
        if delivery.delivered > 1 and plan.movable:
            self._hold(delivery, partial(self._sort_again, delivery, plan, release), _nothing)
            return
        place = self._find_place(plan)
        if place is Place.LANE:
            self._hold(delivery, partial(self._move, delivery, plan), release)
        else:
            release()
            self._run(delivery, plan, URGENT_LANE, has_slot=place is Place.SLOT)

    async def _sort_again(
        self, delivery: Delivery, plan: Applicant, release: Callable[[], None], taken: PlanDelivery
    ) -> None:
        """Find the place of a plan that was delivered before: it may have begun, and is held by its message then.

        One that hasn't is sorted like any other. When an executor dies in the middle of a flood, hundreds come back.
        """
        try:
            if await self._mover.has_begun(delivery):
                plan = plan._replace(movable=False)
            place = self._find_place(plan)
            if place is Place.LANE:
                await self._move(delivery, plan, taken)
                return
        finally:
            release()
        if place is Place.SLOT:
            self._running.add(plan)
            await self._settle_in_slot(plan, taken)
        else:
            await self._wait_in_hand(plan, URGENT_LANE, taken)

    def _find_place(self, plan: Applicant) -> Place:
        load = Load(
            free=self._lanes.free,
            others_wait=bool(self._in_hand) or self._lanes.have_plans,
            of_account=self._running.normal_of(plan.account),
            urgent_of_account=self._running.urgent_of(plan.account),
        )
        return find_place(plan, load, self._slots)

    async def _move(self, delivery: Delivery, plan: Applicant, _: PlanDelivery) -> None:
        lane = await self._mover.move(delivery, plan)
        if lane is not None:
            self._lanes.note_plan_in(lane)

    def _take_from_lane(self, lane: int, delivery: Delivery) -> None:
        plan = applicant_in_lane(delivery.subject)
        self._run(delivery, plan, lane, has_slot=fits(lane, self._lanes.free, self._slots))

    def _run(self, delivery: Delivery, plan: Applicant, lane: int, *, has_slot: bool) -> None:
        """Run a plan, now or as soon as there is a slot for it."""
        if has_slot:
            self._running.add(plan)
            self._hold(delivery, partial(self._settle_in_slot, plan), _nothing)
        else:
            self._hold(delivery, partial(self._wait_in_hand, plan, lane), _nothing)

    async def _wait_in_hand(self, plan: Applicant, lane: int, delivery: PlanDelivery) -> None:
        if len(self._in_hand) >= self._slots.total:
            await delivery.hand_back(_HANDS_FULL_SECONDS)
            return
        waiting = Waiting(plan, lane)
        self._in_hand.add(waiting)
        match await self._in_hand.wait(waiting):
            case Call.SLOT:
                await self._settle_in_slot(plan, delivery)
            case Call.HAND_BACK:
                await delivery.hand_back()
            case Call.LET_GO:
                pass

    async def _settle_in_slot(self, plan: Applicant, delivery: PlanDelivery) -> None:
        try:
            await self._settle(delivery)
        finally:
            self._release(plan)

    def _release(self, plan: Applicant) -> None:
        self._running.remove(plan)
        while (waiting := self._in_hand.first()) is not None and fits(waiting.lane, self._lanes.free, self._slots):
            self._in_hand.give_slot(waiting)
            self._running.add(waiting.plan)
        self._lanes.look()


def _nothing() -> None:
    """What is to be called where nothing is."""
