"""What the client does in place of nats-py: headers, writing, messages handed on at once, answers in time."""

import asyncio

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import BadHeaderError, NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError

from leadplan_bus.connection import connect, flush, listen
from leadplan_bus.deadlines import Deadlines
from leadplan_bus.prompt_client import EncodedHeaders


async def sent_and_heard(nc: Client, headers: dict[str, str]) -> dict[str, str] | None:
    heard = await nc.subscribe("headers")
    await nc.publish("headers", b"", headers=headers)
    return (await heard.next_msg(5)).headers


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"a": "1", "B-c": "zwei Wörter"}, {"a": "1", "B-c": "zwei Wörter"}),
        ({" a ": "  1 "}, {"a": "1"}),
        ({"a": "1\r\nb: 2", "c": "3\n4"}, {"a": "1  b: 2", "c": "3 4"}),
        ({"a": ""}, {"a": ""}),
    ],
)
async def test_headers_arrive_as_they_were_meant(nc: Client, headers, expected):
    assert await sent_and_heard(nc, headers) == expected


@pytest.mark.parametrize("name", ["a b", "a:b", "a\r\nb"])
async def test_a_name_that_is_none_is_refused(nc: Client, name: str):
    with pytest.raises(BadHeaderError):
        await nc.publish("headers", b"", headers={name: "x"})


async def test_headers_that_are_encoded_are_sent_as_they_are(nc: Client):
    assert await sent_and_heard(nc, EncodedHeaders({"a": "1", "b": "2"})) == {"a": "1", "b": "2"}


async def test_messages_are_handed_on_in_order_and_none_stops_the_next(nc: Client, caplog: pytest.LogCaptureFixture):
    heard: list[bytes] = []

    def take(message: Msg) -> None:
        heard.append(message.data)
        if message.data == b"3":
            raise ValueError("not this one")

    await listen(nc, "numbers.*", take)
    for number in range(100):
        await nc.publish(f"numbers.{number}", str(number).encode())
    await flush(nc)
    assert heard == [str(number).encode() for number in range(100)]
    assert "not this one" in caplog.text


async def test_messages_on_several_subjects_keep_their_order(nc: Client):
    heard: list[str] = []
    for subject in ("one", "two"):
        await listen(nc, subject, lambda message: heard.append(message.subject))
    sent = ["one", "two", "two", "one"] * 200
    for subject in sent:
        await nc.publish(subject)
    await flush(nc)
    assert heard == sent


async def test_nothing_is_handed_on_once_the_subscription_has_ended(nc: Client):
    heard: list[bytes] = []
    subscription = await listen(nc, "over", lambda message: heard.append(message.data))
    await nc.publish("over", b"1")
    await flush(nc)
    await nc.publish("over", b"2")
    await subscription.unsubscribe()
    await flush(nc)
    assert heard == [b"1"]


async def test_messages_are_handed_on_after_a_reconnect(nats_server, eventually):
    nc = await connect(nats_server.url, name="listener")
    heard: list[str] = []
    await listen(nc, "again", lambda message: heard.append(message.subject))
    nats_server.kill()
    await eventually(lambda: not nc.is_connected)
    nats_server.start()
    await eventually(lambda: nc.is_connected)
    await flush(nc)
    await nc.publish("again")
    await flush(nc)
    assert heard == ["again"]
    await nc.close()


async def test_more_than_the_socket_takes_arrives_whole_and_in_order(nc: Client, nats_url: str):
    """Far more than is written at once: the rest waits until the server has read it."""
    reader = await connect(nats_url, name="reader")
    sizes: list[int] = []
    await listen(reader, "large", lambda message: sizes.append(len(message.data)))
    await flush(reader)
    sent = [500_000 + number for number in range(100)]
    for size in sent:
        await nc.publish("large", bytes(size))
    await flush(nc, within_seconds=30)
    await flush(reader, within_seconds=30)
    assert sizes == sent
    await reader.close()


async def test_a_request_ends_with_its_answer_or_its_time(nc: Client, nats_url: str):
    with pytest.raises(NoRespondersError):
        await nc.request("nobody", timeout=5)
    other = await connect(nats_url, name="responder")
    asked: list[Msg] = []
    await listen(other, "silent", asked.append)
    await flush(other)
    with pytest.raises(NatsTimeoutError):
        await nc.request("silent", timeout=0.05)
    waiting = asyncio.create_task(nc.request("silent", b"second", timeout=60))
    await flush(nc)
    await flush(other)
    first, second = asked
    await other.publish(first.reply, b"too late")
    await other.publish(second.reply, b"in time")
    await other.publish(second.reply, b"twice")
    assert (await waiting).data == b"in time"
    await other.close()


async def test_deadlines_are_told_once_and_not_when_discarded():
    told: list[str] = []
    deadlines = Deadlines(told.append)
    deadlines.add("soon", 0.02)
    deadlines.add("discarded", 0.01)
    deadlines.add("later", 1.0)
    deadlines.add("much later", 60)
    deadlines.discard("discarded")
    deadlines.discard("never there")
    begun = asyncio.get_running_loop().time()
    while told != ["soon", "later"]:
        await asyncio.sleep(0.01)
        assert asyncio.get_running_loop().time() - begun < 10, told
    assert asyncio.get_running_loop().time() - begun >= 1.0, "never too early"
