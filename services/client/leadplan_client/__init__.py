"""What a Supervisor or a UI needs: build a plan from a goal, submit, follow and steer it, fetch its result; monitors.

It needs nats-py and msgspec only.
"""

from leadplan_client.client import PlanClient
from leadplan_client.control import PlanControl
from leadplan_client.errors import (
    ClientError,
    ConnectionLostError,
    ControlRefusedError,
    EventsLostError,
    ExecutorSilentError,
    GoalError,
    InvalidMonitorIdError,
    InvalidPlanIdError,
    InvalidRequestError,
    NoAnswerError,
    NoExecutorError,
    PlanNotFinishedError,
    PlanTooLargeError,
    RequestTooLargeError,
    StreamsMissingError,
    SubmissionError,
    SubmissionRefusedError,
    SubmissionRejectedError,
    SubmissionUnconfirmedError,
    UnknownMonitorError,
    UnknownPlanError,
    UnreadableAnswerError,
    UnreadableEventError,
    UnreadableMonitorError,
)
from leadplan_client.monitor_models import FiredRun, Monitor, MonitorRun, MonitorStep
from leadplan_client.monitors import MonitorClient
from leadplan_client.planner import plan_lead_generation

__all__ = [
    "ClientError",
    "ConnectionLostError",
    "ControlRefusedError",
    "EventsLostError",
    "ExecutorSilentError",
    "FiredRun",
    "GoalError",
    "InvalidMonitorIdError",
    "InvalidPlanIdError",
    "InvalidRequestError",
    "Monitor",
    "MonitorClient",
    "MonitorRun",
    "MonitorStep",
    "NoAnswerError",
    "NoExecutorError",
    "PlanClient",
    "PlanControl",
    "PlanNotFinishedError",
    "PlanTooLargeError",
    "RequestTooLargeError",
    "StreamsMissingError",
    "SubmissionError",
    "SubmissionRefusedError",
    "SubmissionRejectedError",
    "SubmissionUnconfirmedError",
    "UnknownMonitorError",
    "UnknownPlanError",
    "UnreadableAnswerError",
    "UnreadableEventError",
    "UnreadableMonitorError",
    "plan_lead_generation",
]
