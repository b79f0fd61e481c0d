"""Following plans over a real nats-server, with log events written by hand."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from leadplan_bus.connection import flush
from leadplan_bus.topology import Retention, ensure_topology, plan_log_stream
from leadplan_client import (
    ConnectionLostError,
    EventsLostError,
    InvalidPlanIdError,
    PlanClient,
    StreamsMissingError,
    UnreadableEventError,
)
from leadplan_contracts import LeadPlanEventPayload
from leadplan_contracts.events import decode_event
from leadplan_contracts.subjects import plan_events_subject, plan_log_subject, plan_rejected_subject

TIME = "2026-11-23T09:15:02.417Z"
NEVER = 3600.0
Eventually = Callable[..., Awaitable[None]]


def event(kind: str, sequence: int | None = None, plan_id: str = "p", **more: Any) -> LeadPlanEventPayload:
    body = {"type": kind, "planId": plan_id, "sequence": sequence, "time": TIME, **more}
    return decode_event(msgspec.json.encode(body))


def plan_started(submission: int | None = None, plan_id: str = "p") -> LeadPlanEventPayload:
    return event("PLAN_STARTED", 1, plan_id, plan={}, meta={"executor": "e", "submission": submission})


def paused(sequence: int, plan_id: str = "p") -> LeadPlanEventPayload:
    return event("PLAN_PAUSED", sequence, plan_id)


def completed(sequence: int, plan_id: str = "p") -> LeadPlanEventPayload:
    times = {"startedAt": TIME, "finishedAt": TIME}
    result = {"planId": plan_id, "overallStatus": "succeeded", "stepResults": [], **times}
    return event("PLAN_COMPLETED", sequence, plan_id, result=result)


def rejected(submission: int | None = None) -> LeadPlanEventPayload:
    problem = {"path": "plan.id", "code": "duplicate_plan_id", "message": "taken"}
    return event("PLAN_REJECTED", meta={"errors": [problem], "original": {"text": "{}"}, "submission": submission})


def progress(fraction: float) -> LeadPlanEventPayload:
    return event("STEP_PROGRESS", step={"id": "s", "tool": "T"}, meta={"progress": fraction})


class Bus:
    """Writes what an executor would write."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.js = nc.jetstream()

    async def store(self, *events: LeadPlanEventPayload) -> None:
        for one in events:
            await self.js.publish(plan_log_subject(one.plan_id), msgspec.json.encode(one))

    async def reject(self, one: LeadPlanEventPayload) -> None:
        await self.js.publish(plan_rejected_subject(one.plan_id), msgspec.json.encode(one))

    async def feed(self, body: LeadPlanEventPayload | bytes) -> None:
        data = body if isinstance(body, bytes) else msgspec.json.encode(body)
        await self.nc.publish(plan_events_subject("p"), data)
        await flush(self.nc)

    async def feed_until_heard(self, reader: "Reader") -> None:
        """Return when the reader is known to hear the feed; it gets progress events by that."""
        while progress(0.1) not in reader.got:
            await self.feed(progress(0.1))
            await asyncio.sleep(0.01)

    async def without_republish(self) -> None:
        """Make the live feed lose everything, so that only the log tells of new events."""
        await self.js.delete_stream("PLAN_LOG")
        config = plan_log_stream(Retention())
        config.republish = None
        await self.js.add_stream(config)


class Reader:
    """A follower in a task of its own, with what it got so far."""

    def __init__(self, events: AsyncIterator[LeadPlanEventPayload]) -> None:
        self.got: list[LeadPlanEventPayload] = []
        self.task = asyncio.create_task(self._read(events))

    async def _read(self, events: AsyncIterator[LeadPlanEventPayload]) -> None:
        async for one in events:
            self.got.append(one)

    async def ended(self) -> list[LeadPlanEventPayload]:
        await asyncio.wait_for(self.task, 10)
        return self.got

    async def ended_with(self) -> list[LeadPlanEventPayload]:
        """Like ``ended``, without the progress events of ``feed_until_heard``."""
        return [one for one in await self.ended() if one != progress(0.1)]


@pytest.fixture
async def bus(nc: Client) -> Bus:
    await ensure_topology(nc.jetstream(), Retention())
    return Bus(nc)


