"""What EMAIL_SEQUENCE_SETUP makes of Hunter's errors: code, repeatable or not, and words for a salesperson."""

import socket

import httpx
import pytest

from leadplan_email_sequence.responder import responder
from leadplan_responder.testing import call_tool
from leadplan_sandbox import SandboxSettings, serving

KEY = "sandbox-hunter-key"
LEADS = {"leads": [{"email": "ada@sandbox.example", "verificationStatus": "valid", "isNew": True}]}
ADDING = "/v2/sequences/42/recipients"


@pytest.fixture(scope="module")
def sandbox_url():
    with serving() as url:
        yield url


@pytest.fixture
def sandbox(sandbox_url):
    with httpx.Client(base_url=sandbox_url) as client:
        client.post("/admin/reset").raise_for_status()
        yield client


@pytest.fixture
async def set_up(sandbox_url, monkeypatch):
    served = []

    async def call(*, key=KEY, base_url=f"{sandbox_url}/v2", sequence_id=42, start=False):
        monkeypatch.setenv("HUNTER_API_KEY", key)
        monkeypatch.setenv("HUNTER_BASE_URL", base_url)
        served.append(responder())
        params = {"sourceStepId": "save", "sequenceId": sequence_id, "start": start}
        outcome = await call_tool(served[-1], "EMAIL_SEQUENCE_SETUP", params, prior_results={"save": LEADS})
        assert outcome.result.success is False
        assert key not in outcome.result.error_message
        return outcome.result

    yield call
    for one in served:
        for stop in one.on_stop:
            await stop()


def switch_on(sandbox, **fault):
    sandbox.post("/admin/faults", json={"path": ADDING} | fault).raise_for_status()


async def test_a_wrong_key_names_the_variable(sandbox, set_up):
    result = await set_up(key="wrong-key-of-somebody")
    assert (result.error_code, result.retryable) == ("invalid_api_key", False)
    assert "HUNTER_API_KEY" in result.error_message


async def test_an_unknown_sequence_is_named(sandbox, set_up):
    result = await set_up(sequence_id=999)
    assert (result.error_code, result.retryable) == ("unknown_sequence", False)
    assert "999" in result.error_message


async def test_a_colleagues_sequence_is_refused_for_good(sandbox, set_up):
    result = await set_up(sequence_id=44)
    assert (result.error_code, result.retryable) == ("access_denied", False)
    assert "belongs to another member of your team" in result.error_message


async def test_a_sequence_that_cannot_start_says_what_is_missing(sandbox, set_up):
    result = await set_up(sequence_id=43, start=True)
    assert (result.error_code, result.retryable) == ("sequence_not_ready", False)
    assert "no content" in result.error_message
    assert "1 lead is in the sequence, which isn't started." in result.error_message


async def test_a_base_address_without_hunter_names_the_variable(sandbox, set_up, sandbox_url):
    result = await set_up(base_url=f"{sandbox_url}/v3")
    assert (result.error_code, result.retryable) == ("not_found", False)
    assert "HUNTER_BASE_URL" in result.error_message


def error_body(error_id, details="Details of Hunter"):
    return {"errors": [{"id": error_id, "code": 0, "details": details}]}


@pytest.mark.parametrize(
    ("fault", "code", "retryable", "retry_after_ms"),
    [
        ({"status": 400}, "invalid_request", False, None),
        ({"status": 402}, "quota_exceeded", False, None),
        ({"status": 403}, "access_denied", False, None),
        ({"status": 403, "body": error_body("too_many_requests")}, "rate_limited", True, 20_000),
        ({"status": 403, "body": error_body("x", "The rate limit is reached")}, "rate_limited", True, 20_000),
        ({"status": 408}, "service_unavailable", True, None),
        ({"status": 409}, "in_flight", True, 2_000),
        ({"status": 409, "retryAfter": 5}, "in_flight", True, 5_000),
        ({"status": 422}, "sequence_not_ready", False, None),
        ({"status": 429}, "rate_limited", True, 20_000),
        ({"status": 429, "retryAfter": 7}, "rate_limited", True, 7_000),
        ({"status": 429, "body": error_body("usage")}, "rate_limited", True, 20_000),
        ({"status": 451}, "objected", False, None),
        ({"status": 500}, "service_unavailable", True, None),
        ({"status": 502, "body": "<html>Bad gateway</html>"}, "service_unavailable", True, None),
        ({"status": 503, "retryAfter": 9}, "service_unavailable", True, 9_000),
        ({"status": 302, "body": "moved"}, "invalid_request", False, None),
        ({"status": 404, "body": {"errors": []}}, "unknown_sequence", False, None),
        ({"status": 404, "body": "<html>404</html>"}, "not_found", False, None),
        ({"status": 201, "body": "no json"}, "bad_answer", True, None),
        ({"status": 204}, "bad_answer", True, None),
    ],
)
async def test_each_documented_answer_has_its_meaning(sandbox, set_up, fault, code, retryable, retry_after_ms):
    switch_on(sandbox, **fault)
    result = await set_up()
    assert (result.error_code, result.retryable, result.retry_after_ms) == (code, retryable, retry_after_ms)
    assert result.error_message.endswith(".")


async def test_the_first_entry_speaks_in_hunters_words(sandbox, set_up):
    switch_on(sandbox, status=400, body=error_body("wrong_params", f"Odd emails, key {KEY}"))
    result = await set_up()
    assert "Odd emails, key [API key]." in result.error_message


async def test_an_undecided_429_asks_the_account_and_may_be_the_quota(set_up):
    with serving(SandboxSettings(port=0, hunter_credits=0)) as url:
        with httpx.Client(base_url=url) as sandbox:
            switch_on(sandbox, status=429, body=error_body("usage"))
        result = await set_up(base_url=f"{url}/v2")
    assert (result.error_code, result.retryable) == ("quota_exceeded", False)
    assert "It is renewed on 2026-12-01." in result.error_message


async def test_an_undecided_429_is_a_rate_limit_when_the_account_cannot_be_read(sandbox, set_up):
    switch_on(sandbox, status=429, body=error_body("usage"))
    switch_on(sandbox, path="/v2/account", status=500)
    assert (await set_up()).error_code == "rate_limited"


async def test_a_server_that_is_down_is_repeatable(set_up):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = await set_up(base_url=f"http://127.0.0.1:{port}/v2")
    assert (result.error_code, result.retryable) == ("network_error", True)
    assert "127.0.0.1" in result.error_message


async def test_a_server_that_says_nothing_is_repeatable(sandbox, set_up, monkeypatch):
    monkeypatch.setattr("leadplan_web_apis.connection._TIMEOUT", httpx.Timeout(0.05))
    switch_on(sandbox, delayMs=2_000)
    result = await set_up()
    assert (result.error_code, result.retryable) == ("api_timeout", True)
