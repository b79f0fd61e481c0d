"""Reading answers that nobody here controls: tolerant fields, failed answers, unreadable and missing ones."""

import socket

import httpx
import pytest
from pydantic import Field, SecretStr

from leadplan_web_apis.connection import ApiConnection
from leadplan_web_apis.errors import NoUsableAnswerError
from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.settings import WebApiSettings
from leadplan_web_apis.tolerant import ApiAnswer, Tolerant, TolerantList

KEY = "a-key-that-nobody-may-see"


class Item(ApiAnswer):
    id: int


class Page(ApiAnswer):
    total: Tolerant[int] = None
    items: TolerantList[Item] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("answer", "total", "ids"),
    [
        ({"total": 2, "items": [{"id": 1}, {"id": 2}], "new": True}, 2, [1, 2]),
        ({}, None, []),
        ({"total": "many", "items": [{"id": 1}, {"id": "x"}, None, 5, {"id": 2}]}, None, [1, 2]),
        ({"total": {"n": 2}, "items": {"id": 1}}, None, []),
        ({"total": None, "items": None}, None, []),
    ],
)
def test_a_field_of_the_wrong_shape_is_missing_and_such_an_item_is_left_out(answer, total, ids):
    page = Page.model_validate(answer)
    assert (page.total, [item.id for item in page.items]) == (total, ids)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("0", 0.0),
        ("7", 7.0),
        ("999999", 999_999.0),
        ("1000000", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("٣", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
    ],
)
def test_only_whole_seconds_are_a_retry_after(header, seconds):
    headers = [] if header is None else [(b"Retry-After", header.encode())]
    assert FailedAnswer.of(httpx.Response(429, headers=headers), SecretStr(KEY)).retry_after == seconds


def test_a_failed_answer_holds_the_status_and_the_body_without_the_key():
    failed = FailedAnswer.of(httpx.Response(400, text=f"{KEY} may not, {KEY} must not"), SecretStr(KEY))
    assert failed == FailedAnswer(400, None, b"[API key] may not, [API key] must not")


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
