"""Taking up plans that nobody holds: because somebody asks something of them, or because their time has come.

A plan is held by one message of the queue, and its log says by which (``message`` in PLAN_STARTED, PLAN_RESUMED and
PLAN_RETRIED). A wake message becomes that one when its executor's first append is stored, which the fence grants to one
only. Whatever held the plan before is void from then on, as a second copy of a submission is.
"""

from functools import partial

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_contracts import PlanProblem
from leadplan_contracts.control import ControlErrorCode
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import NOT_HELD, Outcome, WakeMessage, as_changed, outcome, read_wake, refusal
from leadplan_executor.core import GivenUp, PlanRun, TakenOver
from leadplan_executor.core.control import Granted, NewHolder, Verdict, judge_control, was_carried_out
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

    async def handle(self, delivery: PlanDelivery, ending: GivenUp | None = None) -> str | None:
        """Settle one delivery: its plan is taken up, or the message is void.

        Args:
            delivery: the wake message's.
            ending: why the plan is to be ended instead; None to go on with it.

        Returns:
            The plan's id; None where the message can't be read.

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
            return None
        for _ in range(_TRIES):
            folded = await self._plan_log.fold(wake.plan_id)
            if folded is None:
                message = f"plan {wake.plan_id} has no log (any more)"
                await self._void(delivery, wake, refusal(wake.plan_id, ControlErrorCode.UNKNOWN_PLAN, message))
                return wake.plan_id
            sequence = folded.run.sequence
            try:
                await self._take_up(delivery, wake, folded, ending)
            except FenceLostError:
                if folded.run.sequence != sequence:
                    raise
                # Somebody appended in the meantime: look again whether this message still counts.
            else:
                return wake.plan_id
        await delivery.hand_back(_AGAIN_SECONDS)
        return wake.plan_id

    async def _take_up(
        self, delivery: PlanDelivery, wake: WakeMessage, folded: FoldedLog, ending: GivenUp | None
    ) -> None:
        run, last_stored, _ = folded.run, folded.last_stored, folded.started
        held = run.message == delivery.stream_sequence
        if not held and last_stored != wake.after:
            await self._void(delivery, wake, NOT_HELD)
            return
        taken = TakenOver(self._executor, _reason(wake, run, held=held), delivery.stream_sequence)
        if ending is not None and not run.completed:
            await self._runs.give_up(delivery, run, last_stored, taken, ending)
            return
        verdict = self._judge(delivery, wake, run)
        if isinstance(verdict, Granted):
            first = verdict.inputs if run.completed else (taken, *verdict.inputs)
            await self._runs.execute(delivery, run, last_stored, first, partial(self._tell_later, wake, run, verdict))
        elif held:
            # Its executor died, before or after it had done what was asked.
            await self._tell(wake, _told(wake, run, verdict))
            await self._runs.take_over(delivery, run, last_stored, taken, relays=wake.relays)
        elif verdict is not None or run.completed:
            await self._void(delivery, wake, NOT_HELD if verdict is None else outcome(run, verdict))
        else:
            await self._runs.execute(delivery, run, last_stored, (taken,))

    def _judge(self, delivery: PlanDelivery, wake: WakeMessage, run: PlanRun) -> Verdict | None:
        """The verdict on what is asked for; None where nothing is.

        A message may be delivered again because its executor died: the request's id tells whether it was carried out.
        """
        if wake.directive is None:
            return None
        return judge_control(run, wake.directive.read(), NewHolder(self._executor, delivery.stream_sequence))

    async def _void(self, delivery: PlanDelivery, wake: WakeMessage, result: Outcome) -> None:
        await self._tell(wake, result)
        await delivery.ack()

    def _tell_later(self, wake: WakeMessage, run: PlanRun, verdict: Verdict) -> None:
        self._runs.aside(self._tell(wake, outcome(run, verdict)))

    async def _tell(self, wake: WakeMessage, result: Outcome) -> None:
        if wake.reply_to is None:
            return
        try:
            await self._nc.publish(wake.reply_to, encode(result))
        except NatsError as error:
            log.warning("an outcome can't be told", plan_id=wake.plan_id, problem=repr(error))


def _told(wake: WakeMessage, run: PlanRun, verdict: Verdict | None) -> Outcome:
    """The outcome of a message that was delivered again; of a request that had been carried out, as if just now."""
    if verdict is None or wake.directive is None:
        return NOT_HELD
    result = outcome(run, verdict)
    return as_changed(result) if was_carried_out(run, wake.directive.read()) else result


def _reason(wake: WakeMessage, run: PlanRun, *, held: bool) -> str:
    if held or wake.relays:
        return f"{run.executor} no longer held it"
    if wake.directive is None:
        return "its time had come"
    return f"nobody held it, and somebody asked to {wake.directive.endpoint} it"
