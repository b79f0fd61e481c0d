"""What must be true of every plan after any faults: the rules of protocol section 6, held against all the evidence.

The evidence is what was stored, what the tools really received and did, and what followers of the feed saw. The
checker accepts nothing that it can't explain. The rules that a log alone can be held against are those of the core's
tests (``core_invariants.check_log``); those here also need the ledger, the clock of the server, or several executors.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import msgspec
from core_invariants import check_log
from fault_control import Answer, Asked
from fault_ledger import ONCE_TOOLS, READING_TOOLS, Entry, What

from leadplan_contracts import LeadGenExecutionResult, LeadGenPlan, LeadGenStepResult, LeadPlanEventPayload
from leadplan_contracts.events import (
    PlanCancelling,
    PlanCompleted,
    PlanPaused,
    PlanResumed,
    PlanRetried,
    PlanStarted,
    PlanUnpaused,
    StepApproved,
    StepDenied,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSucceeded,
    decode_event,
    event_type,
)
from leadplan_executor.core import PlanRun, evolve
from leadplan_executor.core.errors import CoreError

_FINAL = (StepSucceeded, StepFailed, StepSkipped)
_ASKED_FOR = (PlanCancelling, PlanPaused, PlanUnpaused, PlanRetried, StepApproved, StepDenied)
_EVENTS_OF = {
    "cancel": ("PLAN_CANCELLING",),
    "pause": ("PLAN_PAUSED",),
    "resume": ("PLAN_UNPAUSED",),
    "retry": ("PLAN_RETRIED",),
    "approve": ("STEP_APPROVED", "STEP_DENIED"),
}
_NEVER = 2**63


class Violation(NamedTuple):
    """A broken rule, and what shows it."""

    plan_id: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.plan_id}: {self.rule}: {self.what}"


class Stored(NamedTuple):
    """A message of a plan's log.

    Attributes:
        executor: the instance that appended it, by its header.
        at: when the server stored it, nanoseconds since 1970.
        body: the event's JSON.
    """

    executor: str | None
    at: int
    body: bytes


@dataclass
class Evidence:
    """Everything that is known of one plan.

    Attributes:
        plan: as it was submitted; its submission was acknowledged.
        log: what is stored, in order.
        rejected: whether a rejection is stored for it.
        ledger: what the tools received and did for it, in order.
        followed: for each follower of the live feed, the bodies that it ended with once it had repaired its gaps.
        results: step results that a large plan's result refers to, where it does, by the event's number.
        asked: what people asked of it, and what they were told.
    """

    plan: LeadGenPlan
    log: list[Stored]
    rejected: bool = False
    ledger: list[Entry] = field(default_factory=list)
    followed: Mapping[str, Sequence[bytes]] = field(default_factory=dict)
    results: Mapping[int, list[LeadGenStepResult]] = field(default_factory=dict)
    asked: Sequence[Asked] = ()


class _Read(NamedTuple):
    evidence: Evidence
    events: list[LeadPlanEventPayload]

    @property
    def plan_id(self) -> str:
        return self.evidence.plan.id

    def stored(self) -> Iterator[tuple[Stored, LeadPlanEventPayload]]:
        return zip(self.evidence.log, self.events, strict=True)

    def rounds(self) -> Iterator[tuple[int, Stored, LeadPlanEventPayload]]:
        """What is stored, with the number of the round that it belongs to."""
        number = 1
        for stored, event in self.stored():
            number += isinstance(event, PlanRetried)
            yield number, stored, event


def violations(evidence: Evidence) -> list[Violation]:
    """Every broken rule of one plan; an empty list where all is explained."""
    plan_id = evidence.plan.id
    if not evidence.log:
        if evidence.rejected:
            return []
        return [Violation(plan_id, "lost", "acknowledged, and neither begun nor rejected")]
    try:
        events = [_event_of(stored, evidence) for stored in evidence.log]
    except msgspec.DecodeError as error:
        return [Violation(plan_id, "unreadable log", str(error))]
    read = _Read(evidence, events)
    if not isinstance(events[-1], PlanCompleted):
        return [Violation(plan_id, "not completed", f"the last event is {event_type(events[-1])}"), *_fence(read)]
    return [
        Violation(plan_id, rule.__name__.strip("_").replace("_", " "), what) for rule in _RULES for what in rule(read)
    ]


def _event_of(stored: Stored, evidence: Evidence) -> LeadPlanEventPayload:
    event = decode_event(stored.body)
    results = evidence.results.get(event.sequence or 0)
    if isinstance(event, PlanCompleted) and results is not None:
        result: LeadGenExecutionResult = msgspec.structs.replace(event.result, step_results=results)
        return msgspec.structs.replace(event, result=result)
    return event


# --- the rules: each yields what breaks it


def _log_rules(read: _Read) -> Iterator[str]:
    """Rules 2 and 3, retries, skipping and the result, told from the log alone."""
    try:
        check_log(read.evidence.plan, read.events)
    except AssertionError as error:
        yield " ".join(str(error).split())[:300] or "an assertion of check_log"


def _fence(read: _Read) -> Iterator[Violation]:
    return (Violation(read.plan_id, "fence", what) for what in _one_executor_at_a_time(read))


def _one_executor_at_a_time(read: _Read) -> Iterator[str]:
    """Rule 4: who appends is who started the plan, took it over last, or began its round."""
    owner: str | None = None
    for stored, event in read.stored():
        if isinstance(event, PlanStarted | PlanResumed | PlanRetried):
            owner = event.meta.executor
        if stored.executor != owner:
            yield f"event {event.sequence} was appended by {stored.executor} while {owner} held the plan"


def _final_events_are_stored_before_what_follows(read: _Read) -> Iterator[str]:
    """Rule 5: no tool is asked before the ends of all steps that its step depends on are stored, and its approval."""
    steps = {step.id: step for step in read.evidence.plan.steps}
    ended_at, approved_at = _times_of(read, _FINAL), _times_of(read, (StepApproved,))
    for entry in read.evidence.ledger:
        if entry.what is not What.REQUEST:
            continue
        step = steps.get(entry.step_id)
        if step is None:
            yield f"a request for step {entry.step_id}, which the plan hasn't"
            continue
        early = [name for name in step.dependencies if _at(ended_at, name, entry.round) > entry.at]
        if early:
            yield f"{step.id} was asked before the end of {', '.join(early)} was stored"
        if step.requires_approval and approved_at.get((entry.round, step.id), entry.at + 1) > entry.at:
            yield f"{step.id} was asked before anybody's approval was stored"


_Times: TypeAlias = Mapping[tuple[int, str], int]


def _times_of(read: _Read, kinds: tuple[type[StepEvent], ...]) -> _Times:
    """When such an event of a step was stored, by round and step."""
    return {(number, event.step.id): stored.at for number, stored, event in read.rounds() if isinstance(event, kinds)}


def _at(times: _Times, step_id: str, round_number: int) -> int:
    """When it was so in this round, or in the last one before that the step ran in; later than anything if never."""
    found = (times[number, step_id] for number in range(round_number, 0, -1) if (number, step_id) in times)
    return next(found, _NEVER)


_Attempt: TypeAlias = tuple[int, str, int]
"""Round, step and attempt."""


def _attempts_are_sent_once_unless_taken_over(read: _Read) -> Iterator[str]:
    """Retries come from one place: a request is repeated only by who took the plan over, or for a busy tool."""
    allowed, sent, busy = _requests_explained(read), _counted(read, What.REQUEST), _counted(read, What.BUSY)
    for_nothing = _requests_for_nothing(read)
    for which, count in sent.items():
        explained = allowed.get(which, 0) + busy[which] + for_nothing[which[:2]]
        if count > explained:
            round_number, step_id, attempt = which
            where = f" in round {round_number}" if round_number > 1 else ""
            yield f"attempt {attempt} of {step_id}{where} was sent {count} times, {explained} are explained"


def _counted(read: _Read, what: What) -> Counter[_Attempt]:
    return Counter((entry.round, entry.step_id, entry.attempt) for entry in read.evidence.ledger if entry.what is what)


def _requests_explained(read: _Read) -> dict[_Attempt, int]:
    """For each stored attempt: one request, and one more for each take-over while it was under way."""
    explained: dict[_Attempt, int] = {}
    under_way: dict[str, _Attempt] = {}
    for number, _, event in read.rounds():
        if isinstance(event, StepStarted):
            which = under_way[event.step.id] = (number, event.step.id, event.result.attempts)
            explained[which] = 1
        elif isinstance(event, StepEvent):
            under_way.pop(event.step.id, None)
        elif isinstance(event, PlanResumed):
            for one in under_way.values():
                explained[one] += 1
    return explained


def _requests_for_nothing(read: _Read) -> Counter[tuple[int, str]]:
    """By round and step: how often a tool that only reads may have been asked without its attempt being stored.

    It is called while its attempt is being stored: by one executor for each take-over, whose append was refused for it
    had lost the plan, or that died before the append arrived.
    """
    early = [
        step.id
        for step in read.evidence.plan.steps
        if step.tool in READING_TOOLS and not step.at_most_once and step.deadline_ms is None
    ]
    taken_over = [number for number, _, event in read.rounds() if isinstance(event, PlanResumed)]
    last = max((number for number, _, _ in read.rounds()), default=0)
    return Counter(
        {
            (number, step_id): sum(each >= number for each in taken_over)
            for number in range(1, last + 1)
            for step_id in early
        }
    )


def _effects_are_those_of_the_log(read: _Read) -> Iterator[str]:
    """What the tools did is what the log says: nothing for a skipped step, once for a tool that acts once."""
    effects = Counter(entry.step_id for entry in read.evidence.ledger if entry.what is What.EFFECT)
    requests = Counter((entry.round, entry.step_id) for entry in read.evidence.ledger if entry.what is What.REQUEST)
    requests -= _requests_for_nothing(read)
    for number, _, event in read.rounds():
        if isinstance(event, StepSkipped) and requests[number, event.step.id]:
            yield f"{event.step.id} was skipped, and its tool was asked {requests[number, event.step.id]} times"
        if isinstance(event, StepSucceeded) and effects[event.step.id] == 0:
            yield f"{event.step.id} succeeded without an effect"
    for step in read.evidence.plan.steps:
        if step.tool in ONCE_TOOLS and effects[step.id] > 1:
            yield f"{step.id} acted {effects[step.id]} times, its tool acts once"


def _at_most_once_is_asked_once(read: _Read) -> Iterator[str]:
    """A step that may run at most once is asked again only where its tool reported a failure, or a person asks."""
    explained, sent = _requests_explained(read), _counted(read, What.REQUEST)
    for step in read.evidence.plan.steps:
        if not step.at_most_once:
            continue
        of_step = {which: count for which, count in sent.items() if which[1] == step.id}
        twice = [which[2] for which, count in of_step.items() if count > min(1, explained.get(which, 0))]
        if twice:
            yield f"attempts {twice} of {step.id} were sent again, or without being stored"


class _Done(NamedTuple):
    """An event that somebody asked for."""

    at: int
    kind: str
    step_id: str

    def __str__(self) -> str:
        return f"{self.kind} {self.step_id}".rstrip()


def _answers_are_those_of_the_log(read: _Read) -> Iterator[str]:
    """What people asked for happened once if they were told so, and didn't if it was refused; nothing else happened."""
    done: dict[str, list[_Done]] = defaultdict(list)
    for stored, event in read.stored():
        if isinstance(event, _ASKED_FOR):
            step_id = event.step.id if isinstance(event, StepEvent) else ""
            done[event.meta.request_id or ""].append(_Done(stored.at, event_type(event), step_id))
    for asked in read.evidence.asked:
        found = done.pop(asked.request_id, [])
        if not _explained(asked, found):
            said = f"{asked.endpoint} was answered {asked.answer.value!r} {asked.reply.get('steps', '')}"
            which = f"request {asked.request_id}, sent {asked.sent} times"
            yield f"{said}; the log has {', '.join(map(str, found)) or 'nothing'} of it ({which})"
    for request_id, found in done.items():
        yield f"nobody asked for {', '.join(map(str, found))} (request {request_id or 'without an id'})"


