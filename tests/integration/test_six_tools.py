"""The six tools behind a real executor, over the sandbox and a real database: what a sales team relies on."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import SecretStr
from sqlalchemy import text

from leadplan_bus.connection import close, connect, flush
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_client.planner import plan_lead_generation
from leadplan_contracts import LeadGenGoal, subjects
from leadplan_contracts.wire import encode
from leadplan_email_sequence.responder import responder as email_sequence
from leadplan_google_places.responder import responder as google_places
from leadplan_hunter.domain_lookup import responder as domain_lookup
from leadplan_hunter.enrich import responder as enrich
from leadplan_lead_list.responder import responder as lead_list
from leadplan_leads.database import open_database
from leadplan_monitor.responder import responder as monitor
from leadplan_responder.serving import Serving
from leadplan_sandbox.server import serving as sandbox
from leadplan_sandbox.settings import SandboxSettings

USER = {"userId": "u_7", "accountId": "acct_3", "email": "owner@example.com"}
TOOLS = (google_places, domain_lookup, enrich, lead_list, email_sequence, monitor)
SEQUENCE = 42


class Installation:
    """What the tests look at from outside: the providers' side and the database."""

    def __init__(self, nc: Client, sandbox_url: str, hunter_key: str, database_url: str) -> None:
        self.nc = nc
        self._hunter = httpx.AsyncClient(base_url=sandbox_url, headers={"X-API-KEY": hunter_key}, verify=False)
        self._database = open_database(database_url)

    async def close(self) -> None:
        await self._hunter.aclose()
        self._database.dispose()

    async def recipients(self) -> list[str]:
        """Who is in the sequence, as Hunter tells it."""
        found: list[str] = []
        while True:
            query = {"limit": "50", "offset": str(len(found))}
            answer = await self._hunter.get(f"/v2/campaigns/{SEQUENCE}/recipients", params=query)
            page = answer.raise_for_status().json()["data"]["recipients"]
            found += [one["email"] for one in page]
            if len(page) < 50:
                return found

    async def requests_to(self, path: str) -> list[dict[str, Any]]:
        answer = await self._hunter.get("/admin/requests", params={"path": path})
        requests: list[dict[str, Any]] = answer.raise_for_status().json()["requests"]
        return requests

    async def add_fault(self, **fault: Any) -> None:
        (await self._hunter.post("/admin/faults", json=fault)).raise_for_status()

    async def leads(self) -> list[tuple[str, str]]:
        """List and address of every lead in the database."""

        def read() -> list[tuple[str, str]]:
            query = "SELECT l.name, r.email FROM leads r JOIN lead_lists l ON l.id = r.list_id ORDER BY 1, 2"
            with self._database.connect() as connection:
                return [(row[0], row[1]) for row in connection.execute(text(query))]

        return await asyncio.to_thread(read)

    async def monitors(self) -> list[str]:
        info = await self.nc.jetstream().stream_info(subjects.PLANS_STREAM, subjects_filter=subjects.PLAN_SCHEDULE_ALL)
        return sorted(info.state.subjects or {})


