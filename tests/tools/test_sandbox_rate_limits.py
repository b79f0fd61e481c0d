"""The documented rate limits, switched on."""

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app
from leadplan_sandbox.rate_limits import RateLimiter


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def open_sandbox(**settings):
    transport = httpx.ASGITransport(build_app(SandboxSettings(rate_limits=True, **settings)))
    return httpx.AsyncClient(
        transport=transport, base_url="http://sandbox", headers={"X-API-KEY": "sandbox-hunter-key"}
    )


def test_a_second_and_a_minute_both_count():
    clock = Clock()
    limiter = RateLimiter(2, 3, clock)
    assert [limiter.seconds_to_wait() for _ in range(3)] == [0, 0, 1.0]
    clock.now += 1
    assert limiter.seconds_to_wait() == 0
    clock.now += 1
    assert limiter.seconds_to_wait() == pytest.approx(58)
    clock.now += 58
    assert limiter.seconds_to_wait() == 0


def test_a_refused_call_is_not_counted():
    clock = Clock()
    limiter = RateLimiter(1, None, clock)
    assert limiter.seconds_to_wait() == 0
    clock.now += 0.5
    assert limiter.seconds_to_wait() == pytest.approx(0.5)
    clock.now += 0.5
    assert limiter.seconds_to_wait() == 0


def test_no_limits_mean_no_wait():
    limiter = RateLimiter(None, None, Clock())
    assert {limiter.seconds_to_wait() for _ in range(1000)} == {0}


async def test_hunter_limits_by_endpoint():
    async with open_sandbox() as sandbox:
        verify = [
            (await sandbox.get("/v2/email-verifier", params={"email": "valid@sandbox.example"})) for _ in range(11)
        ]
        assert [answer.status_code for answer in verify] == [200] * 10 + [429]
        assert verify[-1].json()["errors"][0]["id"] == "too_many_requests"
        assert int(verify[-1].headers["Retry-After"]) >= 1
        search = [(await sandbox.get("/v2/domain-search", params={"domain": "a.com"})).status_code for _ in range(16)]
        assert search == [200] * 15 + [429]
        assert (await sandbox.get("/v2/account")).status_code == 200


async def test_hunter_may_answer_403_as_its_documentation_says():
    async with open_sandbox(hunter_rate_limit_status=403) as sandbox:
        answers = [(await sandbox.get("/v2/people/find", params={"email": "a@gmail.com"})) for _ in range(16)]
        assert answers[-1].status_code == 403
        assert answers[-1].json()["errors"][0]["id"] == "too_many_requests"
        assert "Retry-After" not in answers[-1].headers


async def test_google_allows_600_a_minute():
    async with open_sandbox() as sandbox:
        headers = {"X-Goog-Api-Key": "sandbox-google-key", "X-Goog-FieldMask": "places.id"}
        body = {"textQuery": "dentists in Nowhere"}
        for _ in range(600):
            assert (await sandbox.post("/v1/places:searchText", json=body, headers=headers)).status_code == 200
        answer = await sandbox.post("/v1/places:searchText", json=body, headers=headers)
        details = answer.json()["error"]["details"]
        assert (answer.status_code, answer.json()["error"]["status"]) == (429, "RESOURCE_EXHAUSTED")
        assert details[0]["reason"] == "RATE_LIMIT_EXCEEDED"
        assert "PerMinute" in details[0]["metadata"]["quota_limit"]
        assert details[1]["retryDelay"].endswith("s")
