"""Google's Text Search (New) over HTTP."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from leadplan_google_places.api_answers import SearchPage
from leadplan_google_places.api_errors import error_from_answer
from leadplan_google_places.errors import NoTurnError
from leadplan_google_places.settings import GooglePlacesSettings
from leadplan_responder.limits import credential_limit
from leadplan_web_apis.connection import ApiConnection

SEARCH_PATH = "/v1/places:searchText"
FIELD_MASK_HEADER = "X-Goog-FieldMask"


class PlacesApi:
    """Calls Text Search, within its rate limit. It owns its HTTP connections: call `aclose` at the end.

    No call is repeated here.

    Attributes:
        limit: of the key, shared by all who use it in this process. A 429 for the minute's quota holds it.
    """

    def __init__(self, settings: GooglePlacesSettings) -> None:
        self._google = ApiConnection("Google Places", settings, key_header="X-Goog-Api-Key")
        # Google counts by project and method; one key stands for its project here.
        self.limit = credential_limit("Google Places search", key=settings.api_key, per_minute=settings.per_minute)

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._google.aclose()

    async def search_page(self, body: Mapping[str, Any], field_mask: str, *, patience: float) -> SearchPage:
        """Fetch one page, once the rate limit lets it through.

        Args:
            body: the request, with ``pageToken`` for every page but the first.
            field_mask: the fields to return; the same for all pages.
            patience: seconds to wait for the rate limit at most.

        Raises:
            GoogleRefusedError: Google answered with an error; it says whether repeating helps.
            NoUsableAnswerError: no answer in time, no connection, or an answer that can't be read.
            NoTurnError: the rate limit let nothing through in time; nothing was sent.
        """
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(patience):
                    await turn.enter_async_context(self.limit)
            except TimeoutError:
                raise NoTurnError(self.limit.held_for()) from None
            answer = await self._google.request("POST", SEARCH_PATH, body=body, headers={FIELD_MASK_HEADER: field_mask})
            if not answer.is_success:
                raise error_from_answer(self._google.failed_answer(answer))
            return self._google.read(answer, SearchPage)
