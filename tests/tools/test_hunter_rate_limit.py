"""Which of Hunter's limits each call keeps to. That a limit keeps what it promises: tests/sdk/test_sdk_limits.py."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leadplan_hunter.api import HunterApi
from leadplan_hunter.errors import StepStoppedError
from leadplan_hunter.settings import LookupSettings
from leadplan_responder import ConfigurationError
from leadplan_responder.limits import Rates
from leadplan_web_apis.settings import load_settings

MakeApi = Callable[[str], HunterApi]


@pytest.fixture
async def make_api(sandbox_url: str, monkeypatch: pytest.MonkeyPatch):
    apis = []

    def make(key: str) -> HunterApi:
        monkeypatch.setenv("HUNTER_API_KEY", key)
        monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
        apis.append(HunterApi(LookupSettings()))
        return apis[-1]

    yield make
    for api in apis:
        await api.aclose()


async def test_each_endpoint_keeps_to_the_documented_limits(make_api: MakeApi):
    limits = make_api("a-key").limits
    assert {endpoint: limit.rates for endpoint, limit in limits.items()} == {
        "domain-search": Rates(per_second=15, per_minute=500, burst=15),
        "email-finder": Rates(per_second=15, per_minute=500, burst=15),
        "email-verifier": Rates(per_second=10, per_minute=300, burst=10),
        "people/find": Rates(per_second=15, per_minute=500, burst=15),
        "companies/find": Rates(per_second=15, per_minute=500, burst=15),
    }
    assert limits["people/find"] is limits["companies/find"]
    assert limits["people/find"] is not limits["domain-search"]


async def test_a_process_can_take_a_share_of_them(make_api: MakeApi, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HUNTER_RATE_SHARE", "0.5")
    limits = make_api("a-shared-key").limits
    assert limits["domain-search"].rates == Rates(per_second=7, per_minute=250, burst=7)
    assert limits["email-verifier"].rates == Rates(per_second=5, per_minute=150, burst=5)


@pytest.mark.parametrize("share", ["0", "-1", "1.5", "half", "nan"])
def test_a_share_is_above_0_and_at_most_1(monkeypatch: pytest.MonkeyPatch, share: str):
    monkeypatch.setenv("HUNTER_API_KEY", "a-key")
    monkeypatch.setenv("HUNTER_RATE_SHARE", share)
    with pytest.raises(ConfigurationError, match=r"^HUNTER_RATE_SHARE "):
        load_settings(LookupSettings)


async def test_limits_belong_to_the_key(make_api: MakeApi):
    limits = make_api("a-key").limits
    assert make_api("a-key").limits == limits
    assert set(make_api("another").limits.values()).isdisjoint(limits.values())


async def test_calls_wait_for_their_limit(make_api: MakeApi, requests_to: Callable[[str], Awaitable[list[object]]]):
    api = make_api("sandbox-hunter-key")
    for _ in range(15):
        async with api.limits["domain-search"]:
            pass
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await api.search_domain("example.com", {}, limit=10, offset=0)
    assert await requests_to("/v2/domain-search") == []


async def test_a_429_holds_the_limit_that_it_is_about(
    make_api: MakeApi, add_fault: Callable[..., Awaitable[None]], requests_to: Callable[[str], Awaitable[list[object]]]
):
    api = make_api("sandbox-hunter-key")
    await add_fault("/v2/domain-search", 429, retryAfter=7)
    with pytest.raises(StepStoppedError):
        await api.search_domain("example.com", {}, limit=10, offset=0)
    assert 6 < api.limits["domain-search"].held_for() <= 7
    assert api.limits["email-verifier"].held_for() == 0
    assert len(await requests_to("/v2/domain-search")) == 1
