"""Where the time of a step goes, told without touching the executor.

The server notes when it stored each event of a plan; the responder notes when each call came and when its answer was
given away. All are on one machine, so on one clock.
"""

from datetime import datetime
from statistics import median

import msgspec
from bench_bed import Bed
from bench_load import Load
from bench_shapes import plan_id, shape

from leadplan_bus.stored_messages import StoredMessage, read_subject
from leadplan_contracts import subjects

SHAPE = "chain-6"
SECTIONS = {
    "queue": "submitted → plan begun, and plan ended → seen (the rest of the plan's time)",
    "begun": "plan begun → first step's start stored",
    "sent": "step's start stored → request at the tool",
    "tool": "in the tool",
    "stored": "reply → result stored",
    "next": "result stored → next step's start stored",
    "ended": "last result stored → end of the plan stored",
}
"""Each is once in a step, but for ``queue``, ``begun`` and ``ended``, which are once in a plan."""

_TIME = "Nats-Time-Stamp"


async def split(bed: Bed, prefix: str, plans: int) -> dict[str, float]:
    """Run plans one after the other and return the median of each section, in ms, and of the whole plan (``plan``).

    Raises:
        ValueError: the responder was called more or less often than there are steps.
    """
    await bed.start_noting_times()
    load = Load(shape=SHAPE, prefix=prefix, in_flight=1, warm_seconds=0.3, warm_plans=5, seconds=0, plans=plans)
    measured = await bed.run(load)
    calls = await bed.noted_times()
    steps = len(shape(SHAPE).graphs[0].depends_on)
    if len(calls) != measured.submitted * steps:
        raise ValueError(f"{len(calls)} calls for {measured.submitted} plans of {steps} steps")
    sections: dict[str, list[float]] = {name: [] for name in SECTIONS}
    spans = []
    for number in range(measured.submitted - plans, measured.submitted):
        log = await read_subject(bed.nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan_id(prefix, number)))
        spans.append(_add_plan(sections, [_stored_at(event) for event in log], calls[number * steps :][:steps]))
    medians = {name: median(values) for name, values in sections.items() if values}
    whole = median(measured.latencies_ms)
    return {"plan": whole, **medians, "queue": whole - median(spans)}


def _add_plan(sections: dict[str, list[float]], stored: list[int], calls: list[tuple[int, int]]) -> float:
    """Note the sections of one plan; how long it took from its first event to its last, in ms.

    The log: the plan's start, for each step its start and its result, the plan's end.
    """

    def add(section: str, begin: int, end: int) -> None:
        sections[section].append((end - begin) / 1e6)

    for step, (came, answered) in enumerate(calls):
        started, ended = stored[1 + 2 * step], stored[2 + 2 * step]
        add("sent", started, came)
        add("tool", came, answered)
        add("stored", answered, ended)
        if step + 1 < len(calls):
            add("next", ended, stored[3 + 2 * step])
    add("begun", stored[0], stored[1])
    add("ended", stored[-2], stored[-1])
    return (stored[-1] - stored[0]) / 1e6


def _stored_at(message: StoredMessage) -> int:
    """When the server stored it, in ns since 1970."""
    return time_ns(message.headers[_TIME])


def time_ns(text: str) -> int:
    """An RFC 3339 time of the server, to the microsecond."""
    return round(datetime.fromisoformat(text).timestamp() * 1_000_000) * 1000


class PlanTimes(msgspec.Struct, frozen=True):
    """When a plan's first and last events were stored, in seconds since 1970."""

    begun: float
    ended: float


async def plan_times(bed: Bed, name: str) -> PlanTimes:
    """Of a plan that has ended."""
    log = await read_subject(bed.nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(name))
    return PlanTimes(_stored_at(log[0]) / 1e9, _stored_at(log[-1]) / 1e9)
