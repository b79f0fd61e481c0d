"""Switched-on failures, recorded requests and the reset of the sandbox."""

import time

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app

HUNTER = {"X-API-KEY": "sandbox-hunter-key"}
GOOGLE = {"X-Goog-Api-Key": "sandbox-google-key", "X-Goog-FieldMask": "places.id"}


@pytest.fixture
async def sandbox():
    transport = httpx.ASGITransport(build_app(SandboxSettings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
        yield client


async def switch_on(sandbox, **fault):
    answer = await sandbox.post("/admin/faults", json=fault)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def account(sandbox):
    return await sandbox.get("/v2/account", headers=HUNTER)


async def test_health(sandbox):
    answer = await sandbox.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_a_fault_with_times_ends_by_itself(sandbox):
    await switch_on(sandbox, path="/v2/account", status=503, times=2, retryAfter=7)
    answers = [await account(sandbox) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].json()["errors"][0]["code"] == 503
    assert (await sandbox.get("/admin/faults")).json() == {"faults": []}


async def test_a_fault_without_times_stays_until_it_is_switched_off(sandbox):
    fault = await switch_on(sandbox, path="/v2/", status=500)
    assert [(await account(sandbox)).status_code for _ in range(3)] == [500, 500, 500]
    assert (await sandbox.get("/admin/faults")).json()["faults"] == [fault]
    assert (await sandbox.delete("/admin/faults")).status_code == 204
    assert (await account(sandbox)).status_code == 200


async def test_method_and_path_decide_and_the_first_fault_wins(sandbox):
    await switch_on(sandbox, path="/v2/sequences", method="POST", status=500)
    await switch_on(sandbox, path="/v2/sequences/42", status=503)
    await switch_on(sandbox, path="/v2/people", status=502)
    assert (await sandbox.get("/v2/sequences", headers=HUNTER)).status_code == 200
    assert (await sandbox.get("/v2/sequences/42", headers=HUNTER)).status_code == 503
    assert (await sandbox.post("/v2/sequences/42/start", headers=HUNTER)).status_code == 500


async def test_bodies_are_the_apis_own_unless_given(sandbox):
    await switch_on(sandbox, path="/v1/", status=429, times=1)
    google = await sandbox.post("/v1/places:searchText", json={"textQuery": "x"}, headers=GOOGLE)
    assert google.json()["error"]["status"] == "RESOURCE_EXHAUSTED"
    await switch_on(sandbox, path="/v2/", status=502, body="<html>bad gateway</html>", times=1)
    assert (await account(sandbox)).text == "<html>bad gateway</html>"
    await switch_on(sandbox, path="/v2/", status=200, body={"data": {"odd": True}}, times=1)
    assert (await account(sandbox)).json() == {"data": {"odd": True}}
    await switch_on(sandbox, path="/v2/", status=202, times=1)
    assert (await account(sandbox)).content == b""


async def test_a_fault_can_only_delay(sandbox):
    await switch_on(sandbox, path="/v2/account", delayMs=30)
    answer = await account(sandbox)
    assert answer.status_code == 200
    assert answer.elapsed.total_seconds() >= 0.03


@pytest.mark.parametrize(
    ("fault", "problem"),
    [
        ({}, "path"),
        ({"path": "/v2/", "status": 503, "after": -1}, "after"),
        ({"path": "/v2/", "status": 503, "contains": ""}, "contains"),
        ({"path": "/v2/", "drop": "soon"}, "drop"),
        ({"path": "/v2/", "drop": "before", "status": 503}, "drop before the answer"),
        ({"path": "/v2/", "answer": "html", "body": "x"}, "body"),
        ({"path": "/v2/", "delayMs": 1, "body": "x"}, "body"),
        ({"path": "/admin/faults", "status": 500}, "path"),
        ({"path": "/v2/"}, "status"),
        ({"path": "/v2/", "delayMs": 5, "retryAfter": 1}, "retryAfter"),
        ({"path": "/v2/", "status": 5}, "status"),
        ({"path": "/v2/", "status": 500, "times": 0}, "times"),
        ({"path": "/v2/", "status": 500, "oops": 1}, "oops"),
        ([], "dictionary"),
    ],
)
async def test_a_bad_fault_is_refused_with_the_reason(sandbox, fault, problem):
    answer = await sandbox.post("/admin/faults", json=fault)
    assert answer.status_code == 400
    assert problem in str(answer.json()["errors"])


async def test_a_fault_that_is_no_json_is_refused(sandbox):
    assert (await sandbox.post("/admin/faults", content=b"{")).status_code == 400
    assert (await sandbox.get("/admin/nothing")).json()["errors"]


async def test_requests_are_recorded_in_order_with_their_answers(sandbox):
    await sandbox.get("/v2/domain-search", params={"domain": "example.com"}, headers=HUNTER)
    await sandbox.post("/v2/sequences/42/recipients", json={"emails": ["ada@sandbox.example"]}, headers=HUNTER)
    await switch_on(sandbox, path="/v2/account", status=503)
    await account(sandbox)
    recorded = (await sandbox.get("/admin/requests")).json()["requests"]
    assert [(one["method"], one["path"], one["status"]) for one in recorded] == [
        ("GET", "/v2/domain-search", 200),
        ("POST", "/v2/sequences/42/recipients", 201),
        ("GET", "/v2/account", 503),
    ]
    assert recorded[0]["query"] == {"domain": "example.com"}
    assert recorded[1]["body"] == {"emails": ["ada@sandbox.example"]}
    posts = (await sandbox.get("/admin/requests", params={"method": "post", "path": "/v2/seq"})).json()["requests"]
    assert posts == [recorded[1]]
    assert (await sandbox.delete("/admin/requests")).status_code == 204
    assert (await sandbox.get("/admin/requests")).json() == {"requests": []}


async def test_keys_are_never_recorded(sandbox):
    secret = "s3cret-value"
    await sandbox.get("/v2/account", params={"api_key": secret}, headers={"X-API-KEY": secret})
    await sandbox.get("/v2/account", headers={"Authorization": f"Bearer {secret}", "Cookie": secret})
    await sandbox.post("/v2/sequences/42/recipients", data={"api_key": secret, "emails": "a@b.co"})
    await sandbox.post(
        "/v1/places:searchText", params={"key": secret}, headers={"X-Goog-Api-Key": secret}, content=b"not json"
    )
    recorded = await sandbox.get("/admin/requests")
    assert len(recorded.json()["requests"]) == 4
    assert secret not in recorded.text
    assert "x-goog-api-key" in recorded.text


async def test_requests_tell_when_they_arrived(sandbox):
    before = time.monotonic()
    await account(sandbox)
    await account(sandbox)
    first, second = (await sandbox.get("/admin/requests")).json()["requests"]
    assert int(before * 1000) <= first["arrivedMs"] <= second["arrivedMs"] <= time.monotonic() * 1000


async def test_a_fault_can_come_in_the_middle(sandbox):
    await switch_on(sandbox, path="/v2/account", status=429, after=2, times=1, retryAfter=1)
    assert [(await account(sandbox)).status_code for _ in range(5)] == [200, 200, 429, 200, 200]
    assert (await sandbox.get("/admin/faults")).json() == {"faults": []}


async def test_a_fault_that_waits_leaves_requests_to_the_next_one(sandbox):
    await switch_on(sandbox, path="/v2/account", status=429, after=1, times=1)
    await switch_on(sandbox, path="/v2/account", status=503, times=1)
    assert [(await account(sandbox)).status_code for _ in range(3)] == [503, 429, 200]


async def test_a_fault_can_mean_one_domain_or_one_person_only(sandbox):
    await switch_on(sandbox, path="/v2/domain-search", contains="Leeds-Dental.co.uk", status=500)
    await switch_on(sandbox, path="/v2/sequences", contains="ada@sandbox.example", status=502)

    async def search(domain):
        return (await sandbox.get("/v2/domain-search", params={"domain": domain}, headers=HUNTER)).status_code

    async def add(email):
        path = "/v2/sequences/42/recipients"
        return (await sandbox.post(path, json={"emails": [email]}, headers=HUNTER)).status_code

    assert [await search(domain) for domain in ("a.com", "leeds-dental.co.uk")] == [200, 500]
    assert [await add(email) for email in ("bob@sandbox.example", "ada@sandbox.example")] == [201, 502]
    assert (await sandbox.get("/v2/people/find", params={"email": "ada@sandbox.example"}, headers=HUNTER)).is_success


async def test_an_answer_can_be_a_web_page_or_broken_json(sandbox):
    await switch_on(sandbox, path="/v2/", answer="html", times=1)
    page = await account(sandbox)
    assert (page.status_code, page.headers["content-type"]) == (502, "text/html; charset=utf-8")
    await switch_on(sandbox, path="/v2/", answer="garbage", times=1)
    garbage = await account(sandbox)
    assert (garbage.status_code, garbage.headers["content-type"]) == (200, "application/json")
    with pytest.raises(ValueError, match="Unterminated"):
        garbage.json()


@pytest.mark.parametrize(
    ("header", "status", "retry_after"),
    [
        ("status=503; retry-after=2; delay-ms=1", 503, "2"),
        (" status = 429 ;retry-after=0", 429, "0"),
        ("answer=html", 502, None),
        ("answer=html; status=404", 404, None),
        ("answer=garbage", 200, None),
        ("body-ms=10", 200, None),
    ],
)
async def test_one_request_can_ask_for_its_failure(sandbox, header, status, retry_after):
    answer = await sandbox.get("/v2/account", headers=HUNTER | {"Sandbox-Fault": header})
    assert (answer.status_code, answer.headers.get("Retry-After")) == (status, retry_after)
    assert (await account(sandbox)).status_code == 200


async def test_a_header_comes_before_the_faults_and_uses_none_up(sandbox):
    await switch_on(sandbox, path="/v2/", status=500, times=1)
    assert (await sandbox.get("/v2/account", headers=HUNTER | {"Sandbox-Fault": "status=503"})).status_code == 503
    assert [(await account(sandbox)).status_code for _ in range(2)] == [500, 200]


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        ("", "'' is none of status, answer,"),
        ("stauts=503", "'stauts' is none of"),
        ("status=503;", "'' is none of"),
        ("status=503; status=500", "status stands twice"),
        ("status", "status needs a value, such as status=503"),
        ("delay-ms=", "delay-ms needs a value"),
        ("status=soon", "status: Input should be a valid integer"),
        ("status=99", "status: Input should be greater than or equal to 200"),
        ("delay-ms=-1", "delay-ms: "),
        ("answer=poem", "answer: Input should be 'html' or 'garbage'"),
        ("retry-after=2", "retryAfter needs a status or an answer"),
        ("delay-ms=0", "a fault needs a status"),
        ("drop; status=503", "drop before the answer leaves no room"),
    ],
)
async def test_a_header_that_cannot_be_read_is_refused_with_the_reason(sandbox, header, problem):
    answer = await sandbox.get("/v2/account", headers=HUNTER | {"Sandbox-Fault": header})
    assert answer.status_code == 400
    (error,) = answer.json()["errors"]
    assert error["path"] == "Sandbox-Fault"
    assert error["message"].startswith(problem)


