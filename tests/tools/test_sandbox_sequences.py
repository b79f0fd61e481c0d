"""The Hunter stand-in's sequences and recipients."""

import httpx
import pytest

from leadplan_sandbox import SandboxSettings, build_app


@pytest.fixture
async def hunter():
    transport = httpx.ASGITransport(build_app(SandboxSettings()))
    headers = {"X-API-KEY": "sandbox-hunter-key"}
    async with httpx.AsyncClient(transport=transport, base_url="http://sandbox/v2", headers=headers) as client:
        yield client


def error_of(answer):
    [error] = answer.json()["errors"]
    return answer.status_code, error["id"]


async def add(hunter, *emails, to=42):
    return await hunter.post(f"/sequences/{to}/recipients", json={"emails": list(emails)})


async def test_sequences_are_listed_under_both_names(hunter):
    sequences = (await hunter.get("/sequences")).json()
    campaigns = (await hunter.get("/campaigns")).json()
    assert sequences["data"]["sequences"] == campaigns["data"]["campaigns"]
    assert sequences["data"]["sequences"][0] == {
        "id": 42, "name": "Outreach", "recipients_count": 0, "editable": True, "started": False, "archived": False,
        "paused": False,
    }  # fmt: skip
    started = (await hunter.get("/sequences", params={"started": "true"})).json()["data"]["sequences"]
    assert [sequence["id"] for sequence in started] == [45, 46, 47, 48, 49, 50, 51]
    page = (await hunter.get("/sequences", params={"limit": 1, "offset": 1})).json()["data"]["sequences"]
    assert [sequence["id"] for sequence in page] == [43]
    assert (await hunter.get("/sequences", params={"limit": 0})).status_code == 400


async def test_recipients_are_added_once_and_skipped_with_reasons(hunter):
    emails = [f"{name}@sandbox.example" for name in ("ada", "ada", "invalid", "bounced", "unsubscribed", "claimed")]
    answer = await add(hunter, *emails)
    assert answer.status_code == 201
    data = answer.json()["data"]
    assert data["recipients_added"] == 1
    assert [skipped["reason"] for skipped in data["skipped_recipients"]] == [
        "duplicate", "invalid", "bounced", "unsubscribed", "claimed",
    ]  # fmt: skip
    again = (await add(hunter, "ADA@sandbox.example", "ben@sandbox.example")).json()["data"]
    assert again["recipients_added"] == 1
    assert again["skipped_recipients"] == [{"email": "ada@sandbox.example", "reason": "duplicate"}]


@pytest.mark.parametrize(
    "content",
    [
        {"json": {"emails": "ada@sandbox.example"}},
        {"data": {"emails": "ada@sandbox.example"}},
        {"data": {"emails[]": ["ada@sandbox.example"]}},
    ],
)
async def test_recipients_come_as_json_or_as_a_form(hunter, content):
    answer = await hunter.post("/campaigns/42/recipients", **content)
    assert answer.json()["data"] == {"recipients_added": 1, "skipped_recipients": []}


async def test_one_bad_address_fails_the_whole_call(hunter):
    assert error_of(await add(hunter, "ada@sandbox.example", "no address")) == (400, "invalid_email")
    assert (await hunter.get("/sequences/42")).json()["data"]["recipients_count"] == 0


async def test_a_call_takes_fifty_addresses(hunter):
    emails = [f"lead{number}@sandbox.example" for number in range(51)]
    assert error_of(await add(hunter, *emails)) == (400, "wrong_params")
    assert (await add(hunter, *emails[:50])).json()["data"]["recipients_added"] == 50


@pytest.mark.parametrize(
    ("body", "expected"),
    [({}, (400, "wrong_params")), ({"emails": 5}, (400, "wrong_params")), ({"lead_ids": [1]}, (404, "not_found"))],
)
async def test_wrong_bodies_are_refused(hunter, body, expected):
    assert error_of(await hunter.post("/sequences/42/recipients", json=body)) == expected
    assert (await hunter.post("/sequences/42/recipients", content=b"[")).status_code == 400


async def test_recipients_are_listed_without_a_total(hunter):
    await add(hunter, "ada@sandbox.example", "ben@sandbox.example", "eva@sandbox.example")
    answer = (await hunter.get("/sequences/42/recipients", params={"limit": 2, "offset": 1})).json()
    assert [recipient["email"] for recipient in answer["data"]["recipients"]] == [
        "ben@sandbox.example", "eva@sandbox.example",
    ]  # fmt: skip
    assert answer["meta"] == {"limit": 2, "offset": 1}


async def test_recipients_can_be_taken_out(hunter):
    await add(hunter, "ada@sandbox.example", "ben@sandbox.example")
    body = {"emails": ["ada@sandbox.example", "eva@sandbox.example"]}
    answer = await hunter.request("DELETE", "/sequences/42/recipients", json=body)
    assert answer.status_code == 201
    assert answer.json()["data"] == {"recipients_canceled": ["ada@sandbox.example"], "messages_canceled": 0}
    assert (await hunter.get("/sequences/42")).json()["data"]["recipients_count"] == 1


async def test_a_sequence_starts_when_it_has_recipients_and_a_repeat_is_harmless(hunter):
    assert error_of(await hunter.post("/sequences/42/start", json={})) == (422, "validation_failed")
    await add(hunter, "ada@sandbox.example")
    first = await hunter.post("/sequences/42/start", json={})
    assert (first.status_code, first.json()["data"]["recipients_count"]) == (200, 1)
    assert (await hunter.get("/sequences/42")).json()["data"]["status"] == "active"
    again = await hunter.post("/campaigns/42/start", json={})
    assert (again.status_code, again.json()["data"]["message"]) == (200, "Sequence already started.")


