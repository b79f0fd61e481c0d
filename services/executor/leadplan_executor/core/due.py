"""What should be under way."""

from collections.abc import Mapping

from leadplan_executor.core.commands import Command
from leadplan_executor.core.state import PlanRun


def due(run: PlanRun) -> Mapping[int | None, Command]:
    """The commands that this state calls for: by step index, and the plan's deadline under None.

    The shell starts what is due and not under way, and stops what is under way and not due. ``evolve`` keeps the
    commands with the state, so asking costs nothing however large the plan is.
    """
    return run.commands
