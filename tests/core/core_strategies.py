"""Random plans, tools, people and crashes for the property tests."""

from typing import Any, NamedTuple

from core_plans import Attempt, Tools, failed, ok, plan, scripted, step
from hypothesis import settings
from hypothesis import strategies as st

from leadplan_contracts import LeadGenPlan, LeadGenPlanStep, RetryPolicy
from leadplan_contracts.control import (
    ApproveRequest,
    CancelRequest,
    ControlRequest,
    Decision,
    PauseRequest,
    ResumeRequest,
    RetryRequest,
)
from leadplan_executor.core.signals import (
    BadReply,
    DataUnavailable,
    NoResponders,
    PayloadTooLarge,
    ServiceFailed,
    StayedBusy,
    ToolLost,
)

# Deterministic, so that a run in CI says the same each time; random search is for people who change the core.
BOUNDED = settings(max_examples=70)

_DATA = [b"null", b'{"leads":[]}', '["é",1.50,{"deep":{}}]'.encode(), b"0"]
_SIGNALS = [
    NoResponders(),
    ToolLost(15_000),
    BadReply("not JSON"),
    ServiceFailed(503, "later"),
    ServiceFailed(400, "never"),
    PayloadTooLarge("1 MB"),
    StayedBusy(30_000),
    DataUnavailable("no bucket"),
]

_durations = st.sampled_from([0, 1, 40, 40, 300, 300, 500, 500, 2_000, 29_999, 31_000])
_retries = st.none() | st.builds(
    RetryPolicy,
    max_retries=st.none() | st.integers(0, 3),
    base_delay_ms=st.none() | st.sampled_from([0, 1, 700]),
    max_delay_ms=st.none() | st.sampled_from([0, 900]),
    jitter=st.none() | st.sampled_from([0.3, 1.0]),
)


def attempts() -> st.SearchStrategy[Attempt]:
    """What one attempt comes to; most succeed, so that plans come far."""
    succeeded = st.builds(ok, st.sampled_from(_DATA), _durations)
    reported = st.builds(
        failed,
        duration_ms=_durations,
        retryable=st.sampled_from([None, True, True, False]),
        retry_after_ms=st.sampled_from([None, None, 10, 20_000]),
        error_code=st.sampled_from([None, "quota_exceeded", "busy"]),
    )
    signalled = st.builds(Attempt, st.sampled_from(_SIGNALS), _durations)
    by_weight = [succeeded] * 7 + [reported, signalled]
    return st.integers(0, len(by_weight) - 1).flatmap(by_weight.__getitem__)


class _Drawn(NamedTuple):
    """A step before it has a place: ``before`` and ``rank`` are taken modulo what is there, so that lists shrink."""

    before: list[int]
    rank: int
    flags: dict[str, Any]
    attempts: list[Attempt]


_flag = st.sampled_from([None, None, False, True])
_rare = st.sampled_from([None] * 7 + [True])
_drawn_step = st.builds(
    _Drawn,
    before=st.lists(st.integers(0, 29), max_size=3),
    rank=st.integers(0, 29),
    flags=st.fixed_dictionaries(
        {
            "optional": _flag,
            "at_most_once": _flag,
            "requires_approval": _rare,
            "retry": _retries,
            "timeout_ms": st.sampled_from([None, None, 450, 45_000]),
            "deadline_ms": st.sampled_from([None] * 7 + [1, 400, 2_500]),
        }
    ),
    attempts=st.lists(attempts(), min_size=1, max_size=4),
)


class Scenario(NamedTuple):
    """A plan, and tools that do the same for the same attempt, however often they are asked."""

    plan: LeadGenPlan
    tools: Tools


