"""Which requests may go out together with the event that begins their attempt, in place of behind it."""

from leadplan_contracts.events import StepStarted
from leadplan_executor.core.state import PlanRun


def may_be_called_early(run: PlanRun, begins: StepStarted, *, changes_nothing: bool) -> bool:
    """Whether the tool may be called while the event is being stored.

    Should the event be refused, because another executor has the plan by now, a tool was called for nothing. Nobody
    can tell where it only reads. A step that has a deadline of its own isn't called early: its time begins with the
    event, and the request says when it ends. Neither is a step that must never run twice, whatever its tool says.

    Args:
        run: the state before the event.
        begins: the event.
        changes_nothing: all responders of the tool say that it has no effects (``effects`` is ``none``).
    """
    step = run.steps[run.index_of[begins.step.id]].step
    return changes_nothing and not step.at_most_once and step.deadline_ms is None
