"""What a Supervisor or a UI needs: build a plan from a goal, submit it, follow it, fetch its result.

It needs nats-py and msgspec only.
"""

from leadplan_client.client import PlanClient
from leadplan_client.errors import (
    ClientError,
    ConnectionLostError,
    EventsLostError,
    GoalError,
    InvalidPlanIdError,
    NoAnswerError,
    PlanNotFinishedError,
    PlanTooLargeError,
    StreamsMissingError,
    SubmissionError,
    SubmissionRefusedError,
    SubmissionRejectedError,
    SubmissionUnconfirmedError,
    UnknownPlanError,
    UnreadableEventError,
)
from leadplan_client.planner import plan_lead_generation

__all__ = [
    "ClientError",
    "ConnectionLostError",
    "EventsLostError",
    "GoalError",
    "InvalidPlanIdError",
    "NoAnswerError",
    "PlanClient",
    "PlanNotFinishedError",
    "PlanTooLargeError",
    "StreamsMissingError",
    "SubmissionError",
    "SubmissionRefusedError",
    "SubmissionRejectedError",
    "SubmissionUnconfirmedError",
    "UnknownPlanError",
    "UnreadableEventError",
    "plan_lead_generation",
]
