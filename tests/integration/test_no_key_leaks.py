"""PROCESS TESTS: no key and no password leaves a process but in the header that it is for.

A whole installation runs with the most talkative logs, through success and every kind of failure. Then every byte that
it wrote anywhere is searched: logs, the server's store (all streams and buckets), the lead database, and everything
that went over NATS.
"""

import asyncio
import base64
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import httpx
import pytest
from leak_search import files_in, leaks
from nats.aio.client import Client
from nats.aio.msg import Msg
from sqlalchemy import create_engine, make_url, text
from tool_processes import ALL_TOOLS, leadplan, running_process, tool_processes, until_announced

from leadplan_bus.connection import close, connect, flush

SERVER_CONFIG = "nats.conf"
"""The one file that must hold a secret: the NATS server's own."""
API_TOOLS = ("GOOGLE_PLACES_SEARCH", "HUNTER_DOMAIN_LOOKUP", "HUNTER_ENRICH")
TOO_SLOW_MS = 11_000
"""Longer than a tool waits for an answer."""

FAULTS: dict[str, dict[str, Any]] = {
    "unauthorised": {"status": 401},
    "forbidden": {"status": 403},
    "moved": {"status": 302},
    "not-there": {"status": 404, "body": "<html>nothing here</html>"},
    "too-fast": {"status": 429, "retryAfter": 1, "times": 1},
    "no-credits": {"status": 402},
    "objected": {"status": 451},
    "broken": {"status": 500},
    "overloaded": {"status": 503, "retryAfter": 1},
    "web-page": {"answer": "html"},
    "garbage": {"answer": "garbage"},
    "dropped": {"drop": "before"},
    "cut": {"drop": "during"},
    "too-slow": {"delayMs": TOO_SLOW_MS},
}
LEAKY_TOOL = """
import asyncio, base64, logging, os
from urllib.parse import quote
from leadplan_responder import Responder, ToolContext, ToolError

leaky = Responder("leaky", version="0.1.0", description="Tells its key to everybody")
key = os.environ["HUNTER_API_KEY"]

@leaky.tool("LEAKY", effects="none")
async def leak(params: dict, ctx: ToolContext) -> dict:
    match params["how"]:
        case "log":
            ctx.log.info("calling with %s", key)
        case "progress":
            await ctx.progress(0.5, f"GET /account?api_key={quote(key)}")
        case "error":
            raise ToolError(f"401 for {key[:14]}...", retryable=False)
        case "data":
            return {"authorization": base64.b64encode(f"user:{key}".encode()).decode()}
    return {}

leaky.run()
"""


