"""The Google stand-in, held against Google's documented behaviour."""

import httpx
import pytest
from starlette.applications import Starlette

from leadplan_sandbox import SandboxSettings, build_app
from leadplan_sandbox.google.page_tokens import TOKEN_SECONDS
from leadplan_sandbox.google.routes import GooglePlaces

KEY = {"X-Goog-Api-Key": "sandbox-google-key"}
MASK = {"X-Goog-FieldMask": "places.id,places.displayName,places.location,nextPageToken"}


@pytest.fixture
async def google():
    transport = httpx.ASGITransport(build_app(SandboxSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client


async def search(google, body, headers=None, **params):
    return await google.post("/v1/places:searchText", json=body, headers=headers or (KEY | MASK), params=params)


def around(center, **more):
    return {"circle": {"center": center, **more}}


def error_of(answer):
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert error["code"] == answer.status_code
    return error


def reason_of(answer):
    return error_of(answer)["details"][0]["reason"]


def violated_by(answer):
    assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")
    (violation,) = error_of(answer)["details"][0]["fieldViolations"]
    return violation["field"]


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
    "mask",
    ["places.phone", "id", "places.id, places.types", "places.location.lat", "places.id.x", "places.id,", "nextPage",
     "nextPageToken.x", "places.regularOpeningHours.today", "places.postalAddress.zip", "places..id", "**"],
)  # fmt: skip
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
        ("places.id,places.reviews", {"places"}, {"id"}),
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
    for change in ({"textQuery": "dentists in York"}, {"openNow": True}, {"languageCode": "de"}, {"priceLevels": []}):
        answer = await search(google, {"textQuery": "dentists in Leeds", "pageToken": token} | change)
        if change == {"priceLevels": []}:  # an empty list is what an absent one is
            assert answer.status_code == 200
        else:
            assert violated_by(answer) == "page_token"


@pytest.mark.parametrize("token", ["rubbish", "!!", "ü", "MTIzOjIw"])
async def test_an_invented_page_token_is_refused(google, token):
    assert violated_by(await search(google, {"textQuery": "dentists in Leeds", "pageToken": token})) == "page_token"


async def test_a_page_token_can_be_used_again_until_it_expires():
    now = 1000.0
    stand_in = GooglePlaces(SandboxSettings(), clock=lambda: now)
    transport = httpx.ASGITransport(Starlette(routes=stand_in.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as google:
        body = {"textQuery": "dentists in Leeds"}
        body["pageToken"] = (await search(google, body)).json()["nextPageToken"]
        assert (await search(google, body)).content == (await search(google, body)).content
        now += TOKEN_SECONDS
        assert violated_by(await search(google, body)) == "page_token"


async def test_page_tokens_are_unknown_after_a_reset(google):
    body = {"textQuery": "dentists in Leeds"}
    token = (await search(google, body)).json()["nextPageToken"]
    assert (await google.post("/admin/reset")).status_code == 204
    assert violated_by(await search(google, body | {"pageToken": token})) == "page_token"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "text_query"),
        ({"textQuery": "  "}, "text_query"),
        ({"textQuery": 5}, "text_query"),
        ({"textQuery": "x", "pageSize": -1}, "page_size"),
        ({"textQuery": "x", "pageSize": "many"}, "page_size"),
        ({"textQuery": "x", "pageSize": 1.5}, "page_size"),
        ({"textQuery": "x", "pageSize": True}, "page_size"),
        ({"textQuery": "x", "pageToken": 7}, "page_token"),
        ({"textQuery": "x", "minRating": 7}, "min_rating"),
        ({"textQuery": "x", "minRating": "high"}, "min_rating"),
        ({"textQuery": "x", "minRating": True}, "min_rating"),
        ({"textQuery": "x", "openNow": "true"}, "open_now"),
        ({"textQuery": "x", "strictTypeFiltering": 1}, "strict_type_filtering"),
        ({"textQuery": "x", "includePureServiceAreaBusinesses": "yes"}, "include_pure_service_area_businesses"),
        ({"textQuery": "x", "regionCode": "276"}, "region_code"),
        ({"textQuery": "x", "languageCode": ["en"]}, "language_code"),
        ({"textQuery": "x", "includedType": ["dentist", "doctor"]}, "included_type"),
        ({"textQuery": "x", "rankPreference": "BEST"}, "rank_preference"),
        ({"textQuery": "x", "priceLevels": "PRICE_LEVEL_MODERATE"}, "price_levels"),
        ({"textQuery": "x", "priceLevels": ["PRICE_LEVEL_MODERATE", "CHEAP"]}, "price_levels[1]"),
        ({"textQuery": "x", "priceLevels": ["PRICE_LEVEL_FREE"]}, "price_levels[0]"),
        ({"textQuery": "x", "locationBias": "Leeds"}, "location_bias"),
        ({"textQuery": "x", "locationBias": around({"latitude": 91})}, "location_bias.circle.center.latitude"),
        ({"textQuery": "x", "locationBias": {"circle": {"radius": 5}}}, "location_bias.circle.center"),
        ({"textQuery": "x", "locationBias": around({}, radius=60000)}, "location_bias.circle.radius"),
        ({"textQuery": "x", "locationRestriction": {"rectangle": {"low": {}}}}, "location_restriction.rectangle.high"),
    ],
)  # fmt: skip
async def test_wrong_values_are_named(google, body, field):
    answer = await search(google, body)
    assert (answer.status_code, error_of(answer)["status"]) == (400, "INVALID_ARGUMENT")
    violations = error_of(answer)["details"][0]["fieldViolations"]
    assert [violation["field"] for violation in violations] == [field]
    assert violations[0]["description"] in error_of(answer)["message"]


