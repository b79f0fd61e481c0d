"""Calls to an API that may answer anything: late, without end, elsewhere, in no readable form, or not at all."""

import asyncio
import gzip
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx
import pytest
from pydantic import SecretStr

from leadplan_web_apis import connection as connection_module
from leadplan_web_apis.connection import LARGEST_ANSWER_BYTES, ApiConnection
from leadplan_web_apis.errors import NoUsableAnswerError
from leadplan_web_apis.settings import WebApiSettings
from leadplan_web_apis.tolerant import ApiAnswer

KEY = "a-key-that-nobody-may-see"


class Item(ApiAnswer):
    id: int


@pytest.fixture
async def connect():
    opened = []

    def open_connection(base_url):
        settings = WebApiSettings(api_key=SecretStr(KEY), base_url=base_url)
        opened.append(ApiConnection("The map", settings, key_header="X-Map-Key", headers={"X-Fields": "id"}))
        return opened[-1]

    yield open_connection
    for connection in opened:
        await connection.aclose()


async def test_the_key_and_the_other_headers_go_with_each_call(connect, sandbox_url, requests_to):
    answer = await connect(f"{sandbox_url}/v2").request("GET", "/account", query={"part": "all"})
    assert answer.status_code == 401
    [request] = await requests_to("/v2/account")
    assert {"x-map-key", "x-fields"} <= set(request["headers"])
    assert request["query"] == {"part": "all"}


@pytest.mark.parametrize("content", [b"", b"<html></html>", b"[1]", b'{"id": "x"}'])
async def test_an_answer_that_cannot_be_read_is_repeatable(connect, content):
    connection = connect("https://map.example")
    assert connection.read(httpx.Response(200, content=b'{"id": 5}'), Item).id == 5
    with pytest.raises(NoUsableAnswerError, match=r"^The map sent an answer that can't be read\.$") as raised:
        connection.read(httpx.Response(200, content=content), Item)
    assert (raised.value.code, raised.value.retryable, raised.value.__cause__) == ("bad_answer", True, None)


async def test_a_server_that_is_not_there_is_named_by_its_host_only(connect):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(NoUsableAnswerError) as raised:
        await connect(f"http://127.0.0.1:{port}/secret/path").request("GET", "/x")
    assert raised.value.message == "The map can't be reached at 127.0.0.1 (ConnectError)."
    assert (raised.value.code, raised.value.retryable) == ("network_error", True)


async def test_a_server_that_says_nothing_in_time_is_repeatable(connect, sandbox_url, add_fault):
    await add_fault("/v2/", delayMs=5_000)
    with pytest.raises(NoUsableAnswerError, match=r"^The map didn't answer in time\.$") as raised:
        await connect(f"{sandbox_url}/v2").request("GET", "/account", timeout=httpx.Timeout(0.1))
    assert (raised.value.code, raised.value.retryable) == ("api_timeout", True)


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answer) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server on a free port that answers as told; gives its address and what it was asked."""
    asked: list[bytes] = []
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            await answer(writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has gone
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        for handler in handlers:
            handler.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)


def saying(head: str, body: bytes = b"") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {head}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    return answer


async def problem_of(connection: ApiConnection) -> NoUsableAnswerError:
    with pytest.raises(NoUsableAnswerError) as raised:
        await connection.request("GET", "/x")
    # Nothing by which a log could show the request, and with it the key.
    assert raised.value.__cause__ is raised.value.__context__ is None
    return raised.value


async def test_a_compressed_answer_is_read(connect):
    body = gzip.compress(b'{"id": 5}')
    async with answering(saying("200 OK\r\nContent-Encoding: gzip", body)) as (url, asked):
        connection = connect(url)
        answer = await connection.request("GET", "/x")
        assert connection.read(answer, Item).id == 5
        assert b"gzip" in asked[0]


@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "307 Temporary Redirect"])
async def test_no_redirect_takes_the_key_elsewhere(connect, status):
    async with answering(saying("200 OK")) as (elsewhere, asked_elsewhere):
        async with answering(saying(f"{status}\r\nLocation: {elsewhere}/x")) as (url, asked):
            answer = await connect(url).request("GET", "/x")
            assert KEY.encode() in asked[0]
        assert str(answer.status_code) == status[:3]
        assert asked_elsewhere == []


async def test_an_endless_answer_is_cut_off(connect):
    sent = 0

    async def pour(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            writer.write(b" " * 65_536)
            sent += 65_536
            await writer.drain()

    async with answering(pour) as (url, _):
        problem = await problem_of(connect(url))
    assert problem.message == "The map sent an answer of more than 16 MB, which isn't read."
    assert (problem.code, problem.retryable) == ("bad_answer", True)
    assert sent < 3 * LARGEST_ANSWER_BYTES


async def test_a_small_answer_that_unpacks_to_a_large_one_is_cut_off(connect):
    packed = gzip.compress(b" " * (LARGEST_ANSWER_BYTES + 1))
    assert len(packed) < 100_000
    async with answering(saying("200 OK\r\nContent-Encoding: gzip", packed)) as (url, _):
        assert (await problem_of(connect(url))).code == "bad_answer"


async def test_an_answer_that_trickles_in_is_given_up_after_a_while(connect, monkeypatch):
    """Each byte comes in time, the whole never would."""
    monkeypatch.setattr(connection_module, "_WHOLE_CALL_SECONDS", 0.2)

    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with answering(trickle) as (url, _):
        problem = await problem_of(connect(url))
    assert (problem.code, problem.message) == ("api_timeout", "The map didn't answer in time.")


async def test_an_answer_that_cannot_be_unpacked_cannot_be_read(connect):
    async with answering(saying("200 OK\r\nContent-Encoding: gzip", b"this is no gzip")) as (url, _):
        problem = await problem_of(connect(url))
    assert (problem.code, problem.message) == ("bad_answer", "The map sent an answer that can't be read.")


@pytest.mark.parametrize("text", [b"", b"no HTTP at all\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_connection_that_breaks_off_is_a_network_error(connect, text):
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)

    async with answering(answer) as (url, _):
        problem = await problem_of(connect(url))
    assert (problem.code, problem.retryable) == ("network_error", True)
    assert "127.0.0.1" in problem.message


async def test_the_key_stands_in_no_log_line(connect, sandbox_url, caplog):
    for logger in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger)
    await connect(f"{sandbox_url}/v2").request("GET", "/account")
    assert {"httpx", "httpcore.http11"} <= {record.name for record in caplog.records}
    assert not [record for record in caplog.records if KEY in repr(vars(record))]
