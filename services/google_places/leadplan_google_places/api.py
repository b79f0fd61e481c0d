"""Google's Text Search (New) over HTTP."""

from typing import Any

from leadplan_google_places.api_answers import SearchPage
from leadplan_google_places.api_errors import error_from_answer
from leadplan_google_places.settings import GooglePlacesSettings
from leadplan_web_apis.connection import ApiConnection

FIELD_MASK = ",".join(
    [
        "places.id",
        "places.displayName",
        "places.formattedAddress",
        "places.location",
        "places.types",
        "places.businessStatus",
        "places.googleMapsUri",
        # From here on the fields make each page an Enterprise request.
        "places.websiteUri",
        "places.nationalPhoneNumber",
        "places.internationalPhoneNumber",
        "places.rating",
        "places.userRatingCount",
        # Without it an answer never carries a token, and every search looks as if it had one page.
        "nextPageToken",
    ]
)
"""The fields that are asked for. There is no default at Google's side, and the mask sets the price."""


class PlacesApi:
    """Calls Text Search. It owns its HTTP connections: call `aclose` at the end."""

    def __init__(self, settings: GooglePlacesSettings) -> None:
        self._google = ApiConnection(
            "Google Places", settings, key_header="X-Goog-Api-Key", headers={"X-Goog-FieldMask": FIELD_MASK}
        )

    async def aclose(self) -> None:
        """Close the HTTP connections."""
        await self._google.aclose()

    async def search_page(self, body: dict[str, Any]) -> SearchPage:
        """Fetch one page.

        Args:
            body: the request, with ``pageToken`` for every page but the first.

        Raises:
            ToolError: the page could not be had; it says whether repeating helps.
        """
        answer = await self._google.request("POST", "/v1/places:searchText", body=body)
        if not answer.is_success:
            raise error_from_answer(self._google.failed_answer(answer))
        return self._google.read(answer, SearchPage)
