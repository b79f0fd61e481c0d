"""Text Search: from a query to places."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from leadplan_sandbox.google.areas import Point, metres_between
from leadplan_sandbox.google.page_tokens import PageTokens
from leadplan_sandbox.google.place_json import place_json, price_level
from leadplan_sandbox.google.query import understand
from leadplan_sandbox.google.request import SearchTextRequest
from leadplan_sandbox.world.cities import City
from leadplan_sandbox.world.places import FUTURE_OPENING, Place, places_of

_MOST_RESULTS = 60


@dataclass(frozen=True)
class Page:
    """One page of a search, and the token of the next one (None on the last)."""

    places: list[dict[str, Any]]
    next_page_token: str | None


def search(request: SearchTextRequest, tokens: PageTokens) -> Page:
    """The page that a call asks for: at most 20 places, at most 60 over all pages.

    Raises:
        GoogleApiError: 400 when the page token isn't one of this very search.
    """
    start = tokens.offset(request.page_token, request.fingerprint()) if request.page_token else 0
    found = _found(request)[:_MOST_RESULTS]
    end = start + request.results_per_page
    places = [place_json(place, request.language_code or "en") for place in found[start:end]]
    return Page(places, tokens.issue(request.fingerprint(), end) if end < len(found) else None)


def search_uri(request: SearchTextRequest) -> str:
    """The link that repeats the search on Google Maps."""
    return f"https://www.google.com/maps/search/{quote_plus(request.text_query)}"


def _found(request: SearchTextRequest) -> list[Place]:
    trade, city = understand(request)
    places = [place for place in places_of(trade, city) if _fits(place, request)]
    if request.rank_preference == "DISTANCE":
        return _nearest_first(places, request, city)
    return _preferred_first(places, request)


def _preferred_first(places: list[Place], request: SearchTextRequest) -> list[Place]:
    """By relevance, those of the wanted type first and, among equals, those in the area that is preferred."""
    bias = request.location_bias

    def misses(place: Place) -> tuple[bool, bool]:
        point = _point(place)
        outside = bias is not None and (point is None or not bias.shape.contains(point))
        return bool(request.included_type) and request.included_type not in place.types, outside

    return sorted(places, key=misses)


def _nearest_first(places: list[Place], request: SearchTextRequest, city: City) -> list[Place]:
    middle = request.area.middle() if request.area else (city.latitude, city.longitude)

    def distance(place: Place) -> float:
        point = _point(place)
        return float("inf") if point is None else metres_between(middle, point)

    return sorted(places, key=distance)


def _point(place: Place) -> Point | None:
    return None if place.visits_customers_only else (place.latitude, place.longitude)


def _fits(place: Place, request: SearchTextRequest) -> bool:
    return _is_asked_for(place, request) and _passes_filters(place, request) and _lies_inside(place, request)


def _is_asked_for(place: Place, request: SearchTextRequest) -> bool:
    if place.visits_customers_only and not request.include_pure_service_area_businesses:
        return False
    return place.status != FUTURE_OPENING or request.include_future_opening_businesses


def _passes_filters(place: Place, request: SearchTextRequest) -> bool:
    if request.included_type and request.strict_type_filtering and request.included_type not in place.types:
        return False
    # Whether places that nobody rated pass isn't documented; here they don't.
    if request.min_rating and (place.rating or 0.0) < request.min_rating:
        return False
    if request.open_now and not place.open_now:
        return False
    return not request.price_levels or price_level(place) in request.price_levels


def _lies_inside(place: Place, request: SearchTextRequest) -> bool:
    area, point = request.location_restriction, _point(place)
    return area is None or (point is not None and area.shape.contains(point))
