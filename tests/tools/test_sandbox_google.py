"""The Google stand-in, held against Google's documented behaviour."""

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app

KEY = {"X-Goog-Api-Key": "sandbox-google-key"}
MASK = {"X-Goog-FieldMask": "places.id,places.displayName,places.location,nextPageToken"}


@pytest.fixture
async def google():
    transport = httpx.ASGITransport(build_app(SandboxSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client


async def search(google, body, headers=None, **params):
    return await google.post("/v1/places:searchText", json=body, headers=headers or (KEY | MASK), params=params)


def error_of(answer):
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return error


def reason_of(answer):
    return error_of(answer)["details"][0]["reason"]


async def test_a_wrong_key_is_400_and_not_401(google):
    answer = await search(google, {"textQuery": "dentists in Leeds"}, {"X-Goog-Api-Key": "wrong"} | MASK)
    assert answer.status_code == 400
    assert error_of(answer)["status"] == "INVALID_ARGUMENT"
    assert reason_of(answer) == "API_KEY_INVALID"


async def test_no_key_is_403(google):
    answer = await search(google, {"textQuery": "dentists in Leeds"}, MASK)
    assert answer.status_code == 403
    assert error_of(answer)["status"] == "PERMISSION_DENIED"


async def test_an_oauth_token_is_401(google):
    answer = await search(google, {"textQuery": "dentists"}, {"Authorization": "Bearer x"} | MASK)
    assert answer.status_code == 401
    assert error_of(answer)["status"] == "UNAUTHENTICATED"


async def test_key_and_mask_are_taken_from_the_query_too(google):
    answer = await google.post(
        "/v1/places:searchText",
        json={"textQuery": "dentists in Leeds"},
        params={"key": "sandbox-google-key", "fields": "places.id"},
    )
    assert answer.status_code == 200
    assert set(answer.json()["places"][0]) == {"id"}


async def test_a_mask_is_required(google):
    answer = await search(google, {"textQuery": "dentists in Leeds"}, KEY)
    assert answer.status_code == 400
    assert error_of(answer)["message"].startswith("FieldMask is a required parameter")


@pytest.mark.parametrize(
    "mask", ["places.phone", "id", "places.id, places.types", "places.location.lat", "places.id.x"]
)
async def test_an_unknown_path_in_the_mask_is_refused(google, mask):
    answer = await search(google, {"textQuery": "dentists in Leeds"}, KEY | {"X-Goog-FieldMask": mask})
    assert answer.status_code == 400
    assert "Cannot find matching fields for path" in answer.text


@pytest.mark.parametrize(
    ("mask", "top", "place"),
    [
        ("places.id", {"places"}, {"id"}),
        ("places.id,places.displayName.text,nextPageToken", {"places", "nextPageToken"}, {"id", "displayName"}),
        ("nextPageToken", {"nextPageToken"}, None),
        ("searchUri", {"searchUri"}, None),
    ],
)
async def test_only_masked_fields_come_back(google, mask, top, place):
    answer = (await search(google, {"textQuery": "dentists in Leeds"}, KEY | {"X-Goog-FieldMask": mask})).json()
    assert set(answer) == top
    if place is not None:
        assert all(set(found) == place for found in answer["places"])
    if "displayName.text" in mask:
        assert all(set(found["displayName"]) == {"text"} for found in answer["places"])


@pytest.mark.parametrize("mask", ["*", "places.*,nextPageToken", "places,places.id,nextPageToken"])
async def test_everything_can_be_asked_for(google, mask):
    answer = (await search(google, {"textQuery": "dentists in Leeds"}, KEY | {"X-Goog-FieldMask": mask})).json()
    assert answer["nextPageToken"]
    assert {"id", "name", "displayName", "businessStatus", "types"} <= set(answer["places"][0])
    assert answer["places"][0]["name"] == f"places/{answer['places'][0]['id']}"


async def test_sixty_results_come_over_three_pages(google):
    body, seen = {"textQuery": "dentists in Leeds"}, []
    for last in (False, False, True):
        page = (await search(google, body)).json()
        assert len(page["places"]) == 20
        seen += [place["id"] for place in page["places"]]
        assert ("nextPageToken" not in page) == last
        body = body | {"pageToken": page.get("nextPageToken", "")}
    assert len(set(seen)) == 60


async def test_page_size_may_change_between_pages(google):
    first = (await search(google, {"textQuery": "dentists in Leeds", "pageSize": 3})).json()
    second = (
        await search(google, {"textQuery": "dentists in Leeds", "pageSize": 5, "pageToken": first["nextPageToken"]})
    ).json()
    assert (len(first["places"]), len(second["places"])) == (3, 5)
    assert not {p["id"] for p in first["places"]} & {p["id"] for p in second["places"]}


@pytest.mark.parametrize(("size", "expected"), [(0, 20), (1, 1), (20, 20), (500, 20)])
async def test_page_sizes_are_brought_into_bounds(google, size, expected):
    page = (await search(google, {"textQuery": "dentists in Leeds", "pageSize": size})).json()
    assert len(page["places"]) == expected


async def test_a_page_token_needs_the_identical_body(google):
    token = (await search(google, {"textQuery": "dentists in Leeds"})).json()["nextPageToken"]
    for body in ({"textQuery": "dentists in York"}, {"textQuery": "dentists in Leeds", "openNow": True}):
        answer = await search(google, body | {"pageToken": token})
        assert answer.status_code == 400
        assert error_of(answer)["status"] == "INVALID_ARGUMENT"


@pytest.mark.parametrize("token", ["rubbish", "!!", "ü"])
async def test_an_invented_page_token_is_refused(google, token):
    answer = await search(google, {"textQuery": "dentists in Leeds", "pageToken": token})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "textQuery"),
        ({"textQuery": "  "}, "textQuery"),
        ({"textQuery": "x", "pageSize": -1}, "pageSize"),
        ({"textQuery": "x", "minRating": 7}, "minRating"),
        ({"textQuery": "x", "regionCode": "276"}, "regionCode"),
        ({"textQuery": "x", "rankPreference": "BEST"}, "rankPreference"),
        ({"textQuery": "x", "locationBias": {"circle": {"center": {"latitude": 91}}}}, "latitude"),
        ({"textQuery": "x", "locationBias": {"circle": {"center": {}, "radius": 60000}}}, "radius"),
    ],
)
async def test_wrong_values_are_named(google, body, field):
    answer = await search(google, body)
    assert answer.status_code == 400
    violations = error_of(answer)["details"][0]["fieldViolations"]
    assert any(field in violation["field"] for violation in violations)


