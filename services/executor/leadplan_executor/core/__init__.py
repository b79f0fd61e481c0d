"""The pure core: what a plan's state is, what an input means, and what should be under way.

    evolve(run, event)       folds one stored event into the state
    decide(run, input, now)  says which events an input leads to
    due(run)                 says what should be under way in this state

A fresh plan and one that is resumed after a crash go through the same three functions. Nothing here reads a clock,
draws a random number or touches the network: ``now`` (milliseconds since 1970) and randomness are inputs.
"""

from leadplan_executor.core.commands import CallTool, Command, WaitUntil
from leadplan_executor.core.decide import decide
from leadplan_executor.core.due import due
from leadplan_executor.core.evolve import evolve
from leadplan_executor.core.inputs import (
    Approve,
    AttemptEnded,
    Cancel,
    Deny,
    GivenUp,
    Input,
    Pause,
    PlanSubmitted,
    Proceed,
    Retry,
    TakenOver,
    Unpause,
)
from leadplan_executor.core.state import PlanRun

__all__ = [
    "Approve",
    "AttemptEnded",
    "CallTool",
    "Cancel",
    "Command",
    "Deny",
    "GivenUp",
    "Input",
    "Pause",
    "PlanRun",
    "PlanSubmitted",
    "Proceed",
    "Retry",
    "TakenOver",
    "Unpause",
    "WaitUntil",
    "decide",
    "due",
    "evolve",
]
