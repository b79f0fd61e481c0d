import json
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from leadplan_hunter import domain_lookup, enrich
from leadplan_hunter.api import HunterApi
from leadplan_hunter.settings import LookupSettings
from leadplan_responder import ConfigurationError, Responder
from leadplan_responder.testing import ToolCall, call_tool
from leadplan_web_apis.settings import load_settings

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


NO_KEY = "Hunter doesn't accept the API key. Check HUNTER_API_KEY."
USED_UP = "This month's allowance of the Hunter plan is used up. It is renewed on 2026-12-01."
DENIED = "Hunter denies the request: {} Check what the key in HUNTER_API_KEY may do."
FREE_PLAN = "Hunter's free plan gives at most 10 contacts of a domain: set contactsPerDomain to 10 or less."
NO_API = "There is no Hunter API at this address. Check HUNTER_BASE_URL."
TOO_FAST = "Hunter limits how fast requests may come, and the limit is reached."
PAGE = "<html>a web page</html>"

# What no other call could escape: the step ends at once and isn't repeated.
STOPS = [
    (401, errors("authentication_failed", "No user found for the API key supplied"), "invalid_api_key", NO_KEY),
    (401, PAGE, "invalid_api_key", NO_KEY),
    (402, errors("usage_limit_reached"), "quota_exceeded", USED_UP),
    (402, {"error": {"id": "usage_limit_reached"}}, "quota_exceeded", USED_UP),
    (403, errors("no_access", "Not yours"), "access_denied", DENIED.format("Not yours.")),
    (403, PAGE, "access_denied", DENIED.format("no explanation given.")),
    (404, PAGE, "not_found", NO_API),
    (400, errors("pagination_error", "Your plan ends at 10"), "invalid_request", FREE_PLAN),
    *[
        (400, errors(id_, "No such thing"), "invalid_request", "Hunter refuses the request (HTTP 400): No such thing.")
        for id_ in ("invalid_type", "invalid_seniority", "invalid_department")
    ],
]
# What passes: Hunter asks for a pause of so many seconds, and the same attempt is to come again after it.
PAUSES = [
    (429, errors("too_many_requests"), 9, 9.0),
    (429, errors("usage_limit_reached"), 9, 9.0),
    (429, PAGE, 9, 9.0),
    (429, errors("too_many_requests"), None, 20.0),
    (429, {"error": "Rate limit reached"}, None, 20.0),
    (429, errors("too_many_requests"), 0, 1.0),
    (403, errors("too_many_requests"), 3, 3.0),
    (403, errors("too_many_requests"), None, 20.0),
    (403, errors(None, "Rate limit reached"), None, 20.0),
]
# What concerns one call: the step fails when all fail so.
SINGLE = [
    (400, errors("wrong_params", "No such thing"), "invalid_request", False, "(HTTP 400): No such thing."),
    (400, {"error": {"message": "No such thing"}}, "invalid_request", False, "(HTTP 400): No such thing."),
    (422, errors("refused", "Well-formed but refused"), "invalid_request", False, "(HTTP 422): Well-formed but"),
    (302, PAGE, "invalid_request", False, "(HTTP 302): no explanation given."),
    (408, PAGE, "service_unavailable", True, "Hunter has a problem at the moment (HTTP 408)."),
    (409, errors("in_flight"), "service_unavailable", True, "Hunter has a problem at the moment (HTTP 409)."),
    (500, errors("server_error"), "service_unavailable", True, "Hunter has a problem at the moment (HTTP 500)."),
    (502, PAGE, "service_unavailable", True, "Hunter has a problem at the moment (HTTP 502)."),
    (503, PAGE, "service_unavailable", True, "Hunter has a problem at the moment (HTTP 503)."),
    (200, PAGE, "bad_answer", True, "Hunter sent an answer that can't be read."),
    (200, {"data": None}, "bad_answer", True, "Hunter sent an answer that can't be read."),
    (204, None, "bad_answer", True, "Hunter gave no result (HTTP 204)."),
]


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(("status", "body", "code", "message"), STOPS)
async def test_what_no_other_call_can_escape_ends_the_step_for_good(
    tools, add_fault, tool, status, body, code, message
):
    await add_fault("/v2/account", 200, body={"data": {"reset_date": "2026-12-01"}})
    await add_fault("/v2/", status, body=body)

    result = (await call(tools, tool)).result

    assert (result.success, result.error_code, result.retryable) == (False, code, False)
    assert result.error_message == message


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(("status", "body", "retry_after", "seconds"), PAUSES)
async def test_a_rate_limit_pauses_the_attempt(tools, add_fault, tool, status, body, retry_after, seconds):
    await add_fault("/v2/", status, body=body, retryAfter=retry_after)

    result = (await call(tools, tool)).result

    # Busy is what the executor repeats without counting it as a failure.
    assert (result.error_code, result.retryable, result.error_message) == ("busy", True, TOO_FAST)
    assert result.retry_after_ms == pytest.approx(1000 * seconds, abs=900)


