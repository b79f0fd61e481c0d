"""A cluster without a leader is waited for, and told from a server that can't do what is asked."""

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import ConnectionClosedError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import BadRequestError, NoStreamResponseError, ServerError, ServiceUnavailableError

from leadplan_bus.claim_check import ClaimCheck
from leadplan_bus.connection import connect
from leadplan_bus.errors import JetStreamDisabledError, NoClusterLeaderError, TooManyReplicasError
from leadplan_bus.leaders import is_jetstream_off, is_without_leader, until_led
from leadplan_bus.topology import Retention, ensure_topology
from leadplan_client.errors import SubmissionRefusedError
from leadplan_client.submission import publish_submission

NO_PEERS = 'cluster { name: c, listen: "127.0.0.1:-1", routes: ["nats-route://127.0.0.1:1"] }'


@pytest.mark.parametrize(
    ("error", "waits"),
    [
        (NatsTimeoutError(), True),
        (NoStreamResponseError(), True),
        (
            ServiceUnavailableError(code=503, err_code=10008, description="JetStream system temporarily unavailable"),
            True,
        ),
        (ServerError(code=500, err_code=10005, description="no suitable peers for placement"), True),
        (ServiceUnavailableError(code=503, err_code=10039, description="not enabled for account"), False),
        (ServiceUnavailableError(), False),
        (ServerError(code=500, err_code=10074, description="replicas > 1 not supported"), False),
        (BadRequestError(code=400, err_code=10058, description="name in use"), False),
        (ConnectionClosedError(), False),
    ],
    ids=repr,
)
def test_which_errors_waiting_may_help_with(error: Any, waits: bool):
    assert is_without_leader(error) is waits
    assert not (waits and is_jetstream_off(error))


async def test_it_asks_until_somebody_leads_and_tells_of_it_once(caplog: pytest.LogCaptureFixture, monkeypatch: Any):
    monkeypatch.setattr("leadplan_bus.leaders._ASK_AGAIN_SECONDS", 0.001)
    answers: list[Any] = [NatsTimeoutError(), NoStreamResponseError(), "led"]

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    assert await until_led(ask, "stream PLANS") == "led"
    assert [record.getMessage() for record in caplog.records] == [
        "stream PLANS: waiting for a leader of the cluster: nats: timeout"
    ]


async def test_an_error_that_waiting_does_not_mend_is_raised_at_once():
    async def ask() -> None:
        raise BadRequestError(code=400, err_code=10058)

    with pytest.raises(BadRequestError):
        await until_led(ask, "stream PLANS")


async def test_more_replicas_than_a_lone_server_can_have_are_named(nc: Client):
    with pytest.raises(TooManyReplicasError, match="LEADPLAN_REPLICAS is 3, and this NATS server is alone"):
        await ensure_topology(nc.jetstream(), Retention(replicas=3))


async def test_a_cluster_without_a_quorum_is_named_when_it_stays_so(nats_server: Any):
    nats_server.stop()
    nats_server.extra = NO_PEERS
    nats_server.start()
    nc = await connect(nats_server.url, name="test")
    try:
        with pytest.raises(NoClusterLeaderError, match="more than half of the cluster's nodes must run"):
            await ensure_topology(nc.jetstream(timeout=0.2), Retention(), within_seconds=0.3)
    finally:
        await nc.close()


async def test_a_submitter_hears_of_the_missing_leader_and_not_that_jetstream_is_off(nats_server: Any):
    nats_server.stop()
    nats_server.extra = NO_PEERS
    nats_server.start()
    nc = await connect(nats_server.url, name="test")
    try:
        with pytest.raises(SubmissionRefusedError, match="no leader at the moment, try again"):
            await publish_submission(nc, nc.jetstream(timeout=2), b"{}")
    finally:
        await nc.close()


async def test_without_jetstream_nothing_is_waited_for(nats_server: Any):
    nats_server.stop()
    nats_server.jetstream = False
    nats_server.start()
    nc = await connect(nats_server.url, name="test")
    try:
        with pytest.raises(JetStreamDisabledError):
            await ensure_topology(nc.jetstream(), Retention())
    finally:
        await nc.close()


async def test_data_is_stored_under_a_new_name_when_the_answer_was_lost(nc: Client, nats_server: Any):
    """The first try may still arrive later, and must not replace what the second one stored."""
    await ensure_topology(nc.jetstream(), Retention())
    claim_check = ClaimCheck(nc.jetstream(timeout=0.3))
    await claim_check.put("p1/s1/before", b"x")
    nats_server.kill()
    putting = asyncio.create_task(claim_check.put("p1/s1/token", b"the data"))
    await asyncio.sleep(0.5)
    nats_server.start()
    ref = await putting
    assert ref.name.startswith("p1/s1/token-")
    assert await claim_check.get(ref) == b"the data"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


async def test_addresses_that_are_learned_from_the_cluster_get_the_same_credentials(
    nats_server: Any, tmp_path: Path, eventually: Any
):
    """Else a program that was given one address is stranded when that node is lost."""
    nats_server.stop()
    second = type(nats_server)(tmp_path / "second")
    (tmp_path / "second").mkdir()
    route = 'cluster { name: c, listen: "127.0.0.1:%d", routes: ["nats-route://127.0.0.1:%d"] }\n'
    ports = free_port(), free_port()
    for server, (own, other), name in ((nats_server, ports, "one"), (second, ports[::-1], "two")):
        server.jetstream = False
        server.extra = route % (own, other) + f"server_name: {name}\nauthorization {{ user: u, password: secret }}"
        server.start()
    nc = await connect(f"nats://u:secret@127.0.0.1:{nats_server.port}", name="test")
    try:
        await eventually(lambda: len(nc.discovered_servers) > 1)
        nats_server.kill()
        await eventually(lambda: nc.is_connected and nc.connected_url.port == second.port)
    finally:
        await nc.close()
        second.kill()
