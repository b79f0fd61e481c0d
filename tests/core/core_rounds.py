"""A finished log in rounds: the first from PLAN_STARTED on, each further one from its PLAN_RETRIED on."""

from collections.abc import Iterator, Mapping, Sequence

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, LeadGenStepResult, LeadPlanEventPayload
from leadplan_contracts.events import PlanCompleted, PlanRetried, StepEvent, StepFailed, StepSkipped, StepSucceeded
from leadplan_contracts.times import parse_time

FINAL_EVENTS = StepSucceeded | StepFailed | StepSkipped


class Round:
    """A plan, and everything that its log tells of one round.

    Attributes:
        events: of this round.
        first: the log's first event.
        steps: those that run in this round, in plan order.
        kept: results of the others, from rounds before.
        before: results of all steps when the round began; empty in the first.
    """

    def __init__(
        self,
        plan: LeadGenPlan,
        number: int,
        events: Sequence[LeadPlanEventPayload],
        first: LeadPlanEventPayload,
        before: Mapping[str, LeadGenStepResult],
    ) -> None:
        self.plan = plan
        self.number = number
        self.events = list(events)
        self.first = first
        self.before = before
        opening = self.events[0]
        self.named = opening.meta.steps if isinstance(opening, PlanRetried) else [step.id for step in plan.steps]
        self.steps = [step for step in plan.steps if step.id in self.named]
        self.kept = {name: result for name, result in before.items() if name not in self.named}
        self.step_of = {step.id: step for step in plan.steps}
        self._of_step: dict[str, list[LeadPlanEventPayload]] = {step.id: [] for step in plan.steps}
        for event in self.events:
            if isinstance(event, StepEvent):
                self._of_step[event.step.id].append(event)

    @property
    def begun_at(self) -> int:
        return parse_time(self.events[0].time)

    def of_step(self, step_id: str) -> list[LeadPlanEventPayload]:
        return self._of_step[step_id]

    def results(self) -> dict[str, LeadGenStepResult]:
        """The result of each step when the round ended."""
        ended = {event.step.id: event.result for event in self.events if isinstance(event, FINAL_EVENTS)}
        return {**self.kept, **ended}

    def lets_run(self, step_id: str, status: str) -> bool:
        """Whether the dependants of a step that ended so may run."""
        return status == "succeeded" or (status == "failed" and bool(self.step_of[step_id].optional))


def rounds_of(plan: LeadGenPlan, events: Sequence[LeadPlanEventPayload]) -> Iterator[Round]:
    """The rounds of a completed plan's log."""
    begins = [0, *(n for n, event in enumerate(events) if isinstance(event, PlanRetried))]
    before: dict[str, LeadGenStepResult] = {}
    for number, (begin, end) in enumerate(zip(begins, [*begins[1:], len(events)], strict=True), 1):
        one = Round(plan, number, events[begin:end], events[0], before)
        assert isinstance(one.events[-1], PlanCompleted), "a round doesn't end with PLAN_COMPLETED"
        yield one
        before = one.results()


def with_everything_behind(plan: LeadGenPlan, step: LeadGenPlanStep) -> set[str]:
    """The step and all that depend on it at any depth, found by looking again and again."""
    found = {step.id}
    while more := {each.id for each in plan.steps if found.intersection(each.dependencies)} - found:
        found |= more
    return found
