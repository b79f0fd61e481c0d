"""Which plan gets a slot, which lane the others wait in, and how free slots are shared out."""

from collections import Counter, deque
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from leadplan_contracts.plan import PlanPriority
from leadplan_contracts.subjects import PLAN_LANES
from leadplan_executor.core.lanes import (
    FIRST_LANE,
    LANE_ROOM,
    LOW_LANE,
    REST_LANE,
    TURN_EVERY,
    URGENT_LANE,
    URGENT_ROOM,
    Applicant,
    Load,
    Place,
    Slots,
    find_lane,
    find_place,
    fits,
    share_out,
    slots,
)

NORMAL, URGENT, LOW = PlanPriority.NORMAL, PlanPriority.URGENT, PlanPriority.LOW
any_slots = st.builds(slots, st.integers(1, 2_000), st.integers(0, 90))
counts = st.lists(st.integers(0, 400), min_size=PLAN_LANES, max_size=PLAN_LANES)
loads = st.builds(Load, st.integers(-5, 600), st.booleans(), st.integers(0, 600), st.integers(0, 600))
applicants = st.builds(Applicant, st.just("a"), st.sampled_from(PlanPriority), st.booleans())


def test_slots_of_small_and_large_executors() -> None:
    assert slots(512, 25) == Slots(total=512, reserved=128)
    assert slots(1, 25) == Slots(total=1, reserved=0)
    assert slots(4, 25) == Slots(total=4, reserved=1)
    assert slots(512, 0).reserved == 0


@given(applicants, loads, any_slots)
def test_nothing_runs_without_a_slot_and_nothing_is_moved_that_must_stay(
    applicant: Applicant, load: Load, all_slots: Slots
) -> None:
    place = find_place(applicant, load, all_slots)
    if place is Place.SLOT:
        assert load.free > 0
    if not applicant.movable:
        assert place is (Place.SLOT if load.free > 0 else Place.NEXT_SLOT)
    else:
        assert place is not Place.NEXT_SLOT


@given(loads, any_slots)
def test_only_few_plans_of_an_account_get_into_the_reserve(load: Load, all_slots: Slots) -> None:
    reserve_only = load._replace(free=min(load.free, all_slots.reserved))
    normal, urgent, low = (
        find_place(Applicant("a", priority, movable=True), reserve_only, all_slots) is Place.SLOT
        for priority in (NORMAL, URGENT, LOW)
    )
    assert normal == (load.of_account < reserve_only.free)
    assert urgent == (load.urgent_of_account < reserve_only.free)
    assert not low


@given(st.integers(4, 1_000), st.integers(1, 8))
def test_no_account_takes_more_than_half_of_what_is_left_of_the_reserve(total: int, accounts: int) -> None:
    all_slots = slots(total, 25)
    free = all_slots.reserved
    for _ in range(accounts):
        before, running = free, 0
        while find_place(Applicant("a", NORMAL, movable=True), Load(free, True, running, 0), all_slots) is Place.SLOT:
            free, running = free - 1, running + 1
        assert running == (before + 1) // 2


@given(st.integers(1, 600), any_slots)
def test_an_account_with_nothing_running_gets_any_free_slot(free: int, all_slots: Slots) -> None:
    for priority in (NORMAL, URGENT):
        load = Load(free, others_wait=True, of_account=0, urgent_of_account=0)
        assert find_place(Applicant("a", priority, movable=True), load, all_slots) is Place.SLOT


@given(applicants, st.integers(0, 600), any_slots)
def test_an_executor_that_has_room_moves_nothing(applicant: Applicant, of_account: int, all_slots: Slots) -> None:
    load = Load(all_slots.reserved + 1, others_wait=False, of_account=of_account, urgent_of_account=of_account)
    assert find_place(applicant, load, all_slots) is Place.SLOT


def test_a_plan_doesnt_overtake_those_in_lanes_unless_its_account_has_few() -> None:
    load = Load(free=100, others_wait=True, of_account=100, urgent_of_account=0)
    assert find_place(Applicant("a", NORMAL, movable=True), load, slots(512, 25)) is Place.LANE
    assert find_place(Applicant("a", LOW, movable=True), load._replace(of_account=0), slots(512, 25)) is Place.LANE
    assert find_place(Applicant("a", NORMAL, movable=True), load._replace(of_account=99), slots(512, 25)) is Place.SLOT


@given(st.sampled_from(PlanPriority), counts)
def test_every_plan_has_a_lane(priority: PlanPriority, in_lanes: Sequence[int]) -> None:
    lane = find_lane(priority, in_lanes)
    assert 0 <= lane < PLAN_LANES
    assert (lane == LOW_LANE) == (priority is LOW)
    assert (lane == URGENT_LANE) == (priority is URGENT and in_lanes[URGENT_LANE] < URGENT_ROOM)


