"""EMAIL_SEQUENCE_SETUP against the sandbox's Hunter."""

import httpx
import pytest

from leadplan_email_sequence.api import SequencesApi
from leadplan_email_sequence.errors import SequenceError
from leadplan_email_sequence.models import SequenceParams
from leadplan_email_sequence.responder import responder
from leadplan_email_sequence.selection import Selection
from leadplan_email_sequence.setup import set_up_sequence
from leadplan_responder import ConfigurationError
from leadplan_responder.testing import call_tool
from leadplan_sandbox import serving
from leadplan_web_apis.hunter_settings import HunterSettings
from leadplan_web_apis.settings import load_settings

KEY = "sandbox-hunter-key"
PARAMS = {"sourceStepId": "save", "sequenceId": 42}


@pytest.fixture(scope="module")
def sandbox_url():
    with serving() as url:
        yield url


@pytest.fixture
def sandbox(sandbox_url):
    with httpx.Client(base_url=sandbox_url, headers={"X-API-KEY": KEY}) as client:
        client.post("/admin/reset").raise_for_status()
        yield client


@pytest.fixture
async def tool(sandbox, sandbox_url, monkeypatch):
    monkeypatch.setenv("HUNTER_API_KEY", KEY)
    monkeypatch.setenv("HUNTER_BASE_URL", f"{sandbox_url}/v2")
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


def saved(*emails, is_new=True, status="valid"):
    leads = [
        {"leadId": f"lead_{email}", "email": email, "verificationStatus": status, "isNew": is_new} for email in emails
    ]
    return {"listId": "l1", "listName": "Leeds", "leadsNew": len(emails), "leadsUpdated": 0, "leads": leads}


def numbered(count):
    return [f"lead{number}@sandbox.example" for number in range(count)]


async def set_up(tool, data, **params):
    return await call_tool(tool, "EMAIL_SEQUENCE_SETUP", PARAMS | params, prior_results={"save": data})


def recipients(sandbox, sequence=42):
    listed = sandbox.get(f"/v2/sequences/{sequence}/recipients", params={"limit": 100}).json()
    return [recipient["email"] for recipient in listed["data"]["recipients"]]


def requests(sandbox):
    return [(one["method"], one["path"]) for one in sandbox.get("/admin/requests").json()["requests"]]


def status(sandbox):
    return sandbox.get("/v2/sequences/42").json()["data"]["status"]


async def test_leads_get_into_the_sequence_and_nothing_is_started(tool, sandbox):
    call = await set_up(tool, saved("ada@sandbox.example", "eva@sandbox.example"))
    assert call.data == {
        "sequenceId": 42,
        "recipientsAdded": 2,
        "alreadyIn": 0,
        "leftOut": [],
        "started": False,
        "note": "This step started nothing. A sequence that runs already mails the added leads all the same.",
    }
    assert requests(sandbox) == [("POST", "/v2/sequences/42/recipients")]
    assert recipients(sandbox) == ["ada@sandbox.example", "eva@sandbox.example"]
    assert status(sandbox) == "draft"


async def test_the_sequence_is_started_when_asked_for(tool, sandbox):
    call = await set_up(tool, saved("ada@sandbox.example"), start=True)
    assert call.data["started"] is True
    assert "note" not in call.data
    assert status(sandbox) == "active"


async def test_a_repeat_adds_nobody_twice_and_succeeds(tool, sandbox):
    leads = saved("ada@sandbox.example", "eva@sandbox.example")
    await set_up(tool, leads, start=True)
    again = await set_up(tool, leads, start=True)
    assert (again.data["recipientsAdded"], again.data["alreadyIn"], again.data["leftOut"]) == (0, 2, [])
    assert again.data["started"] is True
    assert recipients(sandbox) == ["ada@sandbox.example", "eva@sandbox.example"]


async def test_large_lists_go_in_batches_of_fifty_with_progress(tool, sandbox):
    call = await set_up(tool, saved(*numbered(120)))
    assert call.data["recipientsAdded"] == 120
    sent = [len(one["body"]["emails"]) for one in sandbox.get("/admin/requests").json()["requests"]]
    assert sent == [50, 50, 20]
    assert call.progress == [
        (pytest.approx(50 / 120), "50 of 120 leads"),
        (pytest.approx(100 / 120), "100 of 120 leads"),
        (1.0, "120 of 120 leads"),
    ]


async def test_everybody_left_out_is_named_with_the_reason(tool, sandbox):
    emails = [f"{name}@sandbox.example" for name in ("ada", "invalid", "bounced", "unsubscribed", "claimed")]
    data = saved(*emails)
    data["leads"] += saved("old@sandbox.example", is_new=False)["leads"]
    data["leads"] += saved("bad@sandbox.example", status="invalid")["leads"]
    call = await set_up(tool, data)
    assert call.data["recipientsAdded"] == 1
    assert {left["email"].partition("@")[0]: left["reason"] for left in call.data["leftOut"]} == {
        "old": "the lead isn't new",
        "bad": "its verification status is invalid",
        "invalid": "Hunter holds the address for invalid",
        "bounced": "mail to the address bounced before",
        "unsubscribed": "the person unsubscribed",
        "claimed": "the person asked Hunter not to process their data",
    }
    assert recipients(sandbox) == ["ada@sandbox.example"]


