"""What becomes of a wake message: whether its plan is taken up because of it, and what is asked of the plan first.

A plan is held by one message of the queue, and its log says by which. A wake message counts for what it was written
for: the plan as it stood after its event ``after``. It also counts when it holds the plan already, because its executor
died.
"""

from typing import NamedTuple, TypeAlias

from leadplan_contracts.control import ControlRequest
from leadplan_executor.core.control import Granted, NewHolder, Verdict, judge_control
from leadplan_executor.core.inputs import Input, TakenOver
from leadplan_executor.core.state import PlanRun


class Void(NamedTuple):
    """Nothing is to be done; ``verdict`` answers what was asked for, None where the plan has moved on."""

    verdict: Verdict | None = None


class TakeUp(NamedTuple):
    """The plan is taken up with these inputs; ``verdict`` is the one that was granted, None where nothing was asked."""

    inputs: tuple[Input, ...]
    verdict: Granted | None = None


class TakeOver(NamedTuple):
    """The plan goes on where its executor left it; ``verdict`` answers what was asked for, None where nothing was."""

    taken: TakenOver
    verdict: Verdict | None = None


Course: TypeAlias = Void | TakeUp | TakeOver


class Woken(NamedTuple):
    """A wake message and who has it.

    Attributes:
        after: stream sequence of the plan's last event when it was written.
        request: what is asked for, if anything.
        taken: what would be fed to the plan to take it up.
    """

    after: int
    request: ControlRequest | None
    taken: TakenOver


def course_of(run: PlanRun, last_stored: int, woken: Woken) -> Course:
    """Decide about a wake message.

    Args:
        run: the plan's state.
        last_stored: stream sequence of the plan's last event.
        woken: the message.
    """
    held = run.message == woken.taken.message
    if not held and last_stored != woken.after:
        return Void()
    verdict = None
    if woken.request is not None:
        verdict = judge_control(run, woken.request, NewHolder(woken.taken.executor, woken.taken.message))
    if isinstance(verdict, Granted):
        return TakeUp(verdict.inputs if run.completed else (woken.taken, *verdict.inputs), verdict)
    if held:
        return TakeOver(woken.taken, verdict)
    if verdict is not None or run.completed:
        return Void(verdict)
    return TakeUp((woken.taken,))