async def test_quotas_can_be_changed_and_come_back_with_a_reset(sandbox):
    at_start = (await sandbox.get("/admin/quotas")).json()
    assert at_start == {
        "rateLimits": False, "hunterCredits": 100_000, "hunterRateLimitStatus": 429, "hunterQuotaStatus": 402,
    }  # fmt: skip
    changed = await sandbox.patch("/admin/quotas", json={"hunterCredits": 0, "hunterQuotaStatus": 429})
    assert changed.json() == at_start | {"hunterCredits": 0, "hunterQuotaStatus": 429}
    search = await sandbox.get("/v2/domain-search", params={"domain": "a.com"}, headers=HUNTER)
    assert (search.status_code, search.json()["errors"][0]["id"]) == (429, "usage_limit_reached")
    assert (await account(sandbox)).json()["data"]["requests"]["credits"]["available"] == 0
    await sandbox.post("/admin/reset")
    assert (await sandbox.get("/admin/quotas")).json() == at_start


async def test_rate_limits_can_be_switched_on_and_off(sandbox):
    async def search(count):
        params = {"domain": "a.com"}
        return [
            (await sandbox.get("/v2/domain-search", params=params, headers=HUNTER)).status_code for _ in range(count)
        ]

    assert set(await search(20)) == {200}
    await sandbox.patch("/admin/quotas", json={"rateLimits": True})
    assert await search(16) == [200] * 15 + [429]
    await sandbox.patch("/admin/quotas", json={"rateLimits": False})
    assert set(await search(5)) == {200}


