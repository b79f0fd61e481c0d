"""Plans of every shape, from a seed: the same seed gives the same plans."""

import random
from collections.abc import Callable, Iterator
from typing import Any

from core_plans import USER

from leadplan_contracts import LeadGenGoal, LeadGenPlan, LeadGenPlanStep, PlanSubmission, RetryPolicy
from leadplan_contracts.wire import encode

Chance = random.Random
Shape = Callable[[Chance], list[list[int]]]
"""For each step the numbers of the steps before it."""

_PATIENT = RetryPolicy(max_retries=40, base_delay_ms=20, max_delay_ms=300)
_LATE = RetryPolicy(max_retries=8, base_delay_ms=600, max_delay_ms=900)
_CREATED_AT = "2026-11-23T09:15:02.417Z"


def _chain(chance: Chance) -> list[list[int]]:
    return [[n - 1] if n else [] for n in range(chance.randint(2, 8))]


def _wide(chance: Chance) -> list[list[int]]:
    return [[] for _ in range(chance.randint(3, 20))]


def _fan(chance: Chance) -> list[list[int]]:
    width = chance.randint(2, 12)
    return [[], *([0] for _ in range(width)), list(range(1, width + 1))]


def _diamonds(chance: Chance) -> list[list[int]]:
    steps: list[list[int]] = [[]]
    for _ in range(chance.randint(1, 4)):
        last = len(steps) - 1
        steps += [[last], [last], [last + 1, last + 2]]
    return steps


def _mixed(chance: Chance) -> list[list[int]]:
    count = chance.randint(3, 14)
    return [sorted(chance.sample(range(n), chance.randint(0, min(n, 3)))) for n in range(count)]


def _single(_chance: Chance) -> list[list[int]]:
    return [[]]


SHAPES: dict[str, Shape] = {
    "single": _single,
    "chain": _chain,
    "wide": _wide,
    "fan": _fan,
    "diamonds": _diamonds,
    "mixed": _mixed,
}

_Kind = tuple[str, Callable[[Chance], dict[str, Any]], dict[str, Any]]

# Tool, params and fields of the step; the first ones are what most steps are.
_KINDS: list[tuple[int, _Kind]] = [
    (8, ("LEDGER_ONCE", lambda _: {}, {})),
    (8, ("LEDGER_PLAIN", lambda _: {}, {})),
    (6, ("LEDGER_IDEMPOTENT", lambda chance: {"ms": chance.randint(0, 60)}, {})),
    (3, ("LEDGER_ONCE", lambda chance: {"ms": chance.randint(20, 300)}, {})),
    (2, ("LEDGER_PLAIN", lambda chance: {"fail_attempts": chance.randint(1, 2)}, {})),
    (2, ("LEDGER_ONCE", lambda chance: {"fail_attempts": chance.randint(1, 2)}, {})),
    (2, ("LEDGER_IDEMPOTENT", lambda _: {"busy_first": True}, {})),
    (1, ("LEDGER_PLAIN", lambda _: {"fatal": True}, {"optional": True})),
    (1, ("LEDGER_PLAIN", lambda _: {"fatal": True}, {})),
    (1, ("LEDGER_PLAIN", lambda _: {}, {"at_most_once": True})),
    (1, ("LEDGER_IDEMPOTENT", lambda _: {"answer_bytes": 300_000}, {})),
    (1, ("LEDGER_ODD", lambda _: {"odd": "twice"}, {})),
    (1, ("LEDGER_ODD", lambda _: {"odd": "late", "ms": 30}, {})),
    (1, ("LEDGER_ODD", lambda chance: {"odd": chance.choice(["garbage", "deep", "huge"]), "fail_attempts": 1}, {})),
    (1, ("LEDGER_ODD", lambda _: {"odd": "silent", "fail_attempts": 1}, {"timeout_ms": 200})),
]


# Those for plans that people have a hand in.
_STEERED_KINDS: list[tuple[int, _Kind]] = [
    (2, ("LEDGER_ONCE", lambda chance: {"fail_rounds": chance.randint(1, 2)}, {})),
    (2, ("LEDGER_ONCE", lambda _: {}, {"requires_approval": True})),
    (1, ("LEDGER_PLAIN", lambda _: {}, {"requires_approval": True, "optional": True, "deadline_ms": 4000})),
    (1, ("LEDGER_IDEMPOTENT", lambda _: {"fail_attempts": 1}, {"retry": _LATE})),
]


def _step(chance: Chance, number: int, before: list[int], kinds_of_step: list[tuple[int, _Kind]]) -> LeadGenPlanStep:
    weights, kinds = zip(*kinds_of_step, strict=True)
    tool, params, fields = chance.choices(kinds, weights)[0]
    return LeadGenPlanStep(
        id=f"s{number}",
        tool=tool,
        params=params(chance),
        depends_on=[f"s{one}" for one in before] or None,
        **{"timeout_ms": 3000, "retry": _PATIENT, **fields},
    )


def plan_of(seed: int, number: int, *, steered: bool = False) -> LeadGenPlan:
    """Plan ``number`` of a workload; with steps that need people to go on, where there are any."""
    chance = Chance(f"{seed}:{number}")
    shape = list(SHAPES)[number % len(SHAPES)]
    kinds = [*_KINDS, *_STEERED_KINDS] if steered else _KINDS
    steps = [_step(chance, place, before, kinds) for place, before in enumerate(SHAPES[shape](chance))]
    return LeadGenPlan(
        id=f"p{number}-{shape}",
        title=f"A {shape}",
        goal=LeadGenGoal(description="Survive"),
        created_at=_CREATED_AT,
        steps=steps,
        max_concurrency=chance.choice([None, 1, 3, 20]),
    )


def submission_of(plan: LeadGenPlan) -> bytes:
    """The message for ``plans.execute``."""
    return encode(PlanSubmission(plan=plan, user=USER))


def hostile_messages(chance: Chance) -> Iterator[bytes]:
    """What must be rejected and harm nobody; each once in a while."""
    yield b"\x00\xff\xfe"
    yield b"[" * 20_000
    yield b'{"plan": {"id": "hostile-' + str(chance.random()).encode() + b'", "steps": []}, "user": {}}'
    yield b'{"plan": ' + b'{"a": ' * 3_000 + b"1" + b"}" * 3_000 + b"}"
    yield b"x" * 500_000
