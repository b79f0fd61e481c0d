"""Moving plans from the head of the queue to a lane.

A plan is stored in its lane before it leaves the queue. A crash in between leaves two messages, and whichever begins
the plan first holds it; the other one is settled as a plan that was sent before.
"""

import asyncio
import json
import time
from collections.abc import Callable

import msgspec
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_contracts import subjects
from leadplan_executor.core.lanes import Applicant, find_lane
from leadplan_executor.plan_index import PlanIndex
from leadplan_executor.plan_log import PlanLog
from leadplan_executor.pulls import Delivery
from leadplan_executor.submission_outline import entry_of_outline, read_outline

log = structlog.get_logger(__name__)

_ANSWER_SECONDS = 2.0
_COUNTED_FOR_SECONDS = 0.2
_KEPT_HEADERS = {subjects.TRACEPARENT_HEADER: 55, "Nats-TTL": 32}
"""What else a message says that counts, and how long it may be: a longer trace parent is none."""


class LaneCounts:
    """How many plans of each account are in each lane, asked of the server at most every fifth of a second."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._known: dict[str, asyncio.Task[list[int]]] = {}
        self._asked_at: dict[str, float] = {}

    async def of(self, account: str) -> list[int]:
        """The counts of an account, by lane; whoever moves a plan adds it.

        Args:
            account: its token.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        now = time.monotonic()
        if now - self._asked_at.get(account, 0.0) > _COUNTED_FOR_SECONDS:
            self._forget_old(now)
            self._asked_at[account] = now
            self._known[account] = asyncio.create_task(self._ask(account), name="counting plans in lanes")
        return await asyncio.shield(self._known[account])

    def _forget_old(self, now: float) -> None:
        old = [account for account, asked_at in self._asked_at.items() if now - asked_at > _COUNTED_FOR_SECONDS]
        for account in old:
            del self._asked_at[account], self._known[account]

    async def _ask(self, account: str) -> list[int]:
        subjects_of = [subjects.plan_lane_subject(lane, account) for lane in range(subjects.PLAN_LANES)]
        question = json.dumps({"subjects_filter": subjects.plan_lane_subject("*", account)}).encode()
        reply = await self._nc.request(
            f"$JS.API.STREAM.INFO.{subjects.PLANS_STREAM}", question, timeout=_ANSWER_SECONDS
        )
        try:
            found = _answer_decoder.decode(reply.data).state.subjects or {}
        except msgspec.DecodeError as error:
            raise NatsError(f"nats: plans in lanes can't be counted: {error}") from error
        return [found.get(subject, 0) for subject in subjects_of]


class _State(msgspec.Struct):
    subjects: dict[str, int] | None = None


class _Answer(msgspec.Struct):
    state: _State


_answer_decoder = msgspec.json.Decoder(_Answer)


class LaneMover:
    """Moves plans on one connection.

    Args:
        nc: the connection.
        plan_log: says whether a plan has begun.
        index: told of what waits.
        lease_seconds: tells how long a lease is now.
    """

    def __init__(self, nc: Client, plan_log: PlanLog, index: PlanIndex, lease_seconds: Callable[[], float]) -> None:
        self._js = nc.jetstream(timeout=_ANSWER_SECONDS)
        self._plan_log = plan_log
        self._index = index
        self._lease_seconds = lease_seconds
        self._counts = LaneCounts(nc)

    async def has_begun(self, delivery: Delivery) -> bool:
        """Whether a submission's plan has a log; one that can't be read never begins.

        Raises:
            nats.errors.Error: the server didn't answer.
        """
        outline = read_outline(delivery.body)
        return outline is not None and (await self._plan_log.last_append(outline.plan.id))[0] > 0

    async def move(self, delivery: Delivery, applicant: Applicant) -> int | None:
        """Move a plan to the lane where it is to wait.

        Returns:
            The lane; None where it took longer than a lease, so that the queue may have given the plan to another
            executor, and its message must be left alone.

        Raises:
            nats.errors.Error: the server didn't answer, or refused; the delivery isn't settled.
        """
        in_lanes = await self._counts.of(applicant.account)
        lane = find_lane(applicant.priority, in_lanes)
        in_lanes[lane] += 1
        await self._note(delivery)
        await self._js.publish(
            subjects.plan_lane_subject(lane, applicant.account), delivery.body, headers=_headers(delivery)
        )
        if time.monotonic() - delivery.received_at > self._lease_seconds():
            log.warning("moving a plan took longer than a lease", message=delivery.stream_sequence)
            return None
        await delivery.ack()
        return lane

    async def _note(self, delivery: Delivery) -> None:
        """Enter the plan in the index before anybody can begin it, unless the id is known there."""
        if (outline := read_outline(delivery.body)) is not None:
            await self._index.put(outline.plan.id, entry_of_outline(outline), replacing=0)


def _headers(delivery: Delivery) -> dict[str, str]:
    kept = {
        name: value
        for name, longest in _KEPT_HEADERS.items()
        if (value := delivery.headers.get(name)) is not None and len(value) <= longest
    }
    sequence = str(delivery.submitted_as)
    return {**kept, subjects.SUBMISSION_HEADER: sequence, "Nats-Msg-Id": f"lane:{sequence}"}
