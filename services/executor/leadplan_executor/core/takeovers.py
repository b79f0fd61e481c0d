"""Poison: what becomes of a plan that was delivered again, told from the book of its take-overs.

A plan whose handling kills its executor is delivered again and again, and takes every other plan of that executor with
it each time. Somebody must be found guilty, and nobody else. The rules:

1. *Before* anything of a plan that is delivered again is touched, its entry is read, changed by ``take_over`` and
   stored. A first delivery costs nothing.
2. A delivery that ended without a word (``lost``) proves little: the executor died of another plan, lost its machine
   or was killed by an operator. It counts only where the executor is gone. One that answers was merely cut off from
   NATS for longer than its lease. A hand-back on purpose isn't counted either.
3. After ``LOST_BEFORE_ALONE`` losses the plan is a suspect: it is run in a process of its own, with no other plan in
   it. Whatever it does there harms nobody, and an end of that process, seen by its parent, is a *crash*: proof. (One
   before the process was up says nothing of the plan.) So is an exception that the handling raises.
4. The plan is ended after ``most`` tries (losses and crashes), of which two must be proven. An innocent plan gives no
   such proof, however many guilty ones there are and in whatever order they come. It is slowed down only: a suspect
   waits for a free place among the processes for suspects.
5. A suspect that got further alone, or lasted there for a while, or has to wait for another plan, is handed back, and
   its losses are forgotten.
   Progress next to other plans changes nothing: a plan that gets a little further before each crash would go on for
   ever.
6. A suspect can take the whole machine or container with it, the parent included: then no crash is ever seen. So
   ``most`` times ``UNPROVEN_FACTOR`` losses end a plan without proof. The entry is forgotten after an hour without a
   delivery, so an innocent one would have to lose twenty executors, each within an hour of the one before, without ever
   getting a step further alone.

How often a guilty plan can crash: at most ``LOST_BEFORE_ALONE`` executors; then only its own process, until there are
``most`` tries; then ``ENDINGS`` times more, where reading its log or even its message is what crashes. After that its
message goes to the rejects without being looked at. An executor that is frozen, or behind a cut link, is gone for those
who ask: its loss is counted, which makes a suspect at worst.
"""

import math
from enum import Enum
from typing import NamedTuple

from msgspec.structs import replace

from leadplan_contracts.wire import WireModel

LOST_BEFORE_ALONE = 3
PROVEN_BEFORE_END = 2
UNPROVEN_FACTOR = 4
ENDINGS = 2
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
_NAMES_KEPT = 5
_PROBLEMS_TOLD = 3
_LONGEST_PROBLEM = 200


class Holder(WireModel, kw_only=True, frozen=True):
    """Who took a plan: an executor instance, and its id as a micro service, under which it can be asked for."""

    executor: str
    service: str


class TakeOvers(WireModel, kw_only=True, frozen=True):
    """The entry of one message of the queue.

    Attributes:
        holder: who took it last; None once that one has handed it back.
        lost: deliveries in a row that ended without a word.
        gone: executors that did so, the last few of those that are known.
        problems: what the proven crashes were, all of them.
        endings: how often ending the plan was tried.
        plan_id: the plan's id, once somebody has read it.
    """

    holder: Holder | None = None
    lost: int = 0
    gone: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    endings: int = 0
    plan_id: str | None = None

    @property
    def tries(self) -> int:
        """Times that the plan was tried in vain, proven or not."""
        return self.lost + len(self.problems)


class Course(Enum):
    """What is to be done with a delivery."""

    RUN = "run"
    END = "end"
    """Fail what hasn't ended, in the ordinary way."""
    REJECT = "reject"
    """Put the message with the rejects, unread."""


class Taken(NamedTuple):
    """An entry as it must be stored before the course is taken.

    Attributes:
        alone: in a process of its own.
    """

    entry: TakeOvers
    course: Course
    alone: bool


def take_over(before: TakeOvers | None, holder: Holder, *, holder_gone: bool, most: int) -> Taken:
    """Decide about a delivery that isn't the first.

    Args:
        before: the entry; None where there is none: the delivery before was the first one.
        holder: who takes it now.
        holder_gone: the holder in the entry doesn't answer.
        most: after how many tries the plan is ended.
    """
    if before is None:
        entry = TakeOvers(lost=1)
    elif before.holder is not None and holder_gone:
        gone = (*before.gone, before.holder.executor)[-_NAMES_KEPT:]
        entry = replace(before, lost=before.lost + 1, gone=gone)
    else:
        entry = before
    course = _course(entry, most)
    endings = entry.endings + (course is Course.END)
    alone = course is not Course.REJECT and entry.lost >= min(LOST_BEFORE_ALONE, most)
    return Taken(replace(entry, holder=holder, endings=endings), course, alone)


def _course(entry: TakeOvers, most: int) -> Course:
    proven = entry.tries >= most and len(entry.problems) >= min(PROVEN_BEFORE_END, most)
    if not proven and entry.tries < most * UNPROVEN_FACTOR:
        return Course.RUN
    return Course.END if entry.endings < ENDINGS else Course.REJECT


FIRST_DELIVERY = Taken(TakeOvers(), Course.RUN, alone=False)
"""Of a message that was never delivered before there is nothing to decide."""


def with_plan_id(entry: TakeOvers, plan_id: str) -> TakeOvers:
    """The entry with the plan's id, once somebody has read it."""
    return replace(entry, plan_id=plan_id)


def after_crash(entry: TakeOvers, problem: str) -> TakeOvers:
    """The entry after a proven crash."""
    return replace(entry, holder=None, problems=(*entry.problems, problem[:_LONGEST_PROBLEM]))


def after_hand_back(entry: TakeOvers, course: Course) -> TakeOvers:
    """The entry after the plan was handed back on purpose: as if it had not been taken."""
    return replace(entry, holder=None, endings=entry.endings - (course is Course.END))


def after_survival(entry: TakeOvers) -> TakeOvers:
    """The entry of a suspect that got further alone: suspected no more. What was proven before stays."""
    return replace(entry, holder=None, lost=0, gone=(), endings=0)


def delay_seconds(entry: TakeOvers) -> float:
    """How long to wait after a crash: 0.5 s, 1 s, 2 s … at most half a minute. No longer where it is being ended."""
    if entry.endings:
        return _FIRST_DELAY_SECONDS
    doublings = min(len(entry.problems), 20) - 1
    return min(math.ldexp(_FIRST_DELAY_SECONDS, doublings), _LONGEST_DELAY_SECONDS)


def reason(entry: TakeOvers) -> str:
    """Why a plan is ended, and what to do, for the people who sent it and those who run the executors."""
    told = []
    if entry.lost:
        names = f" ({', '.join(entry.gone)})" if entry.gone else ""
        told.append(f"{entry.lost} executors ended while they held it{names}")
    if entry.problems:
        problems = list(dict.fromkeys(entry.problems))[-_PROBLEMS_TOLD:]
        told.append(f"{len(entry.problems)} times its handling crashed ({'; '.join(problems)})")
    return (
        f"handling this plan failed {entry.tries} times: {', and '.join(told)}. The cause lies in the plan, in what a "
        "tool answered, or in the executor: look into the executors' logs before submitting it again under another id"
    )
