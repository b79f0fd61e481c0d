"""Who has an executor's slots."""

from collections import Counter

from leadplan_contracts.plan import PlanPriority
from leadplan_executor.core.lanes import Applicant


class SlotHolders:
    """The plans that run, counted.

    Attributes:
        total: all of them.
    """

    def __init__(self) -> None:
        self.total = 0
        self._normal: Counter[str] = Counter()
        self._urgent: Counter[str] = Counter()

    def add(self, plan: Applicant) -> None:
        """A plan has been given a slot."""
        self.total += 1
        self._counter(plan)[plan.account] += 1

    def remove(self, plan: Applicant) -> None:
        """A plan has left its slot."""
        self.total -= 1
        counter = self._counter(plan)
        counter[plan.account] -= 1
        if not counter[plan.account]:
            del counter[plan.account]

    def normal_of(self, account: str) -> int:
        """Plans of an account that aren't urgent."""
        return self._normal[account]

    def urgent_of(self, account: str) -> int:
        """Urgent ones."""
        return self._urgent[account]

    def _counter(self, plan: Applicant) -> Counter[str]:
        return self._urgent if plan.priority is PlanPriority.URGENT else self._normal
