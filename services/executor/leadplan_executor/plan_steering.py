"""Carrying out control requests whoever holds the plan: the way to its owner, or to an executor that takes it up."""

import asyncio
import time
from typing import NamedTuple

import msgspec
import structlog
from msgspec import Raw
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.tokens import new_token
from leadplan_contracts import LeadPlanEventType, subjects
from leadplan_contracts.control import ControlErrorCode, ControlRequest
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import (
    Directive,
    Outcome,
    Steering,
    WakeMessage,
    as_changed,
    outcome,
    read_outcome,
    refusal,
)
from leadplan_executor.core.control import Granted, NewHolder, Refused, judge_control, was_carried_out
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.plan_statuses import PlanStatuses

log = structlog.get_logger(__name__)

_IN_ALL_SECONDS = 10.0
_OWNER_SECONDS = 2.0
_SILENT_OWNER_SECONDS = 0.5
"""For one that didn't answer before."""
_WAKE_SECONDS = 2.0
_FIRST_WAIT_SECONDS = 0.02
_LONGEST_WAIT_SECONDS = 0.5
_UNKNOWN_HOLDER = NewHolder("", 0)
"""Whoever takes the plan up judges again, as the one who would hold it."""


class PlanSteering:
    """Carries requests to plans.

    Args:
        nc: the connection.
        plan_log: for reading.
        statuses: tells of plans that have no log.
    """

    def __init__(self, nc: Client, plan_log: PlanLog, statuses: PlanStatuses) -> None:
        self._nc = nc
        self._js = nc.jetstream()
        self._plan_log = plan_log
        self._statuses = statuses
        self._inbox = nc.new_inbox()
        self._expected: dict[str, asyncio.Future[Outcome]] = {}

    async def start(self) -> None:
        """Hear outcomes of wake messages: one subscription for all."""
        await self._nc.subscribe(f"{self._inbox}.*", cb=self._on_outcome)

    async def steer(self, endpoint: Steering, request: ControlRequest) -> Outcome:
        """Carry a request out, and say what became of it once its event is stored.

        Args:
            endpoint: what is asked for.
            request: it has a ``request_id``.

        Raises:
            nats.errors.Error: the server didn't answer.
            leadplan_executor.core.errors.CoreError, msgspec.DecodeError: the plan's log can't be read.
        """
        journey = _Journey(request, Directive(endpoint=endpoint, request=Raw(encode(request))), set())
        ends_at = time.monotonic() + _IN_ALL_SECONDS
        wait, is_first_try = _FIRST_WAIT_SECONDS, True
        while True:
            settled = await self._try(journey)
            if settled is not None:
                return settled if is_first_try else await self._truly(settled, request)
            is_first_try = False
            if time.monotonic() + wait > ends_at:
                message = f"nobody could {endpoint} plan {request.plan_id} in time: ask again"
                return refusal(request.plan_id, ControlErrorCode.UNAVAILABLE, message)
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_SECONDS)

    async def _truly(self, settled: Outcome, request: ControlRequest) -> Outcome:
        """The outcome; where everything was so already because an earlier try of ours did it, as that try's."""
        if settled.reply is None or settled.reply.changed:
            return settled
        folded = await self._plan_log.fold(request.plan_id)
        if folded is None or not was_carried_out(folded.run, request):
            return settled
        return as_changed(settled)

    async def _try(self, journey: "_Journey") -> Outcome | None:
        """What became of the request; None where the plan changed hands meanwhile, or no answer came."""
        plan_id = journey.request.plan_id
        last = await self._plan_log.last_event(plan_id)
        if last is None:
            return await self._without_log(plan_id)
        if last.kind is not LeadPlanEventType.PLAN_COMPLETED and last.executor is not None:
            settled = await self._ask_owner(last.executor, journey)
            if settled is not None:
                return settled
        folded = await self._plan_log.fold(plan_id)
        if folded is None or (folded.run.executor != last.executor and not folded.run.completed):
            return None  # somebody has taken it up meanwhile, and is to be asked before it is taken away
        verdict = judge_control(folded.run, journey.request, _UNKNOWN_HOLDER)
        if isinstance(verdict, Granted):
            return await self._wake(plan_id, folded.last_stored, journey.directive)
        if isinstance(verdict, Refused) and folded.run.executor in journey.silent and not folded.run.completed:
            return None  # it has the request, and may carry it out yet, when the plan has got further
        return outcome(folded.run, verdict)

    async def _ask_owner(self, executor: str, journey: "_Journey") -> Outcome | None:
        """The owner's answer; None where it holds the plan no more, or is gone."""
        patience = _SILENT_OWNER_SECONDS if executor in journey.silent else _OWNER_SECONDS
        try:
            answer = await self._nc.request(
                subjects.plan_owner_subject(executor), encode(journey.directive), timeout=patience
            )
            settled = read_outcome(answer.data)
        except NoRespondersError:
            return None
        except NatsTimeoutError:
            journey.silent.add(executor)
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("an executor's answer can't be read", executor=executor, problem=str(error))
            return None
        return settled if settled.is_settled else None

    async def _wake(self, plan_id: str, after: int, directive: Directive) -> Outcome | None:
        """Have an executor take the plan up; its answer, or None where there is none, or the plan had changed."""
        token = new_token()
        expected = self._expected[token] = asyncio.get_running_loop().create_future()
        wake = WakeMessage(plan_id=plan_id, after=after, directive=directive, reply_to=f"{self._inbox}.{token}")
        try:
            async with asyncio.timeout(_WAKE_SECONDS):
                await self._js.publish(subjects.plan_wake_subject(plan_id), encode(wake))
                settled = await expected
        except TimeoutError:
            return None
        finally:
            del self._expected[token]
        return settled if settled.is_settled else None

    async def _on_outcome(self, message: Msg) -> None:
        expected = self._expected.get(message.subject.rpartition(".")[2])
        if expected is None or expected.done():
            return
        try:
            expected.set_result(read_outcome(message.data))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            log.warning("an outcome can't be read", problem=str(error))

    async def _without_log(self, plan_id: str) -> Outcome:
        return Outcome(problem=await self._statuses.why_without_log(plan_id))


class _Journey(NamedTuple):
    """A request on its way, however many tries it takes.

    Attributes:
        request, directive: what is asked for, and the same as executors are told.
        silent: executors that had it and didn't answer.
    """

    request: ControlRequest
    directive: Directive
    silent: set[str]
