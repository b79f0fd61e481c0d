"""The params of GOOGLE_PLACES_SEARCH: the request that they make, and what is refused before it costs anything."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from leadplan_google_places.areas import Rectangle
from leadplan_google_places.responder import responder
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v1/places:searchText"

BOX = {"low": {"latitude": 53.7, "longitude": -1.7}, "high": {"latitude": 53.9, "longitude": -1.4}}
CIRCLE = {"circle": {"center": {"latitude": 53.8, "longitude": -1.55}, "radius": 5000.0}}


@pytest.fixture
async def places(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Responder]:
    monkeypatch.setenv("GOOGLE_PLACES_API_KEY", "sandbox-google-key")
    monkeypatch.setenv("GOOGLE_PLACES_BASE_URL", sandbox_url)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


async def search(places: Responder, **params: Any) -> ToolCall:
    return await call_tool(places, "GOOGLE_PLACES_SEARCH", {"query": "dentists in Leeds", **params})


async def test_the_request_carries_all_that_was_asked_for_and_nothing_else(places, requests_to):
    asked_for = {
        "regionCode": "GB",
        "languageCode": "en-GB",
        "includedType": "dentist",
        "strictTypeFiltering": True,
        "minRating": 3.5,
        "openNow": True,
        "rankPreference": "RELEVANCE",
        "includePureServiceAreaBusinesses": True,
        "locationBias": CIRCLE,
    }
    call = await search(places, maxResults=5, **asked_for)

    assert call.result.success, call.result.error_message
    assert len(call.data["places"]) == 5
    assert all(place["rating"] >= 3.5 for place in call.data["places"])
    (request,) = await requests_to(SEARCH)
    assert (request["method"], request["path"]) == ("POST", "/v1/places:searchText")
    assert request["body"] == {"textQuery": "dentists in Leeds", "pageSize": 20, **asked_for}
    assert request["headers"]["content-type"] == "application/json"
    assert "x-goog-api-key" in request["headers"]
    assert request["query"] == {}
    assert request["headers"]["x-goog-fieldmask"] == (
        "places.id,places.displayName,places.businessStatus,places.attributions,places.formattedAddress,"
        "places.location,places.types,places.googleMapsUri,places.pureServiceAreaBusiness,places.websiteUri,"
        "places.nationalPhoneNumber,places.internationalPhoneNumber,places.rating,places.userRatingCount,nextPageToken"
    )


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        ({}, {}),
        ({"regionCode": "gb"}, {"regionCode": "GB"}),
        ({"regionCode": "UK"}, {"regionCode": "GB"}),
        ({"minRating": 4.1}, {"minRating": 4.1}),  # Google rounds it, and says how
        ({"minRating": 0}, {"minRating": 0.0}),
        ({"query": "  cafes in Leeds "}, {"textQuery": "cafes in Leeds"}),
        (
            {"query": "cafes in Leeds", "priceLevels": ["PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE"]},
            {"textQuery": "cafes in Leeds", "priceLevels": ["PRICE_LEVEL_MODERATE", "PRICE_LEVEL_EXPENSIVE"]},
        ),
        (
            {"rankPreference": "DISTANCE", "locationBias": CIRCLE},
            {"rankPreference": "DISTANCE", "locationBias": CIRCLE},
        ),
        ({"locationBias": {"rectangle": BOX}}, {"locationBias": {"rectangle": BOX}}),
        ({"locationRestriction": {"rectangle": BOX}}, {"locationRestriction": {"rectangle": BOX}}),
        # These are the tool's own affair.
        ({"includeClosed": True, "details": []}, {}),
    ],
)
async def test_each_param_becomes_the_field_of_its_name(places, requests_to, params, sent):
    call = await search(places, maxResults=3, **params)

    assert call.result.success, call.result.error_message
    (request,) = await requests_to(SEARCH)
    assert request["body"] == {"textQuery": "dentists in Leeds", "pageSize": 20, **sent}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"query": "  "}, "query"),
        ({"maxResults": 0}, "maxResults"),
        ({"maxResults": 61}, "maxResults"),
        ({"regionCode": "GBR"}, "regionCode"),
        ({"regionCode": "826"}, "regionCode"),
        ({"languageCode": "English please"}, "languageCode"),
        ({"includedType": "Dentist"}, "includedType"),
        ({"includedType": ["dentist"]}, "includedType"),
        ({"minRating": 5.5}, "minRating"),
        ({"minRating": -1}, "minRating"),
        ({"openNow": "maybe"}, "openNow"),
        ({"rankPreference": "RANK_PREFERENCE_UNSPECIFIED"}, "rankPreference"),
        ({"priceLevels": ["PRICE_LEVEL_FREE"]}, "priceLevels.0"),
        ({"priceLevels": "PRICE_LEVEL_MODERATE"}, "priceLevels"),
        ({"details": ["website", "reviews"]}, "details.1"),
        ({"maxresults": 5}, "maxresults"),
        ({"strictTypeFiltering": True}, "strictTypeFiltering needs includedType"),
        ({"locationBias": {}}, "locationBias: Value error, give either circle or rectangle"),
        ({"locationBias": CIRCLE | {"rectangle": BOX}}, "give either circle or rectangle"),
        ({"locationBias": {"circle": {"center": {"latitude": 0, "longitude": 0}}}}, "locationBias.circle.radius"),
        (
            {"locationBias": {"circle": {"center": {"latitude": 91, "longitude": 0}, "radius": 50_001}}},
            "locationBias.circle.radius",
        ),
        (
            {"locationBias": {"circle": {"center": {"latitude": 91, "longitude": 181}, "radius": 5}}},
            "locationBias.circle.center.latitude",
        ),
        ({"locationRestriction": CIRCLE}, "locationRestriction.circle"),
        ({"locationRestriction": {"rectangle": {"low": BOX["low"]}}}, "locationRestriction.rectangle.high"),
        (
            {"locationRestriction": {"rectangle": {"low": BOX["high"], "high": BOX["low"]}}},
            "low.latitude must not be larger than high.latitude",
        ),
        (
            {"locationBias": {"rectangle": BOX}, "locationRestriction": {"rectangle": BOX}},
            "give locationBias (prefer an area) or locationRestriction (only an area), not both",
        ),
    ],
)
async def test_params_that_google_would_refuse_are_refused_before_they_cost_anything(
    places, requests_to, params, named
):
    call = await search(places, **params)

    assert (call.result.error_code, call.result.retryable) == ("invalid_params", False)
    assert named in (call.result.error_message or "")
    assert await requests_to(SEARCH) == []


@pytest.mark.parametrize(
    ("west", "east"), [(-10, 10), (170, -170), (0, 180), (-180, 0), (90, -90), (5, 5), (180, -180)]
)
def test_a_rectangle_reaches_eastwards_and_across_the_180_degree_meridian(west, east):
    box = {"low": {"latitude": 1, "longitude": west}, "high": {"latitude": 2, "longitude": east}}
    assert Rectangle.model_validate(box).low.longitude == west


@pytest.mark.parametrize(("west", "east"), [(10, -10), (-91, 90), (-180, 180), (0, -1)])
def test_a_rectangle_of_more_than_half_the_globe_is_refused(west, east):
    with pytest.raises(ValidationError, match="at most 180 degrees"):
        Rectangle.model_validate(
            {"low": {"latitude": 1, "longitude": west}, "high": {"latitude": 2, "longitude": east}}
        )
