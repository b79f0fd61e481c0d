"""Calls to one third-party API."""

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from leadplan_web_apis.errors import NoUsableAnswerError
from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.settings import WebApiSettings

_TIMEOUT = httpx.Timeout(10.0, connect=5.0)

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class ApiConnection:
    """HTTP connections to one API, which it owns: call `aclose` at the end. No call is repeated here.

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
        self._http = httpx.AsyncClient(base_url=settings.base_url, headers=all_headers)

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
        timeout: httpx.Timeout | None = None,
    ) -> httpx.Response:
        """Make one call. The answer can have any status.

        Args:
            method: of HTTP.
            path: below the base address, such as ``/account``.
            query: parameters in the address.
            body: sent as JSON.
            timeout: default 10 seconds, 5 for the connection.

        Raises:
            NoUsableAnswerError: no connection, or no answer in time.
        """
        try:
            return await self._http.request(method, path, params=query, json=body, timeout=timeout or _TIMEOUT)
        except httpx.TimeoutException:
            raise NoUsableAnswerError(f"{self._api_name} didn't answer in time.", code="api_timeout") from None
        except httpx.HTTPError as error:
            # Without the cause: it can carry the request, and with that the key.
            message = f"{self._api_name} can't be reached at {self._host} ({type(error).__name__})."
            raise NoUsableAnswerError(message, code="network_error") from None

    def read(self, answer: httpx.Response, model: type[AnswerT]) -> AnswerT:
        """Decode the JSON body of a successful answer.

        Raises:
            NoUsableAnswerError: the body is no JSON or doesn't fit the model.
        """
        try:
            return model.model_validate_json(answer.content)
        except ValidationError:
            message = f"{self._api_name} sent an answer that can't be read."
            raise NoUsableAnswerError(message, code="bad_answer") from None

    def failed_answer(self, answer: httpx.Response) -> FailedAnswer:
        """Take from an answer other than 2xx what an error mapping reads, without the key."""
        return FailedAnswer.of(answer, self._key)