def _explained(asked: Asked, found: list[_Done]) -> bool:
    told = sorted((one.kind, one.step_id) for one in found)
    if len(set(told)) < len(told) or any(kind not in _EVENTS_OF[asked.endpoint] for kind, _ in told):
        return False
    if asked.answer is Answer.REFUSED:
        # A copy that lay in a frozen process may still be carried out later, when the plan has got further.
        return all(one.at > asked.at and asked.sent > 1 for one in found)
    if asked.answer is Answer.CHANGED:
        steps = [step_id for _, step_id in told]
        return bool(found) and (asked.endpoint != "approve" or steps == sorted(asked.reply["steps"]))
    return True


def _the_fold_is_the_result(read: _Read) -> Iterator[str]:
    """Rule 6: the state that the log gives is the result that was sent, in each round."""
    run = PlanRun(read.plan_id)
    try:
        for event in read.events:
            evolve(run, event)
            if isinstance(event, PlanCompleted) and [step.result for step in run.steps] != event.result.step_results:
                yield f"the results folded from the log differ from those in PLAN_COMPLETED (event {event.sequence})"
    except CoreError as error:
        yield f"the log can't be folded: {error}"


def _followers_saw_the_log(read: _Read) -> Iterator[str]:
    """Every follower who repairs gaps from the log ends with the same events, in the same order."""
    bodies = [stored.body for stored in read.evidence.log]
    for name, seen in read.evidence.followed.items():
        if list(seen) != bodies:
            place = next((n for n, (one, other) in enumerate(zip(seen, bodies, strict=False)) if one != other), None)
            where = (
                f"first difference at {place}" if place is not None else f"{len(seen)} events in place of {len(bodies)}"
            )
            yield f"follower {name} ended with another sequence: {where}"


