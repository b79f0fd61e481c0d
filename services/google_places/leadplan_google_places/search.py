"""The search: page after page until there are enough places."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from leadplan_google_places.api import PlacesApi
from leadplan_google_places.api_answers import PlaceAnswer
from leadplan_google_places.search_params import MAX_RESULTS, SearchParams

Report = Callable[[float, str], Awaitable[None]]

_CLOSED = frozenset({"CLOSED_TEMPORARILY", "CLOSED_PERMANENTLY"})
# A page may carry fewer places than asked for and still name a next one. Twice the three full pages is patience enough.
_MAX_PAGES = 6


class _Result(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class PlaceLocation(_Result):
    """A point in degrees."""

    latitude: float
    longitude: float


class Place(_Result):
    """A business as the steps after this one read it. What Google doesn't know is left out."""

    place_id: str
    name: str
    address: str | None = None
    website: str | None = None
    phone: Annotated[str, Field(description="With the country code where Google knows it.")] | None = None
    rating: float | None = None
    user_rating_count: int | None = None
    types: list[str]
    location: PlaceLocation | None = None
    business_status: str | None = None
    google_maps_uri: str | None = None


class SearchResult(_Result):
    """What GOOGLE_PLACES_SEARCH returns."""

    query: str
    places: list[Place]
    pages_fetched: Annotated[int, Field(description="Each page is one billed request.")]
    closed_left_out: int


async def search_places(api: PlacesApi, params: SearchParams, report: Report) -> SearchResult:
    """Collect up to ``params.max_results`` places, each once, in Google's order.

    Raises:
        ToolError: a page could not be had; nothing is returned then, so that no half list looks like a whole one.
    """
    body = params.request_body()
    found: dict[str, Place] = {}
    seen: set[str] = set()
    closed = pages = 0
    while True:
        page = await api.search_page(body)
        pages += 1
        for answer in page.places:
            if answer.id in seen:
                continue
            seen.add(answer.id)
            if answer.business_status in _CLOSED and not params.include_closed:
                closed += 1
            elif len(found) < params.max_results:
                found[answer.id] = _place(answer)
        enough = len(found) >= params.max_results or len(seen) >= MAX_RESULTS or pages >= _MAX_PAGES
        last = enough or not page.next_page_token
        fraction = 1.0 if last else len(found) / params.max_results
        await report(fraction, f"page {pages}: {len(found)} of up to {params.max_results} places")
        if last:
            return SearchResult(
                query=params.query, places=list(found.values()), pages_fetched=pages, closed_left_out=closed
            )
        # Google refuses a page whose request differs from the first one in anything but the token.
        body = {**body, "pageToken": page.next_page_token}


def _place(answer: PlaceAnswer) -> Place:
    name = answer.display_name.text if answer.display_name else None
    point = answer.location
    return Place(
        place_id=answer.id,
        name=name or answer.formatted_address or answer.id,
        address=answer.formatted_address,
        website=answer.website_uri,
        phone=answer.international_phone_number or answer.national_phone_number,
        rating=answer.rating,
        user_rating_count=answer.user_rating_count,
        types=answer.types,
        location=PlaceLocation(latitude=point.latitude, longitude=point.longitude) if point else None,
        business_status=answer.business_status,
        google_maps_uri=answer.google_maps_uri,
    )
