"""Errors of the client, by who must act.

ClientError
├── GoalError                     the caller: no plan can be built from this goal and context
├── InvalidPlanIdError            the caller: the text is no plan id
├── InvalidMonitorIdError         the caller: the text is no monitor id
├── UnknownMonitorError           the caller: there is no monitor of this id (and account)
├── UnreadableMonitorError        the operator: the schedule holds something that is no plan
├── SubmissionError               the plan isn't known to be stored
│   ├── PlanTooLargeError         the caller: the plan doesn't fit into a message
│   ├── SubmissionRefusedError    the operator: the server didn't store the plan
│   └── SubmissionUnconfirmedError  the caller: nobody said whether it is stored; submit it again
├── StreamsMissingError           the operator: no executor ever ran on this server
├── UnknownPlanError              the caller: no plan of this id has begun or was rejected
├── PlanNotFinishedError          the caller: wait
├── SubmissionRejectedError       the plan's author: every problem with path, code and message
├── EventsLostError               the operator: the log no longer holds the plan's first events
├── UnreadableEventError          the operator: the log holds something that is no event of this contract
├── InvalidRequestError           the caller: a control request that no executor would take
├── RequestTooLargeError          the caller: a request that doesn't fit into a message
├── ControlRefusedError           the caller: an executor says why it didn't do what was asked for
├── NoExecutorError               the operator: nobody answers control requests
├── ExecutorSilentError           the operator: executors have the request and don't answer it
├── UnreadableAnswerError         the operator: the answer to a control request isn't of this contract
├── NoAnswerError                 the operator: the NATS server didn't answer in time
└── ConnectionLostError           the operator: the NATS connection is closed for good

What the server itself lacks is told by ``leadplan_bus.errors`` (JetStream is off, data has aged out).
"""

from collections.abc import Sequence

from leadplan_contracts import PlanProblem
from leadplan_contracts.control import ControlErrorCode


class ClientError(Exception):
    """Base of the client's errors."""


class GoalError(ClientError, ValueError):
    """The goal or the context can't be made into a plan; the message says what to give."""


class InvalidPlanIdError(ClientError, ValueError):
    """The text is no plan id."""

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        super().__init__(f"{plan_id[:80]!r} is no plan id: 1 to 128 letters, digits, _ and -, first no _")


class InvalidMonitorIdError(ClientError, ValueError):
    """The text is no monitor id."""

    def __init__(self, monitor_id: str) -> None:
        self.monitor_id = monitor_id
        super().__init__(f"{monitor_id[:80]!r} is no monitor id: 1 to 128 letters, digits, _ and -")


class UnknownMonitorError(ClientError):
    """There is no monitor of this id, or it belongs to another account than the one asked for.

    Attributes:
        monitor_id: the id.
        alike: ids of monitors that look alike.
    """

    def __init__(self, monitor_id: str, account: str | None, alike: list[str]) -> None:
        self.monitor_id = monitor_id
        self.alike = alike
        whose = f" of account {account}" if account is not None else ""
        hint = f": did you mean {' or '.join(alike)}?" if alike else " (leadplan monitors list shows those there are)"
        super().__init__(f"there is no monitor {monitor_id}{whose}{hint}")


class UnreadableMonitorError(ClientError):
    """The schedule was stored by another program, and what it would publish is no plan."""

    def __init__(self, monitor_id: str) -> None:
        self.monitor_id = monitor_id
        super().__init__(f"the schedule of monitor {monitor_id} holds no plan: set it up again, or remove it")


class SubmissionError(ClientError):
    """The plan isn't known to be stored."""


class PlanTooLargeError(SubmissionError):
    """The submission is over the server's ``max_payload``.

    Attributes:
        size: bytes of the submission.
        limit: bytes that the server takes.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the plan is too large for a message: {size} bytes, the server takes {limit}")


class SubmissionRefusedError(SubmissionError):
    """The server didn't store the plan."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the NATS server didn't store the plan: {reason}")


class SubmissionUnconfirmedError(SubmissionError):
    """No acknowledgement came: the plan may be stored or not. Submitting it again is safe, it runs once."""

    def __init__(self) -> None:
        super().__init__(
            "the NATS server didn't say whether it stored the plan: submit it again, a plan sent twice runs once"
        )


class StreamsMissingError(ClientError):
    """The streams aren't there: it is executors who create them.

    Attributes:
        stream: the one that was looked for.
    """

    def __init__(self, stream: str) -> None:
        self.stream = stream
        super().__init__(
            f"this NATS server has no stream {stream}: no executor ever ran on it (start one: leadplan executor)"
        )


