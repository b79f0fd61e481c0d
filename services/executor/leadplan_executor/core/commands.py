"""What should be under way: values that ``due`` returns and the shell carries out."""

from typing import TypeAlias

from msgspec import Struct


class CallTool(Struct, frozen=True):
    """This attempt of the step should be with its tool."""

    step: int
    attempt: int


class WaitUntil(Struct, frozen=True):
    """Time itself is awaited: a step's next attempt, or the plan's deadline where ``step`` is None.

    ``at`` is in milliseconds since 1970.
    """

    step: int | None
    at: int


Command: TypeAlias = CallTool | WaitUntil
