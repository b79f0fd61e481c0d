"""What a Supervisor or a UI needs: build a plan from a goal, submit it, follow it, fetch its result; see to monitors.

It needs nats-py and msgspec only.
"""

from leadplan_client.client import PlanClient
from leadplan_client.errors import (
    ClientError,
    ConnectionLostError,
    EventsLostError,
    GoalError,
    InvalidMonitorIdError,
    InvalidPlanIdError,
    NoAnswerError,
    PlanNotFinishedError,
    PlanTooLargeError,
    StreamsMissingError,
    SubmissionError,
    SubmissionRefusedError,
    SubmissionRejectedError,
    SubmissionUnconfirmedError,
    UnknownMonitorError,
    UnknownPlanError,
    UnreadableEventError,
    UnreadableMonitorError,
)
from leadplan_client.monitor_models import FiredRun, Monitor, MonitorRun, MonitorStep
from leadplan_client.monitors import MonitorClient
from leadplan_client.planner import plan_lead_generation

__all__ = [
    "ClientError",
    "ConnectionLostError",
    "EventsLostError",
    "FiredRun",
    "GoalError",
    "InvalidMonitorIdError",
    "InvalidPlanIdError",
    "Monitor",
    "MonitorClient",
    "MonitorRun",
    "MonitorStep",
    "NoAnswerError",
    "PlanClient",
    "PlanNotFinishedError",
    "PlanTooLargeError",
    "StreamsMissingError",
    "SubmissionError",
    "SubmissionRefusedError",
    "SubmissionRejectedError",
    "SubmissionUnconfirmedError",
    "UnknownMonitorError",
    "UnknownPlanError",
    "UnreadableEventError",
    "UnreadableMonitorError",
    "plan_lead_generation",
]
