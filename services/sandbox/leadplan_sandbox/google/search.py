"""Text Search: from a query to places."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

from leadplan_sandbox.google.errors import GoogleApiError, bad_request
from leadplan_sandbox.google.request import SearchTextRequest
from leadplan_sandbox.world.chance import pick
from leadplan_sandbox.world.cities import KNOWN_CITIES, City, city_named, city_nearest, country_named
from leadplan_sandbox.world.places import Place, places_of
from leadplan_sandbox.world.spelling import words_of
from leadplan_sandbox.world.trades import Trade, trade_named

_MOST_RESULTS = 60
_PRICED_TYPES = frozenset({"restaurant", "cafe", "hotel", "bakery"})
_PRICE_LEVELS = (
    "PRICE_LEVEL_INEXPENSIVE",
    "PRICE_LEVEL_MODERATE",
    "PRICE_LEVEL_EXPENSIVE",
    "PRICE_LEVEL_VERY_EXPENSIVE",
)
_DEFAULT_CITY = "london"


@dataclass(frozen=True)
class Page:
    """One page of a search, and the token of the next one (None on the last)."""

    places: list[dict[str, Any]]
    next_page_token: str | None


def search(request: SearchTextRequest) -> Page:
    """The page that a call asks for: at most 20 places, at most 60 over all pages.

    Raises:
        GoogleApiError: 400 when the page token isn't one of this very search.
    """
    found = _found(request)[:_MOST_RESULTS]
    start = _offset(request)
    end = start + request.results_per_page
    places = [_as_json(place, request) for place in found[start:end]]
    return Page(places, _page_token(request, end) if end < len(found) else None)


def search_uri(request: SearchTextRequest) -> str:
    """The link that repeats the search on Google Maps."""
    return f"https://www.google.com/maps/search/{quote_plus(request.text_query)}"


def _found(request: SearchTextRequest) -> list[Place]:
    trade, city = understand(request)
    places = [place for place in places_of(trade, city) if _fits(place, request)]
    center = request.center()
    if request.rank_preference == "DISTANCE" and center is not None:
        places.sort(key=lambda place: (place.latitude - center[0]) ** 2 + (place.longitude - center[1]) ** 2)
    return places


def understand(request: SearchTextRequest) -> tuple[Trade, City]:
    """What a query looks for, and where: "<trade> in <city>[, <country>]", "<trade> <known city>", or a trade alone.

    A trade alone is looked for in the area that the call names, else in London.
    """
    country = country_named(request.region_code) if request.region_code else None
    what, separator, where = _split(request.text_query)
    if separator:
        city_name, *rest = [part.strip() for part in where.split(",")]
        named_country = country_named(rest[-1]) if rest else None
        return trade_named(what), city_named(city_name or _DEFAULT_CITY, named_country or country)
    words = words_of(request.text_query)
    for length in (3, 2, 1):
        slug = "-".join(words[-length:])
        if slug in KNOWN_CITIES and len(words) > length:
            return trade_named(" ".join(words[:-length])), KNOWN_CITIES[slug]
    center = request.center()
    return trade_named(request.text_query), city_named(_DEFAULT_CITY) if center is None else city_nearest(*center)


def _split(query: str) -> tuple[str, str, str]:
    matched = re.match(
        r"(?P<what>.+?)\s+(?P<separator>in|near|around|à|en)\s+(?P<where>\S.*)", query.strip(), re.IGNORECASE
    )
    return (matched["what"], matched["separator"], matched["where"]) if matched else (query, "", "")


def _fits(place: Place, request: SearchTextRequest) -> bool:
    if place.visits_customers_only and not request.include_pure_service_area_businesses:
        return False
    if request.included_type and request.strict_type_filtering and request.included_type != place.trade.place_type:
        return False
    if request.min_rating and (place.rating or 0.0) < request.min_rating:
        return False
    if request.open_now and not place.open_now:
        return False
    if request.price_levels and _price_level(place) not in request.price_levels:
        return False
    area = request.location_restriction
    return area is None or area.rectangle.contains(place.latitude, place.longitude)


def _offset(request: SearchTextRequest) -> int:
    if not request.page_token:
        return 0
    try:
        fingerprint, _, offset = base64.urlsafe_b64decode(request.page_token).decode().partition(":")
        if fingerprint == request.fingerprint():
            return int(offset)
    except (binascii.Error, ValueError):
        pass
    description = (
        "The page token doesn't belong to this request: all fields but pageToken and pageSize must stay the same."
    )
    raise GoogleApiError(400, "Request contains an invalid argument.", [bad_request([("page_token", description)])])


def _page_token(request: SearchTextRequest, offset: int) -> str:
    return base64.urlsafe_b64encode(f"{request.fingerprint()}:{offset}".encode()).decode()


def _price_level(place: Place) -> str | None:
    return pick(_PRICE_LEVELS, "price", place.key) if place.trade.place_type in _PRICED_TYPES else None


def _as_json(place: Place, request: SearchTextRequest) -> dict[str, Any]:
    """All that the sandbox knows of a place; what is unknown is left out, as Google does."""
    language = request.language_code or "en"
    fields: dict[str, Any] = {
        "name": f"places/{place.place_id}",
        "id": place.place_id,
        "types": [place.trade.place_type, "point_of_interest", "establishment"],
        "nationalPhoneNumber": place.local_phone,
        "internationalPhoneNumber": _international(place),
        "rating": place.rating,
        "googleMapsUri": f"https://maps.google.com/?cid={int(place.place_id[4:16], 16)}",
        "websiteUri": place.website,
        "userRatingCount": place.rating_count if place.rating is not None else None,
        "businessStatus": place.status,
        "priceLevel": _price_level(place),
        "displayName": {"text": place.name, "languageCode": language},
        "primaryType": place.trade.place_type,
        "primaryTypeDisplayName": {
            "text": place.trade.place_type.replace("_", " ").capitalize(),
            "languageCode": language,
        },
        "pureServiceAreaBusiness": place.visits_customers_only,
    }
    if not place.visits_customers_only:
        fields |= _position(place)
    if place.open_now is not None:
        fields["regularOpeningHours"] = fields["currentOpeningHours"] = {"openNow": place.open_now}
    return {name: value for name, value in fields.items() if value is not None}


def _international(place: Place) -> str | None:
    local = place.local_phone
    return None if local is None else f"+{place.city.country.calling_code} {local.removeprefix('0')}"


def _position(place: Place) -> dict[str, Any]:
    city = place.city
    return {
        "formattedAddress": f"{place.street}, {city.name}, {city.country.name}",
        "shortFormattedAddress": f"{place.street}, {city.name}",
        "location": {"latitude": place.latitude, "longitude": place.longitude},
        "postalAddress": {
            "regionCode": city.country.code,
            "locality": city.name,
            "addressLines": [place.street],
        },
    }
