"""Permanent crashes: the power goes after every event of a kind, once each, while other tests do their work.

    LEADPLAN_CRASH_POINTS=append pytest tests/integration

The values are families of crash points (``fault_crash_points.Kind.family``), several separated by commas. The executors
that the integration tests start in their own process are then replaced again and again. Each thing that an executor
does is allowed to succeed the second time, or no plan would ever end. For the same reason a take-over's own event is
left out: there would be another one after each crash.
"""

import asyncio
import contextlib
import json
import os
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from unittest import mock

from fault_crash_points import Kind, Moment, SupervisedExecutor, quick_starts
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.connection import close, connect
from leadplan_bus.stored_messages import read_subject
from leadplan_bus.tokens import new_token
from leadplan_contracts import subjects

SWITCH = "LEADPLAN_CRASH_POINTS"
FAMILIES = sorted({kind.family for kind in Kind})
_ANSWER_SECONDS = 30.0
_PATIENCE_SECONDS = 0.5
_LOOK_SECONDS = 0.02
_EVERY_ONE_OF_THE_FIRST = 40
_THEN_EVERY = 10
"""A test with hundreds of events would take minutes: after its first moments only some strike."""


def chosen_kinds() -> frozenset[Kind]:
    """What the environment asks for; nothing where it doesn't.

    Raises:
        ValueError: there is no such family.
    """
    asked = {one.strip() for one in os.environ.get(SWITCH, "").split(",") if one.strip()}
    if unknown := asked - set(FAMILIES):
        raise ValueError(f"{SWITCH}: no crash points {', '.join(sorted(unknown))}; there are {', '.join(FAMILIES)}")
    return frozenset(kind for kind in Kind if kind.family in asked)


class OnceEach:
    """Lets the power go at every moment of some kinds, the first time that it is come to.

    Attributes:
        come_to: the moments, whether or not the power went there.
        losses: how often it went.
    """

    def __init__(self, kinds: frozenset[Kind]) -> None:
        self.come_to: set[Moment] = set()
        self.losses = 0
        self._kinds = kinds

    def __call__(self, moment: Moment) -> bool:
        if moment.kind not in self._kinds or moment in self.come_to or " PLAN_RESUMED " in moment.what:
            return False
        self.come_to.add(moment)
        count = len(self.come_to)
        strikes = count <= _EVERY_ONE_OF_THE_FIRST or count % _THEN_EVERY == 0
        self.losses += strikes
        return strikes


class AsIfUnharmed:
    """Shows a plan's events as they would be without a crash: no take-overs, and numbered without them.

    What is left must be what any test expects: with or without a crash the same events follow.
    """

    def __init__(self) -> None:
        self._take_overs: Counter[str] = Counter()

    def shows(self, event: dict[str, Any], headers: dict[str, str] | None = None) -> bool:
        """Whether an event is shown; its number is changed in place. Of one plan they must come in order."""
        plan_id = event.get("planId", "")
        if event.get("type") == "PLAN_RESUMED":
            self._take_overs[plan_id] += 1
            return False
        if "sequence" in event:
            event["sequence"] -= self._take_overs[plan_id]
            if headers:
                headers[subjects.CE_ID_HEADER] = f"{plan_id}:{event['sequence']}"
        return True


