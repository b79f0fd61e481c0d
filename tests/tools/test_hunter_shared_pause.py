"""Plans that use one key slow down together, and lose no work: over a real server, executor and sandbox."""

import json
from collections.abc import AsyncIterator
from itertools import chain
from typing import Any

import pytest

from leadplan_bus.connection import connect, flush
from leadplan_executor.service import Executor
from leadplan_executor.settings import ExecutorSettings
from leadplan_hunter.domain_lookup import responder
from leadplan_responder.serving import Serving
from leadplan_sandbox.world.cities import city_named
from leadplan_sandbox.world.places import places_of
from leadplan_sandbox.world.trades import trade_named

SEARCH = "/v2/domain-search"
PAUSE_SECONDS = 2


def domains_in(city: str, count: int) -> list[str]:
    places = places_of(trade_named("dentists"), city_named(city))
    domains = list(dict.fromkeys(place.company.domain for place in places))
    assert len(domains) >= count
    return domains[:count]


def lookup_plan(plan_id: str, domains: list[str]) -> dict[str, Any]:
    step = {"id": "domains", "tool": "HUNTER_DOMAIN_LOOKUP", "params": {"domains": domains}}
    plan = {"id": plan_id, "title": "A test", "goal": {"description": "Find dentists"}, "context": {}, "steps": [step]}
    return {"plan": {**plan, "createdAt": "2026-11-23T09:15:02.417Z"}, "user": {"userId": "u_7"}}


class Events:
    """What happened to the plans, as anybody can follow it."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    async def take(self, message: Any) -> None:
        self.all.append(json.loads(message.data))

    def of(self, plan_id: str, type_: str) -> list[dict[str, Any]]:
        return [event for event in self.all if (event["planId"], event["type"]) == (plan_id, type_)]

    def progress(self, plan_id: str) -> list[str]:
        return [event["meta"]["message"] for event in self.of(plan_id, "STEP_PROGRESS")]


@pytest.fixture
async def events(nc: Any, sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Events]:
    """The lookup and an executor are served."""
    monkeypatch.setenv("HUNTER_API_KEY", "sandbox-hunter-key")
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    events = Events()
    await nc.subscribe("plans.events.*", cb=events.take)
    await flush(nc)
    client = await connect(f"nats://{nc.connected_url.netloc}", name="executor")
    executor = Executor(client, ExecutorSettings(lease_ms=1_000, grace_ms=1_000))
    await executor.start()
    serving = Serving(responder(), nc)
    await serving.start()
    yield events
    await serving.stop()
    await executor.stop()
    await client.close()


@pytest.fixture
def run(nc: Any, events: Events, eventually: Any):
    async def submit_and_wait(*plans: dict[str, Any]) -> list[dict[str, Any]]:
        """The results of the plans' only steps."""
        ids = [plan["plan"]["id"] for plan in plans]
        for plan in plans:
            await nc.jetstream().publish("plans.execute", json.dumps(plan).encode())
        for plan_id in ids:
            await eventually(lambda plan_id=plan_id: events.of(plan_id, "PLAN_COMPLETED"), within=45, what=plan_id)
        return [events.of(plan_id, "PLAN_COMPLETED")[0]["result"]["stepResults"][0] for plan_id in ids]

    return submit_and_wait


async def test_a_429_in_the_middle_slows_all_plans_of_the_key_and_loses_no_work(run, events, add_fault, requests_to):
    # In the second second: both plans are under way by then, and neither can be done yet.
    await add_fault(SEARCH, 429, after=16, times=1, retryAfter=PAUSE_SECONDS)
    plans = {"plan_leeds": domains_in("Leeds", 20), "plan_york": domains_in("York", 20)}

    steps = await run(*(lookup_plan(plan_id, domains) for plan_id, domains in plans.items()))

    assert [(step["status"], step["attempts"]) for step in steps] == [("succeeded", 1)] * 2
    requests = await requests_to(SEARCH)
    (refused,) = [request for request in requests if request["status"] == 429]
    # Every domain was searched once, but for the one that was refused.
    assert sorted(one["query"]["domain"] for one in requests if one["status"] == 200) == sorted(chain(*plans.values()))
    # What came when the refusal had been read came after the pause; a second is more than reading it takes.
    since = sorted(request["arrivedMs"] - refused["arrivedMs"] for request in requests)
    assert not [ms for ms in since if 1_000 < ms < 1_000 * PAUSE_SECONDS]
    assert since[-1] >= 1_000 * PAUSE_SECONDS
    for plan_id, step in zip(plans, steps, strict=True):
        assert events.of(plan_id, "STEP_RETRYING") == []
        assert {one["outcome"] for one in step["data"]["domains"]} <= {"found", "none"}
        paused = [message for message in events.progress(plan_id) if "Hunter asked for a pause of" in message]
        assert len(paused) == 1, events.progress(plan_id)
        assert events.progress(plan_id)[-1] == "20 of 20 domains"


async def test_forty_domains_end_within_hunters_limits(run, sandbox_admin, requests_to):
    await sandbox_admin.patch("/admin/quotas", json={"rateLimits": True})
    domains = domains_in("London", 40)

    (step,) = await run(lookup_plan("plan_london", domains))

    assert (step["status"], step["attempts"]) == ("succeeded", 1)
    requests = await requests_to(SEARCH)
    assert {request["status"] for request in requests} == {200}
    assert sorted(request["query"]["domain"] for request in requests) == sorted(domains)
    paid = (await sandbox_admin.get("/v2/account", headers={"X-API-KEY": "sandbox-hunter-key"})).json()
    assert step["data"]["creditsUsed"] == paid["data"]["requests"]["credits"]["used"] > 0
