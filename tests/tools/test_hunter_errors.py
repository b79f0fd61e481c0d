import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from leadplan_hunter import domain_lookup, enrich
from leadplan_responder import ConfigurationError, Responder
from leadplan_responder.testing import ToolCall, call_tool

KEY = "sandbox-hunter-key"
EMAIL = "valid@sandbox.example"


@pytest.fixture
async def tools(sandbox_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[dict[str, Responder]]:
    monkeypatch.setenv("HUNTER_API_KEY", KEY)
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    served = {"HUNTER_DOMAIN_LOOKUP": domain_lookup.responder(), "HUNTER_ENRICH": enrich.responder()}
    yield served
    for one in served.values():
        for stop in one.on_stop:
            await stop()


PARAMS: dict[str, dict[str, Any]] = {
    "HUNTER_DOMAIN_LOOKUP": {"domains": ["one.com", "two.com"]},
    "HUNTER_ENRICH": {"emails": [EMAIL, "other@sandbox.example"]},
}


async def call(tools: dict[str, Responder], tool: str) -> ToolCall:
    return await call_tool(tools[tool], tool, PARAMS[tool])


def errors(id_: str | None, details: str | None = None) -> dict[str, Any]:
    return {"errors": [{"id": id_, "code": 0, "details": details}]}


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"status": 401}, "invalid_api_key", "HUNTER_API_KEY"),
        ({"status": 402}, "quota_exceeded", "used up"),
        ({"status": 403, "body": errors("no_access", "Not yours")}, "access_denied", "Not yours. Check what the key"),
        ({"status": 403, "body": "<html>Forbidden</html>"}, "access_denied", "no explanation given"),
        ({"status": 404, "body": "<html>Not Found</html>"}, "not_found", "HUNTER_BASE_URL"),
    ],
)
async def test_what_no_other_call_can_escape_ends_the_step_for_good(tools, add_fault, tool, fault, code, says):
    await add_fault("/v2/", **fault)

    result = (await call(tools, tool)).result

    assert (result.success, result.error_code, result.retryable) == (False, code, False)
    assert says in (result.error_message or "")


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(
    ("fault", "retry_after_ms"),
    [
        ({"status": 429, "retryAfter": 9}, 9_000),
        ({"status": 429, "body": errors("too_many_requests")}, 20_000),
        ({"status": 403, "body": errors("too_many_requests"), "retryAfter": 3}, 3_000),
        ({"status": 403, "body": errors(None, "Rate limit reached")}, 20_000),
    ],
)
async def test_a_rate_limit_ends_the_attempt_and_says_when_to_come_back(tools, add_fault, tool, fault, retry_after_ms):
    await add_fault("/v2/", **fault)

    result = (await call(tools, tool)).result

    assert (result.error_code, result.retryable, result.retry_after_ms) == ("rate_limited", True, retry_after_ms)


@pytest.mark.parametrize(
    ("requests", "code", "says"),
    [
        ({"credits": {"used": 550.0, "available": 550}}, "quota_exceeded", "renewed on 2026-12-01"),
        ({"searches": {"used": 10, "available": 10}}, "quota_exceeded", "renewed on 2026-12-01"),
        ({"credits": {"used": 1, "available": 550}}, "rate_limited", "how fast"),
        ({"verifications": {"used": 10, "available": 10}}, "rate_limited", "how fast"),
        (None, "rate_limited", "how fast"),
    ],
)
async def test_a_429_that_names_no_cause_is_looked_up_in_the_account(tools, add_fault, requests, code, says):
    await add_fault("/v2/domain-search", 429, body=errors("usage"))
    await add_fault("/v2/account", 200, body={"data": {"reset_date": "2026-12-01", "requests": requests}})

    result = (await call(tools, "HUNTER_DOMAIN_LOOKUP")).result

    assert result.error_code == code
    assert says in (result.error_message or "")
    assert result.retryable is (code == "rate_limited")


async def test_an_account_that_cannot_be_read_leaves_it_at_the_rate_limit(tools, add_fault):
    await add_fault("/v2/account", 500)
    await add_fault("/v2/", 429, body="<html>no</html>")

    result = (await call(tools, "HUNTER_ENRICH")).result

    assert (result.error_code, result.retryable) == ("rate_limited", True)


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(
    ("fault", "code", "retryable"),
    [
        ({"status": 400, "body": errors("wrong_params", "No such thing")}, "invalid_request", False),
        ({"status": 422, "body": errors("refused", "Well-formed but refused")}, "invalid_request", False),
        ({"status": 409, "retryAfter": 2}, "service_unavailable", True),
        ({"status": 500}, "service_unavailable", True),
        ({"status": 502, "body": "<html>Bad Gateway</html>"}, "service_unavailable", True),
        ({"status": 200, "body": "<html>a proxy's page</html>"}, "bad_answer", True),
        ({"status": 200, "body": {"data": None}}, "bad_answer", True),
        ({"status": 204}, "bad_answer", True),
    ],
)
async def test_failures_of_single_calls_fail_the_step_only_when_all_fail(
    tools, add_fault, tool, fault, code, retryable
):
    await add_fault("/v2/", **fault)

    result = (await call(tools, tool)).result

    assert (result.error_code, result.retryable) == (code, retryable)
    assert (result.error_message or "").startswith("All ")