@pytest.fixture
async def follow(nc: Client) -> AsyncIterator[Callable[..., Reader]]:
    readers: list[Reader] = []

    def start(**options: Any) -> Reader:
        # A silence is no reason to look, unless a test says so: what is shown must not depend on it.
        readers.append(Reader(PlanClient(nc).follow("p", **{"reread_seconds": NEVER, **options})))
        return readers[-1]

    yield start
    for reader in readers:
        reader.task.cancel()
    await asyncio.gather(*(reader.task for reader in readers), return_exceptions=True)


async def test_a_finished_plan_is_read_from_its_log(bus: Bus, follow: Callable[..., Reader]):
    events = [plan_started(), *(paused(number) for number in range(2, 1205)), completed(1205)]
    await bus.store(*events)
    await bus.store(plan_started(plan_id="other"))
    assert await follow().ended() == events


async def test_stored_and_live_events_come_once_and_in_order(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    await bus.store(plan_started(), paused(2))
    reader = follow()
    await eventually(lambda: len(reader.got) == 2)
    await bus.feed(progress(0.5))
    await bus.store(paused(3), paused(4))
    await bus.feed(paused(3))
    await bus.store(completed(5))
    assert await reader.ended() == [plan_started(), paused(2), progress(0.5), paused(3), paused(4), completed(5)]


async def test_a_plan_that_nobody_has_submitted_is_waited_for(bus: Bus, follow: Callable[..., Reader]):
    reader = follow()
    await bus.feed_until_heard(reader)
    await bus.store(plan_started(), completed(2))
    assert await reader.ended_with() == [plan_started(), completed(2)]


def retried(sequence: int) -> LeadPlanEventPayload:
    return event("PLAN_RETRIED", sequence, meta={"steps": []})


async def test_a_retried_plan_is_followed_to_its_next_end(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    await bus.store(plan_started(), completed(2), retried(3))
    reader = follow(known_sequence=3)
    await eventually(lambda: len(reader.got) == 3)
    await bus.store(completed(4))
    assert await reader.ended() == [plan_started(), completed(2), retried(3), completed(4)]


async def test_an_end_before_a_known_event_is_not_the_end(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    """As where the replica that answers lacks the newest events."""
    await bus.without_republish()
    await bus.store(plan_started(), completed(2))
    reader = follow(known_sequence=3)
    await eventually(lambda: len(reader.got) == 2)
    await bus.store(retried(3), completed(4))
    assert await reader.ended() == [plan_started(), completed(2), retried(3), completed(4)]


async def test_a_known_event_may_be_the_end(bus: Bus, follow: Callable[..., Reader]):
    await bus.store(plan_started(), completed(2))
    assert await follow(known_sequence=2).ended() == [plan_started(), completed(2)]


async def test_a_gap_in_the_feed_is_read_from_the_log(bus: Bus, follow: Callable[..., Reader], eventually: Eventually):
    await bus.without_republish()
    await bus.store(plan_started())
    reader = follow()
    await eventually(lambda: len(reader.got) == 1)
    await bus.store(paused(2), paused(3), paused(4))
    await bus.feed(paused(4))
    await eventually(lambda: reader.got == [plan_started(), paused(2), paused(3), paused(4)])
    # The feed can be ahead of the replica that answers: then the log is asked again.
    await bus.feed(completed(6))
    await bus.store(paused(5), completed(6))
    assert (await reader.ended())[4:] == [paused(5), completed(6)]


async def test_after_a_silence_the_log_is_read_again(bus: Bus, follow: Callable[..., Reader], eventually: Eventually):
    await bus.without_republish()
    await bus.store(plan_started())
    reader = follow(reread_seconds=0.05)
    await eventually(lambda: len(reader.got) == 1)
    await bus.store(completed(2))
    assert await reader.ended() == [plan_started(), completed(2)]


async def test_after_a_reconnect_the_log_is_read_again(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually, nats_server: Any
):
    await bus.without_republish()
    await bus.store(plan_started())
    reader = follow()
    await eventually(lambda: len(reader.got) == 1)
    await bus.store(completed(2))
    nats_server.kill()
    nats_server.start()
    assert await reader.ended() == [plan_started(), completed(2)]


async def test_foreign_messages_on_the_feed_change_nothing(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    await bus.store(plan_started())
    reader = follow()
    await eventually(lambda: len(reader.got) == 1)
    await bus.feed(b"\xff no event")
    await bus.feed(rejected())
    await bus.store(completed(2))
    assert await reader.ended() == [plan_started(), completed(2)]


async def test_a_rejection_ends_it_when_the_plan_never_ran(bus: Bus, follow: Callable[..., Reader]):
    await bus.reject(rejected(submission=3))
    assert await follow().ended() == [rejected(submission=3)]
    assert await follow(submission=3).ended() == [rejected(submission=3)]


async def test_a_rejection_that_comes_live_ends_it(bus: Bus, follow: Callable[..., Reader]):
    reader = follow()
    await bus.feed_until_heard(reader)
    await bus.reject(rejected())
    assert await reader.ended_with() == [rejected()]


async def test_a_second_submission_s_rejection_does_not_end_a_running_plan(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    await bus.reject(rejected(submission=7))
    await bus.store(plan_started(submission=8))
    reader, submitter = follow(), follow(submission=8)
    await eventually(lambda: len(reader.got) == len(submitter.got) == 1)
    await bus.reject(rejected(submission=9))
    await eventually(lambda: len(reader.got) == len(submitter.got) == 2)
    await bus.store(completed(2))
    expected = [plan_started(submission=8), rejected(submission=9), completed(2)]
    assert await reader.ended() == expected
    assert await submitter.ended() == expected


async def test_an_old_rejection_is_not_taken_for_that_of_a_new_submission(bus: Bus, follow: Callable[..., Reader]):
    await bus.reject(rejected(submission=1))
    reader = follow(submission=2)
    await bus.feed_until_heard(reader)
    await bus.store(plan_started(submission=2), completed(2))
    assert await reader.ended_with() == [plan_started(submission=2), completed(2)]


async def test_a_submission_under_a_used_id_ends_with_its_own_rejection(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    first = (await bus.js.publish("plans.execute", b"{}")).seq
    second = (await bus.js.publish("plans.execute", b"{}")).seq
    await bus.store(plan_started(submission=first), completed(2))
    reader = follow(submission=second)
    await eventually(lambda: len(reader.got) == 2)
    assert not reader.task.done()  # nobody has dealt with the second submission yet
    await bus.reject(rejected(submission=second))
    await bus.js.delete_msg("PLANS", second)
    assert await reader.ended() == [plan_started(submission=first), completed(2), rejected(submission=second)]


async def test_the_same_plan_sent_twice_ends_with_the_first_run(bus: Bus, follow: Callable[..., Reader]):
    await bus.store(plan_started(submission=1), completed(2))
    assert await follow(submission=2).ended() == [plan_started(submission=1), completed(2)]


async def test_what_cannot_be_followed_says_why(bus: Bus, follow: Callable[..., Reader]):
    await bus.store(paused(3))
    with pytest.raises(EventsLostError, match="events 1 to 2 of plan p are gone"):
        await follow().ended()
    await bus.js.publish(plan_log_subject("p2"), b'{"type": "OF_A_LATER_VERSION"}')
    with pytest.raises(UnreadableEventError, match="OF_A_LATER_VERSION"):
        await anext(PlanClient(bus.nc).follow("p2"))
    for text in ("*", "a.b", ""):
        with pytest.raises(InvalidPlanIdError):
            PlanClient(bus.nc).follow(text)


async def test_without_streams_and_without_a_connection_it_says_so(nc: Client, follow: Callable[..., Reader]):
    with pytest.raises(StreamsMissingError, match="leadplan executor"):
        await follow().ended()
    await nc.close()
    with pytest.raises(ConnectionLostError):
        await follow().ended()


async def test_a_connection_closed_while_following_ends_it(
    bus: Bus, follow: Callable[..., Reader], eventually: Eventually
):
    await bus.store(plan_started())
    reader = follow()
    await eventually(lambda: len(reader.got) == 1)
    await bus.nc.close()
    with pytest.raises(ConnectionLostError):
        await reader.ended()