@pytest.mark.parametrize(
    "body",
    [
        {"textQuery": "x", "query": "x"},
        {"textQuery": "x", "locationRestriction": {"circle": {"center": {}, "radius": 5}}},
        {"textQuery": "x", "locationBias": {}},
        {
            "textQuery": "x",
            "locationBias": {"circle": {"center": {}, "radius": 5}},
            "locationRestriction": {"rectangle": {"low": {}, "high": {}}},
        },
        {"textQuery": "x", "locationRestriction": {"rectangle": {"low": {"latitude": 2}, "high": {"latitude": 1}}}},
        {"textQuery": "x", "locationRestriction": {"rectangle": {"low": {"longitude": 0}, "high": {"longitude": -1}}}},
    ],
)
async def test_impossible_bodies_are_refused(google, body):
    assert (await search(google, body)).status_code == 400


async def test_a_body_that_is_no_json_is_refused(google):
    answer = await google.post("/v1/places:searchText", content=b"{", headers=KEY | MASK)
    assert answer.status_code == 400
    assert "Invalid JSON payload" in error_of(answer)["message"]


async def test_no_hits_is_an_empty_object(google):
    answer = await search(google, {"textQuery": "dentists in Nowhere"})
    assert (answer.status_code, answer.json()) == (200, {})


async def test_the_query_decides_trade_city_and_country(google):
    mask = KEY | {"X-Goog-FieldMask": "places.formattedAddress,places.primaryType"}
    for query, extra, place in [
        ("dentists in Leeds", {}, "Leeds, United Kingdom"),
        ("dentists Leeds", {}, "Leeds, United Kingdom"),
        ("dentists in Harrogate, UK", {}, "Harrogate, United Kingdom"),
        ("dentists in Harrogate", {"regionCode": "gb"}, "Harrogate, United Kingdom"),
        ("dentists near New York", {}, "New York, United States"),
        ("dentist", {"locationBias": {"circle": {"center": {"latitude": 52.5, "longitude": 13.4}}}}, "Berlin, Germany"),
        ("dentist", {}, "London, United Kingdom"),
    ]:
        places = (await search(google, {"textQuery": query} | extra, mask)).json()["places"]
        addresses = [found["formattedAddress"] for found in places if "formattedAddress" in found]
        assert addresses
        assert all(address.endswith(place) for address in addresses), query
        assert {found["primaryType"] for found in places} == {"dentist"}


async def test_filters_hold(google):
    mask = KEY | {"X-Goog-FieldMask": "places.rating,places.currentOpeningHours,places.primaryType,places.location"}
    rated = (await search(google, {"textQuery": "cafes in Leeds", "minRating": 4.1}, mask)).json()["places"]
    assert rated
    assert all(place["rating"] >= 4.5 for place in rated)  # 4.1 is rounded up to the next half
    opened = (await search(google, {"textQuery": "cafes in Leeds", "openNow": True}, mask)).json()["places"]
    assert opened
    assert all(place["currentOpeningHours"]["openNow"] for place in opened)
    typed = {"textQuery": "cafes in Leeds", "includedType": "bank", "strictTypeFiltering": True}
    assert (await search(google, typed, mask)).json() == {}
    area = {"low": {"latitude": 53.7, "longitude": -1.6}, "high": {"latitude": 53.801, "longitude": -1.5}}
    inside = await search(google, {"textQuery": "cafes in Leeds", "locationRestriction": {"rectangle": area}}, mask)
    assert inside.json()["places"]
    assert all(place["location"]["latitude"] <= 53.801 for place in inside.json()["places"])


async def test_businesses_without_address_come_only_when_asked_for(google):
    mask = KEY | {"X-Goog-FieldMask": "places.pureServiceAreaBusiness,places.location"}
    hidden = shown = 0
    for city in ("Leeds", "York", "Bristol"):
        body = {"textQuery": f"plumbers in {city}"}
        hidden += await _service_areas(google, body, mask)
        shown += await _service_areas(google, body | {"includePureServiceAreaBusinesses": True}, mask)
    assert hidden == 0
    assert shown > 0


async def _service_areas(google, body, mask):
    places = (await search(google, body, mask)).json()["places"]
    found = [place for place in places if place["pureServiceAreaBusiness"]]
    assert all("location" not in place for place in found)
    return len(found)


async def test_answers_repeat_exactly(google):
    first, second = [await search(google, {"textQuery": "gyms in Austin"}) for _ in range(2)]
    assert first.content == second.content


async def test_an_unknown_path_is_a_web_page(google):
    answer = await google.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
