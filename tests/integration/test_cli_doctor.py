"""``leadplan doctor``: what it makes of facts, and what it says of real servers."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import StreamConfig

from leadplan_bus.connection import flush
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_bus.server_facts import (
    AccountFacts,
    ConsumerConfigFacts,
    ConsumerFacts,
    ServerFacts,
    ServerNode,
)
from leadplan_bus.service_stats import ServiceInstance
from leadplan_bus.tool_survey import ToolInstance, ToolSurvey
from leadplan_bus.topology import STREAMS, Retention, ensure_consumer, ensure_topology, queue_consumers
from leadplan_cli.doctor.check import Check, Outcome
from leadplan_cli.doctor.checks import check_installation
from leadplan_cli.doctor.facts import Installation, QueuedPlan
from leadplan_cli.doctor.own_settings import known_variables, variable_checks
from leadplan_executor.settings import ExecutorSettings

PROBLEM, NOTICE, OK = Outcome.PROBLEM, Outcome.NOTICE, Outcome.OK


def tool(name: str = "ECHO", requests: int = 3, errors: int = 0) -> ToolSurvey:
    instance = ToolInstance("s", "i", "1.0.0", "none", True, None, requests, errors, None, 1.0)
    return ToolSurvey(name, (instance,))


def consumers(**facts: Any) -> dict[str, ConsumerFacts | None]:
    made = ConsumerFacts(ConsumerConfigFacts(max_ack_pending=100), **facts)
    return {str(one.durable_name): made for one in queue_consumers(1, 1)}


def executor(version: str = "1.0.0") -> ServiceInstance:
    return ServiceInstance("leadplan-executor", version, version, None, ())


STREAM_CONFIGS: dict[str, StreamConfig | None] = {str(make(Retention()).name): make(Retention()) for make in STREAMS}
WELL = Installation(
    address="nats://a:1",
    version="2.15.1",
    server=ServerFacts(
        clustered=False,
        max_payload=1024 * 1024,
        nodes=(ServerNode(name="n", version="2.15.1"),),
        account=msgspec.convert({"api": {"level": 5}}, AccountFacts),
    ),
    streams=STREAM_CONFIGS,
    consumers=consumers(),
    executors=(executor(),),
    tools=(tool(),),
)


def found(facts: Installation, name: str) -> list[Check]:
    return [check for check in check_installation(facts) if check.name == name]


def test_where_all_is_well_nothing_is_to_be_done():
    checks = check_installation(WELL)
    assert {check.outcome for check in checks} == {OK, Outcome.UNKNOWN}
    assert [check.name for check in checks if check.outcome is OK] == [
        "server", "jetstream", "settings", "clock", "streams", "executors", "queue", "tools",
    ]  # fmt: skip
    assert [check.name for check in checks if check.outcome is Outcome.UNKNOWN] == ["sync"]  # no monitoring port
    assert all(check.remedy for check in checks if check.outcome is not OK)


def other_server(**changed: Any) -> Installation:
    return replace(WELL, server=replace(WELL.server, **changed))


def streams(**changed: StreamConfig | None) -> Installation:
    return replace(WELL, streams={**STREAM_CONFIGS, **changed})


def changed_stream(name: str, **fields: Any) -> Installation:
    made = next(make(Retention()) for make in STREAMS if make(Retention()).name == name)
    return streams(**{name: replace(made, **fields)})


@pytest.mark.parametrize(
    ("facts", "name", "outcome", "what", "remedy"),
    [
        (other_server(account=None), "jetstream", PROBLEM, "JetStream doesn't answer", "-js"),
        (other_server(max_payload=65_536), "max_payload", PROBLEM, "65536", "1MB"),
        (
            other_server(nodes=(ServerNode(name="n", version="2.15.1", clock_ahead_seconds=9.0),)),
            "clock",
            NOTICE,
            "9.0 s ahead",
            "NTP",
        ),
        (replace(WELL, streams=dict.fromkeys(STREAM_CONFIGS)), "streams", PROBLEM, "no streams", "leadplan executor"),
        (streams(PLAN_LOG=None), "streams", PROBLEM, "stream PLAN_LOG is missing", "backup"),
        (changed_stream("PLAN_LOG", republish=None), "streams", PROBLEM, "republish is None", "stream edit PLAN_LOG"),
        (changed_stream("PLANS", subjects=["plans.execute"]), "streams", PROBLEM, "lacks", "of this version"),
        (replace(WELL, executors=()), "executors", PROBLEM, "no executor answers", "leadplan executor"),
        (replace(WELL, executors=(executor(), executor("0.9.0"))), "executors", NOTICE, "0.9.0, 1.0.0", "roll-out"),
        (replace(WELL, consumers={"executors": None}), "queue", PROBLEM, "executors is missing", "leadplan executor"),
        (replace(WELL, consumers=consumers(paused=True)), "queue", PROBLEM, "paused", "nats consumer resume PLANS"),
        (replace(WELL, consumers=consumers(num_ack_pending=90)), "queue", PROBLEM, "90 of at most 100", "IN_QUEUE"),
        (replace(WELL, consumers=consumers(num_pending=4)), "queue", NOTICE, "4 not yet handed out", "more executors"),
        (replace(WELL, tools=()), "tools", NOTICE, "nobody announces", "leadplan tool NAME"),
        (replace(WELL, tools=(tool(errors=3),)), "tools", NOTICE, "all 3 requests went wrong", "leadplan tools ECHO"),
        (
            replace(WELL, queued=(QueuedPlan(plan_id="p", tools=frozenset({"ECHO", "ECO"})),) * 2),
            "tools",
            PROBLEM,
            "ECO is needed by plan p and 1 more in the queue",
            "leadplan tool ECO",
        ),
    ],
)
def test_what_is_wrong_is_told_with_what_to_do(
    facts: Installation, name: str, outcome: Outcome, what: str, remedy: str
):
    matching = [check for check in found(facts, name) if check.outcome is outcome]
    assert any(what in check.what and remedy in check.remedy for check in matching), matching


def test_a_stream_that_could_not_be_asked_about_is_no_problem():
    known = {name: config for name, config in STREAM_CONFIGS.items() if name != "PLANS"}
    outcomes = {check.outcome for check in found(replace(WELL, streams=known), "streams")}
    assert outcomes == {Outcome.UNKNOWN}


def test_variables_that_nothing_reads():
    names = ["LEADPLAN_LEASE", "LEADPLAN_LEASE_MS", "LEADPLAN_XYZZY", "NATS_ULR", "NATS_HOME", "NATS_URL", "HOME"]
    environ = dict.fromkeys(names, "1")
    checks = {check.what.split()[0]: check.remedy for check in variable_checks(environ)}
    assert checks == {
        "LEADPLAN_LEASE": "Is LEADPLAN_LEASE_MS meant?",
        "LEADPLAN_XYZZY": "Nothing of this version reads it: remove it.",
        "NATS_ULR": "Is NATS_URL meant?",
    }


def test_every_setting_is_known():
    fields = {f"LEADPLAN_{name}".upper() for name in ExecutorSettings.model_fields if name != "nats_url"}
    assert fields | {"LEADPLAN_GRACE_MS", "LEADPLAN_LEADS_DATABASE_URL"} <= known_variables()


async def doctor(url: str, *arguments: str, **environment: str) -> tuple[int, list[dict[str, Any]], str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", "doctor", "--json", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "NATS_URL": url, **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode or 0, [json.loads(line) for line in out.splitlines()], err.decode()


def of(checks: list[dict[str, Any]], name: str) -> list[str]:
    return [check["outcome"] for check in checks if check["name"] == name]


@pytest.fixture
async def services(nc: Client) -> AsyncIterator[None]:
    """An executor's service and a tool's, as far as discovery sees them."""

    def ignore(message: Msg, endpoint: Endpoint) -> None: ...

    executors = MicroService(nc, name="leadplan-executor", version="1.0.0", description="")
    tools = MicroService(nc, name="tools", version="1.0.0", description="")
    await tools.add_endpoint("ECHO", "tools.ECHO", ignore, {"tool": "ECHO"})
    for service in (executors, tools):
        await service.start()
    await flush(nc)
    yield
    for service in (executors, tools):
        await service.stop()


async def test_a_server_on_which_no_executor_ever_ran(nats_url: str):
    code, checks, err = await doctor(nats_url)
    assert (code, err) == (1, "")
    assert (of(checks, "server"), of(checks, "jetstream")) == (["ok"], ["ok"])
    assert (of(checks, "streams"), of(checks, "executors")) == (["problem"], ["problem"])


@pytest.mark.usefixtures("services")
async def test_a_server_that_has_everything(nc: Client, nats_url: str):
    await ensure_topology(nc.jetstream(), Retention())
    for wanted in queue_consumers(4.0, 100):
        await ensure_consumer(nc.jetstream(), wanted)
    plan = {"id": "p1", "steps": [{"id": "a", "tool": "ECHO"}]}
    await nc.jetstream().publish("plans.execute", json.dumps({"plan": plan}).encode())
    await nc.jetstream().publish("plans.execute", b"no plan")
    code, checks, _ = await doctor(nats_url)
    assert [check for check in checks if check["outcome"] == "problem"] == []
    assert code == 0
    (queue,) = [check for check in checks if check["name"] == "queue"]
    assert "2 not yet handed out" in queue["what"]
    plan["steps"][0]["tool"] = "NOBODY"
    await nc.jetstream().publish("plans.execute", json.dumps({"plan": plan}).encode())
    code, checks, _ = await doctor(nats_url)
    assert code == 1
    assert [check["what"] for check in checks if check["outcome"] == "problem"] == [
        "NOBODY is needed by plan p1 in the queue, and nobody announces it"
    ]


async def test_without_a_server_there_is_still_an_answer_and_no_secret():
    code, checks, err = await doctor("nats://ann:secret@127.0.0.1:1", LEADPLAN_LEESE_MS="1")
    assert (code, err) == (1, "")
    assert [(check["name"], check["outcome"]) for check in checks] == [
        ("connection", "ok"), ("connection", "problem"), ("variables", "notice"),
    ]  # fmt: skip
    assert "NATS_URL" in checks[1]["remedy"]
    assert "secret" not in json.dumps(checks)


async def test_settings_that_cannot_be_used_are_a_problem_too():
    code, checks, _ = await doctor("nats://127.0.0.1:1", "--creds", "/nowhere.creds")
    assert (code, checks[0]["outcome"]) == (1, "problem")
    assert "/nowhere.creds" in checks[0]["what"]
    code, checks, _ = await doctor("http://127.0.0.1:1")
    assert code == 1
    assert any("is no NATS address" in check["what"] for check in checks)