@pytest.mark.parametrize("tool", PARAMS)
@pytest.mark.parametrize(("status", "body", "code", "retryable", "says"), SINGLE)
async def test_failures_of_single_calls_fail_the_step_only_when_all_fail(
    tools, add_fault, tool, status, body, code, retryable, says
):
    await add_fault("/v2/", status, body=body)

    result = (await call(tools, tool)).result

    assert (result.error_code, result.retryable) == (code, retryable)
    assert (result.error_message or "").startswith("All ")
    assert says in (result.error_message or "")


@pytest.mark.parametrize("status", [202, 222])
async def test_a_search_that_is_no_200_is_no_result(tools, add_fault, status):
    await add_fault("/v2/domain-search", status, body={"data": {"emails": [{"value": "a@one.com"}]}})

    result = (await call(tools, "HUNTER_DOMAIN_LOOKUP")).result

    assert (result.error_code, result.retryable) == ("bad_answer", True)
    assert f"Hunter gave no result (HTTP {status})." in (result.error_message or "")


@pytest.mark.parametrize(
    ("requests", "code", "message"),
    [
        ({"credits": {"used": 550.0, "available": 550}}, "quota_exceeded", USED_UP),
        ({"credits": {"used": 550.5, "available": 550.5}}, "quota_exceeded", USED_UP),
        ({"searches": {"used": 10, "available": 10}}, "quota_exceeded", USED_UP),
        ({"credits": {"used": 549.5, "available": 550}}, "busy", TOO_FAST),
        ({"verifications": {"used": 10, "available": 10}}, "busy", TOO_FAST),
        (None, "busy", TOO_FAST),
    ],
)
async def test_a_429_that_names_no_cause_is_looked_up_in_the_account(tools, add_fault, requests, code, message):
    await add_fault("/v2/domain-search", 429, body=errors("usage"))
    await add_fault("/v2/account", 200, body={"data": {"reset_date": "2026-12-01", "requests": requests}})

    result = (await call(tools, "HUNTER_DOMAIN_LOOKUP")).result

    assert (result.error_code, result.error_message) == (code, message)
    assert result.retryable is (code == "busy")


@pytest.mark.parametrize("account", [{"status": 500}, {"status": 401}, {"status": 200, "body": PAGE}])
async def test_an_account_that_cannot_be_read_leaves_it_at_the_rate_limit(tools, add_fault, account):
    await add_fault("/v2/account", **account)
    await add_fault("/v2/", 429, body=PAGE)

    result = (await call(tools, "HUNTER_ENRICH")).result

    assert (result.error_code, result.retryable) == ("busy", True)


async def test_what_hunter_says_of_somebody_stands_in_no_error_with_their_address(tools, add_fault):
    await add_fault("/v2/", 422, body=errors("refused", "We don't know 'ada@one.com' <ada@one.com>"))

    result = (await call(tools, "HUNTER_DOMAIN_LOOKUP")).result

    assert "We don't know '[address]' <[address]>." in (result.error_message or "")


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
    for logger in (None, "httpx", "httpcore"):
        caplog.set_level(logging.DEBUG, logger)
    await call(tools, tool)
    await add_fault("/v2/", 422, body=errors("refused", f"the key {KEY} may not do this"))

    result = (await call(tools, tool)).result

    assert "the key [API key] may not do this" in (result.error_message or "")
    assert {"httpx", "httpcore.http11"} <= {record.name for record in caplog.records}
    assert KEY not in caplog.text
    assert not [record for record in caplog.records if KEY in repr(vars(record))]


async def test_the_key_stands_in_no_repr(tools):
    settings = load_settings(LookupSettings)
    api = HunterApi(settings)
    shown = [settings, api, vars(api), *vars(api).values(), *(vars(one) for one in api.limits.values()), tools]
    await api.aclose()

    assert KEY not in " ".join(map(repr, shown))


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
