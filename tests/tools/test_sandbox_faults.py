"""Switched-on failures, recorded requests and the reset of the sandbox."""

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
