"""Fairness between accounts, and priority: which plan gets a slot, and which lane the others wait in.

Submissions come out of the queue in the order in which they went in, so whoever wants to find the one plan of an
account behind two thousand of another must take those two thousand out first. That is what executors do: each plan is
run at once or moved to a lane. The rules:

1. Slots that are free go to whoever comes, until only the *reserve* is left. Of that, an account gets another slot
   while it has fewer than are still free (the dynamic threshold of shared buffers in network switches). So the first
   account that comes gets at most half of the reserve, the next one half of the rest, and each at least one.
2. What gets no slot waits in a lane. Which one depends on how many plans the account has in lanes already: its first
   ones go before the many that others have there.
3. An urgent plan may use the reserve however many others its account has running, and its lane comes first. Both hold
   for a few plans of an account only; further ones are sorted like any other, so that a flood of urgent plans is still
   a flood. A plan of low priority never uses the reserve, and its lane comes last.
4. Free slots are filled from the lowest lane that has plans, but every ``TURN_EVERY``-th goes to one of the others, in
   turn: nothing waits for ever.
"""

from collections.abc import Sequence
from enum import Enum, auto
from typing import NamedTuple

from leadplan_contracts.plan import PlanPriority
from leadplan_contracts.subjects import PLAN_LANES

URGENT_LANE = 0
FIRST_LANE = 1
REST_LANE = 3
LOW_LANE = PLAN_LANES - 1
URGENT_ROOM = 32
"""So many plans of an account may be in the urgent lane; more wait as if they weren't urgent."""
LANE_ROOM = {FIRST_LANE: 32, FIRST_LANE + 1: 256}
"""So many plans of an account each lane takes before the next one is used; the one behind these takes the rest."""
TURN_EVERY = 8


class Slots(NamedTuple):
    """How many plans an executor runs at once.

    Attributes:
        total: all of them.
        reserved: the last ones, which only urgent plans and accounts with few running ones may use.
    """

    total: int
    reserved: int


def slots(total: int, reserved_percent: int) -> Slots:
    """The slots of an executor; with fewer than ``100 / reserved_percent`` there is no reserve."""
    return Slots(total, total * reserved_percent // 100)


class Applicant(NamedTuple):
    """What is asked of a plan to find its place.

    Attributes:
        account: stands for whose it is.
        movable: whether it may wait in a lane. Not one that may have begun, for its message holds it.
    """

    account: str
    priority: PlanPriority
    movable: bool


class Load(NamedTuple):
    """How busy an executor is when a plan comes.

    Attributes:
        free: slots that are neither taken nor asked for.
        others_wait: whether plans wait in lanes, as far as is known.
        of_account: running plans of the account that aren't urgent.
        urgent_of_account: those that are.
    """

    free: int
    others_wait: bool
    of_account: int
    urgent_of_account: int


class Place(Enum):
    """Where a plan goes that came out of the queue."""

    SLOT = auto()
    LANE = auto()
    NEXT_SLOT = auto()
    """It can't be moved, and no slot is free."""


def find_place(applicant: Applicant, load: Load, slots: Slots) -> Place:
    """Decide about a plan that came out of the queue."""
    if not applicant.movable:
        return Place.SLOT if load.free > 0 else Place.NEXT_SLOT
    if _may_use_reserve(applicant, load):
        return Place.SLOT
    if load.free > slots.reserved and not load.others_wait:
        return Place.SLOT
    return Place.LANE


def _may_use_reserve(applicant: Applicant, load: Load) -> bool:
    match applicant.priority:
        case PlanPriority.URGENT:
            return load.urgent_of_account < load.free
        case PlanPriority.NORMAL:
            return load.of_account < load.free
        case PlanPriority.LOW:
            return False


def find_lane(priority: PlanPriority, in_lanes: Sequence[int]) -> int:
    """The lane in which a plan waits.

    Args:
        priority: the plan's.
        in_lanes: how many plans of its account each lane has. Those that run and came from a lane are counted: their
            messages lie there until they have ended.
    """
    if priority is PlanPriority.LOW:
        return LOW_LANE
    if priority is PlanPriority.URGENT and in_lanes[URGENT_LANE] < URGENT_ROOM:
        return URGENT_LANE
    # All are counted, not those of the one lane: else an account's new plans would go before its older ones.
    waiting = sum(in_lanes[FIRST_LANE : REST_LANE + 1])
    for lane, room in LANE_ROOM.items():
        if waiting < room:
            return lane
        waiting -= room
    return REST_LANE


def fits(lane: int, free: int, slots: Slots) -> bool:
    """Whether a plan from a lane may have one of so many free slots."""
    return free > (0 if lane == URGENT_LANE else slots.reserved)


class Shares(NamedTuple):
    """How many plans to take from each lane, and the turn after that."""

    of_lanes: tuple[int, ...]
    turn: int


def share_out(free: int, waiting: Sequence[int], slots: Slots, turn: int) -> Shares:
    """Share free slots out among the lanes.

    Args:
        free: how many there are, the reserve included.
        waiting: how many plans each lane has, as far as is known.
        slots: all there are.
        turn: counts the slots that were shared out so far.
    """
    left, shares = list(waiting), [0] * len(waiting)
    for remaining in range(free, 0, -1):
        lanes = [lane for lane, count in enumerate(left) if count > 0 and fits(lane, remaining, slots)]
        if not lanes:
            break
        lane = _whose_turn(lanes, turn)
        left[lane] -= 1
        shares[lane] += 1
        turn += 1
    return Shares(tuple(shares), turn)


def _whose_turn(lanes: Sequence[int], turn: int) -> int:
    """One of the lanes that have plans, lowest first."""
    first, *others = lanes
    rounds, place = divmod(turn, TURN_EVERY)
    return others[rounds % len(others)] if others and place == TURN_EVERY - 1 else first