async def test_a_wrong_key_is_final_and_names_the_variable(sandbox_url, monkeypatch, requests_to):
    monkeypatch.setenv("HUNTER_API_KEY", "wrong-key-1234")
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    served = domain_lookup.responder()

    result = (await call({"HUNTER_DOMAIN_LOOKUP": served}, "HUNTER_DOMAIN_LOOKUP")).result
    await served.on_stop[0]()

    assert (result.error_code, result.retryable) == ("invalid_api_key", False)
    assert "wrong-key-1234" not in (result.error_message or "")
    assert all("api_key" not in request["query"] for request in await requests_to("/v2/"))


async def test_an_api_that_cannot_be_reached_is_retryable_and_named(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setenv("HUNTER_API_KEY", KEY)
    monkeypatch.setenv("HUNTER_BASE_URL", f"http://127.0.0.1:{port}/v2")
    served = domain_lookup.responder()

    result = (await call({"HUNTER_DOMAIN_LOOKUP": served}, "HUNTER_DOMAIN_LOOKUP")).result
    await served.on_stop[0]()

    assert (result.error_code, result.retryable) == ("network_error", True)
    assert "127.0.0.1 (ConnectError)" in (result.error_message or "")


async def test_an_api_that_does_not_answer_in_time_is_retryable(tools, add_fault, monkeypatch):
    monkeypatch.setattr("leadplan_web_apis.connection._TIMEOUT", httpx.Timeout(0.1))
    await add_fault("/v2/", delayMs=5_000)

    result = (await call(tools, "HUNTER_DOMAIN_LOOKUP")).result

    assert (result.error_code, result.retryable) == ("api_timeout", True)


@pytest.mark.parametrize("tool", PARAMS)
async def test_the_key_stands_in_no_log_and_no_error_even_when_the_api_repeats_it(tools, add_fault, caplog, tool):
    caplog.set_level(logging.DEBUG)
    await call(tools, tool)
    await add_fault("/v2/", 422, body=errors("refused", f"the key {KEY} may not do this"))

    result = (await call(tools, tool)).result

    assert "may not do this" in (result.error_message or "")
    assert KEY not in (result.error_message or "")
    assert caplog.records
    assert KEY not in caplog.text


@pytest.mark.parametrize("build", [domain_lookup.responder, enrich.responder])
@pytest.mark.parametrize("value", [None, "", " "])
def test_without_a_key_the_tools_do_not_start_and_name_the_variable(monkeypatch, build, value):
    monkeypatch.delenv("HUNTER_API_KEY", raising=False)
    if value is not None:
        monkeypatch.setenv("HUNTER_API_KEY", value)

    with pytest.raises(ConfigurationError, match=r"^HUNTER_API_KEY is not set"):
        build()


def test_settings_of_the_lookups_are_named_with_those_of_the_api(monkeypatch):
    monkeypatch.setenv("HUNTER_API_KEY", "se cret")
    monkeypatch.setenv("HUNTER_VERIFIER_POLL_SECONDS", "often")

    with pytest.raises(ConfigurationError, match=r"HUNTER_API_KEY holds characters.*HUNTER_VERIFIER_POLL_SECONDS"):
        domain_lookup.responder()


@pytest.mark.parametrize(
    ("tool", "params", "fits"),
    [
        ("HUNTER_DOMAIN_LOOKUP", {"sourceStepId": "search"}, True),
        ("HUNTER_DOMAIN_LOOKUP", {"domains": ["x.com"], "sourceStepId": None}, True),
        ("HUNTER_DOMAIN_LOOKUP", {}, False),
        ("HUNTER_DOMAIN_LOOKUP", {"sourceStepId": "search", "domains": ["x.com"]}, False),
        ("HUNTER_DOMAIN_LOOKUP", {"domains": ["x.com"], "colour": "red"}, False),
        ("HUNTER_ENRICH", {"emails": ["a@b.com"], "minConfidence": 50}, True),
        ("HUNTER_ENRICH", {"verify": True}, False),
    ],
)
async def test_the_announced_schema_lets_a_plan_be_checked_before_it_runs(tools, tool, params, fits):
    schema = json.loads(tools[tool].tools[tool].params_schema())

    assert Draft202012Validator(schema).is_valid(params) is fits
