"""The plans whose every crash point is tried: one of every shape, small enough for hundreds of runs.

Waits are as short as the contract takes, so that a run lasts as long as its messages do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from core_plans import USER

from leadplan_contracts import LeadGenGoal, LeadGenPlan, LeadGenPlanStep, PlanSubmission, RetryPolicy
from leadplan_contracts.recurrence import OverlapPolicy, Recurrence
from leadplan_contracts.wire import encode

_AT_ONCE = RetryPolicy(max_retries=2, base_delay_ms=1, max_delay_ms=5)
_CREATED_AT = "2026-11-23T09:15:02.417Z"


class Act(NamedTuple):
    """What a person asks of a plan, once its log is so.

    Attributes:
        after: type of an event, and id of its step where it is about one.
        count: how many such events there must be.
        endpoint, fields: what is asked for.
        releases: steps with ``hold`` may go on then.
    """

    after: tuple[str, ...]
    endpoint: str
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    count: int = 1
    releases: bool = False


class Shape(NamedTuple):
    """A plan to be crashed.

    Attributes:
        name: of the shape.
        steps: of the plan.
        fields: further fields of the plan.
        recurring: a schedule fires it.
        large: its message is padded, so that a rejection keeps it in the object store.
        waits: its runs last as long as it waits.
        acts: what people ask of it, one after the other.
    """

    name: str
    steps: Callable[[], list[LeadGenPlanStep]]
    fields: dict[str, Any] = {}  # noqa: RUF012 - never changed
    recurring: bool = False
    large: bool = False
    waits: bool = False
    acts: tuple[Act, ...] = ()

    def plan(self, plan_id: str) -> LeadGenPlan:
        """The plan under an id of its own."""
        return LeadGenPlan(
            id=plan_id,
            title=f"A plan of the shape {self.name}",
            goal=LeadGenGoal(description="Survive" + "." * (70_000 if self.large else 0)),
            created_at=_CREATED_AT,
            steps=self.steps(),
            **self.fields,
        )

    def submission(self, plan_id: str) -> bytes:
        """The message for ``plans.execute``, or that of the schedule ``plan_id``."""
        recurrence = Recurrence(id=plan_id, overlap=OverlapPolicy.QUEUE) if self.recurring else None
        return encode(PlanSubmission(plan=self.plan(plan_id), user=USER, recurrence=recurrence))


def plan_step(
    step_id: str, *after: str, tool: str = "LEDGER_PLAIN", params: Any = None, **fields: Any
) -> LeadGenPlanStep:
    """A step behind others, for one of the tools in ``fault_crash_tools``; ``fields`` in Python's names."""
    return LeadGenPlanStep(
        id=step_id,
        tool=tool,
        params=params or {},
        depends_on=list(after) or None,
        **{"timeout_ms": 5000, "retry": _AT_ONCE, **fields},
    )


_FATAL = {"fatal": True}
_SILENT: dict[str, Any] = {"tool": "LEDGER_BARE", "params": {"silent": True}}
_ONCE = "LEDGER_ONCE"
_IDEMPOTENT = "LEDGER_IDEMPOTENT"


def _mixed() -> list[LeadGenPlanStep]:
    return [
        plan_step("a", tool=_ONCE),
        plan_step("b"),
        plan_step("c", "a", params={"fail_attempts": 1}),
        plan_step("d", "a", "b", tool=_IDEMPOTENT, params={"busy_first": True}),
        plan_step("e", "c", tool=_ONCE),
        plan_step("f", "d", "e", at_most_once=True),
    ]


_WAITING_B = ("STEP_WAITING", "b")
_BY = {"by": "ann", "reason": "because"}


def _approve(*after: str, count: int = 1, **fields: Any) -> Act:
    return Act(after, "approve", {**_BY, **fields}, count)


def _asks() -> list[LeadGenPlanStep]:
    return [plan_step("a"), plan_step("b", "a", tool=_ONCE, requires_approval=True), plan_step("c", "b")]


def _held_first() -> list[LeadGenPlanStep]:
    return [plan_step("a", params={"hold": True}), plan_step("b", "a", tool=_ONCE)]


def _fails_in_the_first_round() -> list[LeadGenPlanStep]:
    return [
        plan_step("a", tool=_ONCE),
        plan_step("b", "a", tool=_ONCE, params={"fail_rounds": 1}),
        plan_step("c", "b", tool=_IDEMPOTENT),
    ]


