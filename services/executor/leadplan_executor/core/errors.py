"""Errors of the core. They mean that a log holds what no executor writes: the developers must act.

CoreError
├── IllegalTransitionError    an event that the state doesn't allow
└── SequenceGapError          an event that isn't the next one
"""


class CoreError(Exception):
    """Base of the core's errors."""


class IllegalTransitionError(CoreError):
    """An event doesn't fit the state; the message names state, event and step."""

    def __init__(self, state: str, event: str, plan_id: str, step_id: str | None = None) -> None:
        self.state = state
        self.event = event
        where = f"step {step_id!r} of plan {plan_id!r}" if step_id is not None else f"plan {plan_id!r}"
        super().__init__(f"{event} can't follow state {state} of {where}")


class SequenceGapError(CoreError):
    """An event's ``sequence`` isn't the one after the last."""

    def __init__(self, plan_id: str, last: int, found: int | None) -> None:
        super().__init__(f"the log of plan {plan_id!r} goes from sequence {last} to {found}")
