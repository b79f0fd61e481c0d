"""What the Google stand-in finds: areas, filters, order, and places out of the ordinary."""

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app
from leadplan_sandbox.google.areas import metres_between

HEADERS = {"X-Goog-Api-Key": "sandbox-google-key", "X-Goog-FieldMask": "*"}
LEEDS = {"latitude": 53.801, "longitude": -1.549}
WEST = {"low": {"latitude": 53.7, "longitude": -1.7}, "high": {"latitude": 53.9, "longitude": -1.549}}


@pytest.fixture
async def google():
    transport = httpx.ASGITransport(build_app(SandboxSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client


async def found(google, query, **more):
    """All pages' places."""
    body, places = {"textQuery": query, **more}, []
    while True:
        answer = await google.post("/v1/places:searchText", json=body, headers=HEADERS)
        assert answer.status_code == 200, answer.text
        places += answer.json().get("places", [])
        if "nextPageToken" not in answer.json():
            return places
        body["pageToken"] = answer.json()["nextPageToken"]


def ids(places):
    return [place["id"] for place in places]


def point(place):
    return place["location"]["latitude"], place["location"]["longitude"]


def metres_from_the_centre(place):
    return metres_between((LEEDS["latitude"], LEEDS["longitude"]), point(place))


async def test_a_common_trade_in_a_big_city_fills_three_pages(google):
    for query in ("dentists in London", "cafes in Berlin", "plumbers in New York", "opticians in Sydney"):
        assert len(set(ids(await found(google, query)))) == 60


async def test_a_restriction_leaves_nothing_outside(google):
    everywhere = await found(google, "cafes in Leeds")
    inside = await found(
        google, "cafes in Leeds", locationRestriction={"rectangle": WEST}, includePureServiceAreaBusinesses=True
    )
    assert 0 < len(inside) < len(everywhere)
    assert all(place["location"]["longitude"] <= -1.549 for place in inside)


async def test_a_rectangle_can_cross_the_180_degree_meridian(google):
    across = {"low": {"latitude": -48, "longitude": 170}, "high": {"latitude": -30, "longitude": -170}}
    assert await found(google, "cafes in Auckland", locationRestriction={"rectangle": across})
    beside = {"low": {"latitude": -48, "longitude": 176}, "high": {"latitude": -30, "longitude": -170}}
    assert await found(google, "cafes in Auckland", locationRestriction={"rectangle": beside}) == []


@pytest.mark.parametrize(
    ("bias", "inside"),
    [
        ({"rectangle": WEST}, lambda place: point(place)[1] <= -1.549),
        ({"circle": {"center": LEEDS, "radius": 1500}}, lambda place: metres_from_the_centre(place) <= 1500),
    ],
)
async def test_a_bias_prefers_and_leaves_nothing_out(google, bias, inside):
    biased = await found(google, "cafes in Harrogate, UK")
    assert set(ids(await found(google, "cafes in Harrogate, UK", locationBias=bias))) == set(ids(biased))

    where = [inside(place) for place in await found(google, "cafes in Leeds", locationBias=bias)]
    assert True in where
    assert where == sorted(where, reverse=True)
    plain = [inside(place) for place in await found(google, "cafes in Leeds")]
    assert plain != sorted(plain, reverse=True)


async def test_the_nearest_come_first_when_that_is_asked_for(google):
    bias = {"circle": {"center": LEEDS, "radius": 100}}
    places = await found(google, "cafes in Leeds", locationBias=bias, rankPreference="DISTANCE")
    distances = [metres_from_the_centre(place) for place in places]
    assert distances == sorted(distances)
    assert ids(places) != ids(await found(google, "cafes in Leeds", locationBias=bias, rankPreference="RELEVANCE"))


@pytest.mark.parametrize(("wanted", "applied"), [(4, 4), (4.0001, 4.5), (4.1, 4.5), (4.5, 4.5), (4.6, 5.0)])
async def test_a_minimum_rating_is_rounded_up_to_the_next_half(google, wanted, applied):
    rated = await found(google, "cafes in Leeds", minRating=wanted)
    assert ids(rated) == ids(await found(google, "cafes in Leeds", minRating=applied))
    assert rated
    assert min(place["rating"] for place in rated) == applied


async def test_open_now_drops_those_that_are_closed_or_have_no_hours(google):
    everybody = await found(google, "cafes in Leeds")
    assert any("currentOpeningHours" not in place for place in everybody)
    opened = await found(google, "cafes in Leeds", openNow=True)
    assert opened
    assert all(place["currentOpeningHours"]["openNow"] is True for place in opened)
    assert all(len(place["regularOpeningHours"]["weekdayDescriptions"]) == 7 for place in opened)


async def test_price_levels_keep_those_that_have_one_of_them(google):
    wanted = ["PRICE_LEVEL_INEXPENSIVE", "PRICE_LEVEL_EXPENSIVE"]
    assert {place["priceLevel"] for place in await found(google, "cafes in Leeds", priceLevels=wanted)} == set(wanted)
    assert await found(google, "dentists in Leeds", priceLevels=wanted) == []


async def test_a_type_is_a_preference_unless_it_is_strict(google):
    preferred = await found(google, "dentists in Leeds", includedType="dental_clinic")
    matches = ["dental_clinic" in place["types"] for place in preferred]
    assert matches == sorted(matches, reverse=True)
    assert {True, False} == set(matches)
    strict = await found(google, "dentists in Leeds", includedType="dental_clinic", strictTypeFiltering=True)
    assert ids(strict) == [place["id"] for place, match in zip(preferred, matches, strict=True) if match]
    assert await found(google, "dentists in Leeds", includedType="bank", strictTypeFiltering=True) == []


async def test_businesses_without_address_come_only_when_asked_for(google):
    hidden = await found(google, "plumbers in York") + await found(google, "plumbers in Bristol")
    assert not any(place["pureServiceAreaBusiness"] for place in hidden)
    shown = await found(google, "plumbers in Harrogate, UK", includePureServiceAreaBusinesses=True)
    shown += await found(google, "plumbers in Ripon, UK", includePureServiceAreaBusinesses=True)
    without_address = [place for place in shown if place["pureServiceAreaBusiness"]]
    assert without_address
    assert not any({"location", "formattedAddress", "postalAddress"} & place.keys() for place in without_address)


async def test_places_still_to_open_come_only_when_asked_for(google):
    cities = ("Leeds", "York", "Bristol", "Harrogate", "Ripon", "Selby")
    for asked_for in (False, True):
        statuses = {
            place["businessStatus"]
            for city in cities
            for place in await found(google, f"cafes in {city}", includeFutureOpeningBusinesses=asked_for)
        }
        assert ("FUTURE_OPENING" in statuses) == asked_for


async def test_a_place_that_moved_names_the_one_where_it_is_now(google):
    places = {
        place["id"]: place
        for city in ("Leeds", "Harrogate", "London", "Berlin")
        for place in await found(google, f"dentists in {city}")
    }
    moved = [place for place in places.values() if "movedPlaceId" in place]
    assert moved
    for place in moved:
        now = places[place["movedPlaceId"]]
        assert (place["businessStatus"], now["businessStatus"]) == ("CLOSED_PERMANENTLY", "OPERATIONAL")
        assert place["movedPlace"] == now["name"]
        assert place["displayName"] == now["displayName"]
        assert place.get("websiteUri") == now.get("websiteUri")


async def test_some_places_ask_for_an_attribution(google):
    attributions = [place["attributions"] for place in await found(google, "cafes in Leeds") if "attributions" in place]
    assert attributions
    assert all(one.keys() == {"provider", "providerUri"} for all_of_it in attributions for one in all_of_it)
