"""What EMAIL_SEQUENCE_SETUP makes of Hunter's errors and of the database's: code, repeatable or not, and words."""

import socket

import httpx
import pytest
from sequence_sandbox import numbered, saved, sequence_sandbox
from sqlalchemy import make_url, text

from leadplan_email_sequence.responder import responder
from leadplan_leads.database import open_database
from leadplan_leads.outreach import Claimant, outreach_to
from leadplan_leads.transactions import reading
from leadplan_responder.testing import call_tool

ADA = "ada@sandbox.example"
LOOKING, ADDING, STARTING = "/v2/sequences/42", "/v2/sequences/42/recipients", "/v2/sequences/42/start"


@pytest.fixture
def hunter(sandbox_server):
    with sequence_sandbox(sandbox_server) as sandbox:
        yield sandbox


@pytest.fixture
def database(leads_database_in_a_file):
    engine = open_database(leads_database_in_a_file)
    yield engine
    engine.dispose()


@pytest.fixture
async def set_up(hunter, database, monkeypatch):
    served = {}

    async def call(*emails, sequence_id=42, start=False, **environment):
        settings = {**hunter.environment, "LEADPLAN_LEADS_DATABASE_URL": str(database.url), **environment}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        tool = served.get(str(settings)) or responder()
        served[str(settings)] = tool
        params = {"sourceStepId": "save", "sequenceId": sequence_id, "start": start}
        leads = saved(*(emails or [ADA]))
        outcome = await call_tool(tool, "EMAIL_SEQUENCE_SETUP", params, prior_results={"save": leads})
        said = outcome.result.error_message or ""
        assert settings["HUNTER_API_KEY"] not in said
        assert "@sandbox.example" not in said
        return outcome.result

    yield call
    for one in served.values():
        for stop in one.on_stop:
            await stop()


def ledger(database):
    with reading(database) as connection:
        entries = outreach_to(connection, "acct_test", [ADA, *numbered(200)])
    return [str(one.state) for some in entries.values() for one in some]


def error_body(error_id, details="Details of Hunter"):
    return {"errors": [{"id": error_id, "code": 0, "details": details}]}


async def test_a_wrong_key_names_the_variable(set_up):
    result = await set_up(HUNTER_API_KEY="wrong-key-of-somebody")
    assert (result.error_code, result.retryable) == ("invalid_api_key", False)
    assert "HUNTER_API_KEY" in result.error_message


async def test_an_unknown_sequence_is_named(set_up):
    result = await set_up(sequence_id=999)
    assert (result.error_code, result.retryable) == ("unknown_sequence", False)
    assert "999" in result.error_message


async def test_a_base_address_without_hunter_names_the_variable(set_up, hunter):
    result = await set_up(HUNTER_BASE_URL=f"{hunter.url}/v3")
    assert (result.error_code, result.retryable) == ("not_found", False)
    assert "HUNTER_BASE_URL" in result.error_message


NOTHING_DONE = [
    ({"status": 400}, "invalid_request"),
    ({"status": 401}, "invalid_api_key"),
    ({"status": 402}, "quota_exceeded"),
    ({"status": 403}, "access_denied"),
    ({"status": 404}, "unknown_sequence"),
    ({"status": 404, "body": {"errors": []}}, "unknown_sequence"),
    ({"status": 404, "body": "<html>404</html>"}, "not_found"),
    ({"status": 422}, "sequence_not_ready"),
    ({"status": 302, "body": "moved"}, "invalid_request"),
    ({"status": 451, "body": error_body("other")}, "objected"),
]
"""Answers that are final, and that say for sure that nothing was done."""

IN_DOUBT = [
    ({"status": 408}, "service_unavailable", None),
    ({"status": 409}, "in_flight", 2_000),
    ({"status": 409, "retryAfter": 5}, "in_flight", 5_000),
    ({"status": 500}, "service_unavailable", None),
    ({"status": 502, "body": "<html>Bad gateway</html>"}, "service_unavailable", None),
    ({"status": 503, "retryAfter": 9}, "service_unavailable", 9_000),
    ({"status": 201, "body": "no json"}, "bad_answer", None),
    ({"status": 201, "body": {"data": {}}}, "bad_answer", None),
    ({"status": 204}, "bad_answer", None),
]
"""Answers after which the call may have been done all the same; the step is repeated."""

