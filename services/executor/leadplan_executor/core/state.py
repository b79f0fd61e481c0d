"""The state of one plan: the fold of its log.

Only ``evolve`` changes it. It is changed in place, so that one event costs the same in a plan of ten steps as in one of
ten thousand; whoever needs an older state folds the log again.
"""

from bisect import bisect_left, insort
from typing import NamedTuple

from msgspec import Raw

from leadplan_contracts import (
    LeadGenPlan,
    LeadGenPlanStep,
    LeadGenStepResult,
    LeadGenStepStatus,
    LeadPlanEventType,
    OverallStatus,
    SupervisorUserContext,
)
from leadplan_contracts.events import PlanPaused, StepReference
from leadplan_contracts.graph import PlanGraph
from leadplan_executor.core.commands import CallTool, Command
from leadplan_executor.core.transitions import PlanPhase, StepPhase


class PlanOutcome(NamedTuple):
    """How a plan ended, and when."""

    overall_status: OverallStatus
    finished_at: str


class Asked(NamedTuple):
    """What a request led to, so that its repeat is known and does nothing twice.

    Attributes:
        steps: ids of the steps concerned, of an approval or a retry.
        waiting: steps that waited for a person when it came, by index: an approval of all of them means no others.
    """

    steps: list[str]
    waiting: frozenset[int]


class StepRun:
    """The state of one step.

    Attributes:
        index: its place in plan order.
        step: the step as planned.
        reference: how events name it.
        phase: where it stands.
        result: what is known of it, as its last event said.
        open_dependencies: steps that must still end before it can start.
        spoiled: a dependency failed (and wasn't optional) or was skipped.
        retry_at: milliseconds since 1970, while it is ``RETRYING``.
        deadline_at: when it fails at the latest, in milliseconds since 1970; None where it has no deadline (yet).
        decision: what a person said in this round: True for approved, False for refused, None for nothing yet.
        changed_at: time of its last event in this round, as the event has it.
    """

    __slots__ = (
        "changed_at",
        "deadline_at",
        "decision",
        "index",
        "open_dependencies",
        "phase",
        "reference",
        "result",
        "retry_at",
        "spoiled",
        "step",
    )

    def __init__(self, index: int, step: LeadGenPlanStep, open_dependencies: int) -> None:
        self.index = index
        self.step = step
        self.reference = StepReference(id=step.id, tool=step.tool, label=step.label)
        self.phase = StepPhase.PENDING
        self.begin_round(open_dependencies, spoiled=False)

    def begin_round(self, open_dependencies: int, *, spoiled: bool) -> None:
        """Forget what happened in rounds before; the phase is the caller's to set."""
        self.result = LeadGenStepResult(step_id=self.step.id, status=LeadGenStepStatus.PENDING, attempts=0)
        self.open_dependencies = open_dependencies
        self.spoiled = spoiled
        self.retry_at = 0
        self.deadline_at: int | None = None
        self.decision: bool | None = None
        self.changed_at: str | None = None

    @property
    def attempts(self) -> int:
        """Attempts begun so far."""
        return self.result.attempts

    @property
    def lets_dependants_run(self) -> bool:
        """Whether it has ended so that the steps that depend on it may run (protocol section 3, rule 1)."""
        return self.phase is StepPhase.SUCCEEDED or (self.phase is StepPhase.FAILED and bool(self.step.optional))


class IndexSet(list[int]):
    """Step indices in plan order, without doubles; changed by these two only."""

    __slots__ = ()

    def add(self, index: int) -> None:
        """Put an index in; it must not be there."""
        insort(self, index)

    def discard(self, index: int) -> None:
        """Take an index out if it is there."""
        place = bisect_left(self, index)
        if place < len(self) and self[place] == index:
            del self[place]


class PlanRun:
    """The state of one plan. ``PlanRun(plan_id)`` is the state before its first event.

    Attributes:
        sequence: of the last event folded; 0 before the first.
        plan_for_tools: the plan as requests carry it (protocol section 5).
        user, public_user: on whose behalf, and the same without the e-mail address, for events.
        index_of: step index by step id.
        executor: which executor instance runs it, or ran it last.
        submission: stream sequence that the plan was submitted as.
        message: stream sequence of the message in the work queue that the plan is held by.
        woken: whether it was taken up by another message than its submission: it may have had a timer.
        traceparent: of the submission.
        last_kind, last_at: type and time of the last event folded.
        started_at, deadline_at: milliseconds since 1970; the deadline is None where the plan has none.
        round: 1, and one more for each retry of the plan.
        requests: what people's requests led to, by the type of the events and the request's id.
        repeats: repeats of failed attempts in this round.
        paused: the event that paused it, while it is paused.
        outcome: how it ended, while it is completed.
        ready: steps that could start now, given a free place.
        to_ask: steps that could start but for an approval that hasn't been asked for.
        to_skip: steps that will never start because of a dependency.
        waiting: steps that wait for a person.
        retrying: steps that wait for their next attempt.
        denied: steps that a person refused and whose failure isn't recorded yet.
        in_doubt: steps that must not run twice and whose attempt was with the tool when its executor vanished.
        occupied: places in use: steps that run or wait for their next attempt.
        unfinished: steps without a final event.
        step_deadlines: deadlines of unfinished steps that have one, each with the step's index, earliest first.
        commands: what should be under way, by step index, and the earliest deadline under None.
    """

    __slots__ = (
        "commands",
        "deadline_at",
        "denied",
        "executor",
        "graph",
        "in_doubt",
        "index_of",
        "last_at",
        "last_kind",
        "message",
        "occupied",
        "outcome",
        "paused",
        "phase",
        "plan",
        "plan_for_tools",
        "plan_id",
        "public_user",
        "ready",
        "repeats",
        "requests",
        "retrying",
        "round",
        "sequence",
        "started_at",
        "step_deadlines",
        "steps",
        "submission",
        "to_ask",
        "to_skip",
        "traceparent",
        "unfinished",
        "user",
        "waiting",
        "woken",
    )

    def __init__(self, plan_id: str) -> None:
        self.plan_id = plan_id
        self.phase = PlanPhase.UNSTARTED
        self.sequence = 0
        self.plan: LeadGenPlan
        self.plan_for_tools: Raw
        self.user: SupervisorUserContext
        self.public_user: SupervisorUserContext | None = None
        self.graph: PlanGraph
        self.steps: list[StepRun] = []
        self.index_of: dict[str, int] = {}
        self.executor = ""
        self.submission: int | None = None
        self.message: int | None = None
        self.woken = False
        self.last_kind: LeadPlanEventType | None = None
        self.last_at = ""
        self.round = 1
        self.requests: dict[tuple[LeadPlanEventType, str], Asked] = {}
        self.repeats = 0
        self.paused: PlanPaused | None = None
        self.outcome: PlanOutcome | None = None
        self.traceparent: str | None = None
        self.started_at = 0
        self.deadline_at: int | None = None
        self.ready = IndexSet()
        self.to_ask = IndexSet()
        self.to_skip = IndexSet()
        self.waiting = IndexSet()
        self.retrying = IndexSet()
        self.denied = IndexSet()
        self.in_doubt = IndexSet()
        self.occupied = 0
        self.unfinished = 0
        self.step_deadlines: list[tuple[int, int]] = []
        self.commands: dict[int | None, Command] = {}

    @property
    def completed(self) -> bool:
        """Whether the last event has been."""
        return self.phase is PlanPhase.COMPLETED

    @property
    def attempts_in_flight(self) -> int:
        """Attempts that are with their tools."""
        return sum(1 for command in self.commands.values() if isinstance(command, CallTool))
