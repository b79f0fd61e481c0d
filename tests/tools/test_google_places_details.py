"""Which facts are asked for, and what that costs."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadplan_google_places.details import (
    DEFAULT_DETAILS,
    FIELDS_BY_DETAIL,
    TIER_BY_FIELD,
    BillingTier,
    Detail,
    RequestedFields,
)
from leadplan_google_places.responder import responder
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v1/places:searchText"

# Section "Fields" of Google's usage and billing page, cheapest first.
DOCUMENTED = {
    BillingTier.IDS_ONLY: {"id", "name", "attributions"},
    BillingTier.PRO: {
        "displayName", "formattedAddress", "shortFormattedAddress", "addressComponents", "postalAddress", "location",
        "viewport", "plusCode", "types", "primaryType", "primaryTypeDisplayName", "businessStatus", "googleMapsUri",
        "photos", "pureServiceAreaBusiness", "utcOffsetMinutes",
    },
    BillingTier.ENTERPRISE: {
        "websiteUri", "nationalPhoneNumber", "internationalPhoneNumber", "rating", "userRatingCount", "priceLevel",
        "priceRange", "regularOpeningHours", "currentOpeningHours",
    },
    BillingTier.ENTERPRISE_ATMOSPHERE: {
        "reviews", "editorialSummary", "delivery", "dineIn", "takeout", "outdoorSeating",
    },
}  # fmt: skip
UNDOCUMENTED = {"movedPlaceId"}


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


def test_every_field_has_the_tier_that_google_documents():
    by_field = {field: tier for tier, fields in DOCUMENTED.items() for field in fields}
    assert set(TIER_BY_FIELD) - set(by_field) == UNDOCUMENTED
    assert {
        field: tier for field, tier in TIER_BY_FIELD.items() if field not in UNDOCUMENTED
    }.items() <= by_field.items()


def test_every_detail_can_be_asked_for_and_every_field_has_a_price():
    assert set(FIELDS_BY_DETAIL) == set(Detail)
    everything = RequestedFields.of(Detail, moved=True, service_areas=True)
    assert set(everything.names) == set(TIER_BY_FIELD)
    assert len(everything.names) == len(set(everything.names))


@pytest.mark.parametrize(
    ("details", "tier"),
    [
        ([], "Pro"),
        (["postalAddress", "primaryType"], "Pro"),
        (["website"], "Enterprise"),
        (["phone"], "Enterprise"),
        (["rating"], "Enterprise"),
        (["openingHours", "postalAddress"], "Enterprise"),
        (["priceLevel"], "Enterprise"),
        (["website", "phone", "rating"], "Enterprise"),
        (["summary"], "Enterprise + Atmosphere"),
        (["website", "services"], "Enterprise + Atmosphere"),
    ],
)
async def test_a_search_says_what_it_was_billed_as_and_asks_for_no_dearer_field(places, requests_to, details, tier):
    call = await search(places, maxResults=3, details=details)

    assert call.data["billingTier"] == tier
    (request,) = await requests_to(SEARCH)
    *fields, token = request["headers"]["x-goog-fieldmask"].split(",")
    assert token == "nextPageToken"
    tiers = [TIER_BY_FIELD[field.removeprefix("places.")] for field in fields]
    assert max(tiers, key=list(BillingTier).index) == tier


async def test_what_was_not_asked_for_is_not_there(places):
    call = await search(places, details=[])

    always = {"placeId", "name", "address", "types", "location", "businessStatus", "googleMapsUri"}
    assert all(always <= place.keys() <= always | {"attributions"} for place in call.data["places"])


async def test_every_detail_arrives(places):
    call = await search(places, query="cafes in Leeds", maxResults=60, details=[str(detail) for detail in Detail])

    found: dict[str, Any] = {}
    for place in call.data["places"]:
        found |= {name: value for name, value in place.items() if value}
    assert found["website"].startswith("http")
    assert found["phone"].startswith("+44 ")
    assert 1 <= found["rating"] <= 5
    assert found["userRatingCount"] >= 1
    assert found["priceLevel"].startswith("PRICE_LEVEL_")
    assert len(found["openingHours"]) == 7
    assert found["openingHours"][0].startswith("Monday: ")
    assert found["postalAddress"].keys() == {"regionCode", "postalCode", "locality", "addressLines"}
    assert found["primaryType"] in ("cafe", "coffee_shop")
    assert found["summary"].endswith(".")
    assert {"delivery", "dineIn", "takeout", "outdoorSeating"} >= found["services"].keys()
    assert all(isinstance(value, bool) for value in found["services"].values())


async def test_a_detail_that_stands_twice_is_asked_for_once(places, requests_to):
    await search(places, details=["website", "website"])

    (request, *_) = await requests_to(SEARCH)
    assert request["headers"]["x-goog-fieldmask"].count("websiteUri") == 1


def test_by_default_the_steps_after_it_get_what_they_read():
    assert set(DEFAULT_DETAILS) == {Detail.WEBSITE, Detail.PHONE, Detail.RATING}