TOO_FAST = [
    ({"status": 403, "body": error_body("too_many_requests")}, 20),
    ({"status": 403, "body": error_body("x", "The rate limit is reached")}, 20),
    ({"status": 429}, 20),
    ({"status": 429, "retryAfter": 7}, 7),
    ({"status": 429, "body": error_body("usage")}, 20),
]
"""Answers that ask for a pause, with its seconds: all who use the key wait, and no attempt is counted."""


@pytest.mark.parametrize("path", [LOOKING, ADDING, STARTING])
@pytest.mark.parametrize(("fault", "code"), NOTHING_DONE)
async def test_a_final_refusal_of_any_call_ends_the_step_and_gives_up_what_was_not_added(
    hunter, set_up, database, path, fault, code
):
    hunter.fault(path, **fault)
    result = await set_up(start=True)
    assert (result.error_code, result.retryable, result.retry_after_ms) == (code, False, None)
    assert result.error_message.endswith(".")
    hunter.mend()
    assert hunter.recipients() == ([ADA] if path == STARTING else [])
    assert ledger(database) == (["added"] if path == STARTING else [])
    assert not hunter.mailed()


@pytest.mark.parametrize("path", [LOOKING, ADDING, STARTING])
@pytest.mark.parametrize(("fault", "code", "retry_after_ms"), IN_DOUBT)
async def test_an_answer_that_leaves_open_what_was_done_is_repeated_without_harm(
    hunter, set_up, database, path, fault, code, retry_after_ms
):
    hunter.fault(path, **fault)
    result = await set_up(start=True)
    assert (result.error_code, result.retryable, result.retry_after_ms) == (code, True, retry_after_ms)
    assert result.error_message.endswith(".")
    assert ledger(database) == {LOOKING: [], ADDING: ["asked"], STARTING: ["added"]}[path]
    hunter.mend()
    assert (await set_up(start=True)).success
    assert (hunter.recipients(), hunter.mailed(), ledger(database)) == ([ADA], {ADA: 1}, ["added"])


@pytest.mark.parametrize("path", [LOOKING, ADDING, STARTING])
@pytest.mark.parametrize(("fault", "seconds"), TOO_FAST)
async def test_a_rate_limit_holds_all_who_use_the_key_and_costs_no_attempt(
    hunter, set_up, database, path, fault, seconds
):
    hunter.fault(path, **fault)
    result = await set_up(start=True)
    assert (result.error_code, result.retryable) == ("busy", True)
    assert 0 < result.retry_after_ms <= seconds * 1000
    assert ledger(database) == {LOOKING: [], ADDING: ["claimed"], STARTING: ["added"]}[path]


async def test_hunters_words_are_passed_on_without_the_key(hunter, set_up):
    hunter.fault(ADDING, status=400, body=error_body("wrong_params", f"Odd emails, key {hunter.key}"))
    assert "Odd emails, key [API key]." in (await set_up()).error_message


async def test_an_address_that_hunter_quotes_stands_in_no_error(hunter, set_up):
    hunter.fault(ADDING, status=422, body=error_body("x", f"The recipient '{ADA}' (and b@sandbox.example) can't be."))
    assert "The recipient '[address]' (and [address]) can't be." in (await set_up()).error_message


async def test_an_undecided_429_asks_the_account_and_may_be_the_quota(sandbox_server, set_up):
    with sequence_sandbox(sandbox_server, hunter_credits=0) as hunter:
        hunter.fault(ADDING, status=429, body=error_body("usage"))
        result = await set_up(**hunter.environment)
    assert (result.error_code, result.retryable) == ("quota_exceeded", False)
    assert "It is renewed on " in result.error_message


async def test_a_server_that_is_down_is_repeatable(set_up):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    result = await set_up(HUNTER_BASE_URL=f"http://127.0.0.1:{port}/v2")
    assert (result.error_code, result.retryable) == ("network_error", True)
    assert "127.0.0.1" in result.error_message