def scenarios(*, max_steps: int = 30, limits: bool = True, **fixed: Any) -> st.SearchStrategy[Scenario]:
    """A plan whose dependencies have no cycle (plan order needn't follow them), and its tools.

    Args:
        max_steps: at most.
        limits: whether some plans and steps have a deadline, and some plans a retry budget.
        fixed: fields of every step that aren't drawn.
    """
    fixed = fixed if limits else {"deadline_ms": None, **fixed}
    return st.builds(
        _scenario,
        # Left alone, Hypothesis draws mostly short lists.
        st.sampled_from([1, 5, 12, 20])
        .map(lambda size: min(size, max_steps))
        .flatmap(lambda size: st.lists(_drawn_step, min_size=size, max_size=max_steps)),
        st.sampled_from([None, 1, 1, 2, 3, 100]),
        st.sampled_from([None] * 6 + [1, 1_500, 30_000]) if limits else st.none(),
        st.sampled_from([None] * 5 + [0, 1, 3]) if limits else st.none(),
        st.just(fixed),
    )


def _scenario(
    drawn: list[_Drawn],
    max_concurrency: int | None,
    deadline_ms: int | None,
    retry_budget: int | None,
    fixed: dict[str, Any],
) -> Scenario:
    ranked: list[tuple[int, LeadGenPlanStep]] = []
    for place, one in enumerate(drawn):
        names = [f"s{number % place}" for number in one.before] if place else []
        ranked.append((one.rank, step(f"s{place}", *names, **one.flags | fixed)))
    ranked.sort(key=lambda pair: pair[0])
    steps = [one for _, one in ranked]
    of = plan(*steps, max_concurrency=max_concurrency, deadline_ms=deadline_ms, retry_budget=retry_budget)
    return Scenario(of, scripted({f"s{place}": one.attempts for place, one in enumerate(drawn)}))


def later(tools: Tools) -> list[Tools]:
    """What the tools do in later rounds: in the second as if it were one attempt later, and then they succeed."""
    return [lambda name, attempt: tools(name, attempt + 1), scripted({})]


def people(of: LeadGenPlan) -> st.SearchStrategy[list[tuple[int, ControlRequest]]]:
    """Control requests at any time; most plans aren't cancelled. Some name a step that isn't there."""
    asked = {"plan_id": st.just(of.id), "by": st.just("ops"), "request_id": st.sampled_from([None, "r1", "r2"])}
    step_ids = st.sampled_from([*(step.id for step in of.steps), "nobody"])
    decisions = st.sampled_from([None, Decision.APPROVE, Decision.DENY])
    one = st.one_of(
        *[st.builds(PauseRequest, **asked), st.builds(ResumeRequest, **asked)] * 4,
        *[st.builds(ApproveRequest, **asked, step_id=st.none() | step_ids, decision=decisions)] * 4,
        *[st.builds(RetryRequest, **asked, step_id=st.none() | step_ids)] * 2,
        st.builds(CancelRequest, **asked, reason=st.just("enough")),
    )
    return st.lists(st.tuples(st.integers(0, 8_000), one), max_size=8)


def retries(of: LeadGenPlan, *, most: int = 3) -> st.SearchStrategy[list[RetryRequest]]:
    """New rounds, each asked for when the plan has ended; a request id tells each from the one before."""
    step_ids = st.none() | st.none() | st.sampled_from([step.id for step in of.steps])
    return st.lists(step_ids, max_size=most).map(
        lambda names: [
            RetryRequest(plan_id=of.id, step_id=name, request_id=f"again-{number}") for number, name in enumerate(names)
        ]
    )


def people_answer(of: LeadGenPlan) -> st.SearchStrategy[dict[str, bool]]:
    """Whether the steps that need an approval get it; most do."""
    answer = st.sampled_from([True, True, True, False])
    return st.fixed_dictionaries({step.id: answer for step in of.steps if step.requires_approval})


def crashes() -> st.SearchStrategy[set[int]]:
    """After which appends the executor dies."""
    return (
        st.just(set()) | st.sets(st.integers(1, 25), min_size=1, max_size=4) | st.sets(st.integers(1, 80), min_size=1)
    )
