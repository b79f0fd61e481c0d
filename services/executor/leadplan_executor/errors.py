"""Errors of the executor's shell.

ExecutorError
├── FenceLostError           another executor appended to the plan: let go of it
└── EventTooLargeError       an event is over the server's message limit

What the server itself lacks is told by ``leadplan_bus.errors``.
"""


class ExecutorError(Exception):
    """Base of the errors that the executor's shell raises."""


class FenceLostError(ExecutorError):
    """An append was refused because somebody else appended first.

    Attributes:
        by: the executor instance that did, or None where it can't be seen.
    """

    def __init__(self, plan_id: str, by: str | None) -> None:
        self.plan_id = plan_id
        self.by = by
        super().__init__(f"plan {plan_id} is run by {by or 'another executor'} now")


class EventTooLargeError(ExecutorError):
    """An event doesn't fit into one message of this server."""

    def __init__(self, plan_id: str, size: int, limit: int) -> None:
        super().__init__(f"an event of plan {plan_id} has {size} bytes; the server takes {limit}")