async def test_numbers_in_quotes_and_nulls_are_taken_as_protobuf_takes_them(google):
    plain = await search(google, {"textQuery": "dentists in Leeds", "pageSize": 3, "minRating": 4.5})
    quoted = {
        "text_query": "dentists in Leeds",
        "pageSize": "3",
        "minRating": "4.5",
        "openNow": None,
        "locationBias": None,
    }
    assert (await search(google, quoted)).json()["places"] == plain.json()["places"]


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
        {"textQuery": "x", "locationBias": {"rectangle": {"low": {"longitude": -180}, "high": {"longitude": 180}}}},
    ],
)
async def test_impossible_bodies_are_refused(google, body):
    assert (await search(google, body)).status_code == 400


@pytest.mark.parametrize("body", [b"{", b"[]", b'"dentists"', b"\xff"])
async def test_a_body_that_is_no_json_object_is_refused(google, body):
    answer = await google.post("/v1/places:searchText", content=body, headers=KEY | MASK)
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
        assert {found["primaryType"] for found in places} <= {"dentist", "dental_clinic"}


async def test_answers_repeat_exactly(google):
    first, second = [await search(google, {"textQuery": "gyms in Austin"}) for _ in range(2)]
    assert first.content == second.content


async def test_an_unknown_path_is_a_web_page(google):
    answer = await google.get("/v1/nothing")
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_the_601st_search_of_a_minute_is_refused_as_documented():
    stand_in = GooglePlaces(SandboxSettings(rate_limits=True), clock=lambda: 1000.0)
    transport = httpx.ASGITransport(Starlette(routes=stand_in.routes()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as google:
        for _ in range(600):
            assert (await search(google, {"textQuery": "x in Nowhere"}, KEY | MASK)).status_code == 200
        refused = await search(google, {"textQuery": "x in Nowhere"}, KEY | MASK)
    error = error_of(refused)
    assert (refused.status_code, error["status"], reason_of(refused)) == (
        429,
        "RESOURCE_EXHAUSTED",
        "RATE_LIMIT_EXCEEDED",
    )
    assert error["details"][0]["domain"] == "googleapis.com"
    metadata = error["details"][0]["metadata"]
    assert metadata.keys() >= {"service", "quota_metric", "quota_limit", "quota_limit_value", "quota_unit", "consumer"}
    assert (metadata["quota_limit"], metadata["quota_limit_value"]) == ("SearchTextRequestPerMinutePerProject", "600")
    assert error["details"][1]["retryDelay"] == "60s"
