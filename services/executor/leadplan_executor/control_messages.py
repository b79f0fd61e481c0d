"""What executors say to one another about control requests: to a plan's owner, and with a wake message.

Both carry the request as it came in. The owner answers the endpoint that asked; so does whoever takes up a plan because
of a wake message, on the subject that the message names.
"""

from enum import StrEnum
from typing import Final, assert_never

import msgspec
from msgspec import Raw

from leadplan_contracts.control import (
    ApproveRequest,
    CancelRequest,
    ControlErrorCode,
    ControlProblem,
    ControlReply,
    ControlRequest,
    PauseRequest,
    ResumeRequest,
    RetryRequest,
)
from leadplan_contracts.wire import PlanId, WireModel
from leadplan_executor.core import PlanRun
from leadplan_executor.core.control import Granted, Refused, Unchanged, Verdict
from leadplan_executor.core.status import plan_state


class Steering(StrEnum):
    """The endpoints that steer a plan, by their names."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    APPROVE = "approve"


REQUEST_MODELS: Final[dict[Steering, type[ControlRequest]]] = {
    Steering.CANCEL: CancelRequest,
    Steering.PAUSE: PauseRequest,
    Steering.RESUME: ResumeRequest,
    Steering.RETRY: RetryRequest,
    Steering.APPROVE: ApproveRequest,
}


class Directive(WireModel, kw_only=True, frozen=True):
    """A control request on its way between executors; ``request`` is its JSON."""

    endpoint: Steering
    request: Raw

    def read(self) -> ControlRequest:
        """The request.

        Raises:
            msgspec.DecodeError: it isn't one.
        """
        return msgspec.json.decode(self.request, type=REQUEST_MODELS[self.endpoint])


class WakeMessage(WireModel, kw_only=True, frozen=True):
    """Take up this plan: because somebody asks something of it, or because its time has come.

    Attributes:
        plan_id: which.
        after: stream sequence of the plan's last event when this was written. Where there is a later one, somebody took
            the plan up in the meantime, and this message is void.
        directive: what is asked for; None where time alone wakes the plan.
        reply_to: where the outcome is told; None where nobody waits for it.
        relays: how often the plan was handed on by such a message since somebody made something of it.
    """

    plan_id: PlanId
    after: int
    directive: Directive | None = None
    reply_to: str | None = None
    relays: int = 0


class Outcome(WireModel, kw_only=True, frozen=True):
    """What became of a directive: a reply, a problem, or neither, where the plan isn't in these hands (any more)."""

    reply: ControlReply | None = None
    problem: ControlProblem | None = None

    @property
    def is_settled(self) -> bool:
        """Whether it answers the request."""
        return self.reply is not None or self.problem is not None


NOT_HELD: Final = Outcome()


class RefusedError(Exception):
    """A request that can't be carried out.

    Attributes:
        problem: why, as it is answered.
    """

    def __init__(self, problem: ControlProblem) -> None:
        self.problem = problem
        super().__init__(problem.message)


def outcome(run: PlanRun, verdict: Verdict) -> Outcome:
    """What to answer, once the events that a granted request led to are stored and folded into the state."""
    match verdict:
        case Refused(code, message):
            return refusal(run.plan_id, code, message)
        case Unchanged(steps) | Granted(_, steps):
            return Outcome(
                reply=ControlReply(
                    plan_id=run.plan_id,
                    changed=isinstance(verdict, Granted),
                    state=plan_state(run),
                    sequence=run.sequence,
                    steps=list(steps) or None,
                )
            )
        case _:
            assert_never(verdict)


def as_changed(result: Outcome) -> Outcome:
    """The same outcome, told to whoever asked for what the log holds already: it was their request that did it."""
    if result.reply is None:
        return result
    return Outcome(reply=msgspec.structs.replace(result.reply, changed=True))


def refusal(plan_id: str, code: ControlErrorCode, message: str) -> Outcome:
    """A request that can't be carried out."""
    return Outcome(problem=ControlProblem(code=code, message=message, plan_id=plan_id))


_wake_decoder = msgspec.json.Decoder(WakeMessage)
_directive_decoder = msgspec.json.Decoder(Directive)
_outcome_decoder = msgspec.json.Decoder(Outcome)


def read_wake(body: bytes) -> WakeMessage:
    """Read a wake message.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it isn't one, or its request is none.
    """
    wake = _wake_decoder.decode(body)
    if wake.directive is not None:
        wake.directive.read()
    return wake


def read_directive(body: bytes) -> Directive:
    """Read what an owner is sent.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it isn't a directive.
    """
    return _directive_decoder.decode(body)


def read_outcome(body: bytes) -> Outcome:
    """Read what an executor answers.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError: it isn't an outcome.
    """
    return _outcome_decoder.decode(body)
