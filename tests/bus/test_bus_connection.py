"""Connecting: addresses never show what is secret in them, and errors say what to do."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from leadplan_bus import connection
from leadplan_bus.connection import close, connect, flush, without_credentials
from leadplan_bus.errors import CannotConnectError, InvalidAddressError

UNREADABLE = "nats://(unreadable address)"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
        ("nats://nats.example.com", "nats://nats.example.com:4222"),
        ("localhost", "nats://localhost:4222"),
        ("localhost:4333", "nats://localhost:4333"),
        ("nats://SECRET@host", "nats://host:4222"),
        ("SECRET@host:1", "nats://host:1"),
        ("nats://user:SECRET@host:4333", "nats://host:4333"),
        ("tls://user:SECRET@host", "tls://host:4222"),
        ("wss://user:SECRET@host/path", "wss://host:443"),
        ("ws://host:8080/path?x=1", "ws://host:8080"),
        ("nats://[::1]:4222", "nats://[::1]:4222"),
        ("nats://user:SECRET@[fe80::1%25eth0]", "nats://[fe80::1%25eth0]:4222"),
        ("nats://a:1, tls://user:SECRET@b:2 ,c,", "nats://a:1,tls://b:2,nats://c:4222"),
        ("nats://user:SEC@RET@host", "nats://host:4222"),
        ("nats://user:SEC/RET@host", "nats://host:4222"),
        ("nats://user:SEC#RET?x=SECRET@host", "nats://host:4222"),
        ("nats://user:SEC://RET@host", "nats://host:4222"),
        ("nats://user:SECRET", UNREADABLE),
        ("nats://user:SEC,RET@host", f"{UNREADABLE},nats://host:4222"),
        ("SECRET://host", UNREADABLE),
        ("nats://host:SECRET", UNREADABLE),
        ("nats://user:SECRET@", UNREADABLE),
        ("nats://user:SECRET@::1:4222", UNREADABLE),
        ("", ""),
    ],
)
def test_what_logs_show_of_an_address(url: str, shown: str):
    assert without_credentials(url) == shown


@pytest.mark.parametrize(
    "url",
    ["", " , ", "nats://", "http://host", "nats://user:SECRET@ho st", "nats://u:SEC/RET@host", "nats://host:SECRET"],
)
async def test_an_address_that_cannot_be_read_is_told_at_once(url: str):
    with pytest.raises(InvalidAddressError) as caught:
        await connect(url, name="test")
    assert "nats://user:password@host:4222" in str(caught.value)
    assert "SEC" not in str(caught.value)


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """Something that takes connections and says nothing."""
    ended = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    ended.set()
    server.close()
    await server.wait_closed()


async def test_no_server_is_one_clear_error(caplog: pytest.LogCaptureFixture):
    with pytest.raises(CannotConnectError) as caught:
        await connect("nats://user:SECRET@127.0.0.1:1", name="test", within_seconds=0.6)
    assert str(caught.value).startswith("no NATS server answered at nats://127.0.0.1:1 within 0.6 s (")
    assert "Connect call failed" in str(caught.value)
    assert str(caught.value).endswith("start one or set NATS_URL")
    assert caught.value.__cause__ is None
    assert "SECRET" not in caplog.text
    assert len(caplog.records) == 1, "tried several times, told once"


async def test_a_port_that_says_nothing_is_given_up(silent_port: int):
    with pytest.raises(CannotConnectError):
        await connect(f"nats://127.0.0.1:{silent_port}", name="test", within_seconds=0.2)


async def test_giving_up_from_outside_leaves_nothing_open(silent_port: int):
    closed: list[bool] = []
    connecting = asyncio.create_task(
        connect(f"nats://127.0.0.1:{silent_port}", name="test", on_closed=lambda: closed.append(True))
    )
    await asyncio.sleep(0.05)
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert closed == []


async def test_refused_credentials_are_the_reason(nats_server: Any, tmp_path: Path):
    folder = tmp_path / "locked"
    folder.mkdir()
    locked = type(nats_server)(folder)
    locked.extra = "authorization { user: u, password: right }"
    locked.start()
    try:
        with pytest.raises(CannotConnectError, match="Authorization") as caught:
            await connect(f"nats://u:wr0ng@127.0.0.1:{locked.port}", name="test", within_seconds=0.4)
        assert "wr0ng" not in str(caught.value)
        await (await connect(f"nats://u:right@127.0.0.1:{locked.port}", name="test")).close()
    finally:
        locked.kill()


async def test_the_second_address_is_tried_too(nats_url: str):
    nc = await connect(f"nats://127.0.0.1:1,{nats_url},", name="test")
    assert nc.is_connected
    await nc.close()


async def test_on_closed_is_called_once_when_the_connection_is_closed_for_good(nats_url: str):
    closed: list[bool] = []
    nc = await connect(nats_url, name="test", on_closed=lambda: closed.append(True))
    await nc.close()
    assert closed == [True]


async def test_after_a_flush_subscriptions_are_in_force(nats_url: str):
    """nats-py's own flush doesn't see to that: with it most of these requests find nobody."""
    first, second = await connect(nats_url, name="first"), await connect(nats_url, name="second")
    for number in range(100):

        async def answer(message: Any) -> None:
            await message.respond(b"here")

        for _ in range(20):
            await first.subscribe(f"subject.{number}", cb=answer)
        await flush(first)
        assert (await second.request(f"subject.{number}", timeout=5)).data == b"here"
    await first.close()
    await second.close()


async def test_an_error_in_a_message_handler_is_logged_with_its_traceback(
    nats_url: str, caplog: pytest.LogCaptureFixture, eventually: Any
):
    nc = await connect(nats_url, name="test")

    async def broken(_: Any) -> None:
        raise KeyError("missing")

    await nc.subscribe("subject", cb=broken)
    for _ in range(2):
        await nc.publish("subject")
    await eventually(lambda: len(caplog.records) == 2)
    assert all(record.exc_info and record.levelno == logging.ERROR for record in caplog.records)
    await nc.close()


async def test_refused_credentials_close_a_connection_for_good(
    nats_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "REFUSED_SECONDS", 0.3)
    nats_server.stop()
    nats_server.extra = "authorization { user: u, password: before }"
    nats_server.start()
    closed = asyncio.Event()
    nc = await connect(f"nats://u:before@127.0.0.1:{nats_server.port}", name="test", on_closed=closed.set)
    nats_server.stop()
    nats_server.extra = "authorization { user: u, password: after }"
    nats_server.start()
    await asyncio.wait_for(closed.wait(), 10)
    assert "Authorization" in str(nc.last_error)
    assert nc.is_closed


async def test_what_the_server_denies_is_told(nats_server: Any, eventually: Any):
    nats_server.stop()
    nats_server.extra = (
        'authorization { users: [{ user: u, password: p, permissions: { publish: { deny: "secret.>" } } }] }'
    )
    nats_server.start()
    denied: list[str] = []
    nc = await connect(f"nats://u:p@127.0.0.1:{nats_server.port}", name="test", on_denied=denied.append)
    await nc.publish("secret.plans")
    await eventually(lambda: denied)
    assert denied == ['permissions violation for publish to "secret.plans"']
    assert nc.is_connected
    await close(nc)


class HeldLink:
    """A TCP link to a server in which, once held, nothing arrives any more, and nobody is told."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._flowing = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.connections = 0

    async def __aenter__(self) -> "HeldLink":
        self._flowing.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hold(self) -> None:
        self._flowing = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        flowing = self._flowing  # later connections go another way
        if not flowing.is_set():
            self._flowing = asyncio.Event()
            self._flowing.set()
            flowing = self._flowing
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for one, other in ((reader, far_writer), (far_reader, writer)):
            self._tasks.append(asyncio.create_task(self._pump(one, other)))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flowing = self._flowing
        try:
            while data := await reader.read(65536):
                if self._flowing is not flowing:
                    await asyncio.Event().wait()
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.transport.abort()


@pytest.mark.parametrize("unsent", [False, True])
async def test_a_dead_connection_is_given_up_also_when_not_all_was_sent(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch, eventually: Any, unsent: bool
):
    """As when the machine of the server lost its power: without a FIN nobody tells the client."""
    monkeypatch.setattr(connection, "PING_INTERVAL_SECONDS", 0.1)
    async with HeldLink(nats_server.port) as link:
        nc = await connect(link.url, name="test")
        link.hold()
        for _ in range(80 if unsent else 0):  # more than the kernel's buffers take
            await nc.publish("subject", b"x" * 200_000)
        await eventually(lambda: link.connections == 2 and nc.is_connected, within=5)
        await flush(nc)
        await close(nc)


async def test_closing_does_not_wait_for_a_server_to_which_nothing_gets_through(
    nats_server: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(connection, "_CLOSE_SECONDS", 0.2)
    async with HeldLink(nats_server.port) as link:
        nc = await connect(link.url, name="test")
        link.hold()
        for _ in range(80):
            await nc.publish("subject", b"x" * 200_000)
        await asyncio.wait_for(close(nc), 5)
        assert nc.is_closed