@pytest.mark.parametrize("change", [{"hunterCredits": -1}, {"hunterQuotaStatus": 500}, {"credits": 5}, []])
async def test_a_bad_quota_is_refused_with_the_reason(sandbox, change):
    answer = await sandbox.patch("/admin/quotas", json=change)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["message"]


async def test_the_world_tells_what_there_is_to_find(sandbox):
    world = (await sandbox.get("/admin/world")).json()
    assert {"name": "Leeds", "country": "GB", "location": {"latitude": 53.801, "longitude": -1.549}} in world["cities"]
    assert {"word": "dentist", "placeType": "dentist", "industry": "Dentists"} in world["trades"]
    found = await sandbox.post("/v1/places:searchText", json={"textQuery": world["exampleQuery"]}, headers=GOOGLE)
    assert found.json()["places"]


async def test_a_reset_brings_back_the_first_state(sandbox):
    await switch_on(sandbox, path="/v1/", status=500)
    await sandbox.post("/v2/sequences/42/recipients", json={"emails": "ada@sandbox.example"}, headers=HUNTER)
    await sandbox.post("/v2/sequences/42/start", headers=HUNTER)
    await sandbox.get("/v2/email-verifier", params={"email": "ada@sandbox.example"}, headers=HUNTER)
    assert (await sandbox.post("/admin/reset")).status_code == 204
    assert (await sandbox.get("/admin/faults")).json() == {"faults": []}
    assert (await sandbox.get("/admin/requests")).json() == {"requests": []}
    sequence = (await sandbox.get("/v2/sequences/42", headers=HUNTER)).json()["data"]
    assert (sequence["status"], sequence["recipients_count"]) == ("draft", 0)
    assert (await account(sandbox)).json()["data"]["requests"]["credits"]["used"] == 0
