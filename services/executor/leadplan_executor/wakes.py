"""Taking up plans that nobody holds: because somebody asks something of them, or because their time has come.

A plan is held by one message of the queue, and its log says by which (``message`` in PLAN_STARTED, PLAN_RESUMED and
PLAN_RETRIED). A wake message becomes that one when its executor's first append is stored, which the fence grants to one
only. Whatever held the plan before is void from then on, as a second copy of a submission is.
"""

from functools import partial
from typing import assert_never

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_contracts import PlanProblem
from leadplan_contracts.control import ControlErrorCode, ControlRequest
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import NOT_HELD, Outcome, WakeMessage, as_changed, outcome, read_wake, refusal
from leadplan_executor.core import GivenUp, PlanRun, TakenOver
from leadplan_executor.core.control import Granted, Verdict, was_carried_out
from leadplan_executor.core.taking_up import TakeOver, TakeUp, Void, Woken, course_of
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.errors import FenceLostError
from leadplan_executor.plan_log import FoldedLog, PlanLog
from leadplan_executor.plan_runs import PlanRuns
from leadplan_executor.rejections import Rejections

log = structlog.get_logger(__name__)

_TRIES = 20
_AGAIN_SECONDS = 1.0


class WakeHandler:
    """Settles wake messages.

    Args:
        nc: the connection.
        executor: this instance's id.
        plan_log: logs of plans.
        runs: executes plans.
        rejections: keeps what is no wake message.
    """

    def __init__(self, nc: Client, *, executor: str, plan_log: PlanLog, runs: PlanRuns, rejections: Rejections) -> None:
        self._nc = nc
        self._executor = executor
        self._plan_log = plan_log
        self._runs = runs
        self._rejections = rejections

    async def handle(self, delivery: PlanDelivery, ending: GivenUp | None = None) -> None:
        """Settle one delivery: its plan is taken up, or the message is void.

        Args:
            delivery: the wake message's.
            ending: why the plan is to be ended instead; None to go on with it.

        Raises:
            FenceLostError: another executor has the plan; the delivery isn't settled.
            nats.errors.Error: the server didn't answer; likewise.
            leadplan_executor.core.errors.CoreError, msgspec.DecodeError: the plan's log holds what no executor writes.
        """
        try:
            wake = read_wake(delivery.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            problem = PlanProblem(path="", code=RejectionCode.INVALID_JSON, message=f"no wake message: {error}")
            await self._rejections.reject(delivery, None, [problem])
            return
        for _ in range(_TRIES):
            folded = await self._plan_log.fold(wake.plan_id)
            if folded is None:
                message = f"plan {wake.plan_id} has no log (any more)"
                await self._tell(wake, refusal(wake.plan_id, ControlErrorCode.UNKNOWN_PLAN, message))
                await delivery.ack()
                return
            sequence = folded.run.sequence
            try:
                await self._take_up(delivery, wake, folded, ending)
            except FenceLostError:
                if folded.run.sequence != sequence:
                    raise
                # Somebody appended in the meantime: look again whether this message still counts.
            else:
                return
        await delivery.hand_back(_AGAIN_SECONDS)

    async def _take_up(
        self, delivery: PlanDelivery, wake: WakeMessage, folded: FoldedLog, ending: GivenUp | None
    ) -> None:
        run, last_stored = folded.run, folded.last_stored
        taken = TakenOver(self._executor, _reason(wake, run, delivery), delivery.stream_sequence)
        request = wake.directive.read() if wake.directive is not None else None
        course = course_of(run, last_stored, Woken(wake.after, request, taken))
        if ending is not None and not isinstance(course, Void):
            await self._runs.give_up(delivery, run, last_stored, taken, ending)
            return
        match course:
            case Void(verdict):
                await self._tell(wake, NOT_HELD if verdict is None else outcome(run, verdict))
                await delivery.ack()
            case TakeUp(inputs, verdict):
                await self._runs.execute(
                    delivery, run, last_stored, inputs, partial(self._tell_later, wake, run, verdict)
                )
            case TakeOver(taken, verdict):
                await self._tell(wake, _told(run, request, verdict))
                await self._runs.take_over(delivery, run, last_stored, taken, relays=wake.relays)
            case _:
                assert_never(course)

    def _tell_later(self, wake: WakeMessage, run: PlanRun, verdict: Granted | None) -> None:
        if verdict is not None:
            self._runs.aside(self._tell(wake, outcome(run, verdict)))

    async def _tell(self, wake: WakeMessage, result: Outcome) -> None:
        if wake.reply_to is None:
            return
        try:
            await self._nc.publish(wake.reply_to, encode(result))
        except NatsError as error:
            log.warning("an outcome can't be told", plan_id=wake.plan_id, problem=repr(error))


def _told(run: PlanRun, request: ControlRequest | None, verdict: Verdict | None) -> Outcome:
    """The outcome of a message that was delivered again; of a request that had been carried out, as if just now."""
    if verdict is None or request is None:
        return NOT_HELD
    result = outcome(run, verdict)
    return as_changed(result) if was_carried_out(run, request) else result


def _reason(wake: WakeMessage, run: PlanRun, delivery: PlanDelivery) -> str:
    if run.message == delivery.stream_sequence or wake.relays:
        return f"{run.executor} no longer held it"
    if wake.directive is None:
        return "its time had come"
    return f"nobody held it, and somebody asked to {wake.directive.endpoint} it"