class Wiretap:
    """Everything that goes over NATS: subjects, headers and bodies."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes]] = []

    async def start(self, nc: Client) -> None:
        await nc.subscribe(">", cb=self._take)
        await nc.subscribe("$SRV.>", cb=self._take)
        await flush(nc)

    async def _take(self, message: Msg) -> None:
        headers = "".join(f"{name}: {value}\n" for name, value in (message.headers or {}).items())
        self.messages.append((f"a message on {message.subject}", headers.encode() + message.data))


class Installation:
    """A server, an executor, a sandbox and tools, each a process, with secrets of its own and all files in a folder."""

    def __init__(self, folder: Path, nats_port: int) -> None:
        self.folder = folder
        self.wiretap = Wiretap()
        self.secrets = {
            "the Google key": f"AIza-{secrets.token_hex(16)}",
            "the Hunter key": f"hunter-{secrets.token_hex(16)}",
            "the NATS password": f"nats-{secrets.token_hex(12)}",
            # As passwords are: with characters that addresses have to encode.
            "the password in an address": f"p@ss/w+rd {secrets.token_hex(12)}",
        }
        self.nats_url = f"nats://leadplan:{self.secrets['the NATS password']}@127.0.0.1:{nats_port}"
        self.sandbox_url = ""

    def environment(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "NATS_URL": self.nats_url,
            "LEADPLAN_LOG_LEVEL": "DEBUG",
            "GOOGLE_PLACES_API_KEY": self.secrets["the Google key"],
            "GOOGLE_PLACES_BASE_URL": self.sandbox_url,
            "HUNTER_API_KEY": self.secrets["the Hunter key"],
            "HUNTER_BASE_URL": f"{self.sandbox_url}/v2",
            "HUNTER_VERIFIER_POLL_SECONDS": "0.1",
            "LEADPLAN_LEADS_DATABASE_URL": f"sqlite:///{self.folder}/leads.db",
            "SANDBOX_PORT": "0",
            "SANDBOX_GOOGLE_KEY": self.secrets["the Google key"],
            "SANDBOX_HUNTER_KEY": self.secrets["the Hunter key"],
            **more,
        }

    def everywhere(self) -> Iterator[tuple[str, bytes]]:
        """Every byte that the installation wrote or sent, with its place."""
        yield from self.wiretap.messages
        yield from files_in(self.folder, without=[SERVER_CONFIG])

    def leaks(self) -> list[str]:
        return leaks(self.secrets, self.everywhere())


@pytest.fixture
async def installation(
    nats_server: Any, tmp_path: Path, eventually: Callable[..., Any]
) -> AsyncIterator[tuple[Installation, Client]]:
    """A server with a password, an executor and a sandbox; no tools yet."""
    made = Installation(tmp_path, nats_server.port)
    nats_server.stop()
    password = json.dumps(made.secrets["the NATS password"])
    nats_server.extra = f"authorization {{ user: leadplan, password: {password} }}"
    nats_server.start()
    async with AsyncExitStack() as stopping:
        nc = await connect(made.nats_url, name="test")
        stopping.push_async_callback(close, nc)
        await made.wiretap.start(nc)
        sandbox_log = tmp_path / "sandbox.log"
        stopping.enter_context(running_process("sandbox", leadplan("sandbox"), tmp_path, made.environment()))
        await eventually(lambda: '"listening"' in sandbox_log.read_text(), what="the sandbox listens", within=30)
        made.sandbox_url = json.loads(sandbox_log.read_text().splitlines()[0])["url"]
        stopping.enter_context(running_process("executor", leadplan("executor"), tmp_path, made.environment()))
        executor_log = tmp_path / "executor.log"
        await eventually(lambda: '"serving"' in executor_log.read_text(), what="the executor serves", within=30)
        yield made, nc


async def run_plan(nc: Client, plan: dict[str, Any], within: float = 60.0) -> dict[str, str]:
    """How each step ended: its error code, or its status."""
    completed: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    async def take(message: Msg) -> None:
        event = json.loads(message.data)
        assert event["type"] != "PLAN_REJECTED", event["meta"]["errors"]
        if event["type"] == "PLAN_COMPLETED":
            completed.set_result(event["result"])

    feed = await nc.subscribe(f"plans.events.{plan['plan']['id']}", cb=take)
    await nc.jetstream().publish("plans.execute", json.dumps(plan).encode())
    result = await asyncio.wait_for(completed, within)
    await feed.unsubscribe()
    return {step["stepId"]: step.get("errorCode", step["status"]) for step in result["stepResults"]}


def failing_steps() -> Iterator[dict[str, Any]]:
    """A step of each tool that calls an API, for each fault; the fault is known by the text that they send."""
    for name in FAULTS:
        others = {"optional": True, "retry": {"maxRetries": 0}, "timeoutMs": 25_000}
        yield {"id": f"g-{name}", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": f"{name} in Leeds"}, **others}
        yield {"id": f"d-{name}", "tool": "HUNTER_DOMAIN_LOOKUP", "params": {"domains": [f"{name}.com"]}, **others}
        emails = [f"ada@{name}.com"]
        yield {"id": f"e-{name}", "tool": "HUNTER_ENRICH", "params": {"emails": emails}, **others}


WHOLE_JOB = [
    {"id": "search", "tool": "GOOGLE_PLACES_SEARCH", "params": {"query": "dentists in Leeds", "maxResults": 10}},
    {"id": "domains", "tool": "HUNTER_DOMAIN_LOOKUP", "params": {"sourceStepId": "search"}, "dependsOn": ["search"]},
    {"id": "enrich", "tool": "HUNTER_ENRICH", "params": {"sourceStepId": "domains"}, "dependsOn": ["domains"]},
    {
        "id": "save",
        "tool": "LEAD_LIST_SAVE",
        "params": {"sourceStepId": "enrich", "listName": "Leeds dentists"},
        "dependsOn": ["enrich"],
    },
    {
        "id": "outreach",
        "tool": "EMAIL_SEQUENCE_SETUP",
        "params": {"sourceStepId": "save", "sequenceId": 42, "start": True},
        "dependsOn": ["save"],
    },
    {"id": "monitor", "tool": "MONITOR_SETUP", "params": {"schedule": "0 9 * * 1"}, "dependsOn": ["save"]},
]
"""Each of its steps succeeds."""


async def switch_faults_on(made: Installation) -> None:
    async with httpx.AsyncClient(base_url=made.sandbox_url, verify=False) as admin:
        for name, fault in FAULTS.items():
            for path in ("/v1/", "/v2/"):
                answer = await admin.post("/admin/faults", json={"path": path, "contains": name, **fault})
                answer.raise_for_status()


async def announce_everything(nc: Client) -> None:
    """Have every micro service tell all that it tells of itself; the wiretap hears the answers."""
    for verb in ("PING", "INFO", "STATS"):
        await nc.publish(f"$SRV.{verb}", b"", reply=nc.new_inbox())
    await flush(nc)


async def test_no_secret_is_told_in_success_and_in_failure(
    installation: tuple[Installation, Client], make_plan: Callable[..., dict[str, Any]], eventually: Callable[..., Any]
) -> None:
    made, nc = installation
    await switch_faults_on(made)
    async with tool_processes(nc, ALL_TOOLS, made.folder, made.environment()):
        ended = await run_plan(nc, make_plan("works", WHOLE_JOB))
        assert set(ended.values()) == {"succeeded"}, ended
        ended = await run_plan(nc, make_plan("fails", list(failing_steps()), maxConcurrency=64))
        await announce_everything(nc)
        infos = '"io.nats.micro.v1.info_response"'
        await eventually(lambda: sum(infos.encode() in body for _, body in made.wiretap.messages) > len(ALL_TOOLS))
    # The faults were met: else nothing that follows would mean anything.
    assert {"invalid_api_key", "access_denied", "quota_exceeded", "service_unavailable"} <= set(ended.values()), ended
    assert {"network_error", "bad_answer", "api_timeout"} <= set(ended.values()), ended
    places = dict(made.everywhere())
    assert all(f"{tool}.log" in places for tool in ALL_TOOLS)
    assert {"leads.db", "executor.log", "sandbox.log"} <= set(places)
    assert b"ada@" in b"".join(body for _, body in made.wiretap.messages)
    assert made.leaks() == []


@pytest.mark.parametrize(
    "environment",
    [
        {"GOOGLE_PLACES_BASE_URL": "http://u:{}@127.0.0.1:1", "HUNTER_BASE_URL": "http://u:{}@127.0.0.1:1/v2"},
        {"HTTP_PROXY": "http://u:{}@127.0.0.1:1"},
    ],
    ids=["API", "proxy"],
)
async def test_no_secret_is_told_when_a_host_cannot_be_reached(
    installation: tuple[Installation, Client], make_plan: Callable[..., dict[str, Any]], environment: Mapping[str, str]
) -> None:
    made, nc = installation
    password = quote(made.secrets["the password in an address"], safe="")
    wrong = {name: value.format(password) for name, value in environment.items()}
    steps = list(failing_steps())[: len(API_TOOLS)]
    async with tool_processes(nc, API_TOOLS, made.folder, made.environment(**wrong)):
        ended = await run_plan(nc, make_plan("unreachable", steps))
    assert set(ended.values()) == {"network_error"}
    assert made.leaks() == []


async def test_no_secret_is_told_by_a_tool_that_uses_postgresql(
    installation: tuple[Installation, Client], make_plan: Callable[..., dict[str, Any]], postgres_url: str
) -> None:
    made, nc = installation
    leads = {"leads": [{"email": "ada@example.com", "sources": []}]}

    async def found(message: Msg) -> None:
        await message.respond(json.dumps({"success": True, "data": leads}).encode())

    await nc.subscribe("tools.SOURCE", "q", cb=found)
    save = {"tool": "LEAD_LIST_SAVE", "params": {"sourceStepId": "found", "listName": "x"}, "retry": {"maxRetries": 0}}
    steps = [{"id": "found", "tool": "SOURCE"}, {"id": "save", "dependsOn": ["found"], **save}]
    password = make_url(postgres_url).password
    assert password
    made.secrets["the database password"] = str(password)
    environment = made.environment(LEADPLAN_LEADS_DATABASE_URL=postgres_url)
    async with tool_processes(nc, ["LEAD_LIST_SAVE"], made.folder, environment):
        assert await run_plan(nc, make_plan("works", steps)) == {"found": "succeeded", "save": "succeeded"}
        engine = create_engine(postgres_url)
        with engine.begin() as connection:
            connection.execute(text("DROP TABLE leads CASCADE"))
        engine.dispose()
        ended = await run_plan(nc, make_plan("fails", steps))
    assert ended["save"].startswith("database_"), ended
    assert made.leaks() == []


CANNOT_START = [
    ("HUNTER_ENRICH", {"HUNTER_API_KEY": "two words {}"}, "HUNTER_API_KEY"),
    ("HUNTER_ENRICH", {"HUNTER_BASE_URL": "u:{}@nowhere"}, "HUNTER_BASE_URL"),
    ("MONITOR_SETUP", {"NATS_URL": "nats://u:{}@127.0.0.1:1"}, "127.0.0.1:1"),
    ("MONITOR_SETUP", {"NATS_URL": "nats://u:{}@127.0.0.1:port"}, "NATS"),
    ("LEAD_LIST_SAVE", {"LEADPLAN_LEADS_DATABASE_URL": "postgresql+psycopg://u:{}@127.0.0.1:1/leads"}, "database"),
    ("LEAD_LIST_SAVE", {"LEADPLAN_LEADS_DATABASE_URL": "postgres:u:{}@127.0.0.1"}, "LEADPLAN_LEADS_DATABASE_URL"),
]


async def test_no_secret_is_told_by_a_tool_that_cannot_start(tmp_path: Path) -> None:
    secret = f"p-{secrets.token_hex(16)}"
    right = {"HUNTER_API_KEY": secret, "GOOGLE_PLACES_API_KEY": secret, "LEADPLAN_LOG_LEVEL": "DEBUG"}
    with ExitStack() as stopping:
        processes = []
        for number, (tool, environment, _) in enumerate(CANNOT_START):
            wrong = {name: value.format(secret) for name, value in environment.items()}
            command, given = leadplan("tool", tool), {**os.environ, **right, **wrong}
            processes.append(stopping.enter_context(running_process(str(number), command, tmp_path, given)))
        for process in processes:
            assert await asyncio.to_thread(process.wait, 40) in (1, 2)
    said = dict(files_in(tmp_path))
    for number, (_, _, named) in enumerate(CANNOT_START):
        assert named in said[f"{number}.log"].decode()
    assert leaks({"the secret": secret}, said.items()) == []


@pytest.mark.parametrize(
    ("how", "place"),
    [("log", "leaky.log"), ("progress", "plans.events."), ("error", "plans.log."), ("data", "nats/data")],
)
async def test_a_planted_leak_is_seen(
    installation: tuple[Installation, Client],
    make_plan: Callable[..., dict[str, Any]],
    eventually: Callable[..., Any],
    how: str,
    place: str,
) -> None:
    made, nc = installation
    with running_process("leaky", [sys.executable, "-c", LEAKY_TOOL], made.folder, made.environment()) as process:
        await until_announced(nc, {"LEAKY": process}, made.folder)
        steps = [{"id": "a", "tool": "LEAKY", "params": {"how": how}}]
        await run_plan(nc, make_plan("leaks", steps))
        await eventually(lambda: any(place in leak for leak in made.leaks()), what=f"a leak in {place}")
    assert all(leak.startswith("the Hunter key in ") for leak in made.leaks())


@pytest.mark.parametrize(
    "form",
    [
        "key={secret}",
        "key={half}...",
        "{url}",
        "{form}",
        "{json}",
        "{base64}",
        "{basic}",
        "{hex}",
    ],
)
def test_every_form_of_a_secret_is_found(form: str) -> None:
    secret = 'p@ss/w+rd "1" ü' + secrets.token_hex(8)
    forms = {
        "secret": secret,
        "half": secret[3:17],
        "url": quote(secret),
        "form": quote_plus(secret),
        "json": json.dumps({"key": secret}),
        "base64": base64.b64encode(secret.encode()).decode(),
        "basic": base64.b64encode(f"me:{secret}".encode()).decode(),
        "hex": secret.encode().hex(),
    }
    assert leaks({"it": secret}, [("here", form.format(**forms).encode()), ("there", b"nothing")]) != []
    assert leaks({"it": secret}, [("there", b"nothing")]) == []
