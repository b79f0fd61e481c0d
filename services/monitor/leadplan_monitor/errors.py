"""What can be wrong with a monitor.

MonitorError
├── ScheduleError          the plan's author must act: schedule or time zone
├── RecurringPlanError     the plan's author must act: this part of the plan can't run on its own
├── MonitorTakenError      the plan's author must act: the id belongs to another account
└── SchedulePublishError   the operator must act, or time: the server didn't store the schedule
"""


class MonitorError(Exception):
    """Base of this package's errors; the message is for the plan's author."""


class ScheduleError(MonitorError, ValueError):
    """The schedule or the time zone can't be used."""


class RecurringPlanError(MonitorError):
    """No plan can be made of the steps that the monitor step depends on."""


class MonitorTakenError(MonitorError):
    """A monitor with this id was set up by another account."""


class SchedulePublishError(MonitorError):
    """The server didn't store the schedule, or didn't say so.

    Attributes:
        retryable: whether the same request may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        self.retryable = retryable
        super().__init__(message)
