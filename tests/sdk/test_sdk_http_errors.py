"""What httpx's errors and answers become, and what never shows in a message."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from leadplan_responder import ToolError
from leadplan_responder.http_errors import retry_after_seconds, tool_error_from

SECRET = "s3cret"
REQUEST = httpx.Request(
    "GET", f"https://user:{SECRET}@api.example.com/v1?api_key={SECRET}", headers={"Authorization": f"Bearer {SECRET}"}
)
DATE = "Mon, 23 Nov 2026 09:15:02 GMT"


def answer(status: int, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, request=REQUEST, json={"error": f"no such key: {SECRET}"})


@pytest.fixture
async def silent_address() -> AsyncIterator[str]:
    """Of a server that takes connections and says nothing."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def every_exception() -> list[type[httpx.RequestError]]:
    """All that httpx raises when it can't make a call or read its answer."""
    found, waiting = [], [httpx.RequestError]
    while waiting:
        one = waiting.pop()
        found.append(one)
        waiting += one.__subclasses__()
    return [one for one in found if one.__module__.startswith("httpx") and one.__subclasses__() == []]


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (302, "unexpected_answer", False),
        (400, "invalid_request", False),
        (401, "invalid_credentials", False),
        (403, "access_denied", False),
        (404, "not_found", False),
        (408, "service_unavailable", True),
        (409, "invalid_request", False),
        (422, "invalid_request", False),
        (429, "rate_limited", True),
        (500, "service_unavailable", True),
        (501, "invalid_request", False),
        (502, "service_unavailable", True),
        (503, "service_unavailable", True),
        (504, "service_unavailable", True),
        (599, "service_unavailable", True),
    ],
)
def test_statuses(status: int, code: str, retryable: bool):
    error = tool_error_from(answer(status), service="Acme")
    assert (error.code, error.retryable, error.retry_after) == (code, retryable, None)
    assert error.message.startswith("Acme ")
    assert error.message.endswith(f"(HTTP {status}).")
    assert SECRET not in error.message


@pytest.mark.parametrize(
    ("kind", "code", "retryable"),
    [
        (httpx.ConnectError, "network_error", True),
        (httpx.ReadError, "network_error", True),
        (httpx.WriteError, "network_error", True),
        (httpx.CloseError, "network_error", True),
        (httpx.RemoteProtocolError, "network_error", True),
        (httpx.ProxyError, "network_error", True),
        (httpx.ConnectTimeout, "api_timeout", True),
        (httpx.ReadTimeout, "api_timeout", True),
        (httpx.WriteTimeout, "api_timeout", True),
        (httpx.PoolTimeout, "api_timeout", True),
        (httpx.DecodingError, "bad_answer", True),
        (httpx.TooManyRedirects, "unexpected_answer", False),
        (httpx.UnsupportedProtocol, "invalid_request", False),
        (httpx.LocalProtocolError, "invalid_request", False),
    ],
)
def test_exceptions(kind: type[httpx.RequestError], code: str, retryable: bool):
    error = tool_error_from(kind(f"Illegal header value {SECRET} of {REQUEST.url}", request=REQUEST), service="Acme")
    assert (error.code, error.retryable, error.retry_after) == (code, retryable, None)
    assert "Acme" in error.message
    assert kind.__name__ in error.message
    assert SECRET not in error.message


@pytest.mark.parametrize("kind", every_exception(), ids=lambda kind: kind.__name__)
def test_no_exception_of_httpx_is_left_out(kind: type[httpx.RequestError]):
    assert isinstance(tool_error_from(kind("broken"), service="Acme"), ToolError)  # without a request, too


def test_a_bad_address_is_not_repeated_nor_shown():
    with pytest.raises(httpx.InvalidURL) as raised:
        httpx.URL(f"https://h:{SECRET}/")
    error = tool_error_from(raised.value, service="Acme")
    assert (error.code, error.retryable) == ("invalid_request", False)
    assert SECRET not in error.message


async def test_what_httpx_raises_for_a_header_that_cant_be_sent_hides_the_key(silent_address: str):
    async with httpx.AsyncClient(verify=False) as http:
        with pytest.raises(httpx.LocalProtocolError) as raised:
            await http.get(silent_address, headers={"Authorization": f"{SECRET}\n"})
    assert SECRET in str(raised.value), "or this shows nothing"
    error = tool_error_from(raised.value, service="Acme")
    assert (error.code, error.retryable) == ("invalid_request", False)
    assert SECRET not in error.message


def test_raise_for_status_is_understood_and_its_address_left_out():
    with pytest.raises(httpx.HTTPStatusError) as raised:
        answer(429, Retry_After="7").raise_for_status()
    assert SECRET in str(raised.value), "or this shows nothing"
    error = tool_error_from(raised.value, service="Acme")
    assert (error.code, error.retry_after) == ("rate_limited", 7.0)
    assert SECRET not in error.message


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_retry_after_is_read_where_repeating_helps(status: int):
    assert tool_error_from(answer(status, Retry_After="20"), service="Acme").retry_after == 20.0


@pytest.mark.parametrize("status", [302, 400, 404, 501])
def test_retry_after_is_no_matter_elsewhere(status: int):
    assert tool_error_from(answer(status, Retry_After="20"), service="Acme").retry_after is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 2 ", 2.0),
        ("1.5", 1.5),
        ("999999999999", 86_400.0),
        ("Mon, 23 Nov 2026 09:15:32 GMT", 30.0),
        ("Monday, 23-Nov-26 09:15:32 GMT", 30.0),
        ("Mon Nov 23 09:15:32 2026", 30.0),
        ("Mon, 23 Nov 2026 10:15:32 +0100", 30.0),
        ("Mon, 23 Nov 2026 09:15:02 GMT", 0.0),
        ("Mon, 23 Nov 2020 09:15:02 GMT", 0.0),
        ("Mon, 23 Nov 2099 09:15:02 GMT", 86_400.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("nan", None),
        ("inf", None),
        ("٣", None),
        ("9" * 400, None),
        ("Mon, 99 Nov 2026 09:15:32 GMT", None),
        ("Mon, 23 Nov 99999 09:15:32 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_garbage_is_ignored(text: str, seconds: float | None):
    headers = [(b"Date", DATE.encode()), (b"Retry-After", text.encode())]
    assert retry_after_seconds(httpx.Response(503, headers=headers)) == seconds


@pytest.mark.parametrize("date", [{}, {"Date": "today"}])
def test_a_date_without_that_of_the_answer_is_compared_with_the_clock(date: dict[str, str]):
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    seconds = retry_after_seconds(answer(503, Retry_After=in_a_minute, **date))
    assert seconds is not None
    assert 30 <= seconds <= 60


@pytest.mark.parametrize(
    ("no_failure", "raises"), [(lambda: answer(204), ValueError), (lambda: RuntimeError(SECRET), TypeError)]
)
def test_what_is_no_failed_call_is_the_tools_mistake(no_failure: Callable[[], object], raises: type[Exception]):
    with pytest.raises(raises) as raised:
        tool_error_from(no_failure(), service="Acme")
    assert SECRET not in str(raised.value)


def test_importing_it_does_not_import_httpx():
    code = "import sys, leadplan_responder.http_errors; sys.exit('httpx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