def _stored_times_never_run_backwards(read: _Read) -> Iterator[str]:
    for (earlier, _), (later, event) in pairwise(read.stored()):
        if later.at < earlier.at:
            yield f"event {event.sequence} is stored before the one before it"


_RULES = (
    _log_rules,
    _one_executor_at_a_time,
    _final_events_are_stored_before_what_follows,
    _attempts_are_sent_once_unless_taken_over,
    _effects_are_those_of_the_log,
    _at_most_once_is_asked_once,
    _answers_are_those_of_the_log,
    _the_fold_is_the_result,
    _followers_saw_the_log,
    _stored_times_never_run_backwards,
)


def history(evidence: Evidence) -> str:
    """The plan's story in the order of time, readable: what was stored, and what the tools received and did."""
    lines: list[tuple[int, str]] = []
    for stored in evidence.log:
        event = decode_event(stored.body)
        subject = f" {event.step.id}" if isinstance(event, StepEvent) else ""
        if isinstance(event, _ASKED_FOR):
            subject += f" (request {event.meta.request_id})"
        if isinstance(event, PlanResumed):
            subject += f" ({event.meta.reason})"
        attempt = f" attempt {event.result.attempts}" if isinstance(event, StepStarted) else ""
        kind = event_type(event)
        lines.append((stored.at, f"log     {event.sequence:>4} {kind}{subject}{attempt}  by {stored.executor}"))
    for entry in evidence.ledger:
        done = f"{entry.what.value.lower():<7}      {entry.step_id} attempt {entry.attempt}"
        what = f"{done}  at {entry.tool}, process {entry.process}"
        lines.append((entry.at, what))
    lines.sort()
    begin = lines[0][0] if lines else 0
    return "\n".join(f"{(at - begin) / 1e6:>10.1f} ms  {text}" for at, text in lines)


def by_plan(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Ledger entries by the plan that they belong to, in their order."""
    found: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        found[entry.plan_id].append(entry)
    return found
