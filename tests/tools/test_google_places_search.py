"""What GOOGLE_PLACES_SEARCH returns, over the sandbox."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from leadplan_google_places.responder import responder
from leadplan_responder import Responder
from leadplan_responder.testing import ToolCall, call_tool

SEARCH = "/v1/places:searchText"


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


async def test_search_finds_places_in_the_shape_that_later_steps_read(places):
    call = await search(places)

    assert call.result.success, call.result.error_message
    assert call.data.keys() == {"query", "places", "pagesFetched", "closedLeftOut", "billingTier"}
    assert (call.data["query"], call.data["billingTier"]) == ("dentists in Leeds", "Enterprise")
    assert len(call.data["places"]) == 20
    whole = next(place for place in call.data["places"] if {"website", "phone", "rating", "location"} <= place.keys())
    assert whole.keys() - {"attributions"} == {
        "placeId", "name", "address", "website", "phone", "rating", "userRatingCount", "types", "location",
        "businessStatus", "googleMapsUri",
    }  # fmt: skip
    assert whole["name"] != whole["placeId"]
    assert whole["phone"].startswith("+44 ")
    assert whole["location"].keys() == {"latitude", "longitude"}
    assert {"dentist", "dental_clinic"} & set(whole["types"])


async def test_what_google_does_not_know_is_left_out(places):
    call = await search(places, maxResults=60)

    assert [place for place in call.data["places"] if "website" not in place]
    assert all(place[name] is not None for place in call.data["places"] for name in place)


async def test_results_beyond_a_page_come_from_further_pages_and_stand_once(places, requests_to):
    call = await search(places, maxResults=60, includeClosed=True)

    ids = [place["placeId"] for place in call.data["places"]]
    assert len(ids) == len(set(ids)) == 60
    assert call.data["pagesFetched"] == 3
    requests = await requests_to(SEARCH)
    bodies = [request["body"] for request in requests]
    assert ["pageToken" in body for body in bodies] == [False, True, True]
    assert [{**body, "pageToken": None} for body in bodies[1:]] == [{**bodies[0], "pageToken": None}] * 2
    assert len({request["headers"]["x-goog-fieldmask"] for request in requests}) == 1


async def test_progress_is_reported_after_each_page(places):
    call = await search(places, maxResults=40, includeClosed=True)

    assert call.progress == [
        (0.5, "page 1: 20 of up to 40 places"),
        (1.0, "page 2: 40 of up to 40 places"),
    ]


async def test_closed_businesses_are_left_out_and_counted_unless_wanted(places):
    without = await search(places, maxResults=60)
    with_them = await search(places, maxResults=60, includeClosed=True)

    statuses = [place["businessStatus"] for place in with_them.data["places"]]
    assert {place["businessStatus"] for place in without.data["places"]} == {"OPERATIONAL"}
    assert {"CLOSED_TEMPORARILY", "CLOSED_PERMANENTLY"} <= set(statuses)
    assert without.data["closedLeftOut"] == sum(status.startswith("CLOSED_") for status in statuses)
    assert with_them.data["closedLeftOut"] == 0
    assert len(without.data["places"]) + without.data["closedLeftOut"] == 60


async def test_places_left_out_are_made_up_for_by_the_next_page(places):
    call = await search(places, maxResults=20)

    assert call.data["closedLeftOut"] > 0
    assert len(call.data["places"]) == 20
    assert call.data["pagesFetched"] == 2


async def test_a_business_about_to_open_and_one_of_a_new_status_stay(places, add_fault):
    page = {"places": [
        {"id": "soon", "businessStatus": "FUTURE_OPENING"},
        {"id": "new", "businessStatus": "ON_A_BREAK"},
        {"id": "unsaid"},
        {"id": "gone", "businessStatus": "CLOSED_PERMANENTLY"},
    ]}  # fmt: skip
    await add_fault(SEARCH, 200, body=page)

    call = await search(places)

    statuses = {place["placeId"]: place.get("businessStatus") for place in call.data["places"]}
    assert statuses == {"soon": "FUTURE_OPENING", "new": "ON_A_BREAK", "unsaid": None}
    assert call.data["closedLeftOut"] == 1


async def test_a_moved_business_is_found_where_it_is_now(places):
    with_closed = (await search(places, maxResults=60, includeClosed=True)).data["places"]
    moved = next(place for place in with_closed if "movedPlaceId" in place)
    assert moved["businessStatus"] == "CLOSED_PERMANENTLY"

    ids = {place["placeId"] for place in (await search(places, maxResults=60)).data["places"]}
    assert moved["placeId"] not in ids
    assert moved["movedPlaceId"] in ids


async def test_businesses_without_an_address_come_when_asked_for(places):
    query = "plumbers in Harrogate, UK"
    assert all("location" in place for place in (await search(places, query=query, maxResults=60)).data["places"])

    call = await search(places, query=query, maxResults=60, includePureServiceAreaBusinesses=True)

    without_address = [place for place in call.data["places"] if place["pureServiceAreaBusiness"]]
    assert without_address
    assert not any({"location", "address"} & place.keys() for place in without_address)
    assert any("phone" in place for place in without_address)


async def test_attributions_are_passed_on_for_whoever_shows_the_place(places):
    call = await search(places, query="cafes in Leeds", maxResults=60)

    attributions = [place["attributions"] for place in call.data["places"] if "attributions" in place]
    assert attributions
    assert all(one["provider"] and one["providerUri"] for of_a_place in attributions for one in of_a_place)


async def test_a_search_without_hits_succeeds_with_no_places(places):
    call = await search(places, query="dentists in Nowhere")

    assert call.data == {
        "query": "dentists in Nowhere",
        "places": [],
        "pagesFetched": 1,
        "closedLeftOut": 0,
        "billingTier": "Enterprise",
    }
    assert call.progress == [(1.0, "page 1: 0 of up to 20 places")]


async def test_a_location_restriction_keeps_only_what_lies_inside(places):
    box = {"low": {"latitude": 53.79, "longitude": -1.6}, "high": {"latitude": 53.81, "longitude": -1.5}}
    call = await search(places, maxResults=60, locationRestriction={"rectangle": box})

    assert call.data["places"]
    for place in call.data["places"]:
        assert 53.79 <= place["location"]["latitude"] <= 53.81
        assert -1.6 <= place["location"]["longitude"] <= -1.5


async def test_odd_entries_cost_themselves_and_not_the_page(places, add_fault):
    odd = {"places": [
        {"displayName": {"text": "No id"}},
        "not even an object",
        {"id": "p1", "displayName": "a text", "rating": "very good", "location": {"latitude": 1.0}, "types": ["a", 2]},
        {"id": "p2", "displayName": {"text": "Fine"}, "rating": 4, "news": {"from": "tomorrow"}},
        {"id": "p2", "displayName": {"text": "Twice"}},
        {"id": "p3", "formattedAddress": "1 Park Row", "attributions": "none", "websiteUri": None, "types": None},
        {"id": "p4", "displayName": {}, "nationalPhoneNumber": "0113 496 0000", "priceLevel": "PRICE_LEVEL_ABSURD"},
    ]}  # fmt: skip
    await add_fault(SEARCH, 200, body=odd)

    call = await search(places)

    assert call.data["places"] == [
        {"placeId": "p1", "name": "p1", "types": ["a"]},
        {"placeId": "p2", "name": "Fine", "rating": 4.0, "types": []},
        {"placeId": "p3", "name": "1 Park Row", "address": "1 Park Row", "types": []},
        {"placeId": "p4", "name": "p4", "phone": "0113 496 0000", "priceLevel": "PRICE_LEVEL_ABSURD", "types": []},
    ]


async def test_page_tokens_that_never_end_are_not_followed_for_ever(places, add_fault, requests_to):
    await add_fault(SEARCH, 200, body={"places": [{"id": "same"}], "nextPageToken": "more"})

    call = await search(places)

    assert [place["placeId"] for place in call.data["places"]] == ["same"]
    assert len(await requests_to(SEARCH)) == call.data["pagesFetched"] == 6
