"""Keeping messages that are no valid plan, with the reasons: nothing is lost (protocol section 6, rule 7)."""

import asyncio
import base64

import structlog
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import Error as NatsError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.tokens import new_token
from leadplan_contracts import PlanProblem, subjects
from leadplan_contracts.control import PlanState
from leadplan_contracts.error_codes import RejectionCode
from leadplan_contracts.events import OriginalMessage, PlanRejected, PlanRejectedMeta
from leadplan_contracts.validation import as_many_as_fit
from leadplan_contracts.wire import encode
from leadplan_executor.clock import now_ms
from leadplan_executor.core.events import emit_plan_event
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import event_headers

log = structlog.get_logger(__name__)

_INLINE_ORIGINAL_BYTES = 64 * 1024
_STORE_AGAIN_SECONDS = 1.0


class Rejections:
    """Stores rejections in ``PLAN_REJECTS``.

    Args:
        nc: the connection.
        claim_check: takes a rejected message that is too large for an event.
        index: where lists find it.
    """

    def __init__(self, nc: Client, claim_check: ClaimCheck, index: PlanIndex) -> None:
        self._js = nc.jetstream()
        self._claim_check = claim_check
        self._index = index

    async def reject(self, delivery: PlanDelivery, plan_id: str | None, problems: list[PlanProblem]) -> None:
        """Keep the message with its reasons, then take it off the queue.

        Raises:
            nats.errors.ConnectionClosedError: the connection is gone for good.
            leadplan_bus.errors.ClaimCheckError: a large message can't be kept.
        """
        plan_id = plan_id or subjects.UNREADABLE_PLAN_ID
        meta = PlanRejectedMeta(
            errors=as_many_as_fit(problems),
            original=await self._original(delivery.body),
            submission=delivery.submitted_as,
        )
        event = emit_plan_event(PlanRejected, plan_id=plan_id, now=now_ms(), meta=meta)
        # A redelivery of the same message is recognised by this id and not stored again.
        message_id = f"{subjects.PLANS_STREAM}:{delivery.stream_sequence}"
        headers = {**event_headers(event, f"{plan_id}:{message_id}", None), "Nats-Msg-Id": message_id}
        while True:
            try:
                await self._js.publish(subjects.plan_rejected_subject(plan_id), encode(event), headers=dict(headers))
                break
            except ConnectionClosedError:
                raise
            except NatsError as error:
                log.warning("rejection can't be stored, trying again", plan_id=plan_id, problem=repr(error))
                await asyncio.sleep(_STORE_AGAIN_SECONDS)
        if all(problem.code != RejectionCode.DUPLICATE_PLAN_ID for problem in problems):  # there is a plan of this id
            await self._index.note_submission(plan_id, PlanState.REJECTED)
        log.info("plan rejected", plan_id=plan_id, codes=sorted({problem.code for problem in problems}))
        await delivery.ack()

    async def _original(self, body: bytes) -> OriginalMessage:
        if len(body) > _INLINE_ORIGINAL_BYTES:
            return OriginalMessage(data_ref=await self._claim_check.put(f"rejected/{new_token()}", body))
        try:
            return OriginalMessage(text=body.decode())
        except UnicodeDecodeError:
            return OriginalMessage(base64=base64.b64encode(body).decode())
