"""The micro service answers discovery as ADR-32 has it, and as nats-py's own classes read it."""

import asyncio
import json
import sys
import time
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.micro.service import ServiceInfo, ServicePing, ServiceStats

from leadplan_bus.connection import connect, flush
from leadplan_bus.micro_service import Endpoint, MicroService

READERS: dict[str, Any] = {"PING": ServicePing, "INFO": ServiceInfo, "STATS": ServiceStats}


class Served:
    """A service with one endpoint that takes its time."""

    def __init__(self, nc: Client) -> None:
        self.nc = nc
        self.taken: list[Msg] = []
        self.service = MicroService(nc, name="Greeter-1", version="1.2.3", description="Greets")
        self.endpoint: Endpoint | None = None

    async def start(self) -> None:
        self.endpoint = await self.service.add_endpoint("GREET", "tools.GREET", self.take, {"tool": "GREET"})
        await self.service.start()
        await flush(self.nc)

    def take(self, message: Msg, endpoint: Endpoint) -> None:
        self.taken.append(message)


@pytest.fixture
async def served(nats_url: str) -> Any:
    connection = await connect(nats_url, name="service")
    served = Served(connection)
    await served.start()
    yield served
    if not connection.is_closed:
        await connection.close()


@pytest.mark.parametrize("verb", ["PING", "INFO", "STATS"])
@pytest.mark.parametrize("whom", ["", ".Greeter-1", ".Greeter-1.{id}"])
async def test_discovery_is_answered_on_each_subject(nc: Client, served: Served, verb: str, whom: str):
    subject = f"$SRV.{verb}{whom.format(id=served.service.id)}"
    message = await nc.request(subject, b"whatever", timeout=5, headers={"Private": "header"})
    answer = json.loads(message.data)
    assert message.headers is None, "the asker's headers aren't sent back"
    assert answer["type"] == f"io.nats.micro.v1.{verb.lower()}_response"
    assert (answer["name"], answer["id"], answer["version"]) == ("Greeter-1", served.service.id, "1.2.3")
    assert answer["metadata"] == {}
    READERS[verb].from_dict(answer)


async def test_info_lists_the_endpoints(nc: Client, served: Served):
    answer = json.loads((await nc.request("$SRV.INFO", timeout=5)).data)
    assert answer["description"] == "Greets"
    assert answer["endpoints"] == [
        {"name": "GREET", "subject": "tools.GREET", "queue_group": "q", "metadata": {"tool": "GREET"}}
    ]


async def test_stats_count_what_was_recorded(nc: Client, served: Served):
    assert served.endpoint is not None
    started = time.monotonic_ns() - 3_000_000
    served.endpoint.record(started)
    assert served.endpoint.record(started, "no credits") >= 3_000_000
    answer = json.loads((await nc.request("$SRV.STATS", timeout=5)).data)
    assert answer["started"].endswith("Z")
    (endpoint,) = answer["endpoints"]
    assert (endpoint["num_requests"], endpoint["num_errors"], endpoint["last_error"]) == (2, 1, "no credits")
    assert endpoint["processing_time"] >= 6_000_000
    assert endpoint["average_processing_time"] == endpoint["processing_time"] // 2
    parsed = ServiceStats.from_dict(answer)
    assert parsed.endpoints[0].num_requests == 2


async def test_other_names_and_requests_without_reply_are_passed_over(nc: Client, served: Served, eventually: Any):
    inbox = await nc.subscribe("inbox")
    for subject in ("$SRV.PING.greeter-1", "$SRV.PING.Greeter-1.other", "$SRV.PONG"):
        await nc.publish(subject, reply="inbox")
    await nc.publish("$SRV.PING")
    assert json.loads((await nc.request("$SRV.PING", timeout=5)).data)["name"] == "Greeter-1"
    # The server says that nobody is there; no answer comes.
    answers = [await inbox.next_msg(1) for _ in range(3)]
    assert [answer.headers["Status"] for answer in answers] == ["503"] * 3


async def test_requests_are_shared_by_the_instances_and_discovery_reaches_all(
    nc: Client, nats_url: str, served: Served
):
    connection = await connect(nats_url, name="service 2")
    other = Served(connection)
    await other.start()
    inbox = await nc.subscribe("inbox")
    await nc.publish("$SRV.PING", reply="inbox")
    identities = {json.loads((await inbox.next_msg(1)).data)["id"] for _ in range(2)}
    assert identities == {served.service.id, other.service.id}
    for _ in range(50):
        await nc.publish("tools.GREET", reply="nowhere")
    await flush(nc)
    await flush(connection)
    await flush(served.nc)
    assert len(served.taken) + len(other.taken) == 50
    await connection.close()


FLOOD = """
import socket, sys, time
server = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
server.recv(4096)
server.sendall(b'CONNECT {"verbose": false}\\r\\n')
for number in range(6000):
    body = str(number).encode()
    server.sendall(b"PUB tools.GREET nowhere %d\\r\\n%s\\r\\n" % (len(body), body))
    time.sleep(0.00002)
server.sendall(b"PING\\r\\n")
while b"PONG" not in server.recv(4096):
    pass
"""


async def test_while_instances_stop_no_request_is_lost(nc: Client, nats_url: str, served: Served, eventually: Any):
    """Each request in a flood of them reaches one of the instances, wherever their stops fall."""
    stopping = [Served(await connect(nats_url, name=f"stopping {number}")) for number in range(8)]
    for one in stopping:
        await one.start()
    flood = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, nats_url.rpartition(":")[2])
    for number, one in enumerate(stopping):
        await eventually(lambda number=number: max(map(last_taken, stopping)) > 400 * (number + 1))
        await one.service.stop_endpoints()
    assert await asyncio.wait_for(flood.wait(), 20) == 0
    for one in (served, *stopping):
        await flush(one.nc)
    taken = [int(message.data) for one in (served, *stopping) for message in one.taken]
    assert sorted(taken) == list(range(6000))
    assert json.loads((await nc.request(f"$SRV.PING.Greeter-1.{stopping[0].service.id}", timeout=5)).data)
    for one in stopping:
        await one.service.stop()
        assert one.nc._subs == {}
        await one.nc.close()


def last_taken(served: Served) -> int:
    return int(served.taken[-1].data) if served.taken else 0


@pytest.mark.parametrize("name", ["", "my service", "a.b", "a*", "ä", "x\n"])
def test_names_have_a_form(name: str):
    with pytest.raises(ValueError, match="service name"):
        MicroService(Client(), name=name, version="1.0.0", description="")


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "v1.0.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01", "1.0.0\n", "١.0.0"]
)
def test_versions_are_semantic(version: str):
    with pytest.raises(ValueError, match="semantic version"):
        MicroService(Client(), name="x", version=version, description="")


@pytest.mark.parametrize("version", ["0.0.0", "1.2.3-rc.1+b5", "10.20.30", "1.0.0-0a", "1.0.0+001", "1.0.0--x"])
def test_semantic_versions_are_taken(version: str):
    assert MicroService(Client(), name="x", version=version, description="").name == "x"
