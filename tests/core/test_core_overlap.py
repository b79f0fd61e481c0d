"""Firings of a recurring plan that would overlap: every state times each policy, then whole histories."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leadplan_contracts.recurrence import OverlapPolicy, RecurringRun, RecurringRuns
from leadplan_executor.core.overlap import Verdict, decide_overlap

SKIP, QUEUE = OverlapPolicy.SKIP, OverlapPolicy.QUEUE


def run(number: int) -> RecurringRun:
    return RecurringRun(plan_id=f"weekly-{number}", submission=number)


A, B, NEW = run(1), run(2), run(3)


def runs(running: RecurringRun, waiting: RecurringRun | None = None) -> RecurringRuns:
    return RecurringRuns(running=running, waiting=waiting)


# What is remembered, whether its run has ended, whether the one that waits is gone: verdict and memory for each policy.
TABLE = {
    (None, False, False): {SKIP: (Verdict.START, runs(NEW)), QUEUE: (Verdict.START, runs(NEW))},
    (runs(NEW), False, False): {SKIP: (Verdict.START, runs(NEW)), QUEUE: (Verdict.START, runs(NEW))},
    (runs(NEW, B), False, False): {SKIP: (Verdict.START, runs(NEW, B)), QUEUE: (Verdict.START, runs(NEW, B))},
    (runs(A), False, False): {SKIP: (Verdict.SKIP, runs(A)), QUEUE: (Verdict.WAIT, runs(A, NEW))},
    (runs(A), True, False): {SKIP: (Verdict.START, runs(NEW)), QUEUE: (Verdict.START, runs(NEW))},
    (runs(A, B), False, False): {SKIP: (Verdict.SKIP, runs(A, B)), QUEUE: (Verdict.SKIP, runs(A, B))},
    (runs(A, B), False, True): {SKIP: (Verdict.SKIP, runs(A)), QUEUE: (Verdict.WAIT, runs(A, NEW))},
    (runs(A, B), True, False): {SKIP: (Verdict.SKIP, runs(B)), QUEUE: (Verdict.WAIT, runs(B, NEW))},
    (runs(A, B), True, True): {SKIP: (Verdict.START, runs(NEW)), QUEUE: (Verdict.START, runs(NEW))},
    (runs(A, NEW), False, False): {SKIP: (Verdict.WAIT, runs(A, NEW)), QUEUE: (Verdict.WAIT, runs(A, NEW))},
    (runs(A, NEW), True, False): {SKIP: (Verdict.START, runs(NEW)), QUEUE: (Verdict.START, runs(NEW))},
}


@pytest.mark.parametrize(("state", "policy"), list(itertools.product(TABLE, OverlapPolicy)))
def test_every_state_and_policy(state, policy):
    remembered, running_ended, waiting_gone = state
    decision = decide_overlap(policy, remembered, NEW, running_ended=running_ended, waiting_gone=waiting_gone)
    assert decision == TABLE[state][policy]


@pytest.mark.parametrize("policy", OverlapPolicy)
@pytest.mark.parametrize("remembered", [runs(NEW), runs(NEW, B)])
@pytest.mark.parametrize(("running_ended", "waiting_gone"), [(a, b) for a in (False, True) for b in (False, True)])
def test_a_run_that_was_let_start_may_go_on_whatever_the_facts(remembered, policy, running_ended, waiting_gone):
    facts = {"running_ended": running_ended, "waiting_gone": waiting_gone}
    assert decide_overlap(policy, remembered, NEW, **facts) == (Verdict.START, remembered)


def test_the_table_holds_every_combination():
    remembered = [None, *(runs(a, b) for a, b in itertools.product((A, NEW), (None, B, NEW)) if a != b)]
    combinations = {
        (one, ended, gone)
        for one in remembered
        for ended in (False, True)
        for gone in (False, True)
        # What can't be, and what the test above shows to make no difference.
        if not (ended and (one is None or one.running == NEW))
        and not (gone and (one is None or one.waiting != B or one.running == NEW))
    }
    assert combinations == set(TABLE)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("fire"), st.sampled_from(OverlapPolicy)),
        st.tuples(st.sampled_from(["end", "lose"]), st.none()),
        st.tuples(st.just("redeliver"), st.integers(min_value=0, max_value=10)),
    ),
    max_size=60,
)


class History:
    """A recurrence over time: messages in the queue, runs that go on, and what is remembered."""

    def __init__(self) -> None:
        self.queued: dict[RecurringRun, OverlapPolicy] = {}
        self.let_start: list[RecurringRun] = []
        self.ended: set[RecurringRun] = set()
        self.skipped: set[RecurringRun] = set()
        self.remembered: RecurringRuns | None = None
        self._last = 0

    @property
    def going_on(self) -> list[RecurringRun]:
        return [one for one in self.let_start if one not in self.ended]

    def step(self, what: str, value: OverlapPolicy | int | None) -> None:
        match what, value:
            case "fire", OverlapPolicy() as policy:
                self._last += 1
                self.queued[run(self._last)] = policy
                self._deliver(run(self._last))
            case "redeliver", int(place) if self.queued:
                self._deliver(list(self.queued)[place % len(self.queued)])
            case "end", _ if self.going_on:
                self._take_off(self.going_on[0])
            case "lose", _ if self.queued:
                self._take_off(next(reversed(self.queued)))

    def _take_off(self, firing: RecurringRun) -> None:
        self.ended.add(firing)
        del self.queued[firing]

    def _deliver(self, firing: RecurringRun) -> None:
        facts = self.remembered
        decision = decide_overlap(
            self.queued[firing],
            facts,
            firing,
            running_ended=facts is not None and facts.running not in self.queued,
            waiting_gone=facts is not None and facts.waiting is not None and facts.waiting not in self.queued,
        )
        self.remembered = decision.runs
        if decision.verdict is Verdict.SKIP:
            self.skipped.add(firing)
            del self.queued[firing]
        elif decision.verdict is Verdict.START and firing not in self.let_start:
            self.let_start.append(firing)


@given(STEPS)
def test_in_any_history_runs_never_overlap_and_nobody_overtakes_or_is_forgotten(steps):
    history = History()
    for what, value in steps:
        history.step(what, value)
        assert len(history.going_on) <= 1
        waiting = [one for one in history.queued if one not in history.let_start]
        assert len(waiting) <= 2  # one waits; the one before it may have its turn without having come for it yet
    # When everything that lies in the queue comes again, and each run ends, all are run.
    for _ in range(6):
        for firing in list(history.queued):
            history.step("redeliver", list(history.queued).index(firing))
        history.step("end", None)
    assert history.queued == {}
    assert history.let_start == sorted(history.let_start, key=lambda one: one.submission)
    assert not history.skipped & set(history.let_start)
    assert set(Counter(history.let_start).values()) <= {1}
