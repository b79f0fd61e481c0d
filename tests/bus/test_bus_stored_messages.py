"""Reading streams by batched direct get: one subject, the last of many, and backwards."""

import asyncio
import random
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from leadplan_bus import stored_messages
from leadplan_bus.connection import connect, flush
from leadplan_bus.errors import BusError
from leadplan_bus.stored_messages import LAST_OF_AT_MOST, BackwardsReading, read_last_of, read_subject


@pytest.fixture
async def js(nc: Client) -> JetStreamContext:
    js = nc.jetstream(timeout=30)  # the machine may be busy with other tests
    await js.add_stream(StreamConfig(name="LOG", subjects=["log.*"], allow_direct=True))
    return js


async def fill(js: JetStreamContext, subject: str, count: int, body: bytes = b"") -> None:
    publish = [js.publish_async(subject, body or str(number).encode()) for number in range(count)]
    await asyncio.gather(*[await one for one in publish])


async def test_a_subject_without_messages_is_an_empty_list(nc: Client, js: JetStreamContext):
    assert await read_subject(nc, "LOG", "log.a") == []
    await fill(js, "log.other", 3)
    assert await read_subject(nc, "LOG", "log.a") == []


async def test_one_message_comes_with_sequence_body_and_headers(nc: Client, js: JetStreamContext):
    await js.publish("log.other", b"x")
    await js.publish("log.a", b"body", headers={"ce-id": "p:1", "Status": "204", "empty": ""})
    await js.publish("log.a", b"")
    first, second = await read_subject(nc, "LOG", "log.a")
    assert (first.stream_sequence, first.body) == (2, b"body")
    # A header of the message that looks like the server's own changes nothing.
    assert (first.headers["ce-id"], first.headers["Status"]) == ("p:1", "204")
    assert (second.stream_sequence, second.body) == (3, b"")


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
async def test_thousands_come_in_order_over_several_batches(nc: Client, js: JetStreamContext, count: int):
    for start in range(0, count, 500):
        await fill(js, "log.a", min(500, count - start))
        await fill(js, "log.other", 1)
    messages = await read_subject(nc, "LOG", "log.a")
    assert len(messages) == count
    sequences = [message.stream_sequence for message in messages]
    assert sequences == sorted(set(sequences))
    assert [int(message.body) for message in messages] == [number % 500 for number in range(count)]


async def test_reading_starts_at_a_sequence(nc: Client, js: JetStreamContext):
    for number in range(10):
        await js.publish("log.a" if number % 2 else "log.other", str(number).encode())
    read = [message.body for message in await read_subject(nc, "LOG", "log.a", start_sequence=5)]
    assert read == [b"5", b"7", b"9"]
    assert await read_subject(nc, "LOG", "log.a", start_sequence=11) == []
    assert await read_subject(nc, "LOG", "log.a", start_sequence=10**6) == []


async def test_deleted_messages_are_left_out(nc: Client, js: JetStreamContext):
    await fill(js, "log.a", 5)
    await js.delete_msg("LOG", 1)
    await js.delete_msg("LOG", 3)
    assert [message.stream_sequence for message in await read_subject(nc, "LOG", "log.a")] == [2, 4, 5]


async def test_big_bodies_come_in_as_many_batches_as_they_need(nc: Client, js: JetStreamContext):
    body = b"x" * (nc.max_payload - 2000)
    for _ in range(20):
        await js.publish("log.a", body)
    messages = await read_subject(nc, "LOG", "log.a")
    assert [message.stream_sequence for message in messages] == list(range(1, 21))
    assert all(message.body == body for message in messages)


async def test_a_body_above_the_byte_limit_of_a_batch_comes_all_the_same(
    nc: Client, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_messages, "_MAX_BYTES", 1000)
    for _ in range(3):
        await js.publish("log.a", b"x" * 5000)
    assert len(await read_subject(nc, "LOG", "log.a")) == 3


async def test_many_readers_on_one_connection_keep_apart(nc: Client, js: JetStreamContext):
    for plan in range(20):
        await fill(js, f"log.p{plan}", plan)
    read = await asyncio.gather(*(read_subject(nc, "LOG", f"log.p{plan}") for plan in range(20)))
    assert [len(messages) for messages in read] == list(range(20))


async def test_no_stream_and_no_jetstream_are_timeouts_at_once(nc: Client, js: JetStreamContext):
    async with asyncio.timeout(2):
        with pytest.raises(NatsTimeoutError):
            await read_subject(nc, "MISSING", "log.a", timeout=60)
    await js.delete_stream("LOG")
    async with asyncio.timeout(2):
        with pytest.raises(NatsTimeoutError):
            await read_subject(nc, "LOG", "log.a", timeout=60)


async def test_a_refused_request_is_told(nc: Client, js: JetStreamContext):
    with pytest.raises(BusError, match="direct get refused: 408"):
        await read_subject(nc, "LOG", "log.a", start_sequence=-1)


async def test_nothing_is_left_behind(nc: Client, js: JetStreamContext):
    await fill(js, "log.a", 3)
    before = len(nc._subs)
    await read_subject(nc, "LOG", "log.a")
    with pytest.raises(BusError):
        await read_subject(nc, "LOG", "log.a", start_sequence=-1)
    assert len(nc._subs) == before


async def test_an_answer_that_promises_more_and_sends_none_ends(nc: Client):
    """What no server should say must not be asked for ever again."""

    async def answer(message: Any) -> None:
        await nc.publish(message.reply, b"", headers={"Status": "204", "Nats-Num-Pending": "5"})

    await nc.subscribe("$JS.API.DIRECT.GET.ODD", cb=answer)
    with pytest.raises(BusError, match="sends none"):
        await read_subject(nc, "ODD", "log.a")