@pytest.fixture
async def installation(
    nc: Client,
    nats_url: str,
    leads_database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    start_executor: Callable[..., Any],
) -> AsyncIterator[Installation]:
    """All six tools, an executor, and a sandbox with keys of its own, for limits are kept by key."""
    await ensure_topology(nc.jetstream(), Retention())
    keys = {name: secrets.token_hex() for name in ("google_key", "hunter_key")}
    settings = SandboxSettings.model_construct(port=0, **{name: SecretStr(key) for name, key in keys.items()})
    async with AsyncExitStack() as stopping:
        sandbox_url = stopping.enter_context(sandbox(settings))
        environment = {
            "GOOGLE_PLACES_API_KEY": keys["google_key"],
            "GOOGLE_PLACES_BASE_URL": sandbox_url,
            "HUNTER_API_KEY": keys["hunter_key"],
            "HUNTER_BASE_URL": f"{sandbox_url}/v2",
            "LEADPLAN_LEADS_DATABASE_URL": leads_database_url,
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for make in TOOLS:
            connection = await connect(nats_url, name=make.__module__)
            stopping.push_async_callback(close, connection)
            serving = Serving(make(), connection, 0.0)
            stopping.push_async_callback(serving.stop)
            await serving.start()
        await start_executor(lease_ms=10_000)
        installation = Installation(nc, sandbox_url, keys["hunter_key"], leads_database_url)
        stopping.push_async_callback(installation.close)
        yield installation


def dentists_in_leeds(plan_id: str, *, target: int = 12, **context: Any) -> dict[str, Any]:
    goal = LeadGenGoal(description="Find dentists in Leeds and start outreach", target_count=target)
    given = {"sequenceId": SEQUENCE, "startSequence": True, "contactsPerDomain": 3, **context}
    return {"plan": json.loads(encode(plan_lead_generation(goal, given, plan_id=plan_id))), "user": USER}


def data_of(result: dict[str, Any]) -> dict[str, Any]:
    assert result["overallStatus"] == "succeeded", result
    return {step["stepId"]: step["data"] for step in result["stepResults"]}


class Repeats:
    """Every request that was sent to a tool, to be sent once more just as it was."""

    def __init__(self, nc: Client) -> None:
        self._nc = nc
        self._requests: list[Msg] = []

    async def start(self) -> None:
        await self._nc.subscribe("tools.*", cb=self._take)
        await flush(self._nc)

    async def _take(self, message: Msg) -> None:
        self._requests.append(message)

    async def send_all_again(self) -> dict[str, Any]:
        """The data of each step's second answer."""
        again = {}
        for request in self._requests[:]:
            again[json.loads(request.data)["stepId"]] = await self._data_of_answer(request)
        return again

    async def _data_of_answer(self, request: Msg) -> Any:
        inbox = self._nc.new_inbox()
        answers = await self._nc.subscribe(inbox)
        await self._nc.publish(request.subject, request.data, reply=inbox, headers=request.headers)
        while "Leadplan-Reply" in ((answer := await answers.next_msg(30)).headers or {}):
            pass  # a sign of life
        await answers.unsubscribe()
        reply = json.loads(answer.data)
        assert reply["success"], reply
        return reply["data"]


async def test_the_same_steps_again_add_no_lead_and_mail_nobody_twice(installation: Installation, feed: Any):
    repeats = Repeats(installation.nc)
    await repeats.start()
    first = data_of(await feed.run(dentists_in_leeds("plan_a"), within=60))
    leads, recipients = await installation.leads(), await installation.recipients()
    assert first["save"]["leadsNew"] == len(leads) > 5
    assert first["outreach"]["recipientsAdded"] == len(recipients) > 3
    assert len(set(recipients)) == len(recipients)

    again = await repeats.send_all_again()

    assert set(again) == {"search", "domains", "enrich", "save", "outreach", "monitor"}
    assert {step: again[step] for step in ("save", "outreach", "monitor")} == {
        step: first[step] for step in ("save", "outreach", "monitor")
    }
    assert await installation.leads() == leads
    assert await installation.recipients() == recipients
    assert len(await installation.monitors()) == 1


async def test_the_same_goal_next_week_adds_no_lead_and_mails_nobody_twice(installation: Installation, feed: Any):
    await feed.run(dentists_in_leeds("plan_week_1"), within=60)
    leads, recipients = await installation.leads(), await installation.recipients()

    second = data_of(await feed.run(dentists_in_leeds("plan_week_2"), within=60))

    assert second["save"]["leadsNew"] == 0
    assert second["save"]["leadsUpdated"] == len(leads)
    assert second["outreach"]["recipientsAdded"] == 0
    assert {one["reason"] for one in second["outreach"]["leftOut"]} >= {"not_new"}
    assert await installation.leads() == leads
    assert await installation.recipients() == recipients


async def test_the_same_people_on_another_list_are_not_put_into_another_sequence(installation: Installation, feed: Any):
    await feed.run(dentists_in_leeds("plan_a"), within=60)
    recipients = await installation.recipients()

    other = data_of(await feed.run(dentists_in_leeds("plan_b", listName="Yorkshire", sequenceId=45), within=60))

    assert other["save"]["leadsNew"] > 5
    assert other["outreach"]["recipientsAdded"] == 0
    contacted = [one["email"] for one in other["outreach"]["leftOut"] if one["reason"] == "contacted_before"]
    assert sorted(contacted) == sorted(recipients)


async def test_sixty_places_within_hunters_limits_with_a_429_in_the_middle(installation: Installation, feed: Any):
    """Two plans over one key. A 429 costs neither of them an attempt, and no domain is paid for twice."""
    await installation.add_fault(path="/v2/domain-search", status=429, retryAfter=1, after=20, times=1)
    plans = [
        dentists_in_leeds(f"plan_{city}", target=60, query=f"dentists in {city}", contactsPerDomain=1)
        for city in ("London", "Berlin")
    ]
    for plan in plans:
        await feed.submit(plan)
    results = [await feed.result(plan["plan"]["id"], 90) for plan in plans]

    for result in results:
        data = data_of(result)
        assert [step["attempts"] for step in result["stepResults"]] == [1] * 6
        assert len(data["search"]["places"]) + data["search"]["closedLeftOut"] == 60
        assert len({one["domain"] for one in data["domains"]["domains"] if one["outcome"] == "found"}) >= 20
        progress = [one for one in feed.of(result["planId"], "STEP_PROGRESS") if one["step"]["id"] == "domains"]
        assert progress
        assert progress[-1]["meta"]["progress"] == 1
    searches = await installation.requests_to("/v2/domain-search")
    assert [one["status"] for one in searches if one["status"] != 200] == [429]
    answered = [one["query"]["domain"] for one in searches if one["status"] == 200]
    assert len(set(answered)) == len(answered)
    everything = await installation.requests_to("/v2/")
    assert [one["path"] for one in everything if one["status"] == 429] == ["/v2/domain-search"]
