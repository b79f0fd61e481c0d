"""The HTTP side of the Google stand-in."""

import hmac
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from leadplan_sandbox.google.errors import GoogleApiError, error_info, rate_limited
from leadplan_sandbox.google.field_mask import apply_mask, parse_mask
from leadplan_sandbox.google.page_tokens import PageTokens
from leadplan_sandbox.google.request import parse_request
from leadplan_sandbox.google.search import search, search_uri
from leadplan_sandbox.rate_limits import RateLimiter
from leadplan_sandbox.settings import SandboxSettings

_SEARCHES_PER_MINUTE = 600


class GooglePlaces:
    """The Places API as one project with one key sees it.

    Args:
        settings: its key, and whether the rate limit holds.
        clock: seconds, never going back: what the rate limit and the age of page tokens go by.
    """

    def __init__(self, settings: SandboxSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._key = settings.google_key.get_secret_value()
        self._limiter = RateLimiter(None, _SEARCHES_PER_MINUTE, clock, holds=lambda: settings.rate_limits)
        self._tokens = PageTokens(clock)

    def reset(self) -> None:
        """Forget the calls that count against the rate limit, and the page tokens that were given out."""
        self._limiter.reset()
        self._tokens.reset()

    def routes(self) -> list[Route]:
        """What the stand-in answers on."""
        return [Route("/v1/places:searchText", self.search_text, methods=["POST"])]

    async def search_text(self, request: Request) -> Response:
        """``POST /v1/places:searchText``."""
        try:
            return JSONResponse(await self._answer(request))
        except GoogleApiError as error:
            return error.response

    async def _answer(self, request: Request) -> dict[str, Any]:
        self._check_key(request)
        wait = self._limiter.seconds_to_wait()
        if wait:
            raise rate_limited(wait)
        query = request.query_params
        mask = parse_mask(request.headers.get("x-goog-fieldmask") or query.get("fields") or query.get("$fields"))
        call = parse_request(await request.body())
        page = search(call, self._tokens)
        answer: dict[str, Any] = {"places": page.places, "searchUri": search_uri(call)} if page.places else {}
        if page.next_page_token is not None:
            answer["nextPageToken"] = page.next_page_token
        masked: dict[str, Any] = apply_mask(mask, answer)
        return masked

    def _check_key(self, request: Request) -> None:
        key = request.headers.get("x-goog-api-key") or request.query_params.get("key")
        if key:
            if not hmac.compare_digest(key.encode(), self._key.encode()):
                message = "API key not valid. Please pass a valid API key."
                raise GoogleApiError(400, message, [error_info("API_KEY_INVALID")])
            return
        if "authorization" in request.headers:
            message = "Request had invalid authentication credentials. Expected OAuth 2 access token."
            raise GoogleApiError(401, message, [error_info("ACCESS_TOKEN_TYPE_UNSUPPORTED")])
        message = (
            "Method doesn't allow unregistered callers (callers without established identity). "
            "Please use API Key or other form of API consumer identity to call this API."
        )
        raise GoogleApiError(403, message)