@pytest.mark.parametrize("path", [LOOKING, ADDING, STARTING])
async def test_a_server_that_says_nothing_is_repeatable(hunter, set_up, monkeypatch, path):
    monkeypatch.setattr("leadplan_web_apis.connection._TIMEOUT", httpx.Timeout(5, read=0.2))
    hunter.fault(path, method="GET" if path == LOOKING else "POST", delayMs=2_000)
    result = await set_up(start=True)
    assert (result.error_code, result.retryable) == ("api_timeout", True)


async def test_a_broken_off_batch_says_how_many_are_in_and_the_rest_waits_for_the_next_attempt(
    hunter, set_up, database
):
    """Of the second batch Hunter had taken everybody, and only its answer was bad."""
    first, second, third = numbered(50), numbered(50, 50), numbered(20, 100)
    hunter.add(*second)
    hunter.forget_requests()
    hunter.fault("/v2/sequences/42/recipients", method="POST", status=503, times=1, after=1)
    result = await set_up(*first, *second, *third)
    assert result.error_message.endswith("50 leads of this step are in the sequence by now.")
    assert sorted(ledger(database)) == ["added"] * 50 + ["asked"] * 50 + ["claimed"] * 20
    done = await set_up(*first, *second, *third)
    assert done.success
    assert hunter.asked_to_add() == [first, second, third]


async def test_a_final_refusal_in_the_middle_gives_up_what_was_not_asked_for(hunter, set_up, database):
    hunter.fault("/v2/sequences/42/recipients", method="POST", status=402, times=1, after=1)
    result = await set_up(*numbered(120))
    assert (result.error_code, result.retryable) == ("quota_exceeded", False)
    assert result.error_message.endswith("50 leads of this step are in the sequence by now.")
    assert ledger(database) == ["added"] * 50


async def test_a_database_that_cannot_be_read_adds_nobody(hunter, set_up, database):
    assert (await set_up(sequence_id=52)).success
    with database.begin() as connection:
        connection.execute(text("ALTER TABLE suppressions RENAME TO gone"))
    result = await set_up(*numbered(3))
    assert result.success is False
    assert "nobody is added without a look at the suppression list" in result.error_message
    assert hunter.recipients() == []


async def test_a_database_that_is_locked_is_repeatable_and_adds_nobody(hunter, set_up, database):
    impatient = {"LEADPLAN_LEADS_LOCK_TIMEOUT_SECONDS": "0.1"}
    assert (await set_up(sequence_id=52, **impatient)).success
    with database.begin():
        result = await set_up(*numbered(3), **impatient)
    assert (result.error_code, result.retryable) == ("database_unavailable", True)
    assert hunter.recipients() == []


async def test_a_postgresql_that_is_down_is_repeatable_and_adds_nobody(hunter, set_up, postgres_cluster, postgres_url):
    environment = {"LEADPLAN_LEADS_DATABASE_URL": postgres_url}
    assert (await set_up(sequence_id=52, **environment)).success
    name = make_url(postgres_url).database
    postgres_cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    postgres_cluster.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    result = await set_up(*numbered(3), **environment)
    assert (result.error_code, result.retryable) == ("database_unavailable", True)
    assert hunter.recipients() == []
    postgres_cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert (await set_up(*numbered(3), **environment)).success
    assert hunter.recipients() == numbered(3)


async def test_a_database_that_fails_after_hunter_has_added_is_made_up_for(hunter, set_up, database):
    """What Hunter answered couldn't be noted: the next attempt looks it up, and nobody is asked for twice."""
    with database.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER broken BEFORE UPDATE OF state ON outreach WHEN NEW.state = 'added' "
                "BEGIN SELECT RAISE(ABORT, 'disk trouble'); END"
            )
        )
    assert (await set_up(start=True)).success is False
    assert (hunter.recipients(), ledger(database)) == ([ADA], ["asked"])
    with database.begin() as connection:
        connection.execute(text("DROP TRIGGER broken"))
    assert (await set_up(start=True)).success
    assert (hunter.asked_to_add(), hunter.mailed()) == ([[ADA]], {ADA: 1})
    with reading(database) as connection:
        [entry] = Claimant("acct_test", 42, "plan_test:step").entries(connection)
    assert (entry.email, entry.state, entry.reason) == (ADA, "added", None)
