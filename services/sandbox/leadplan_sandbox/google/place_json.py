"""A place as Google shows it."""

from typing import Any

from leadplan_sandbox.world.chance import happens, number, pick
from leadplan_sandbox.world.places import Place

_PRICED_TYPES = frozenset({"restaurant", "cafe", "hotel", "bakery"})
_SERVING_TYPES = frozenset({"restaurant", "cafe", "bakery"})
_PRICE_LEVELS = (
    "PRICE_LEVEL_INEXPENSIVE",
    "PRICE_LEVEL_MODERATE",
    "PRICE_LEVEL_EXPENSIVE",
    "PRICE_LEVEL_VERY_EXPENSIVE",
)
_WORKING_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday")
_SUMMARIES = (
    "Long-established {type} in {city}.",
    "Friendly local {type}.",
    "Modern {type} near the centre of {city}.",
)


def place_json(place: Place, language: str) -> dict[str, Any]:
    """All that the sandbox knows of a place; what is unknown is left out, as Google does."""
    fields = _identity(place, language) | _reputation(place) | _contact(place) | _services(place)
    if not place.visits_customers_only:
        fields |= _position(place)
    if place.open_now is not None:
        fields |= _opening_hours(place)
    return {name: value for name, value in fields.items() if value is not None}


def price_level(place: Place) -> str | None:
    """Its price level, None for trades that have none."""
    return pick(_PRICE_LEVELS, "price", place.key) if place.trade.place_type in _PRICED_TYPES else None


def _identity(place: Place, language: str) -> dict[str, Any]:
    moved_to = place.moved_to
    return {
        "name": f"places/{place.place_id}",
        "id": place.place_id,
        "displayName": {"text": place.name, "languageCode": language},
        "types": list(place.types),
        "primaryType": place.types[0],
        "primaryTypeDisplayName": {"text": _in_words(place).capitalize(), "languageCode": language},
        "googleMapsUri": f"https://maps.google.com/?cid={int(place.place_id[4:16], 16)}",
        "businessStatus": place.status,
        "pureServiceAreaBusiness": place.visits_customers_only,
        "movedPlace": f"places/{moved_to.place_id}" if moved_to else None,
        "movedPlaceId": moved_to.place_id if moved_to else None,
        "attributions": _attributions(place),
        "editorialSummary": _summary(place, language),
    }


def _in_words(place: Place) -> str:
    return place.types[0].replace("_", " ")


def _attributions(place: Place) -> list[dict[str, str]] | None:
    if not happens(0.05, "attribution", place.key):
        return None
    return [{"provider": f"{place.city.name} Guide", "providerUri": f"https://{place.city.slug}-guide.example/"}]


def _summary(place: Place, language: str) -> dict[str, str] | None:
    if not happens(0.4, "summary", place.key):
        return None
    text = pick(_SUMMARIES, "summary text", place.key).format(type=_in_words(place), city=place.city.name)
    return {"text": text, "languageCode": language}


def _reputation(place: Place) -> dict[str, Any]:
    return {
        "rating": place.rating,
        "userRatingCount": place.rating_count if place.rating is not None else None,
        "priceLevel": price_level(place),
    }


def _contact(place: Place) -> dict[str, Any]:
    local = place.local_phone
    calling_code = place.city.country.calling_code
    return {
        "websiteUri": place.website,
        "nationalPhoneNumber": local,
        "internationalPhoneNumber": f"+{calling_code} {local.removeprefix('0')}" if local else None,
    }


def _services(place: Place) -> dict[str, Any]:
    if place.trade.place_type not in _SERVING_TYPES:
        return {}
    names = ("delivery", "dineIn", "takeout", "outdoorSeating")
    return {name: happens(0.5, name, place.key) for name in names if happens(0.8, "known", name, place.key)}


def _position(place: Place) -> dict[str, Any]:
    city = place.city
    postal_code = f"{number(10000, 99999, 'postal code', place.key)}"
    return {
        "formattedAddress": f"{place.street}, {city.name}, {city.country.name}",
        "shortFormattedAddress": f"{place.street}, {city.name}",
        "location": {"latitude": place.latitude, "longitude": place.longitude},
        "postalAddress": {
            "regionCode": city.country.code,
            "postalCode": postal_code,
            "locality": city.name,
            "addressLines": [place.street],
        },
        "addressComponents": [
            _component(place.street, "route"),
            _component(city.name, "locality", "political"),
            _component(city.country.name, "country", "political", short=city.country.code),
            _component(postal_code, "postal_code"),
        ],
    }


def _component(text: str, *types: str, short: str | None = None) -> dict[str, Any]:
    return {"longText": text, "shortText": short or text, "types": list(types), "languageCode": "en"}


def _opening_hours(place: Place) -> dict[str, Any]:
    opens, closes = number(7, 10, "opens", place.key), number(4, 7, "closes", place.key)
    lines = [f"{day}: {opens}:00 AM – {closes}:00 PM" for day in _WORKING_DAYS]
    saturday = f"{opens}:00 AM – 1:00 PM" if happens(0.5, "saturday", place.key) else "Closed"
    lines += [f"Saturday: {saturday}", "Sunday: Closed"]
    hours = {"openNow": place.open_now, "weekdayDescriptions": lines}
    return {"regularOpeningHours": hours, "currentOpeningHours": hours}
