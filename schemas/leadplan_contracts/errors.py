"""Errors of the contract package.

ContractError
└── PlanRejectedError      the plan's author must act: every problem with path, code and message
"""

from leadplan_contracts.wire import WireModel


class PlanProblem(WireModel, kw_only=True, frozen=True):
    """One problem of a rejected plan, as ``PLAN_REJECTED`` lists it."""

    path: str
    code: str
    message: str


class ContractError(Exception):
    """Base of the errors that this package raises."""


class PlanRejectedError(ContractError):
    """The message is no valid plan.

    Attributes:
        plan_id: the plan's id, or None where it can't be read.
        problems: every problem that was found, at least one.
    """

    def __init__(self, plan_id: str | None, problems: list[PlanProblem]) -> None:
        self.plan_id = plan_id
        self.problems = problems
        listed = "; ".join(f"{problem.path}: {problem.message}" for problem in problems)
        super().__init__(f"plan {plan_id or '(no readable id)'} is rejected: {listed}")