class RememberedAnswers:
    """What a tool needs where requests are sent again: it works once for each attempt, and answers the same again.

    So does a tool that is made with the SDK and acts once. An attempt that the tool refused as busy is asked for again
    without any crash, and is new each time.
    """

    def __init__(self) -> None:
        self._answers: dict[tuple[str, int, int], asyncio.Future[Any]] = {}
        self._known: set[tuple[str, int, int]] = set()

    def is_new(self, request: dict[str, Any]) -> bool:
        """Whether the attempt wasn't asked for before; from then on it was."""
        key = _attempt(request)
        is_new = key not in self._known
        self._known.add(key)
        return is_new

    async def answer(self, request: dict[str, Any], work: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
        """The answer to an attempt; a tool that answers by hand, or never, is asked each time."""
        key = _attempt(request)
        if (answer := self._answers.get(key)) is None:
            answer = self._answers[key] = asyncio.ensure_future(work(request))
        reply = await asyncio.shield(answer)
        if reply is None or (isinstance(reply, dict) and reply.get("errorCode") == "busy"):
            self._answers.pop(key, None)
            if reply is not None:
                self._known.discard(key)
        return reply


def _attempt(request: dict[str, Any]) -> tuple[str, int, int]:
    return request["idempotencyKey"], request["attempt"], request.get("round", 1)


class PatientClient:
    """Asks the control endpoints until an answer comes, as clients must, and shows it as it would be without a crash.

    A request whose executor was lost before it could answer is answered when it is sent again: that everything is so
    already. What is shown tells that it was this request that made it so.

    Args:
        nc: the connection.
    """

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._known: set[str] = set()

    async def ask(self, endpoint: str, request: dict[str, Any]) -> Msg:
        """The answer."""
        request_id = request.setdefault("requestId", new_token())
        is_new = request_id not in self._known
        self._known.add(request_id)
        body, sent = json.dumps(request).encode(), 0
        async with asyncio.timeout(_ANSWER_SECONDS):
            while True:
                try:
                    sent += 1
                    answer = await self._nc.request(f"plans.{endpoint}", body, timeout=_PATIENCE_SECONDS)
                except NoRespondersError:
                    await asyncio.sleep(_LOOK_SECONDS)
                    continue
                except NatsTimeoutError:
                    continue
                reply = json.loads(answer.data)
                if reply.get("code") != "unavailable":
                    answer.data = json.dumps(await self._unharmed(reply, request_id, is_new and sent > 1)).encode()
                    return answer

    async def _unharmed(self, reply: dict[str, Any], request_id: str, sent_again: bool) -> dict[str, Any]:
        if "changed" not in reply:
            return reply
        stored = await read_subject(self._nc, subjects.PLAN_LOG_STREAM, subjects.plan_log_subject(reply["planId"]))
        log = [json.loads(message.body) for message in stored]
        if sent_again:
            reply["changed"] |= any((event.get("meta") or {}).get("requestId") == request_id for event in log)
        taken_over = sum(event["type"] == "PLAN_RESUMED" for event in log[: reply["sequence"]])
        return {**reply, "sequence": reply["sequence"] - taken_over}


class CrashingExecutors:
    """Executors for a test that doesn't know of any crash. All of them share one list of what has struck.

    Two things are other than in production. Plans are never suspected of crashing their executors, for here every plan
    does; and discovery, which each new executor begins with, doesn't wait for services far away.

    Attributes:
        losses: how often the power went, in all tests of this process.
    """

    losses = 0

    def __init__(self, url: str) -> None:
        self._url = url
        self._cuts = OnceEach(chosen_kinds())
        self._started: list[SupervisedExecutor] = []
        self._patches = contextlib.ExitStack()
        self._patches.enter_context(quick_starts())
        self._patches.enter_context(mock.patch("leadplan_executor.core.takeovers.LOST_BEFORE_ALONE", 1_000_000))

    async def start(self, settings: Mapping[str, Any]) -> SupervisedExecutor:
        """Start one more."""
        nc = await connect(self._url, name="supervisor")
        executor = SupervisedExecutor(self._url, nc, self._cuts, {"max_takeovers": 1_000, **settings})
        self._started.append(executor)
        await executor.start()
        return executor

    async def stop(self) -> None:
        """Stop them all."""
        CrashingExecutors.losses += self._cuts.losses
        with self._patches:
            for executor in self._started:
                await executor.stop()
                await close(executor.nc)


class Cannot(NamedTuple):
    """Why a test can't pass, and under which families; families that aren't named it passes."""

    families: str
    reason: str


_ALL = "append request reply ack"
_BEFORE_THE_END = "append request reply"
_REPLACED = "names the instances that it started, and they are replaced"
_POISON = "counts how often executors were lost with a plan, and here they are lost again and again"
_DONE_AGAIN = "counts what a tool asked of its provider: a step whose answer was lost with its executor is done again"
_ONCE = "its step must not be asked for twice, so that its outcome is unknown once its executor is lost"
_TELLS_NOBODY = "a tool is told to stop once its step's end is stored; an executor lost between the two tells nobody"
_PROGRESS = "progress is told to the executor that asked, and what a lost one hadn't passed on is gone"
_TAKEN_UP = "looks for the event of a plan's taking up, and there is one after every crash, so that none is shown"
_LATER = "looks at the state that an answer tells; the one that isn't lost tells how the plan stands by then"
_SLOWER = "counts requests side by side, and here an executor is lost after each, for longer than its steps take"

CANNOT = {
    "test_several_executors_share_the_queue": Cannot(_ALL, _REPLACED),
    "test_handling_that_raises_ends_the_plan_after_so_many_tries": Cannot(_ALL, _POISON),
    "test_a_hand_back_on_purpose_never_counts": Cannot(_ALL, _POISON),
    "test_a_first_delivery_writes_nothing_into_the_book": Cannot(_BEFORE_THE_END, _POISON),
    "test_an_attempt_that_must_not_be_repeated_is_not_by_poison_either": Cannot("append", _ONCE),
    "test_what_somebody_else_writes_into_a_log_ends_its_plan_and_no_other": Cannot("append ack", _POISON),
    "test_a_429_in_the_middle_costs_no_attempt_and_no_work": Cannot("append", _DONE_AGAIN),
    "test_later_pages_repeat_the_first_request": Cannot(_BEFORE_THE_END, _DONE_AGAIN),
    "test_whole_requests_are_just_these": Cannot(_BEFORE_THE_END, _DONE_AGAIN),
    "test_sixty_places_within_hunters_limits_with_a_429_in_the_middle": Cannot(_BEFORE_THE_END, _DONE_AGAIN),
    "test_no_reply_in_time_is_not_repeated_when_at_most_once": Cannot("append request", _ONCE),
    "test_a_plan_that_runs_out_of_time_fails_and_its_tool_is_told": Cannot("append", _TELLS_NOBODY),
    "test_a_tool_is_told_when_the_deadline_passed_while_nobody_had_the_plan": Cannot("append", _TELLS_NOBODY),
    "test_a_running_plan_is_cancelled_and_its_tools_are_told": Cannot("append", _TELLS_NOBODY),
    "test_a_paused_plan_without_running_steps_is_let_go_and_taken_up_again": Cannot(_ALL, _TAKEN_UP),
    "test_a_waiting_plan_is_cancelled": Cannot(_ALL, _LATER),
    "test_a_failed_plan_is_retried_from_what_failed": Cannot(_ALL, _LATER),
    "test_the_last_of_many_progress_reports_is_never_lost": Cannot(_BEFORE_THE_END, _PROGRESS),
    "test_signs_of_life_of_any_shape_and_number": Cannot(_BEFORE_THE_END, _PROGRESS),
    "test_progress_is_seen_live_and_not_stored": Cannot("request", _PROGRESS),
    "test_independent_steps_overlap_up_to_the_limit": Cannot("request", _SLOWER),
    "test_the_default_limit_is_eight": Cannot("request", _SLOWER),
}
"""Tests that can't pass under the switch. Everything that isn't here must."""


def why_not(test: str) -> str | None:
    """Why a test can't pass under the families that were asked for; None where it can."""
    cannot = CANNOT.get(test.partition("[")[0])
    if cannot is None or not {kind.family for kind in chosen_kinds()} & set(cannot.families.split()):
        return None
    return cannot.reason