async def test_a_sequence_without_content_never_starts(hunter):
    await add(hunter, "ada@sandbox.example", to=43)
    answer = await hunter.post("/sequences/43/start", json={})
    assert error_of(answer) == (422, "validation_failed")
    assert "no content" in answer.text


async def test_a_colleagues_sequence_is_forbidden_and_an_unknown_one_not_found(hunter):
    for path in ("recipients", "start"):
        assert error_of(await hunter.post(f"/sequences/44/{path}", json={})) == (403, "forbidden")
        assert error_of(await hunter.post(f"/sequences/999/{path}", json={})) == (404, "not_found")
    assert error_of(await hunter.get("/sequences/999")) == (404, "not_found")


async def mails(hunter, **query):
    messages = (await hunter.get("/messages", params=query)).raise_for_status().json()["data"]["messages"]
    return [(message["sequence_id"], message["recipient_email"]) for message in messages]


async def test_a_start_mails_everybody_once_and_a_running_sequence_mails_at_once(hunter):
    await add(hunter, "ada@sandbox.example")
    assert await mails(hunter) == []
    for _ in range(2):
        await hunter.post("/sequences/42/start", json={})
    assert await mails(hunter) == [(42, "ada@sandbox.example")]
    await add(hunter, "ben@sandbox.example", "ada@sandbox.example")
    await add(hunter, "eva@sandbox.example", to=45)
    assert await mails(hunter, sequence_id=42) == [(42, "ada@sandbox.example"), (42, "ben@sandbox.example")]
    assert await mails(hunter, limit=1, offset=2) == [(45, "eva@sandbox.example")]
    assert await mails(hunter, direction="incoming") == []
    assert error_of(await hunter.get("/messages", params={"status": "sent"})) == (400, "wrong_params")


async def test_who_is_taken_out_before_the_start_gets_no_mail_and_who_comes_back_gets_another(hunter):
    both = {"emails": ["ada@sandbox.example"]}
    await add(hunter, "ada@sandbox.example", "ben@sandbox.example")
    await hunter.request("DELETE", "/sequences/42/recipients", json=both)
    await hunter.post("/sequences/42/start", json={})
    assert await mails(hunter) == [(42, "ben@sandbox.example")]
    for _ in range(2):
        await add(hunter, "ada@sandbox.example")
        await hunter.request("DELETE", "/sequences/42/recipients", json=both)
    assert (await mails(hunter)).count((42, "ada@sandbox.example")) == 2


async def test_a_paused_sequence_mails_when_it_is_resumed(hunter):
    await add(hunter, "ada@sandbox.example")
    assert error_of(await hunter.post("/sequences/42/pause")) == (422, "sequence_not_started")
    await hunter.post("/sequences/42/start", json={})
    for _ in range(2):
        paused = await hunter.post("/sequences/42/pause")
        assert (paused.status_code, paused.json()["data"]) == (200, {"id": 42, "paused": True})
    assert (await hunter.get("/sequences/42")).json()["data"]["status"] == "paused"
    await add(hunter, "ben@sandbox.example")
    assert await mails(hunter) == [(42, "ada@sandbox.example")]
    resumed = await hunter.request("DELETE", "/sequences/42/pause")
    assert (resumed.status_code, resumed.json()["data"]) == (200, {"id": 42, "paused": False})
    assert await mails(hunter) == [(42, "ada@sandbox.example"), (42, "ben@sandbox.example")]
    assert error_of(await hunter.request("DELETE", "/sequences/46/pause")) == (422, "validation_failed")
    assert error_of(await hunter.post("/sequences/48/pause")) == (422, "sequence_not_active")


async def test_an_archived_sequence_takes_nobody_in(hunter):
    for _ in range(2):
        archived = await hunter.post("/sequences/42/archive")
        assert (archived.status_code, archived.json()["data"]) == (200, {"id": 42, "archived": True})
    assert error_of(await add(hunter, "ada@sandbox.example")) == (422, "sequence_not_active")
    listed = (await hunter.get("/sequences", params={"archived": "true"})).json()["data"]["sequences"]
    assert [sequence["id"] for sequence in listed] == [42, 47]


@pytest.mark.parametrize("call", [("POST", "pause"), ("DELETE", "pause"), ("POST", "archive")])
async def test_a_colleagues_sequence_cant_be_paused_resumed_or_archived(hunter, call):
    method, what = call
    assert error_of(await hunter.request(method, f"/sequences/44/{what}")) == (404, "not_found")


async def test_there_is_a_sequence_in_every_status(hunter):
    listed = (await hunter.get("/sequences", params={"limit": 100})).json()["data"]["sequences"]
    statuses = {(await hunter.get(f"/sequences/{one['id']}")).json()["data"]["status"] for one in listed}
    assert statuses == {"draft", "planned", "active", "paused", "completed", "archived", "preparing", "error"}


async def test_without_a_sender_nothing_starts(hunter):
    await add(hunter, "ada@sandbox.example", to=53)
    answer = await hunter.post("/sequences/53/start", json={})
    assert error_of(answer) == (422, "validation_failed")
    assert "no email account is connected" in answer.text
    assert (await hunter.get("/sequences/53")).json()["data"]["email_account_ids"] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/messages"), ("GET", "/sequences/42"), ("POST", "/sequences/42/pause"),
        ("DELETE", "/sequences/42/pause"), ("POST", "/sequences/42/archive"), ("POST", "/sequences/42/start"),
        ("POST", "/sequences/42/recipients"), ("GET", "/campaigns/42/recipients"),
    ],
)  # fmt: skip
async def test_every_call_needs_the_key(hunter, method, path):
    answer = await hunter.request(method, path, headers={"X-API-KEY": "wrong"})
    assert error_of(answer) == (401, "authentication_failed")
