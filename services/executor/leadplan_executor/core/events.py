"""The one place where events are made."""

from typing import Any, TypeVar

from leadplan_contracts import LeadPlanEventPayload, SupervisorUserContext
from leadplan_contracts.events import PlanEvent
from leadplan_contracts.times import format_time
from leadplan_executor.core.state import PlanRun

E = TypeVar("E", bound=PlanEvent)


def emit_plan_event(
    event_type: type[E],
    *,
    plan_id: str,
    now: int,
    sequence: int | None = None,
    user: SupervisorUserContext | None = None,
    **payload: Any,
) -> E:
    """Make an event.

    Args:
        event_type: its model.
        plan_id: whose.
        now: milliseconds since 1970.
        sequence: its number in the plan's log; None for events that don't stand there.
        user: on whose behalf the plan runs.
        payload: the further fields of the model.
    """
    return event_type(plan_id=plan_id, sequence=sequence, time=format_time(now), user=user, **payload)


class EventsToStore:
    """Events that follow the state, numbered in the order in which they are to be stored."""

    def __init__(self, run: PlanRun, now: int) -> None:
        self.events: list[LeadPlanEventPayload] = []
        self._run = run
        self._now = now

    def add(self, event_type: type[E], *, user: SupervisorUserContext | None = None, **payload: Any) -> None:
        """Add the next event; its user is the plan's, without the e-mail address, unless given."""
        event = emit_plan_event(
            event_type,
            plan_id=self._run.plan_id,
            now=self._now,
            sequence=self._run.sequence + len(self.events) + 1,
            user=user or self._run.public_user,
            **payload,
        )
        self.events.append(event)  # type: ignore[arg-type]  # every concrete model is in the union
