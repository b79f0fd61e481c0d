"""Connections that the sandbox closes, and bodies that trickle in, over real connections."""

import httpx
import pytest

from leadplan_sandbox import build_app, serving

HUNTER = {"X-API-KEY": "sandbox-hunter-key"}


@pytest.fixture(scope="module")
def url():
    with serving() as url:
        yield url


@pytest.fixture
def sandbox(url):
    with httpx.Client(base_url=url, timeout=10) as client:
        yield client
        client.post("/admin/reset")


def ask(sandbox, fault):
    return sandbox.get("/v2/account", headers=HUNTER | ({"Sandbox-Fault": fault} if fault else {}))


@pytest.mark.parametrize("fault", ["drop", "drop=before", "delay-ms=1; drop", "drop=during; status=202"])
def test_a_connection_can_be_closed_before_the_answer(sandbox, fault, capfd):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        ask(sandbox, fault)
    assert ask(sandbox, None).status_code == 200
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("fault", ["drop=during", "drop=during; status=503", "drop=during; body-ms=10; answer=html"])
def test_a_connection_can_be_closed_in_the_middle_of_an_answer(sandbox, fault, capfd):
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        ask(sandbox, fault)
    assert capfd.readouterr() == ("", "")


def test_a_body_can_trickle_in(sandbox):
    with sandbox.stream("GET", "/v2/account", headers=HUNTER | {"Sandbox-Fault": "body-ms=200"}) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 1
    assert b"".join(pieces) == ask(sandbox, None).content


def test_a_client_that_reads_too_long_gives_up(sandbox):
    sandbox.post("/admin/faults", json={"path": "/v2/", "bodyMs": 60_000, "times": 1})
    with pytest.raises(httpx.ReadTimeout):
        sandbox.get("/v2/account", headers=HUNTER, timeout=0.2)


def test_a_switched_on_fault_drops_connections_in_the_middle_of_a_run(sandbox):
    sandbox.post("/admin/faults", json={"path": "/v2/", "after": 1, "times": 1, "drop": "before"})
    assert ask(sandbox, None).status_code == 200
    with pytest.raises(httpx.RemoteProtocolError):
        ask(sandbox, None)
    assert ask(sandbox, None).status_code == 200
    statuses = [one["status"] for one in sandbox.get("/admin/requests").json()["requests"]]
    assert statuses == [200, None, 200]


async def test_without_a_server_a_drop_is_an_error():
    async with httpx.AsyncClient(transport=httpx.ASGITransport(build_app()), base_url="http://sandbox") as client:
        with pytest.raises(ConnectionResetError):
            await client.get("/v2/account", headers={"Sandbox-Fault": "drop"})