async def test_a_reason_that_is_not_documented_is_passed_on(tool, sandbox):
    body = {"data": {"recipients_added": 0, "skipped_recipients": [{"email": "a@b.co", "reason": "new_reason"}]}}
    sandbox.post("/admin/faults", json={"path": "/v2/sequences/42/recipients", "status": 201, "body": body})
    call = await set_up(tool, saved("a@b.co"))
    assert call.data["leftOut"] == [{"email": "a@b.co", "reason": "Hunter skipped it: new_reason"}]


@pytest.mark.parametrize("leads", [saved(), saved("old@sandbox.example", is_new=False)])
async def test_without_leads_nothing_is_called_and_nothing_fails(tool, sandbox, leads):
    call = await set_up(tool, leads, start=True)
    assert call.result.success
    assert (call.data["recipientsAdded"], call.data["started"]) == (0, False)
    assert call.data["note"] == "The sequence wasn't started, because none of these leads is in it."
    assert requests(sandbox) == []


async def test_a_failed_start_says_how_far_it_came_and_a_repeat_completes_it(tool, sandbox):
    leads = saved(*numbered(75))
    sandbox.post("/admin/faults", json={"path": "/v2/sequences/42/start", "status": 503, "times": 1})
    failed = await set_up(tool, leads, start=True)
    assert failed.result.success is False
    assert failed.result.retryable is True
    assert "75 leads are in the sequence, which isn't started." in failed.result.error_message
    done = await set_up(tool, leads, start=True)
    assert (done.data["recipientsAdded"], done.data["alreadyIn"], done.data["started"]) == (0, 75, True)


async def test_a_broken_off_batch_says_how_many_are_in(tool, sandbox):
    fault = {"path": "/v2/sequences/42/recipients", "method": "POST", "status": 503, "times": 1}

    async def break_the_next_batch(fraction, message):
        sandbox.post("/admin/faults", json=fault).raise_for_status()

    api = SequencesApi(load_settings(HunterSettings))
    try:
        params = SequenceParams(source_step_id="save", sequence_id=42)
        with pytest.raises(SequenceError, match="50 of 75 leads are in the sequence by now") as failure:
            await set_up_sequence(api, params, Selection(numbered(75), []), break_the_next_batch)
        assert failure.value.retryable
    finally:
        await api.aclose()
    call = await set_up(tool, saved(*numbered(75)))
    assert (call.data["recipientsAdded"], call.data["alreadyIn"]) == (25, 50)


async def test_the_key_goes_into_a_header_only(tool, sandbox):
    await set_up(tool, saved("ada@sandbox.example"))
    [request] = sandbox.get("/admin/requests").json()["requests"]
    assert "x-api-key" in request["headers"]
    assert request["query"] == {}


@pytest.mark.parametrize(
    "params",
    [
        {"sequenceId": 0},
        {"sequenceId": "forty-two"},
        {"verificationStatuses": []},
        {"verificationStatuses": ["good"]},
        {"sequence_name": "Outreach"},
    ],
)
async def test_wrong_params_are_refused(tool, params):
    call = await set_up(tool, saved("ada@sandbox.example"), **params)
    assert (call.result.error_code, call.result.retryable) == ("invalid_params", False)


async def test_a_missing_source_step_is_named(tool):
    call = await call_tool(tool, "EMAIL_SEQUENCE_SETUP", PARAMS)
    assert (call.result.error_code, call.result.retryable) == ("missing_source", False)
    assert "'save'" in call.result.error_message


def test_the_schema_names_the_wire_names_of_all_params(tool):
    served = tool.tools["EMAIL_SEQUENCE_SETUP"]
    assert served.effects == "idempotent"
    for name in ("sourceStepId", "sequenceId", "onlyNew", "verificationStatuses", "start"):
        assert f'"{name}"' in served.params_schema()


@pytest.mark.parametrize("key", [None, "", "  ", "two words", "käse"])
def test_a_missing_or_odd_key_is_one_clear_error_without_the_value(monkeypatch, key):
    monkeypatch.delenv("HUNTER_API_KEY", raising=False)
    if key is not None:
        monkeypatch.setenv("HUNTER_API_KEY", key)
    with pytest.raises(ConfigurationError, match=r"^HUNTER_API_KEY ") as failure:
        responder()
    assert not (key or "").strip() or key not in str(failure.value)


def test_a_wrong_address_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("HUNTER_API_KEY", KEY)
    monkeypatch.setenv("HUNTER_BASE_URL", "api.hunter.io")
    with pytest.raises(ConfigurationError, match="HUNTER_BASE_URL is no http or https address"):
        responder()
