"""Which plans ``leadplan list`` shows: its options as a request to the executors, and what is left to look at here."""

from dataclasses import dataclass

from leadplan_cli.errors import BAD_USE, CommandError
from leadplan_cli.moments import moment
from leadplan_contracts import OverallStatus
from leadplan_contracts.control import MAX_LIST_LIMIT, ListRequest, PlanState, PlanSummary
from leadplan_contracts.times import format_time

_FAILED = frozenset({OverallStatus.FAILED, OverallStatus.PARTIAL})
_STATES = {state.value: state for state in PlanState}
_OUTCOMES = {outcome.value: outcome for outcome in OverallStatus}


@dataclass(frozen=True)
class PlanFilters:
    """What is asked for.

    Attributes:
        states: plans in one of these, or
        outcomes: plans that ended like this; nothing in either means any plan.
        failed: only plans that retrying may help.
        others: the filters that executors know as they are.
    """

    states: frozenset[PlanState]
    outcomes: frozenset[OverallStatus]
    failed: bool
    others: ListRequest

    @property
    def any(self) -> bool:
        """Whether anything is filtered at all."""
        return bool(self.states or self.outcomes or self.failed or self.others != ListRequest())

    def request(self, limit: int | None) -> ListRequest:
        """What executors are asked: as narrow as one request can say it. ``limit`` None is for all plans."""
        states, outcomes = set(self.states), set(self.outcomes)
        if self.failed:
            states, outcomes = set(), set(_FAILED)
        elif outcomes and states:
            # One request can't say "running, or failed": executors list all that ended, and `fit` looks at how.
            states, outcomes = states | {PlanState.COMPLETED}, set()
        return ListRequest(
            states=sorted(states) or None,
            overall_statuses=sorted(outcomes) or None,
            account_id=self.others.account_id,
            user_id=self.others.user_id,
            text=self.others.text,
            changed_after=self.others.changed_after,
            # One more than is shown, to know whether there are more.
            limit=MAX_LIST_LIMIT if limit is None else min(limit + 1, MAX_LIST_LIMIT),
        )

    def fit(self, plan: PlanSummary) -> bool:
        """Whether a plan that executors listed is one of those that were asked for."""
        if self.failed and plan.overall_status not in _FAILED:
            return False
        if not self.states and not self.outcomes:
            return True
        return plan.state in self.states or plan.overall_status in self.outcomes


def filters(
    states: list[str],
    *,
    failed: bool = False,
    account: str | None = None,
    user: str | None = None,
    text: str | None = None,
    since: str | None = None,
) -> PlanFilters:
    """Read the options.

    Raises:
        CommandError: a state or a time is none.
    """
    words = [word.strip().lower() for given in states for word in given.split(",")]
    for word in words:
        if word not in _STATES and word not in _OUTCOMES:
            there_are = ", ".join([*_STATES, *_OUTCOMES])
            raise CommandError(f"--state {word!r} is none: there are {there_are}", exit_code=BAD_USE)
    changed_after = None if since is None else format_time(int(moment(since).timestamp() * 1000))
    return PlanFilters(
        frozenset(_STATES[word] for word in words if word in _STATES),
        frozenset(_OUTCOMES[word] for word in words if word in _OUTCOMES),
        failed,
        ListRequest(account_id=account, user_id=user, text=text, changed_after=changed_after),
    )
