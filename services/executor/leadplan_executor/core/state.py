"""The state of one plan: the fold of its log.

Only ``evolve`` changes it. It is changed in place, so that one event costs the same in a plan of ten steps as in one of
ten thousand; whoever needs an older state folds the log again.
"""

from bisect import bisect_left, insort

from msgspec import Raw

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, LeadGenStepResult, LeadGenStepStatus, SupervisorUserContext
from leadplan_contracts.events import StepReference
from leadplan_contracts.graph import PlanGraph
from leadplan_executor.core.commands import CallTool, Command
from leadplan_executor.core.transitions import PlanPhase, StepPhase


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
    """

    __slots__ = ("index", "open_dependencies", "phase", "reference", "result", "retry_at", "spoiled", "step")

    def __init__(self, index: int, step: LeadGenPlanStep, open_dependencies: int) -> None:
        self.index = index
        self.step = step
        self.reference = StepReference(id=step.id, tool=step.tool, label=step.label)
        self.phase = StepPhase.PENDING
        self.result = LeadGenStepResult(step_id=step.id, status=LeadGenStepStatus.PENDING, attempts=0)
        self.open_dependencies = open_dependencies
        self.spoiled = False
        self.retry_at = 0

    @property
    def attempts(self) -> int:
        """Attempts begun so far."""
        return self.result.attempts


class IndexSet:
    """Step indices in plan order, without doubles."""

    __slots__ = ("_sorted",)

    def __init__(self) -> None:
        self._sorted: list[int] = []

    def add(self, index: int) -> None:
        """Put an index in; it must not be there."""
        insort(self._sorted, index)

    def discard(self, index: int) -> None:
        """Take an index out if it is there."""
        place = bisect_left(self._sorted, index)
        if place < len(self._sorted) and self._sorted[place] == index:
            del self._sorted[place]

    def first(self, count: int) -> list[int]:
        """The first so many."""
        return self._sorted[:count]

    def all(self) -> list[int]:
        """All of them, as a copy."""
        return self._sorted.copy()

    def __len__(self) -> int:
        return len(self._sorted)


class PlanRun:
    """The state of one plan. ``PlanRun(plan_id)`` is the state before its first event.

    Attributes:
        sequence: of the last event folded; 0 before the first.
        plan_for_tools: the plan as requests carry it (protocol section 5).
        user, public_user: on whose behalf, and the same without the e-mail address, for events.
        index_of: step index by step id.
        executor: which executor instance runs it.
        submission: stream sequence of the plan's message in the work queue.
        started_at, deadline_at: milliseconds since 1970; the deadline is None where the plan has none.
        ready: steps that could start now, given a free place.
        to_ask: steps that could start but for an approval that hasn't been asked for.
        to_skip: steps that will never start because of a dependency.
        retrying: steps that wait for their next attempt.
        denied: steps that a person refused and whose failure isn't recorded yet.
        in_doubt: steps that must not run twice and whose attempt was with the tool when its executor vanished.
        occupied: places in use: steps that run or wait for their next attempt.
        unfinished: steps without a final event.
        commands: what should be under way, by step index, and the deadline under None.
    """

    __slots__ = (
        "commands",
        "deadline_at",
        "denied",
        "executor",
        "graph",
        "in_doubt",
        "index_of",
        "occupied",
        "phase",
        "plan",
        "plan_for_tools",
        "plan_id",
        "public_user",
        "ready",
        "retrying",
        "sequence",
        "started_at",
        "steps",
        "submission",
        "to_ask",
        "to_skip",
        "traceparent",
        "unfinished",
        "user",
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
        self.traceparent: str | None = None
        self.started_at = 0
        self.deadline_at: int | None = None
        self.ready = IndexSet()
        self.to_ask = IndexSet()
        self.to_skip = IndexSet()
        self.retrying = IndexSet()
        self.denied = IndexSet()
        self.in_doubt = IndexSet()
        self.occupied = 0
        self.unfinished = 0
        self.commands: dict[int | None, Command] = {}

    @property
    def completed(self) -> bool:
        """Whether the last event has been."""
        return self.phase is PlanPhase.COMPLETED

    @property
    def attempts_in_flight(self) -> int:
        """Attempts that are with their tools."""
        return sum(1 for command in self.commands.values() if isinstance(command, CallTool))
