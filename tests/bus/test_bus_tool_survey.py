"""Who serves what, and how it goes there: $SRV.INFO and $SRV.STATS of real services, and of odd ones."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import nats.micro
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from leadplan_bus.connection import close, connect, flush
from leadplan_bus.micro_service import Endpoint, MicroService
from leadplan_bus.service_stats import EndpointStats, read_service_stats, survey_executors
from leadplan_bus.tool_survey import ToolInstance, ToolSurvey, survey_tools
from leadplan_responder import Responder, ToolContext, ToolError
from leadplan_responder.serving import Serving

QUICKLY = {"silence": 0.05}


async def once_answered(ask: Any, nc: Client) -> Any:
    """What is answered, asked again while the machine is too busy to answer so quickly."""
    for _ in range(100):
        if found := await ask(nc, **QUICKLY):
            return found
    raise AssertionError("nobody answers")


class GreetParams(msgspec.Struct):
    name: str


def greeter(version: str) -> Responder:
    responder = Responder("greeter", version=version, description="Greets")

    @responder.tool("GREET", effects="none")
    async def greet(params: GreetParams, ctx: ToolContext) -> str:
        if params.name == "nobody":
            raise ToolError("there is nobody", code="nobody", retryable=False)
        return f"Hello {params.name}"

    @responder.tool("PART", effects="once")
    async def part(params: GreetParams, ctx: ToolContext) -> str:
        return f"Farewell {params.name}"

    return responder


@pytest.fixture
async def serve(nats_url: str) -> AsyncIterator[Callable[[Responder], Awaitable[Serving]]]:
    served: list[tuple[Serving, Client]] = []

    async def start(responder: Responder) -> Serving:
        connection = await connect(nats_url, name=responder.name)
        served.append((Serving(responder, connection, 0.0), connection))
        await served[-1][0].start()
        return served[-1][0]

    yield start
    for serving, connection in served:
        await serving.stop()
        await close(connection)


async def ask(nc: Client, tool: str, params: dict[str, Any]) -> dict[str, Any]:
    request = {
        "planId": "p1",
        "stepId": "s1",
        "tool": tool,
        "params": params,
        "attempt": 1,
        "idempotencyKey": "p1:s1",
        "deadline": "2100-01-01T00:00:00.000Z",
        "timeoutMs": 30_000,
        "user": {"userId": "u_7"},
        "plan": {"id": "p1", "title": "A plan"},
        "priorResults": {},
    }
    answer = await nc.request(f"tools.{tool}", json.dumps(request).encode(), timeout=5)
    reply: dict[str, Any] = json.loads(answer.data)
    return reply


def stats(*endpoints: Any, **fields: Any) -> bytes:
    service = {
        "type": "io.nats.micro.v1.stats_response",
        "name": "greeter",
        "id": "i1",
        "version": "1.0.0",
        "metadata": {},
        "started": "2026-11-23T09:15:02.417Z",
        "endpoints": list(endpoints),
        **fields,
    }
    return json.dumps(service).encode()


def endpoint(**fields: Any) -> dict[str, Any]:
    counted = {"num_requests": 4, "num_errors": 1, "last_error": "broken", "average_processing_time": 2_500_000}
    return {"name": "GREET", "subject": "tools.GREET", "queue_group": "q", **counted, **fields}


async def answering(nc: Client, subject: str, *bodies: bytes) -> None:
    async def answer(message: Msg) -> None:
        for body in bodies:
            await nc.publish(message.reply, body)

    await nc.subscribe(subject, cb=answer)


async def test_nobody_there_is_an_empty_list(nc: Client):
    assert await survey_tools(nc, **QUICKLY) == []
    assert await read_service_stats(nc, **QUICKLY) == []
    assert await survey_executors(nc, **QUICKLY) == []


async def test_each_tool_is_listed_with_its_instances_and_their_work(nc: Client, serve: Any):
    await serve(greeter("1.9.0"))
    await serve(greeter("1.10.0"))
    for _ in range(6):
        assert (await ask(nc, "GREET", {"name": "Ada"}))["success"]
    assert not (await ask(nc, "PART", {}))["success"]
    greet, part = await survey_tools(nc)
    assert (greet.tool, greet.services, greet.versions) == ("GREET", ("greeter",), ("1.10.0", "1.9.0"))
    assert (greet.effects, greet.has_schema, greet.requests, greet.errors) == (("none",), True, 6, 0)
    assert greet.average_ms is not None
    assert greet.average_ms > 0
    assert len({one.instance for one in greet.instances}) == 2
    assert all(one.started is not None and one.started <= datetime.now(UTC) for one in greet.instances)
    assert (part.tool, part.effects, part.requests, part.errors) == ("PART", ("once",), 1, 1)
    assert [one.last_error for one in part.instances if one.errors] != [None]


async def test_services_of_the_client_library_are_read_too(nc: Client):
    async def handler(request: Any) -> None:
        if request.data == b"break":
            raise RuntimeError("on purpose")
        await request.respond(b"")

    service = await nats.micro.add_service(nc, name="foreign", version="2.0.0")
    await service.add_endpoint(name="tool", subject="tools.FOREIGN", handler=handler, metadata={"tool": "FOREIGN"})
    await nc.request("tools.FOREIGN", b"", timeout=5)
    await nc.request("tools.FOREIGN", b"break", timeout=5)
    (found,) = await once_answered(survey_tools, nc)
    (instance,) = found.instances
    assert (found.tool, instance.service, instance.version) == ("FOREIGN", "foreign", "2.0.0")
    assert (instance.requests, instance.errors, instance.effects, instance.has_schema) == (2, 1, None, False)
    assert "on purpose" in (instance.last_error or "")
    await service.stop()


async def test_an_instance_that_tells_nothing_of_its_work_is_listed_all_the_same(nc: Client):
    info = {
        "name": "greeter",
        "id": "i1",
        "version": "1.0.0",
        "endpoints": [{"name": "GREET", "subject": "tools.GREET", "metadata": {"tool": "GREET"}}],
    }
    await answering(nc, "$SRV.INFO", json.dumps(info).encode(), json.dumps(info).encode())
    await answering(nc, "$SRV.STATS", stats(endpoint(), id="another"), stats(endpoint(subject="tools.OTHER")))
    started = datetime(2026, 11, 23, 9, 15, 2, 417_000, tzinfo=UTC)
    nothing = ToolInstance("greeter", "i1", "1.0.0", None, False, started, None, None, None, None)
    assert await once_answered(survey_tools, nc) == [ToolSurvey("GREET", (nothing,))]


async def test_the_mean_counts_each_request_once(nc: Client):
    def instance(requests: int | None, average_ms: float | None) -> ToolInstance:
        return ToolInstance("greeter", "i", "1.0.0", None, False, None, requests, 0, None, average_ms)

    survey = ToolSurvey("GREET", (instance(1, 10.0), instance(3, 2.0), instance(0, None), instance(None, None)))
    assert (survey.requests, survey.average_ms) == (4, 4.0)
    idle = ToolSurvey("GREET", (instance(0, None),))
    assert (idle.requests, idle.average_ms) == (0, None)
    assert ToolSurvey("GREET", (instance(None, None),)).requests is None


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"garbage",
        b"\xff",
        b"null",
        b"[" * 50_000,
        b'{"endpoints":' + b"[" * 50_000,
        b"{}",
        stats(name=5),
        stats(endpoints="none"),
        stats(endpoints={}),
        b"x" * 900_000,
    ],
    ids=range(11),
)
async def test_odd_answers_are_passed_over(nc: Client, odd: bytes):
    await answering(nc, "$SRV.STATS", odd, stats(endpoint()))
    (service,) = await once_answered(read_service_stats, nc)
    assert service.endpoints == (EndpointStats("GREET", "tools.GREET", 4, 1, "broken", 2_500_000),)
    assert service.endpoints[0].average_ms == 2.5


@pytest.mark.parametrize(
    "odd",
    [
        None,
        7,
        [],
        endpoint(name=None),
        endpoint(subject=5),
        endpoint(num_requests=-1),
        endpoint(num_requests="many"),
        endpoint(num_errors=1.5),
        endpoint(num_requests=10**30),
        endpoint(average_processing_time=-1),
        endpoint(average_processing_time=1e300),
        endpoint(last_error={}),
    ],
    ids=range(12),
)
async def test_one_odd_endpoint_does_not_hide_the_others(nc: Client, odd: Any):
    await answering(nc, "$SRV.STATS", stats(odd, endpoint(name="PART")))
    (service,) = await once_answered(read_service_stats, nc)
    assert [one.name for one in service.endpoints] == ["PART"]


@pytest.mark.parametrize("started", [None, "", "yesterday", "2026-13-45T99:00:00Z"])
async def test_a_start_that_cannot_be_read_is_unknown(nc: Client, started: Any):
    await answering(nc, "$SRV.STATS", stats(endpoint(last_error=""), started=started))
    (service,) = await once_answered(read_service_stats, nc)
    assert service.started is None
    assert service.endpoints[0].last_error is None


@pytest.mark.parametrize(
    "started", ["2026-11-23T09:15:02.123456789Z", "2026-11-23T09:15:02", "2026-11-23T10:15:02+01:00"]
)
async def test_starts_as_other_clients_write_them(nc: Client, started: str):
    await answering(nc, "$SRV.STATS", stats(started=started, endpoints=None))
    (service,) = await once_answered(read_service_stats, nc)
    assert service.started is not None
    assert service.started.replace(microsecond=0) == datetime(2026, 11, 23, 9, 15, 2, tzinfo=UTC)


async def test_texts_of_others_are_fit_for_a_terminal(nc: Client):
    nasty = "\x1b[31mred\x07\nsecond line" + "x" * 5_000
    await answering(nc, "$SRV.STATS", stats(endpoint(last_error=nasty), name=nasty))
    (service,) = await once_answered(read_service_stats, nc)
    for text in (service.name, service.endpoints[0].last_error or ""):
        assert text.isprintable()
        assert "red" in text
        assert len(text) <= 500


async def test_executors_are_those_of_their_name_each_once(nc: Client, eventually: Any):
    def take(message: Msg, endpoint: Endpoint) -> None:
        endpoint.record(0)

    executors = [MicroService(nc, name="leadplan-executor", version="0.1.0", description="Runs") for _ in range(2)]
    for executor in executors:
        await executor.add_endpoint("status", "plans.status", take, {})
        await executor.start()
    liar = stats(name="leadplan-liar", id="i1")
    await answering(nc, "$SRV.STATS.leadplan-executor", liar, liar)
    await flush(nc)
    await nc.publish("plans.status", b"{}")
    await eventually(lambda: any(executor.endpoints[0].requests for executor in executors))
    found = await once_answered(survey_executors, nc)
    assert [one.id for one in found] == sorted(executor.id for executor in executors)
    assert [one.endpoints[0].subject for one in found] == ["plans.status"] * 2
    assert sum(one.endpoints[0].requests for one in found) == 1
