"""What a submission says about its place in the queue, read without checking the rest of it."""

import hashlib

import msgspec

from leadplan_contracts import subjects
from leadplan_contracts.control import PlanState
from leadplan_contracts.plan import PlanPriority, SupervisorUserContext
from leadplan_contracts.times import format_time
from leadplan_contracts.wire import SubmittedPlanId, WireModel
from leadplan_executor.clock import now_ms
from leadplan_executor.core.lanes import URGENT_LANE, Applicant
from leadplan_executor.core.outcome import cut
from leadplan_executor.deliveries import PlanDelivery
from leadplan_executor.plan_index import LONGEST_TEXT, PlanIndexEntry

_UNREADABLE = ""
"""The account of all submissions that can't be read: they are rejected as soon as they have a slot."""
_ROOM_FOR_HEADERS = 1_024


class _Goal(WireModel, kw_only=True, frozen=True):
    description: str


class _Plan(WireModel, kw_only=True, frozen=True):
    id: SubmittedPlanId
    title: str
    goal: _Goal
    steps: list[msgspec.Raw]
    priority: PlanPriority | None = None


class Outline(WireModel, kw_only=True, frozen=True):
    """The parts of a submission that matter while it waits."""

    plan: _Plan
    user: SupervisorUserContext

    @property
    def account(self) -> str:
        """Whose plan it is, as far as fairness goes."""
        return self.user.account_id or self.user.user_id


_decoder = msgspec.json.Decoder(Outline)


def read_outline(body: bytes) -> Outline | None:
    """The outline of a submission; None where it can't be read, and will be rejected."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def read_applicant(delivery: PlanDelivery, max_payload: int) -> Applicant:
    """What a submission's place depends on.

    A firing of a schedule isn't moved, for its sequence says which run of its monitor it is.

    Args:
        delivery: the submission's.
        max_payload: of the server: a moved message has other headers, and must fit with them.
    """
    outline = read_outline(delivery.body)
    return Applicant(
        account=account_token(outline.account if outline else _UNREADABLE),
        priority=(outline.plan.priority if outline else None) or PlanPriority.NORMAL,
        movable=subjects.SCHEDULER_HEADER not in delivery.headers
        and len(delivery.body) + _ROOM_FOR_HEADERS <= max_payload,
    )


def applicant_in_lane(subject: str) -> Applicant:
    """What is known of a plan that waited in a lane, by the subject alone."""
    lane, account = subject.split(".")[-2:]
    return Applicant(account, PlanPriority.URGENT if lane == str(URGENT_LANE) else PlanPriority.NORMAL, movable=False)


def account_token(account: str) -> str:
    """An account as one token of a subject; it can't be read back."""
    return hashlib.blake2b(account.encode(), digest_size=16).hexdigest()


def entry_of_outline(outline: Outline) -> PlanIndexEntry:
    """The index entry of a plan that waits in a lane."""
    return PlanIndexEntry(
        state=PlanState.QUEUED,
        changed_at=format_time(now_ms()),
        title=cut(outline.plan.title, LONGEST_TEXT),
        goal=cut(outline.plan.goal.description, LONGEST_TEXT),
        user_id=outline.user.user_id,
        account_id=outline.user.account_id,
        steps=len(outline.plan.steps),
    )
