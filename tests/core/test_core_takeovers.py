"""Poison: every guilty plan ends after a bounded number of crashes, and no innocent one ever ends as guilty."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from core_strategies import BOUNDED
from hypothesis import given
from hypothesis import strategies as st

from leadplan_contracts.wire import encode
from leadplan_executor.core.takeovers import (
    ENDINGS,
    LOST_BEFORE_ALONE,
    UNPROVEN_FACTOR,
    Course,
    Holder,
    Taken,
    TakeOvers,
    after_crash,
    after_hand_back,
    after_survival,
    delay_seconds,
    reason,
    take_over,
)

MOST = 5


def holder(name: str) -> Holder:
    return Holder(executor=name, service=f"service-of-{name}")


def take(before: TakeOvers | None, name: str = "me", *, gone: bool = True, most: int = MOST) -> Taken:
    return take_over(before, holder(name), holder_gone=gone, most=most)


def lose(times: int, most: int = MOST) -> Taken:
    taken = take(None, most=most)
    for number in range(times - 1):
        taken = take(taken.entry, f"executor-{number}", most=most)
    return taken


# --- single decisions


def test_the_first_delivery_counts_as_lost_for_nobody_knows_what_became_of_it():
    taken = take(None)
    assert (taken.entry.lost, taken.entry.holder, taken.course, taken.alone) == (1, holder("me"), Course.RUN, False)


def test_a_holder_who_answers_lost_nothing():
    taken = take(take(None, "other").entry, gone=False)
    assert taken.entry.lost == 1
    assert taken.entry.holder == holder("me")


def test_a_hand_back_on_purpose_is_not_counted_and_neither_is_its_ending():
    taken = take(None)
    for _ in range(20):
        taken = take(after_hand_back(taken.entry, taken.course))
    assert (taken.entry.lost, taken.course) == (1, Course.RUN)
    ending = take(TakeOvers(problems=("a",) * MOST))
    assert (ending.course, ending.entry.endings) == (Course.END, 1)
    assert after_hand_back(ending.entry, ending.course).endings == 0


@pytest.mark.parametrize("lost", range(1, LOST_BEFORE_ALONE + 2))
def test_a_plan_that_lost_so_many_runs_alone(lost):
    assert lose(lost).alone == (lost >= LOST_BEFORE_ALONE)


def test_losses_alone_end_a_plan_only_after_many():
    assert lose(MOST * UNPROVEN_FACTOR - 1).course is Course.RUN
    assert lose(MOST * UNPROVEN_FACTOR).course is Course.END


@pytest.mark.parametrize(("lost", "proven", "course"), [(3, 1, Course.RUN), (3, 2, Course.END), (0, 4, Course.RUN)])
def test_so_many_tries_of_which_two_are_proven_end_a_plan(lost, proven, course):
    entry = TakeOvers(lost=lost, problems=("ended by SIGSEGV",) * proven)
    assert take(entry).course is course


def test_one_try_is_enough_where_the_setting_says_so():
    taken = take(None, most=1)
    assert (taken.course, taken.alone) == (Course.RUN, True)
    assert take(after_crash(taken.entry, "SIGSEGV"), most=1).course is Course.END


def test_a_plan_that_crashes_whoever_ends_it_is_rejected_unread_and_not_alone():
    entry, courses = TakeOvers(lost=3, problems=("a", "b")), []
    for _ in range(ENDINGS + 1):
        taken = take(entry)
        courses.append(taken.course)
        entry = after_crash(taken.entry, "again")
    assert courses == [Course.END] * ENDINGS + [Course.REJECT]
    assert not taken.alone


def test_survival_forgets_losses_and_keeps_what_was_proven():
    entry = after_survival(after_crash(lose(4).entry, "SIGSEGV"))
    assert (entry.lost, entry.gone, entry.problems, entry.holder) == (0, (), ("SIGSEGV",), None)
    assert not take(entry).alone


def test_delays_grow_up_to_half_a_minute():
    entry, delays = TakeOvers(), []
    for _ in range(8):
        entry = after_crash(entry, "x")
        delays.append(delay_seconds(entry))
    assert delays == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert delay_seconds(after_crash(TakeOvers(problems=("x",) * 9, endings=1), "x")) == 0.5


def test_the_reason_says_how_often_who_and_what_to_do():
    entry = after_crash(after_crash(lose(4).entry, "its process was ended by SIGSEGV"), "it hung")
    text = reason(entry)
    for words in (
        "6 times",
        "4 executors",
        "executor-1",
        "2 times",
        "SIGSEGV; it hung",
        "look into the executors' logs",
    ):
        assert words in text


def test_the_reason_names_a_problem_once_and_losses_only_where_there_are_any():
    text = reason(TakeOvers(problems=("boom",) * 3))
    assert text.count("boom") == 1
    assert "ended while" not in text


def test_what_is_told_and_stored_stays_short_however_many_tries_there_were():
    entry = TakeOvers()
    for number in range(1_000):
        entry = after_crash(entry, f"problem {number} " + "x" * 10_000)
    text = reason(entry)
    assert "problem 999" in text
    assert len(text) < 1_500
    assert len(encode(entry)) < 256 * 1024


# --- a fleet


@dataclass
class Message:
    """A plan's message: guilty ones crash whatever holds them, innocent ones end when their tool answers."""

    guilty: bool
    bad_log: bool
    delivered: int = 0
    held_by: int | None = None
    alone: bool = False
    course: Course = Course.RUN
    done: str | None = None
    killed: int = 0


