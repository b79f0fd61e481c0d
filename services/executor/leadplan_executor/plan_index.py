"""The index of plans: one entry a plan in the bucket ``PLAN_INDEX``, which ``plans.list`` reads in place of the logs.

It is written without waiting for the server. What was published on the same connection before a plan's message is taken
off the queue has reached the server before that, and is stored a moment later, whatever becomes of the executor. An
entry can be lost all the same, for instance with the executor that was to write it; whoever lists plans compares what
is shown with the logs, which are what counts.
"""

from typing import Annotated

import structlog
from msgspec import Meta
from nats.aio.client import Client
from nats.errors import Error as NatsError

from leadplan_contracts import LeadGenPlan, OverallStatus, SupervisorUserContext, subjects
from leadplan_contracts.control import PlanState
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import Timestamp, WireModel, encode
from leadplan_executor.clock import now_ms
from leadplan_executor.core import PlanRun
from leadplan_executor.core.outcome import cut

log = structlog.get_logger(__name__)

LONGEST_TEXT = 300
"""Characters of a title or goal that an entry keeps."""

_Text = Annotated[str, Meta(max_length=LONGEST_TEXT)]
_Name = Annotated[str, Meta(max_length=256)]


class PlanIndexEntry(WireModel, kw_only=True, frozen=True):
    """A plan in short, as it stood after its event ``sequence``; 0 where it has no event yet."""

    state: PlanState
    changed_at: Timestamp
    sequence: Annotated[int, Meta(ge=0)] = 0
    title: _Text | None = None
    goal: _Text | None = None
    overall_status: OverallStatus | None = None
    user_id: _Name | None = None
    account_id: _Name | None = None
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    steps: Annotated[int, Meta(ge=0)] | None = None


def index_subject(plan_id: str) -> str:
    """Where a plan's entry lies (stream ``KV_PLAN_INDEX``)."""
    return f"$KV.{subjects.PLAN_INDEX_BUCKET}.{plan_id}"


def entry_of_run(run: PlanRun, state: PlanState) -> PlanIndexEntry:
    """The entry of a plan that has begun."""
    return PlanIndexEntry(
        state=state,
        changed_at=run.last_at,
        sequence=run.sequence,
        title=cut(run.plan.title, LONGEST_TEXT),
        goal=cut(run.plan.goal.description, LONGEST_TEXT),
        overall_status=run.outcome and run.outcome.overall_status,
        user_id=run.user.user_id,
        account_id=run.user.account_id,
        started_at=format_time(run.started_at),
        finished_at=run.outcome and run.outcome.finished_at,
        steps=len(run.plan.steps),
    )


class PlanIndex:
    """Writes entries on one connection."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc

    async def note(self, run: PlanRun, state: PlanState) -> None:
        """Note how a plan stands that has begun. Never fails: what can't be published is logged.

        Args:
            run: the plan, after the event that changed it.
            state: ``core.status.plan_state(run)``.
        """
        await self.put(run.plan_id, entry_of_run(run, state))

    async def note_submission(
        self,
        plan_id: str,
        state: PlanState,
        *,
        plan: LeadGenPlan | None = None,
        user: SupervisorUserContext | None = None,
    ) -> None:
        """Note what became of a submission that hasn't begun: it is queued or rejected. Never fails.

        Args:
            plan_id: what the submission is known by; one that nobody could read isn't noted.
            state: ``QUEUED`` or ``REJECTED``.
            plan: the plan, where it could be read.
            user: on whose behalf, likewise.
        """
        if plan_id == subjects.UNREADABLE_PLAN_ID:
            return
        entry = PlanIndexEntry(
            state=state,
            changed_at=format_time(now_ms()),
            title=cut(plan.title, LONGEST_TEXT) if plan else None,
            goal=cut(plan.goal.description, LONGEST_TEXT) if plan else None,
            user_id=user.user_id if user else None,
            account_id=user.account_id if user else None,
            steps=len(plan.steps) if plan else None,
        )
        await self.put(plan_id, entry)

    async def put(self, plan_id: str, entry: PlanIndexEntry, *, replacing: int | None = None) -> None:
        """Publish an entry without waiting for the server. Never fails: what can't be published is logged.

        Args:
            plan_id: whose.
            entry: the entry.
            replacing: stream sequence of the entry that it is to replace; one that came later stays.
        """
        fence = {subjects.EXPECTED_LAST_SUBJECT_SEQUENCE_HEADER: str(replacing)} if replacing is not None else None
        try:
            await self._nc.publish(index_subject(plan_id), encode(entry), headers=fence)
        except NatsError as error:
            log.warning("entry of the plan index can't be published", plan_id=plan_id, problem=repr(error))
