"""Calls to one third-party API."""

import asyncio
import ssl
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from leadplan_web_apis.errors import NoUsableAnswerError
from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.settings import WebApiSettings

LARGEST_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""What is read of an answer at most. The largest documented ones have well under one megabyte."""

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)
# The time-outs above count from byte to byte: without this one an answer could trickle in for ever.
_WHOLE_CALL_SECONDS = 60.0
# More calls than that are under way only when an API takes many seconds for each.
_CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=20, keepalive_expiry=30.0)
# They describe the body as it came over the wire, not as it has been read.
_WIRE_HEADERS = ("Content-Encoding", "Content-Length", "Transfer-Encoding")

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """What httpx trusts unless told otherwise; reading it takes tens of milliseconds, so that is done once."""
    return httpx.create_ssl_context()


class _TooLargeError(Exception):
    """An answer goes on beyond what is read."""


class ApiConnection:
    """HTTP connections to one API, which it owns: call `aclose` at the end. No call is repeated here.

    No redirect is followed: the key would go along to wherever it points.

    Args:
        api_name: for messages, such as "Hunter".
        settings: base address and key.
        key_header: the header that carries the key: in the address it would end up in logs.
        headers: others that every call carries.
    """

    def __init__(
        self, api_name: str, settings: WebApiSettings, *, key_header: str, headers: Mapping[str, str] | None = None
    ) -> None:
        self._api_name = api_name
        self._key = settings.api_key
        self._host = httpx.URL(settings.base_url).host
        all_headers = {key_header: self._key.get_secret_value(), **(headers or {})}
        self._http = httpx.AsyncClient(
            base_url=settings.base_url,
            headers=all_headers,
            follow_redirects=False,
            limits=_CONNECTIONS,
            verify=_trusted_authorities(),
        )

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._http.aclose()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """Make one call. The answer can have any status; it has been read.

        Args:
            method: of HTTP.
            path: below the base address, such as ``/account``.
            query: parameters in the address.
            body: sent as JSON.
            headers: of this call, besides those of all calls.
            timeout: default 10 seconds, 5 for the connection. A call takes a minute at most, whatever it says.

        Raises:
            NoUsableAnswerError: no connection, no answer in time, or one that is too large.
        """
        request = self._http.build_request(
            method, path, params=query, json=body, headers=headers, timeout=timeout or _TIMEOUT
        )
        try:
            async with asyncio.timeout(_WHOLE_CALL_SECONDS):
                return await self._exchange(request)
        except (httpx.TimeoutException, TimeoutError):
            problem = NoUsableAnswerError(f"{self._api_name} didn't answer in time.", code="api_timeout")
        except httpx.DecodingError:
            problem = self._unreadable()
        except _TooLargeError:
            megabytes = LARGEST_ANSWER_BYTES // 1024**2
            message = f"{self._api_name} sent an answer of more than {megabytes} MB, which isn't read."
            problem = NoUsableAnswerError(message, code="bad_answer")
        except httpx.HTTPError as error:
            message = f"{self._api_name} can't be reached at {self._host} ({type(error).__name__})."
            problem = NoUsableAnswerError(message, code="network_error")
        # Raised out here, without the cause: it carries the request, and with that the key.
        raise problem

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        answer = await self._http.send(request, stream=True)
        try:
            content = bytearray()
            async for part in answer.aiter_bytes():
                content += part
                if len(content) > LARGEST_ANSWER_BYTES:
                    raise _TooLargeError
        finally:
            await answer.aclose()
        headers = answer.headers.copy()
        for name in _WIRE_HEADERS:
            headers.pop(name, None)
        return httpx.Response(answer.status_code, headers=headers, content=bytes(content))

    def read(self, answer: httpx.Response, model: type[AnswerT]) -> AnswerT:
        """Decode the JSON body of a successful answer.

        Raises:
            NoUsableAnswerError: the body is no JSON or doesn't fit the model.
        """
        try:
            return model.model_validate_json(answer.content)
        except ValidationError:
            problem = self._unreadable()
        raise problem

    def _unreadable(self) -> NoUsableAnswerError:
        return NoUsableAnswerError(f"{self._api_name} sent an answer that can't be read.", code="bad_answer")

    def failed_answer(self, answer: httpx.Response) -> FailedAnswer:
        """Take from an answer other than 2xx what an error mapping reads, without the key."""
        return FailedAnswer.of(answer, self._key)