@dataclass
class Fleet:
    """Executors, a queue and the book, without time: what happens next is drawn."""

    messages: list[Message]
    executors: int
    book: dict[int, TakeOvers] = field(default_factory=dict)
    generation: Counter = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)

    def name(self, executor: int) -> str:
        return f"e{executor}.{self.generation[executor]}"

    def deliver(self, number: int, executor: int) -> None:
        message = self.messages[number]
        if message.done is not None or message.held_by is not None:
            return
        message.delivered += 1
        message.held_by, message.alone, message.course = executor, False, Course.RUN
        if message.delivered > 1:
            before = self.book.get(number)
            gone = before is not None and before.holder is not None and before.holder.executor in self.gone
            taken = take_over(before, holder(self.name(executor)), holder_gone=gone, most=MOST)
            self.book[number] = taken.entry
            message.alone, message.course = taken.alone, taken.course
        if message.course is Course.REJECT:
            message.done = "rejected"

    def act(self, number: int) -> None:
        """Handling the message comes to where it crashes, or its tool answers."""
        message = self.messages[number]
        if message.done is not None or message.held_by is None:
            return
        crashes = message.guilty and (message.course is Course.RUN or message.bad_log)
        if not crashes:
            self._come_through(number, message)
        elif message.alone:
            message.killed += 1
            self.book[number] = after_crash(self.book[number], "SIGSEGV")
            message.held_by = None
        else:
            message.killed += 1
            self.kill(message.held_by)

    def _come_through(self, number: int, message: Message) -> None:
        if message.course is Course.END:
            message.done = "ended"
        elif message.alone:
            self.book[number] = after_survival(self.book[number])
            message.held_by = None
        else:
            message.done = "succeeded"

    def kill(self, executor: int) -> None:
        """The executor dies with all that it holds, its suspects' processes included; another one takes its place."""
        self.gone.add(self.name(executor))
        self.generation[executor] += 1
        for message in self.messages:
            if message.held_by == executor:
                message.held_by = None

    def cut_off(self, executor: int) -> None:
        """Its leases run out and it lives on: the queue hands its plans to others."""
        for message in self.messages:
            if message.held_by == executor:
                message.held_by = None

    def drain(self, executor: int) -> None:
        for number, message in enumerate(self.messages):
            if message.held_by == executor and message.done is None:
                if number in self.book:
                    self.book[number] = after_hand_back(self.book[number], message.course)
                message.held_by = None
        self.gone.add(self.name(executor))
        self.generation[executor] += 1


_message = st.builds(Message, guilty=st.sampled_from([False] * 3 + [True]), bad_log=st.booleans())
_happenings = st.sampled_from(["deliver"] * 8 + ["act"] * 6 + ["cut_off", "drain"])


@BOUNDED
@given(st.data())
def test_the_guilty_end_and_the_innocent_never_do(data):
    guilty_at_most = UNPROVEN_FACTOR * MOST // (LOST_BEFORE_ALONE + 1)
    messages = data.draw(
        st.lists(_message, min_size=2, max_size=12).filter(lambda ms: sum(m.guilty for m in ms) <= guilty_at_most)
    )
    fleet = Fleet(messages, data.draw(st.integers(1, 3)))
    numbers = st.integers(0, len(messages) - 1)
    executors = st.integers(0, fleet.executors - 1)
    for happening in data.draw(st.lists(_happenings, max_size=120)):
        if happening == "deliver":
            fleet.deliver(data.draw(numbers), data.draw(executors))
        elif happening == "act":
            fleet.act(data.draw(numbers))
        else:
            getattr(fleet, happening)(data.draw(executors))
    _to_the_end(fleet)
    for message in messages:
        if message.guilty:
            assert message.done == ("rejected" if message.bad_log else "ended")
            assert message.killed <= LOST_BEFORE_ALONE + MOST + ENDINGS
        else:
            assert message.done == "succeeded"


def _to_the_end(fleet: Fleet) -> None:
    """The worst order: everything is delivered to the same executors, and the guilty act first."""
    order = sorted(range(len(fleet.messages)), key=lambda number: not fleet.messages[number].guilty)
    for round_number in range(200):
        for number in reversed(order):
            fleet.deliver(number, (number + round_number) % fleet.executors)
        for number in order:
            fleet.act(number)
        if all(message.done for message in fleet.messages):
            return
    raise AssertionError(f"it doesn't end: {fleet.messages} {fleet.book}")


@pytest.mark.parametrize("count", range(1, 7))
def test_guilty_plans_that_come_one_after_the_other_never_convict_the_innocent_one_in_a_single_executor(count):
    fleet = Fleet([Message(guilty=False, bad_log=False)], 1)
    for _ in range(count):
        fleet.messages.append(Message(guilty=True, bad_log=False))
        for _ in range(LOST_BEFORE_ALONE):
            fleet.deliver(0, 0)
            fleet.deliver(len(fleet.messages) - 1, 0)
            fleet.act(len(fleet.messages) - 1)
    _to_the_end(fleet)
    assert fleet.messages[0].done == "succeeded"
    assert {message.done for message in fleet.messages[1:]} == {"ended"}