# --- the last message of each of many subjects


async def last_of(nc: Client, subjects: list[str]) -> list[tuple[str, bytes]]:
    return [(message.subject, message.body) async for message in read_last_of(nc, "LOG", subjects)]


async def test_the_last_messages_come_in_order_and_subjects_without_any_are_left_out(nc: Client, js: JetStreamContext):
    for subject, body in (("a", b"1"), ("b", b"2"), ("a", b"3"), ("other", b"4")):
        await js.publish(f"log.{subject}", body)
    assert await last_of(nc, ["log.a", "log.none", "log.b"]) == [("log.b", b"2"), ("log.a", b"3")]
    assert await last_of(nc, ["log.none"]) == []
    assert await last_of(nc, []) == []


async def test_large_last_messages_come_in_batches_and_are_those_of_one_moment(
    nc: Client, js: JetStreamContext, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stored_messages, "_MAX_BYTES", 2500)
    subjects = [f"log.p{number}" for number in range(10)]
    for subject in subjects:
        await js.publish(subject, b"x" * 1000)
    found: list[str] = []
    async for message in read_last_of(nc, "LOG", subjects):
        found.append(message.subject)
        await js.publish("log.p9", b"later")
    assert found == subjects


async def test_as_many_subjects_as_the_server_looks_up_at_once(nc: Client, js: JetStreamContext):
    subjects = [f"log.p{number}" for number in range(LAST_OF_AT_MOST)]
    await asyncio.gather(*(nc.publish(subject, b"x") for subject in subjects))
    await js.publish("log.end")
    assert [subject for subject, _ in await last_of(nc, subjects)] == subjects
    with pytest.raises(BusError, match="direct get refused: 413"):
        await last_of(nc, [*subjects, "log.end"])


# --- backwards


async def backwards(nc: Client, *, before: int | None = None, aim: int = 50) -> list[int]:
    found: list[int] = []
    async with BackwardsReading(nc, "LOG", before=before) as reading:
        while not reading.exhausted:
            found += [message.stream_sequence for message in await reading.next_window(aim)]
    return found


@pytest.mark.parametrize("kept", [1.0, 0.5, 0.03, 0.0])
async def test_every_message_comes_once_newest_first_whatever_was_deleted(
    nc: Client, js: JetStreamContext, kept: float
):
    """Of a few thousand, in a bucket's way: those that are replaced leave gaps."""
    await js.update_stream(StreamConfig(name="LOG", subjects=["log.*"], allow_direct=True, max_msgs_per_subject=1))
    chance = random.Random(7)
    names = [str(number) if chance.random() < kept else "hot" for number in range(3000)]
    for name in names:
        await nc.publish(f"log.{name}", b"x")
    await js.publish("log.end", b"x")
    left = {name: sequence for sequence, name in enumerate([*names, "end"], 1)}
    expected = sorted(left.values(), reverse=True)
    assert await backwards(nc) == expected
    assert await backwards(nc, aim=10**6) == expected
    middle = expected[len(expected) // 2]
    assert await backwards(nc, before=middle) == [sequence for sequence in expected if sequence < middle]
    assert await backwards(nc, before=1) == []


async def test_a_large_gap_costs_few_requests(nc: Client, js: JetStreamContext):
    await js.publish("log.a")
    await fill(js, "log.gone", 1)
    for _ in range(20):
        await asyncio.gather(*(nc.publish("log.gone", b"x") for _ in range(1000)))
    await js.publish("log.b")
    await js.purge_stream("LOG", subject="log.gone")
    windows = []
    async with BackwardsReading(nc, "LOG") as reading:
        while not reading.exhausted:
            windows.append(len(await reading.next_window()))
    assert sum(windows) == 2
    assert len(windows) < 6


async def test_an_empty_stream_and_one_that_lost_its_beginning(nc: Client, js: JetStreamContext):
    assert await backwards(nc) == []
    await fill(js, "log.a", 100)
    await js.purge_stream("LOG", seq=91)
    assert await backwards(nc, aim=4) == list(range(100, 90, -1))
    await js.purge_stream("LOG")
    assert await backwards(nc) == []


async def test_what_comes_while_it_is_read_is_left_for_the_next_time(nc: Client, js: JetStreamContext):
    await fill(js, "log.a", 20)
    async with BackwardsReading(nc, "LOG") as reading:
        first = await reading.next_window(5)
        await fill(js, "log.a", 20)
        second = await reading.next_window(5)
    assert [message.stream_sequence for message in first + second] == list(range(20, 10, -1))


async def test_reading_ends_when_the_connection_is_closed(nc: Client, nats_url: str):
    reader = await connect(nats_url, name="reader")
    silent = await nc.subscribe("$JS.API.DIRECT.GET.SILENT")
    await flush(nc)
    reading = asyncio.create_task(read_subject(reader, "SILENT", "log.a", timeout=60))
    await silent.next_msg(5)
    await reader.close()
    with pytest.raises(ConnectionClosedError):
        await asyncio.wait_for(reading, 10)


async def test_an_answer_that_breaks_off_is_a_timeout(nc: Client):
    async def answer(message: Any) -> None:
        await nc.publish(message.reply, b"x", headers={"Nats-Sequence": "1", "Nats-Subject": "log.a"})

    await nc.subscribe("$JS.API.DIRECT.GET.ODD", cb=answer)
    with pytest.raises(NatsTimeoutError):
        await read_subject(nc, "ODD", "log.a", timeout=0.2)