@given(counts, st.integers(FIRST_LANE, REST_LANE))
def test_the_more_an_account_has_in_lanes_the_further_back_it_waits(in_lanes: list[int], lane: int) -> None:
    more = [count + (number == lane) for number, count in enumerate(in_lanes)]
    assert find_lane(NORMAL, more) >= find_lane(NORMAL, in_lanes)


def test_a_flood_fills_lane_after_lane() -> None:
    in_lanes = [0] * PLAN_LANES
    for _ in range(2_000):
        in_lanes[find_lane(NORMAL, in_lanes)] += 1
    first, second = LANE_ROOM.values()
    assert in_lanes == [0, first, second, 2_000 - first - second, 0]
    for _ in range(100):
        in_lanes[find_lane(URGENT, in_lanes)] += 1
    assert in_lanes[URGENT_LANE] == URGENT_ROOM
    assert in_lanes[REST_LANE] == 2_000 - first - second + 100 - URGENT_ROOM


@given(st.integers(-3, 600), counts, any_slots, st.integers(0, 100))
def test_no_more_is_shared_out_than_there_is(free: int, waiting: list[int], all_slots: Slots, turn: int) -> None:
    shares, next_turn = share_out(free, waiting, all_slots, turn)
    assert next_turn == turn + sum(shares)
    assert sum(shares) <= max(0, free)
    assert all(share <= count for share, count in zip(shares, waiting, strict=True))
    # Each slot of the reserve that was given went to the urgent lane.
    ordinary = sum(shares) - shares[URGENT_LANE]
    assert ordinary <= max(0, free - all_slots.reserved)


@given(st.integers(-3, 600), counts, any_slots, st.integers(0, 100))
def test_no_slot_stays_free_while_a_plan_may_have_it(
    free: int, waiting: list[int], all_slots: Slots, turn: int
) -> None:
    shares, _ = share_out(free, waiting, all_slots, turn)
    remaining = free - sum(shares)
    for lane, (share, count) in enumerate(zip(shares, waiting, strict=True)):
        assert share == count or not fits(lane, remaining, all_slots)


@given(st.sets(st.integers(0, PLAN_LANES - 1), min_size=1), st.integers(1, 20), st.integers(0, 1_000))
def test_no_lane_starves(busy: set[int], at_a_time: int, turn: int) -> None:
    waiting = [10**6 if lane in busy else 0 for lane in range(PLAN_LANES)]
    got: Counter[int] = Counter()
    for _ in range(4 * PLAN_LANES * TURN_EVERY):
        shares, turn = share_out(at_a_time, waiting, slots(at_a_time, 0), turn)
        got.update(dict(enumerate(shares)))
    taken = sum(got.values())
    lowest, *others = sorted(busy)
    assert got[lowest] >= taken * (TURN_EVERY - 1) // TURN_EVERY
    for lane in others:
        assert got[lane] >= taken // (TURN_EVERY * len(others)) - 1


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(PlanPriority)), max_size=300), st.integers(1, 40))
def test_every_plan_runs_in_the_end_and_no_slot_is_used_twice(
    later: list[tuple[str, PlanPriority]], total: int
) -> None:
    """A whole executor, played: plans come while others run, and each one ends after the same time."""
    model = _Executor(slots(total, 25))
    coming = deque([("flood", NORMAL)] * 300 + later)
    ran = 0
    while coming or model.busy:
        for _ in range(min(20, len(coming))):
            model.come(*coming.popleft())
        model.fill()
        assert len(model.running) <= total
        ran += model.end_oldest()
    assert ran == 300 + len(later)


class _Executor:
    def __init__(self, all_slots: Slots) -> None:
        self.slots = all_slots
        self.lanes: list[deque[tuple[str, PlanPriority]]] = [deque() for _ in range(PLAN_LANES)]
        self.running: deque[tuple[str, PlanPriority]] = deque()
        self.turn = 0

    @property
    def busy(self) -> bool:
        return bool(self.running or any(self.lanes))

    def come(self, account: str, priority: PlanPriority) -> None:
        free = self.slots.total - len(self.running)
        mine = [urgency is URGENT for whose, urgency in self.running if whose == account]
        load = Load(free, any(self.lanes), len(mine) - sum(mine), sum(mine))
        if find_place(Applicant(account, priority, movable=True), load, self.slots) is Place.SLOT:
            self.running.append((account, priority))
            return
        in_lanes = [sum(whose == account for whose, _ in lane) for lane in self.lanes]
        self.lanes[find_lane(priority, in_lanes)].append((account, priority))

    def fill(self) -> None:
        free = self.slots.total - len(self.running)
        shares, self.turn = share_out(free, [len(lane) for lane in self.lanes], self.slots, self.turn)
        for lane, share in zip(self.lanes, shares, strict=True):
            self.running.extend(lane.popleft() for _ in range(share))

    def end_oldest(self) -> int:
        ended = min(len(self.running), 7)
        for _ in range(ended):
            self.running.popleft()
        return ended
