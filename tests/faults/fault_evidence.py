"""Reading what is known of plans from a server, and judging it."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from fault_checker import Evidence, Stored, Violation, by_plan, history, violations
from fault_control import Asked
from fault_followers import Follower
from fault_ledger import Entry, Ledger
from nats.aio.client import Client

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.stored_messages import StoredMessage, read_subject
from leadplan_contracts import LeadGenPlan, LeadGenStepResult, subjects
from leadplan_contracts.events import PlanCompleted, decode_event

_READ_AT_ONCE = 16


async def read_evidence(
    nc: Client,
    plan: LeadGenPlan,
    ledger: list[Entry],
    followers: Iterable[Follower],
    asked: Sequence[Asked] = (),
) -> Evidence:
    """Everything that is known of one plan."""
    messages = await whole_subject(nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(plan.id))
    rejected = await whole_subject(nc, subjects.PLAN_REJECTS_STREAM, subjects.plan_rejected_subject(plan.id))
    log = [stored(message) for message in messages]
    bodies = [one.body for one in log]
    return Evidence(
        plan=plan,
        log=log,
        rejected=bool(rejected),
        ledger=ledger,
        followed={one.name: one.repaired(plan.id, bodies) for one in followers},
        results=await step_results(nc, log),
        asked=asked,
    )


async def judged(
    nc: Client, plans: Iterable[LeadGenPlan], ledger: Path, followers: Sequence[Follower]
) -> tuple[list[Violation], list[str]]:
    """Every rule that these plans broke, and the histories of the plans that did."""
    entries = by_plan(Ledger(ledger).entries())
    found = [Violation("feed", one.name, what) for one in followers for what in one.contradictions]
    reading = asyncio.Semaphore(_READ_AT_ONCE)

    async def read(plan: LeadGenPlan) -> Evidence:
        async with reading:
            return await read_evidence(nc, plan, entries.get(plan.id, []), followers)

    histories = []
    for evidence in await asyncio.gather(*map(read, plans)):
        broken = violations(evidence)
        found += broken
        if broken:
            histories.append(f"history of {evidence.plan.id}\n{history(evidence)}")
    return found, histories


async def whole_subject(nc: Client, stream: str, subject: str) -> list[StoredMessage]:
    """All of a subject. Any replica answers a read, so it is repeated until it ends where the leader says."""
    request = msgspec.json.encode({"last_by_subj": subject})
    async with asyncio.timeout(20):
        while True:
            answer = msgspec.json.decode(
                (await nc.request(f"$JS.API.STREAM.MSG.GET.{stream}", request, timeout=5)).data
            )
            last = answer["message"]["seq"] if "message" in answer else 0
            messages = await read_subject(nc, stream, subject)
            if (messages[-1].stream_sequence if messages else 0) >= last:
                return messages
            await asyncio.sleep(0.05)


def stored(message: StoredMessage) -> Stored:
    """A message of a plan's log, as the checker reads it."""
    text = message.headers["Nats-Time-Stamp"]
    seconds, _, fraction = text.rstrip("Z").partition(".")
    whole = int(datetime.fromisoformat(f"{seconds}+00:00").timestamp())
    nanoseconds = int(fraction.ljust(9, "0")[:9]) if fraction else 0
    executor = message.headers.get(subjects.EXECUTOR_HEADER)
    return Stored(executor, whole * 1_000_000_000 + nanoseconds, message.body)


async def step_results(nc: Client, log: list[Stored]) -> dict[int, list[LeadGenStepResult]]:
    """The step results of a plan whose result is too large for a message, by the number of the event that ends it."""
    found = {}
    for one in log:
        if b'"stepResultsRef"' not in one.body:
            continue
        event = decode_event(one.body)
        if isinstance(event, PlanCompleted) and event.result.step_results_ref is not None:
            body = await ClaimCheck(nc.jetstream()).get(event.result.step_results_ref)
            found[event.sequence or 0] = msgspec.json.decode(body, type=list[LeadGenStepResult])
    return found
