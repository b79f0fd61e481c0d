"""How plans stand, told from their logs; and what is known of those that have none."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET
from msgspec.structs import replace
from nats.aio.client import Client
from nats.js.api import RawStreamMsg
from nats.js.errors import NotFoundError

from leadplan_contracts import subjects
from leadplan_contracts.control import ControlErrorCode, ControlProblem, PlanState, PlanStatus, StepStatus
from leadplan_contracts.events import PlanRejected, decode_event
from leadplan_contracts.wire import encode
from leadplan_executor.control_messages import RefusedError
from leadplan_executor.core.status import plan_status
from leadplan_executor.plan_index import PlanIndexEntry, index_subject
from leadplan_executor.plan_log import PlanLog

_ANSWER_SECONDS = 2.0
_ROOM_FOR_HEADERS = 1_024
_entry_decoder = msgspec.json.Decoder(PlanIndexEntry)


class PlanStatuses:
    """Answers ``plans.status``.

    Args:
        nc: the connection.
        plan_log: for reading.
    """

    def __init__(self, nc: Client, plan_log: PlanLog) -> None:
        self._nc = nc
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._plan_log = plan_log

    async def status(self, plan_id: str) -> PlanStatus:
        """How a plan stands.

        Raises:
            RefusedError: nothing is known of it.
            nats.errors.Error: the server didn't answer.
            leadplan_executor.core.errors.CoreError, msgspec.DecodeError: its log can't be read.
        """
        folded = await self._plan_log.fold(plan_id)
        if folded is not None:
            return plan_status(folded.run)
        if (rejection := await self._rejection(plan_id)) is not None:
            return PlanStatus(
                plan_id=plan_id,
                state=PlanState.REJECTED,
                finished_at=rejection.time,
                last_event_at=rejection.time,
                problems=rejection.meta.errors,
            )
        if (entry := await self._queued(plan_id)) is not None:
            return PlanStatus(
                plan_id=plan_id,
                state=PlanState.QUEUED,
                title=entry.title,
                goal=entry.goal,
                submitted_at=entry.changed_at,
            )
        raise RefusedError(_unknown(plan_id))

    async def why_without_log(self, plan_id: str) -> ControlProblem:
        """Why a plan without a log can't be steered.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        if await self._rejection(plan_id) is not None:
            message = f"plan {plan_id} was rejected and never began: its status says why"
            return ControlProblem(code=ControlErrorCode.PLAN_REJECTED, message=message, plan_id=plan_id)
        if await self._queued(plan_id) is not None:
            message = f"plan {plan_id} waits in the queue behind others and hasn't begun: ask again once it has"
            return ControlProblem(code=ControlErrorCode.NOT_BEGUN, message=message, plan_id=plan_id)
        return _unknown(plan_id)

    def fitting(self, status: PlanStatus, *, data: bool) -> bytes:
        """A status as JSON that fits into one message.

        What tools returned is left out where it isn't asked for or doesn't fit, and so are the last steps where even
        that isn't enough.
        """
        room = self._nc.max_payload - _ROOM_FOR_HEADERS
        body = encode(status if data else _without_data(status))
        if len(body) <= room:
            return body
        lean = _without_data(status)
        steps = list(lean.steps or ())
        while len(body := encode(lean)) > room and steps:
            kept = len(steps) * room // (len(body) + 1)
            steps = steps[: min(kept, len(steps) - 1)]
            lean = replace(lean, steps=steps, steps_omitted=len(status.steps or ()) - len(steps))
        return body

    async def _rejection(self, plan_id: str) -> PlanRejected | None:
        last = await self._last(subjects.PLAN_REJECTS_STREAM, subjects.plan_rejected_subject(plan_id))
        event = decode_event(last.data or b"") if last is not None else None
        return event if isinstance(event, PlanRejected) else None

    async def _queued(self, plan_id: str) -> PlanIndexEntry | None:
        last = await self._last(f"KV_{subjects.PLAN_INDEX_BUCKET}", index_subject(plan_id))
        try:
            entry = _entry_decoder.decode(last.data or b"") if last is not None else None
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return entry if entry is not None and entry.state is PlanState.QUEUED else None

    async def _last(self, stream: str, subject: str) -> RawStreamMsg | None:
        try:
            return await self._js.get_last_msg(stream, subject)
        except NotFoundError:
            return None


def _unknown(plan_id: str) -> ControlProblem:
    message = (
        f"nothing is known of plan {plan_id}: it was never submitted here, still lies in the queue unread, or its log "
        "has aged out"
    )
    return ControlProblem(code=ControlErrorCode.UNKNOWN_PLAN, message=message, plan_id=plan_id)


def _without_data(status: PlanStatus) -> PlanStatus:
    steps: Sequence[StepStatus] = [
        replace(step, result=replace(step.result, data=UNSET, data_ref=None)) for step in status.steps or ()
    ]
    return replace(status, steps=list(steps) or None, data_omitted=True)
