"""Which requests may go out together with the event that begins their attempt, in place of behind it."""

from leadplan_contracts.events import StepStarted
from leadplan_executor.core.state import PlanRun

_MANY_APPENDS = 8


def may_be_called_early(run: PlanRun, begins: StepStarted, *, changes_nothing: bool, appending: int) -> bool:
    """Whether the tool may be called while the event is being stored.

    Should the event be refused, because another executor has the plan by now, a tool was called for nothing. Nobody
    can tell where it only reads. A step that has a deadline of its own isn't called early: its time begins with the
    event, and the request says when it ends. Neither is a step that must never run twice, whatever its tool says.

    With much else to do meanwhile the wait costs nothing, and a reply that must wait for the append does.

    Args:
        run: the state before the event.
        begins: the event.
        changes_nothing: all responders of the tool say that it has no effects (``effects`` is ``none``).
        appending: how many events of any plans are being stored now.
    """
    if not changes_nothing or appending >= _MANY_APPENDS:
        return False
    step = run.steps[run.index_of[begins.step.id]].step
    return not step.at_most_once and step.deadline_ms is None