class UnknownPlanError(ClientError):
    """Nothing is stored under this id: it is wrong, has aged out, or the plan still waits for an executor.

    Args:
        plan_id: the plan.
        message: what an executor said of it.
    """

    def __init__(self, plan_id: str, message: str | None = None) -> None:
        self.plan_id = plan_id
        super().__init__(
            message
            or f"nothing is known of plan {plan_id}: the id is wrong, it aged out, or no executor has taken it yet"
        )


class PlanNotFinishedError(ClientError):
    """The plan still runs.

    Attributes:
        plan_id: the plan.
        last_event: type of its newest event.
    """

    def __init__(self, plan_id: str, last_event: str) -> None:
        self.plan_id = plan_id
        self.last_event = last_event
        super().__init__(f"plan {plan_id} has not finished (its last event is {last_event})")


class SubmissionRejectedError(ClientError):
    """An executor rejected the submission.

    Attributes:
        plan_id: the plan.
        problems: every problem with path, code and message.
    """

    def __init__(self, plan_id: str, problems: list[PlanProblem]) -> None:
        self.plan_id = plan_id
        self.problems = problems
        listed = "; ".join(f"{problem.path or 'message'}: {problem.message}" for problem in problems)
        super().__init__(f"plan {plan_id} was rejected: {listed}")


class EventsLostError(ClientError):
    """Events are gone from the plan's log, most likely because they aged out.

    Attributes:
        plan_id: the plan.
        missing: the first sequence that is gone.
        found: the sequence that stands in its place.
    """

    def __init__(self, plan_id: str, missing: int, found: int) -> None:
        self.plan_id = plan_id
        self.missing = missing
        self.found = found
        super().__init__(f"events {missing} to {found - 1} of plan {plan_id} are gone from the log")


class UnreadableEventError(ClientError):
    """A stored message is no event that this version knows.

    Attributes:
        plan_id: the plan.
        stream_sequence: where it lies in stream ``PLAN_LOG``.
    """

    def __init__(self, plan_id: str, stream_sequence: int, reason: str) -> None:
        self.plan_id = plan_id
        self.stream_sequence = stream_sequence
        super().__init__(
            f"message {stream_sequence} in the log of plan {plan_id} is no event of this contract version: {reason}"
        )


class InvalidRequestError(ClientError, ValueError):
    """A control request that no executor would take, such as one with a reason that is too long; nothing was sent."""

    def __init__(self, endpoint: str, problem: str) -> None:
        super().__init__(f"this is no request to {endpoint} a plan: {problem}")


class RequestTooLargeError(ClientError):
    """A control request is over the server's ``max_payload``; nothing was sent.

    Attributes:
        size: bytes of the request.
        limit: bytes that the server takes.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(f"the request is too large for a message: {size} bytes, the server takes {limit}")


class ControlRefusedError(ClientError):
    """An executor didn't do what was asked for; the message says why and what to do.

    Attributes:
        code: why, as a ``ControlErrorCode``; the text itself where it is a code of a newer executor.
        plan_id: the plan, where the answer names one.
        problems: what is wrong with the request, where it was none; the message tells them too.
    """

    def __init__(
        self,
        code: ControlErrorCode | str,
        message: str,
        plan_id: str | None = None,
        problems: Sequence[PlanProblem] = (),
    ) -> None:
        self.code = code
        self.plan_id = plan_id
        self.problems = list(problems)
        super().__init__(message)


class NoExecutorError(ClientError):
    """Nobody serves the control endpoints."""

    def __init__(self, subject: str) -> None:
        self.subject = subject
        super().__init__(f"no executor answers on {subject}: start one (leadplan executor)")


class ExecutorSilentError(ClientError):
    """Nobody answered in time, though somebody may have got the request. Asking again is safe."""

    def __init__(self, subject: str, seconds: float) -> None:
        self.subject = subject
        super().__init__(
            f"no answer came on {subject} within {seconds:g} s: ask again; if that doesn't help, look at the logs of "
            "the executors, and whether this NATS user may use the subject"
        )


class UnreadableAnswerError(ClientError):
    """An answer isn't what this contract version says: it comes from a newer executor, or from another program."""

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(f"the answer of plans.{endpoint} can't be read: {reason} (does a newer executor run there?)")


class NoAnswerError(ClientError):
    """The NATS server didn't answer in time."""

    def __init__(self) -> None:
        super().__init__("the NATS server didn't answer in time: it is down or restarting, or the stream has no leader")


class ConnectionLostError(ClientError):
    """The NATS connection is closed for good."""

    def __init__(self) -> None:
        super().__init__("the NATS connection is closed for good: connect again")
