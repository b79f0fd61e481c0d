"""Reading one subject of a stream by batched direct get."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js import JetStreamContext
from nats.js.api import StreamConfig

from leadplan_bus import stored_messages
from leadplan_bus.errors import BusError
from leadplan_bus.stored_messages import read_subject


@pytest.fixture
async def js(nc: Client) -> JetStreamContext:
    js = nc.jetstream()
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
