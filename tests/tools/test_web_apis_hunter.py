"""What Hunter's failed answers mean, held against its documentation and its own client."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr

from leadplan_web_apis.failed_answer import FailedAnswer
from leadplan_web_apis.hunter_account import Account
from leadplan_web_apis.hunter_connection import HunterConnection
from leadplan_web_apis.hunter_errors import HunterCallError, HunterOutcome, HunterRefusal
from leadplan_web_apis.hunter_settings import HunterSettings

PAGE = "<html>a web page</html>"


def entry(id_: Any, details: Any = None) -> dict[str, Any]:
    return {"errors": [{"id": id_, "code": 0, "details": details}]}


def refusal(status: int, body: Any = PAGE, retry_after: float | None = None) -> HunterRefusal:
    text = body if isinstance(body, str) else json.dumps(body)
    return HunterRefusal.read(FailedAnswer(status, retry_after, text.encode()))


MEANINGS = [
    (302, PAGE, HunterOutcome.REFUSED),
    (400, entry("wrong_params"), HunterOutcome.REFUSED),
    (401, entry("authentication_failed"), HunterOutcome.KEY_REFUSED),
    (402, PAGE, HunterOutcome.QUOTA_USED_UP),
    (403, entry("no_discover_access"), HunterOutcome.NO_PERMISSION),
    (403, PAGE, HunterOutcome.NO_PERMISSION),
    (403, entry("too_many_requests"), HunterOutcome.TOO_FAST),
    (403, entry(None, "You have reached the Rate Limit"), HunterOutcome.TOO_FAST),
    (404, entry("not_found"), HunterOutcome.NOTHING_FOUND),
    (404, {"errors": []}, HunterOutcome.NOTHING_FOUND),
    (404, PAGE, HunterOutcome.NO_SUCH_API),
    (404, {"detail": "another API's JSON"}, HunterOutcome.NO_SUCH_API),
    (404, {"error": {"id": "not_found"}}, HunterOutcome.NOTHING_FOUND),
    (403, {"error": {"id": "too_many_requests"}}, HunterOutcome.TOO_FAST),
    (403, {"error": "Rate limit reached"}, HunterOutcome.TOO_FAST),
    (408, PAGE, HunterOutcome.UNAVAILABLE),
    (409, entry("idempotency_key_in_flight"), HunterOutcome.IN_FLIGHT),
    (422, entry("validation_failed"), HunterOutcome.NOT_PROCESSABLE),
    (429, entry("usage"), HunterOutcome.TOO_FAST),
    (451, entry("claimed_email"), HunterOutcome.OBJECTED),
    (500, PAGE, HunterOutcome.UNAVAILABLE),
    (599, PAGE, HunterOutcome.UNAVAILABLE),
]


@pytest.mark.parametrize(("status", "body", "outcome"), MEANINGS)
def test_each_answer_has_one_meaning(status, body, outcome):
    assert refusal(status, body).outcome is outcome


def test_the_table_above_shows_every_outcome():
    assert {outcome for _, _, outcome in MEANINGS} == set(HunterOutcome)


@pytest.mark.parametrize("outcome", HunterOutcome)
def test_each_outcome_has_a_code_and_a_sentence_without_gaps(outcome):
    error = HunterCallError(outcome, refusal(400, entry("x", "Odd {braces} of Hunter")))
    assert error.code
    assert error.code.replace("_", "").isalpha()
    assert error.message.endswith(".")
    assert "{" not in error.message.replace("{braces}", "")


@pytest.mark.parametrize(
    ("outcome", "named", "retryable", "wait"),
    [
        (HunterOutcome.TOO_FAST, None, True, 20.0),
        (HunterOutcome.TOO_FAST, 0.0, True, 1.0),
        (HunterOutcome.TOO_FAST, 9.0, True, 9.0),
        (HunterOutcome.IN_FLIGHT, None, True, 2.0),
        (HunterOutcome.IN_FLIGHT, 5.0, True, 5.0),
        (HunterOutcome.UNAVAILABLE, None, True, None),
        (HunterOutcome.UNAVAILABLE, 3.0, True, 3.0),
        *[
            (outcome, 9.0, False, None)
            for outcome in HunterOutcome
            if outcome not in {HunterOutcome.TOO_FAST, HunterOutcome.IN_FLIGHT, HunterOutcome.UNAVAILABLE}
        ],
    ],
)
def test_what_passes_is_repeatable_and_says_when(outcome, named, retryable, wait):
    error = HunterCallError(outcome, refusal(400, retry_after=named))
    assert (error.retryable, error.retry_after) == (retryable, wait)


@pytest.mark.parametrize(
    ("body", "explanation"),
    [
        (entry("wrong_params", "Bad limit."), "Bad limit."),
        (entry("wrong_params", "Bad limit"), "Bad limit."),
        (entry("wrong_params"), "wrong_params."),
        (entry(5, ["odd"]), "no explanation given."),
        ({"errors": ["odd", {"id": "second"}]}, "second."),
        ({"errors": "odd"}, "no explanation given."),
        ({"error": {"details": "Bad limit"}}, "Bad limit."),
        ({"error": {"message": "Bad limit"}}, "Bad limit."),
        ({"error": "Bad limit"}, "Bad limit."),
        ({"error": None}, "no explanation given."),
        (entry(None, "Bad\n  limit"), "Bad limit."),
        (entry(None, "'ada@acme.com' is odd"), "'[address]' is odd."),
        (entry(None, "x" * 2000), "x" * 500 + "."),
        (PAGE, "no explanation given."),
    ],
)
def test_hunters_own_words_are_the_explanation(body, explanation):
    assert refusal(400, body).explanation == explanation
    assert explanation in HunterCallError(HunterOutcome.REFUSED, refusal(400, body)).message


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "open_"),
    [
        (429, PAGE, None, True),
        (429, entry("usage"), None, True),
        (429, PAGE, 0.0, False),
        (429, entry("too_many_requests"), None, False),
        (402, PAGE, None, False),
        (403, PAGE, None, False),
    ],
)
def test_only_a_429_that_names_no_cause_leaves_it_open(status, body, retry_after, open_):
    assert refusal(status, body, retry_after).may_be_quota is open_


EMPTY = {"used": 550.0, "available": 550}
LEFT = {"used": 549.5, "available": 550}


@pytest.mark.parametrize(
    ("requests", "searches", "verifications"),
    [
        ({"credits": EMPTY}, True, True),
        ({"credits": LEFT, "searches": EMPTY, "verifications": EMPTY}, False, False),
        ({"searches": EMPTY, "verifications": LEFT}, True, False),
        ({"searches": LEFT, "verifications": EMPTY}, False, True),
        ({"credits": {"used": 550}}, False, False),
        ({"credits": "none left"}, False, False),
        ({}, False, False),
        (None, False, False),
    ],
)
def test_an_allowance_is_used_up_only_when_both_numbers_say_so(requests, searches, verifications):
    account = Account.model_validate({"requests": requests})
    assert (account.is_used_up("searches"), account.is_used_up("verifications")) == (searches, verifications)


@pytest.fixture
async def hunter(sandbox_url: str) -> AsyncIterator[HunterConnection]:
    connection = HunterConnection(HunterSettings(api_key=SecretStr("sandbox-hunter-key"), base_url=f"{sandbox_url}/v2"))
    yield connection
    await connection.aclose()


@pytest.mark.parametrize("status", [200, 202, 222])
async def test_any_2xx_is_an_answer(hunter, add_fault, status):
    await add_fault("/v2/email-verifier", status, body={"data": {}})
    assert (await hunter.call("GET", "/email-verifier")).status_code == status


@pytest.mark.parametrize(
    ("allowance", "outcome", "retryable"),
    [
        ("searches", HunterOutcome.TOO_FAST, True),
        ("verifications", HunterOutcome.QUOTA_USED_UP, False),
    ],
)
async def test_an_open_429_is_decided_by_the_allowance_in_the_account(hunter, add_fault, allowance, outcome, retryable):
    requests = {"searches": LEFT, "verifications": EMPTY}
    await add_fault("/v2/email-verifier", 429, body=entry("usage"))
    await add_fault("/v2/account", 200, body={"data": {"reset_date": "2026-12-01", "requests": requests}})

    with pytest.raises(HunterCallError) as raised:
        await hunter.call("GET", "/email-verifier", allowance=allowance)

    assert (raised.value.outcome, raised.value.retryable) == (outcome, retryable)
    assert ("It is renewed on 2026-12-01." in raised.value.message) is (outcome is HunterOutcome.QUOTA_USED_UP)


@pytest.mark.parametrize("account", [{"status": 500}, {"status": 200, "body": PAGE}, {"status": 401}])
async def test_an_account_that_cannot_be_had_leaves_it_at_the_rate_limit(hunter, add_fault, account):
    await add_fault("/v2/domain-search", 429, body=PAGE)
    await add_fault("/v2/account", **account)

    with pytest.raises(HunterCallError) as raised:
        await hunter.call("GET", "/domain-search")

    assert (raised.value.outcome, raised.value.retry_after) == (HunterOutcome.TOO_FAST, 20.0)


@pytest.mark.parametrize(
    ("account", "renewed"),
    [
        ({"reset_date": "2026-12-01"}, " It is renewed on 2026-12-01."),
        ({"reset_date": "2026-12-01T00:00:00Z"}, " It is renewed on 2026-12-01."),
        ({"reset_date": "soon"}, ""),
        ({}, ""),
    ],
)
async def test_a_used_up_allowance_says_when_it_is_renewed(hunter, add_fault, account, renewed):
    await add_fault("/v2/domain-search", 402)
    await add_fault("/v2/account", 200, body={"data": account})

    with pytest.raises(HunterCallError) as raised:
        await hunter.call("GET", "/domain-search")

    assert raised.value.message == f"This month's allowance of the Hunter plan is used up.{renewed}"


async def test_a_429_that_names_its_cause_asks_no_account(hunter, add_fault, requests_to):
    await add_fault("/v2/domain-search", 429, retryAfter=4)

    with pytest.raises(HunterCallError) as raised:
        await hunter.call("GET", "/domain-search")

    assert (raised.value.outcome, raised.value.retry_after) == (HunterOutcome.TOO_FAST, 4.0)
    assert await requests_to("/v2/account") == []