STEERED = (
    Shape("approved", _asks, acts=(_approve(*_WAITING_B, stepId="b"),)),
    Shape(
        "all approved at once",
        lambda: [plan_step(name, tool=_ONCE, requires_approval=True) for name in "ab"],
        acts=(_approve(*_WAITING_B),),
    ),
    Shape(
        "paused",
        _held_first,
        acts=(
            Act(("STEP_STARTED", "a"), "pause", _BY, releases=True),
            Act(("STEP_SUCCEEDED", "a"), "resume", _BY),
        ),
    ),
    Shape(
        "paused, then approved",
        _asks,
        acts=(
            Act(_WAITING_B, "pause", _BY),
            _approve("PLAN_PAUSED"),
            Act(("STEP_APPROVED", "b"), "resume", _BY),
        ),
    ),
    Shape("cancelled while it waits", _asks, acts=(Act(_WAITING_B, "cancel", _BY),)),
    Shape(
        "cancelled",
        lambda: [plan_step("a", params={"hold": True}), plan_step("b", "a"), plan_step("c", tool=_ONCE)],
        acts=(Act(("STEP_SUCCEEDED", "c"), "cancel", _BY),),
    ),
    Shape("run again", _fails_in_the_first_round, acts=(Act(("PLAN_COMPLETED",), "retry", _BY),)),
    Shape(
        "one step run again",
        lambda: [plan_step("a"), plan_step("b", "a", tool=_ONCE), plan_step("c", "b"), plan_step("d")],
        acts=(Act(("PLAN_COMPLETED",), "retry", {**_BY, "stepId": "b"}),),
    ),
    Shape(
        "denied, run again, approved",
        lambda: [plan_step("a", tool=_ONCE, requires_approval=True), plan_step("b", "a")],
        acts=(
            _approve("STEP_WAITING", "a", decision="deny"),
            Act(("PLAN_COMPLETED",), "retry", _BY),
            _approve("STEP_WAITING", "a", count=2),
        ),
    ),
    Shape("deadline while it waits", _asks, {"deadline_ms": 2_000}, waits=True),
    Shape(
        "step deadline while it waits",
        lambda: [plan_step("a", requires_approval=True, deadline_ms=150, optional=True), plan_step("b", "a")],
        waits=True,
    ),
    Shape(
        "repeat far away",
        lambda: [
            plan_step("a", tool=_ONCE, params={"fail_attempts": 1}, retry=RetryPolicy(max_retries=1, base_delay_ms=150))
        ],
        waits=True,
    ),
)
"""Plans that are let go of while they wait, and what people ask of them."""

SHAPES = (
    Shape("single", lambda: [plan_step("a")]),
    Shape("chain", lambda: [plan_step("a"), plan_step("b", "a", tool=_IDEMPOTENT), plan_step("c", "b", tool=_ONCE)]),
    Shape("wide", lambda: [plan_step(name, tool=_ONCE) for name in "abcd"]),
    Shape("one at a time", lambda: [plan_step(name) for name in "abc"], {"max_concurrency": 1}),
    Shape(
        "fan out and in",
        lambda: [plan_step("a"), *(plan_step(name, "a") for name in "bcd"), plan_step("e", "b", "c", "d")],
    ),
    Shape(
        "diamond",
        lambda: [plan_step("a"), plan_step("b", "a"), plan_step("c", "a", tool=_ONCE), plan_step("d", "b", "c")],
    ),
    Shape("mixed", _mixed),
    Shape("retried", lambda: [plan_step("a", params={"fail_attempts": 2}), plan_step("b", "a", tool=_ONCE)]),
    Shape("retried once-tool", lambda: [plan_step("a", tool=_ONCE, params={"fail_attempts": 1})]),
    Shape("retries used up", lambda: [plan_step("a", params={"fail_attempts": 9}), plan_step("b", "a")]),
    Shape("timed out", lambda: [plan_step("a", **_SILENT, timeout_ms=30, retry=RetryPolicy(max_retries=0))]),
    Shape("nobody listens", lambda: [plan_step("a", tool="NOBODY", retry=RetryPolicy(max_retries=1, base_delay_ms=1))]),
    Shape("optional failure", lambda: [plan_step("a", params=_FATAL, optional=True), plan_step("b", "a", tool=_ONCE)]),
    Shape(
        "failure with skips",
        lambda: [
            plan_step("a"),
            plan_step("b", "a", params=_FATAL),
            plan_step("c", "b"),
            plan_step("d", "c"),
            plan_step("e", "a"),
        ],
    ),
    Shape("at most once", lambda: [plan_step("a", at_most_once=True), plan_step("b", "a"), plan_step("c")]),
    Shape("busy", lambda: [plan_step("a", params={"busy_first": True}), plan_step("b", "a", tool=_ONCE)]),
    Shape(
        "large data",
        lambda: [plan_step("a", tool="LEDGER_BARE", params={"answer_bytes": 300_000}), plan_step("b", "a")],
    ),
    Shape("large result", lambda: [plan_step(name, params={"answer_bytes": 150_000}) for name in "ab"]),
    Shape("deadline", lambda: [plan_step("a"), plan_step("b", "a", **_SILENT)], {"deadline_ms": 1000}, waits=True),
    Shape("rejected", lambda: [plan_step("a", "nowhere")]),
    Shape("rejected, large", lambda: [plan_step("a", "a")], large=True),
    Shape("recurring", lambda: [plan_step("a"), plan_step("b", "a")], recurring=True),
    *STEERED,
)
