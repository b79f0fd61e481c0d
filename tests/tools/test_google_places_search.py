from collections.abc import AsyncIterator

import pytest

from leadplan_google_places.responder import responder
from leadplan_google_places.search_params import Rectangle
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


async def search(places: Responder, **params: object) -> ToolCall:
    return await call_tool(places, "GOOGLE_PLACES_SEARCH", {"query": "dentists in Leeds", **params})


async def test_search_finds_places_in_the_shape_that_later_steps_read(places):
    call = await search(places)

    assert call.result.success, call.result.error_message
    assert call.data["query"] == "dentists in Leeds"
    assert len(call.data["places"]) == 20
    whole = next(place for place in call.data["places"] if {"website", "phone", "rating", "location"} <= place.keys())
    assert whole.keys() == {
        "placeId", "name", "address", "website", "phone", "rating", "userRatingCount", "types", "location",
        "businessStatus", "googleMapsUri",
    }  # fmt: skip
    assert whole["name"] != whole["placeId"]
    assert whole["phone"].startswith("+44 ")
    assert whole["location"].keys() == {"latitude", "longitude"}
    assert "dentist" in whole["types"]


async def test_what_google_does_not_know_is_left_out(places):
    call = await search(places, maxResults=60)

    without_website = [place for place in call.data["places"] if "website" not in place]
    assert without_website
    assert all(place[name] is not None for place in call.data["places"] for name in place)


async def test_results_beyond_a_page_come_from_further_pages_and_stand_once(places, requests_to):
    call = await search(places, maxResults=45, includeClosed=True)

    ids = [place["placeId"] for place in call.data["places"]]
    assert len(ids) == len(set(ids)) == 45
    assert call.data["pagesFetched"] == 3
    bodies = [request["body"] for request in await requests_to(SEARCH)]
    assert ["pageToken" in body for body in bodies] == [False, True, True]
    assert [{**body, "pageToken": None} for body in bodies[1:]] == [{**bodies[0], "pageToken": None}] * 2


async def test_progress_is_reported_after_each_page(places):
    call = await search(places, maxResults=40, includeClosed=True)

    assert call.progress == [
        (0.5, "page 1: 20 of up to 40 places"),
        (1.0, "page 2: 40 of up to 40 places"),
    ]


async def test_closed_businesses_are_left_out_and_counted_unless_wanted(places):
    without = await search(places, maxResults=60)
    with_them = await search(places, maxResults=60, includeClosed=True)

    open_ones = {place["businessStatus"] for place in without.data["places"]}
    all_of_them = [place["businessStatus"] for place in with_them.data["places"]]
    closed = sum(status.startswith("CLOSED_") for status in all_of_them)
    assert open_ones == {"OPERATIONAL"}
    assert closed > 0
    assert without.data["closedLeftOut"] == closed
    assert with_them.data["closedLeftOut"] == 0


async def test_places_left_out_are_made_up_for_by_the_next_page(places):
    call = await search(places, maxResults=20)

    assert call.data["closedLeftOut"] > 0
    assert len(call.data["places"]) == 20
    assert call.data["pagesFetched"] == 2


async def test_a_search_without_hits_succeeds_with_no_places(places):
    call = await search(places, query="dentists in Nowhere")

    assert call.data == {"query": "dentists in Nowhere", "places": [], "pagesFetched": 1, "closedLeftOut": 0}
    assert call.progress == [(1.0, "page 1: 0 of up to 20 places")]


async def test_the_request_carries_all_that_was_asked_for_and_nothing_else(places, requests_to):
    area = {"circle": {"center": {"latitude": 53.8, "longitude": -1.55}, "radius": 5000.0}}
    call = await search(
        places,
        maxResults=5,
        regionCode="GB",
        languageCode="en",
        includedType="dentist",
        strictTypeFiltering=True,
        minRating=3.5,
        openNow=True,
        locationBias=area,
    )

    assert call.result.success, call.result.error_message
    assert len(call.data["places"]) == 5
    assert all(place["rating"] >= 3.5 for place in call.data["places"])
    (request,) = await requests_to(SEARCH)
    assert request["method"] == "POST"
    assert request["query"] == {}
    assert request["body"] == {
        "textQuery": "dentists in Leeds",
        "pageSize": 20,
        "regionCode": "GB",
        "languageCode": "en",
        "includedType": "dentist",
        "strictTypeFiltering": True,
        "minRating": 3.5,
        "openNow": True,
        "locationBias": area,
    }
    assert "nextPageToken" in request["headers"]["x-goog-fieldmask"].split(",")


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
    ]}  # fmt: skip
    await add_fault(SEARCH, 200, body=odd)

    call = await search(places)

    assert call.data["places"] == [
        {"placeId": "p1", "name": "p1", "types": ["a"]},
        {"placeId": "p2", "name": "Fine", "rating": 4.0, "types": []},
    ]


async def test_page_tokens_that_never_end_are_not_followed_for_ever(places, add_fault, requests_to):
    await add_fault(SEARCH, 200, body={"places": [{"id": "same"}], "nextPageToken": "more"})

    call = await search(places)

    assert [place["placeId"] for place in call.data["places"]] == ["same"]
    assert len(await requests_to(SEARCH)) == call.data["pagesFetched"] == 6


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"query": "  "}, "query"),
        ({"maxResults": 61}, "maxResults"),
        ({"regionCode": "GBR"}, "regionCode"),
        ({"minRating": 5.5}, "minRating"),
        ({"maxresults": 5}, "maxresults"),
        ({"strictTypeFiltering": True}, "strictTypeFiltering needs includedType"),
        ({"locationBias": {}}, "give either circle or rectangle"),
        (
            {"locationRestriction": {"circle": {"center": {"latitude": 0, "longitude": 0}, "radius": 1}}},
            "locationRestriction.circle",
        ),
    ],
)
async def test_params_that_google_would_refuse_are_refused_before_they_cost_anything(
    places, requests_to, params, named
):
    call = await search(places, **params)

    assert call.result.error_code == "invalid_params"
    assert call.result.retryable is False
    assert named in (call.result.error_message or "")
    assert await requests_to(SEARCH) == []


async def test_bias_and_restriction_exclude_each_other(places):
    box = {"rectangle": {"low": {"latitude": 1, "longitude": 1}, "high": {"latitude": 2, "longitude": 2}}}
    call = await search(places, locationBias=box, locationRestriction=box)

    assert "not both" in (call.result.error_message or "")


def test_a_box_upside_down_is_refused():
    with pytest.raises(ValueError, match=r"low\.latitude"):
        Rectangle.model_validate({"low": {"latitude": 2, "longitude": 1}, "high": {"latitude": 1, "longitude": 2}})
