"""EMAIL_SEQUENCE_SETUP against the sandbox's Hunter and a real lead database."""

from collections import Counter

import pytest
from sequence_sandbox import numbered, saved, saved_lead, sequence_sandbox
from sqlalchemy import select

from leadplan_email_sequence.responder import responder
from leadplan_leads.addresses import address_digest
from leadplan_leads.database import open_database
from leadplan_leads.objections import record_objections
from leadplan_leads.suppressions import list_suppressions, suppress
from leadplan_leads.tables import OutreachRow
from leadplan_leads.transactions import account_transaction, reading
from leadplan_responder import ConfigurationError
from leadplan_responder.testing import TEST_PLAN, TEST_USER, call_tool

ACCOUNT = "acct_test"
ADA, BEN, EVA = (f"{name}@sandbox.example" for name in ("ada", "ben", "eva"))


@pytest.fixture
def hunter(sandbox_server):
    with sequence_sandbox(sandbox_server) as sandbox:
        yield sandbox


@pytest.fixture
def database_url(leads_database_in_a_file):
    return leads_database_in_a_file


@pytest.fixture
def database(database_url):
    engine = open_database(database_url)
    yield engine
    engine.dispose()


@pytest.fixture
async def tool(hunter, database_url, monkeypatch):
    for name, value in {**hunter.environment, "LEADPLAN_LEADS_DATABASE_URL": database_url}.items():
        monkeypatch.setenv(name, value)
    served = responder()
    yield served
    for stop in served.on_stop:
        await stop()


async def set_up(tool, *leads, plan="plan_a", user=TEST_USER, **params):
    return await call_tool(
        tool,
        "EMAIL_SEQUENCE_SETUP",
        {"sourceStepId": "save", "sequenceId": 42} | params,
        prior_results={"save": saved(*leads)},
        plan={**TEST_PLAN, "id": plan},
        user=user,
    )


def reasons(call):
    return {left["email"].partition("@")[0]: left["reason"] for left in call.data["leftOut"]}


def outreach(database):
    with reading(database) as connection:
        rows = connection.execute(select(OutreachRow.email, OutreachRow.sequence_id, OutreachRow.state))
        return {(row.email, row.sequence_id): row.state for row in rows}


async def test_leads_get_into_the_sequence_and_nobody_is_mailed(tool, hunter, database):
    call = await set_up(tool, ADA, EVA)
    assert call.data == {
        "sequenceId": 42,
        "sequenceName": "Outreach",
        "recipientsAdded": 2,
        "alreadyIn": 0,
        "leftOut": [],
        "objectedLeftOut": 0,
        "started": False,
        "note": "Nobody is mailed yet: the sequence isn't started. Start it in Hunter, or run a step with start: true.",
    }
    assert hunter.recipients() == [ADA, EVA]
    assert hunter.status() == "draft"
    assert not hunter.mailed()
    assert outreach(database) == {(ADA, 42): "added", (EVA, 42): "added"}


async def test_what_is_asked_of_hunter(tool, hunter):
    await set_up(tool, ADA, start=True)
    asked = [(one["method"], one["path"], one["body"]) for one in hunter.requests()]
    assert asked == [
        ("GET", "/v2/sequences/42", None),
        ("POST", "/v2/sequences/42/recipients", {"emails": [ADA]}),
        ("POST", "/v2/sequences/42/start", {}),
    ]
    assert all("x-api-key" in one["headers"] and one["query"] == {} for one in hunter.requests())


async def test_the_sequence_is_started_when_asked_for(tool, hunter):
    call = await set_up(tool, ADA, start=True)
    assert call.data["started"] is True
    assert "note" not in call.data
    assert hunter.status() == "active"
    assert hunter.mailed() == {ADA: 1}


async def test_large_lists_go_in_batches_of_fifty_with_progress(tool, hunter):
    call = await set_up(tool, *numbered(120))
    assert call.data["recipientsAdded"] == 120
    assert [len(emails) for emails in hunter.asked_to_add()] == [50, 50, 20]
    assert call.progress == [
        (pytest.approx(50 / 120), "50 of 120 leads"),
        (pytest.approx(100 / 120), "100 of 120 leads"),
        (1.0, "120 of 120 leads"),
    ]


async def test_everybody_is_added_or_left_out_with_a_reason_or_counted_as_objected(tool, hunter):
    hunter.add("early@sandbox.example")
    names = ("ada", "early", "invalid", "bounced", "unsubscribed", "claimed")
    leads = [
        *(f"{name}@sandbox.example" for name in names),
        saved_lead("old@sandbox.example", is_new=False),
        saved_lead("bad@sandbox.example", status="invalid"),
        saved_lead("new@sandbox.example", status=None),
        "no address",
        ADA,
    ]
    call = await set_up(tool, *leads)
    assert reasons(call) == {
        "early": "already_in_sequence",
        "invalid": "invalid",
        "bounced": "bounced",
        "unsubscribed": "unsubscribed",
        "old": "not_new",
        "bad": "bad_verification_status",
        "new": "unverified",
        "no address": "no_address",
        "ada": "listed_twice",
    }
    assert all(left["explanation"] for left in call.data["leftOut"])
    assert (call.data["recipientsAdded"], call.data["alreadyIn"], call.data["objectedLeftOut"]) == (1, 1, 1)
    assert 1 + len(call.data["leftOut"]) + 1 == len(leads)
    assert hunter.recipients() == ["early@sandbox.example", ADA]


async def test_what_hunter_says_goes_onto_the_suppression_list_and_of_who_objected_nothing_stays(
    tool, hunter, database
):
    names = ("bounced", "unsubscribed", "claimed", "invalid", "ada")
    call = await set_up(tool, *(f"{name}@sandbox.example" for name in names))
    with reading(database) as connection:
        listed = {(one.address, one.reason) for one in list_suppressions(connection, ACCOUNT)}
        assert next(list_suppressions(connection, ACCOUNT, reason="objected")).digest == address_digest(
            "claimed@sandbox.example"
        )
    assert listed == {
        ("bounced@sandbox.example", "bounced"),
        ("unsubscribed@sandbox.example", "unsubscribed"),
        (None, "objected"),
    }
    assert "claimed@sandbox.example" not in {email for email, _ in outreach(database)}
    assert "claimed@" not in str(call.result)


async def test_suppression_is_read_at_that_moment_by_address_domain_and_digest(tool, hunter, database):
    with account_transaction(database, ACCOUNT) as connection:
        suppress(connection, ACCOUNT, [ADA], reason="asked")
        suppress(connection, ACCOUNT, ["customer.example"], reason="customer")
        record_objections(connection, ACCOUNT, [address_digest(EVA)])
    call = await set_up(tool, "Ada@Sandbox.example", BEN, EVA, "x@mail.customer.example", onlyNew=False)
    assert hunter.recipients() == [BEN]
    assert [(left["reason"], left["explanation"]) for left in call.data["leftOut"]] == [
        ("suppressed", "it is on the suppression list (asked)"),
        ("suppressed", "it is on the suppression list (customer)"),
    ]
    assert call.data["objectedLeftOut"] == 1
    assert "eva@" not in str(call.result)


async def test_suppressions_and_outreach_of_another_account_dont_count(tool, hunter, database):
    with account_transaction(database, "acct_other") as connection:
        suppress(connection, "acct_other", [ADA], reason="asked")
    assert (await set_up(tool, ADA)).data["recipientsAdded"] == 1


async def test_a_reason_that_is_not_documented_is_passed_on(tool, hunter):
    body = {"data": {"recipients_added": 0, "skipped_recipients": [{"email": ADA, "reason": "new_reason"}]}}
    hunter.fault(method="POST", status=201, body=body)
    call = await set_up(tool, ADA)
    assert call.data["leftOut"] == [
        {"email": ADA, "reason": "not_added", "explanation": "Hunter skipped it: new_reason"}
    ]


async def test_where_numbers_and_names_differ_the_sequence_itself_decides(tool, hunter):
    hunter.add(ADA)
    body = {"data": {"recipients_added": 1, "skipped_recipients": [{"email": None}]}}
    hunter.fault(method="POST", status=201, body=body)
    call = await set_up(tool, ADA, EVA)
    assert (call.data["recipientsAdded"], reasons(call)) == (1, {"eva": "not_added"})
    assert call.data["leftOut"][0]["explanation"] == "Hunter neither added it nor said why"


async def test_malformed_addresses_never_reach_hunter(tool, hunter):
    malformed = [
        "a b@sandbox.example",
        "a@b",
        "a..b@sandbox.example",
        ".a@sandbox.example",
        "a@-b.com",
        "é@b.com",
        "a@b.c0m",
    ]
    call = await set_up(tool, *malformed, ADA)
    assert hunter.asked_to_add() == [[ADA]]
    assert set(reasons(call).values()) == {"no_address"}
    assert len(call.data["leftOut"]) == len(malformed)


async def test_an_address_that_only_hunter_refuses_is_found_by_halves(tool, hunter):
    """The sandbox takes no top-level domain in ASCII form, which is a proper one elsewhere."""
    leads = [*numbered(30), "ada@xn--e1afmkfd.xn--p1ai", *numbered(10, first=30)]
    call = await set_up(tool, *leads)
    assert call.data["recipientsAdded"] == 40
    assert [(left["email"], left["reason"]) for left in call.data["leftOut"]] == [
        ("ada@xn--e1afmkfd.xn--p1ai", "invalid")
    ]
    assert sorted(hunter.recipients()) == sorted(numbered(40))
    asked = [tuple(emails) for emails in hunter.asked_to_add()]
    assert len(set(asked)) == len(asked) <= 2 * 6 + 1


async def test_a_batch_that_is_refused_for_somebody_who_objected_goes_on_without_them(tool, hunter, database):
    hunter.fault(method="POST", status=451, times=2)
    call = await set_up(tool, ADA, EVA)
    assert (call.data["recipientsAdded"], call.data["objectedLeftOut"]) == (1, 1)
    assert hunter.recipients() == [EVA]
    assert outreach(database) == {(EVA, 42): "added"}


@pytest.mark.parametrize("leads", [[], [saved_lead("old@sandbox.example", is_new=False)]])
async def test_without_leads_to_add_nothing_is_started_and_nothing_fails(tool, hunter, leads):
    call = await set_up(tool, *leads, start=True)
    assert (call.data["recipientsAdded"], call.data["started"]) == (0, False)
    assert call.data["note"] == "The sequence wasn't started, because nobody is in it."
    assert hunter.requests("POST") == []


async def test_a_draft_with_earlier_recipients_is_started_without_new_ones(tool, hunter):
    await set_up(tool, ADA)
    again = await set_up(tool, saved_lead(ADA, is_new=False), plan="plan_b", start=True)
    assert (again.data["recipientsAdded"], again.data["started"]) == (0, True)
    assert hunter.mailed() == {ADA: 1}


@pytest.mark.parametrize(("sequence", "status"), [(45, "active"), (50, "planned"), (51, "preparing")])
async def test_a_running_sequence_takes_nobody_without_start(tool, hunter, database, sequence, status):
    call = await set_up(tool, ADA, sequenceId=sequence)
    assert (call.result.error_code, call.result.retryable) == ("sequence_running", False)
    assert call.result.error_message == (
        f"Sequence {sequence} is {status}: Hunter would mail everybody at once who is added. Set start to true if that "
        "is what you want, or use a sequence that isn't started."
    )
    assert hunter.recipients(sequence) == []
    assert outreach(database) == {}


async def test_a_running_sequence_takes_leads_with_start_and_is_not_started_again(tool, hunter):
    call = await set_up(tool, ADA, sequenceId=45, start=True)
    assert (call.data["recipientsAdded"], call.data["started"]) == (1, True)
    assert (hunter.mailed(), hunter.starts()) == ({ADA: 1}, 0)


async def test_a_running_sequence_without_anybody_to_add_is_no_failure(tool):
    call = await set_up(tool, saved_lead(ADA, is_new=False), sequenceId=45)
    assert (call.data["started"], call.data["note"]) == (
        False, "The sequence runs already. This step added nobody to it.",
    )  # fmt: skip


async def test_a_planned_sequence_says_when_mails_go_out(tool):
    call = await set_up(tool, ADA, sequenceId=50, start=True)
    assert (call.data["started"], "when its date comes" in call.data["note"]) == (True, True)


@pytest.mark.parametrize("start", [True, False])
async def test_a_paused_sequence_takes_leads_and_mails_nobody(tool, hunter, start):
    call = await set_up(tool, ADA, sequenceId=46, start=start)
    assert (call.data["recipientsAdded"], call.data["started"]) == (1, False)
    assert "until somebody resumes it" in call.data["note"]
    assert (hunter.mailed(), hunter.starts()) == ({}, 0)


async def test_a_status_that_nobody_knows_may_mean_mails(tool, hunter):
    hunter.fault("/v2/sequences/42", method="GET", status=200, body={"data": {"status": "warming"}})
    refused = await set_up(tool, ADA)
    assert refused.result.error_code == "sequence_running"
    assert hunter.asked_to_add() == []


async def test_flags_that_say_more_than_the_status_count(tool, hunter):
    hunter.fault(
        "/v2/sequences/42", method="GET", status=200, times=1, body={"data": {"status": "draft", "started": True}}
    )
    assert (await set_up(tool, ADA)).result.error_code == "sequence_running"
    hunter.fault(
        "/v2/sequences/42", method="GET", status=200, times=1, body={"data": {"status": "draft", "archived": True}}
    )
    assert (await set_up(tool, ADA)).result.error_code == "sequence_archived"


@pytest.mark.parametrize(
    ("sequence", "code", "said"),
    [
        (47, "sequence_archived", "is archived"),
        (48, "sequence_completed", "has run to its end"),
        (49, "sequence_broken", "has an error"),
        (999, "unknown_sequence", "There is no sequence 999"),
    ],
)
async def test_a_sequence_that_cannot_be_used_fails_before_anybody_is_claimed(
    tool, hunter, database, sequence, code, said
):
    call = await set_up(tool, ADA, sequenceId=sequence, start=True)
    assert (call.result.error_code, call.result.retryable) == (code, False)
    assert said in call.result.error_message
    assert (hunter.requests("POST"), outreach(database)) == ([], {})


async def test_a_colleagues_sequence_is_refused_and_its_claims_are_given_up(tool, hunter, database):
    call = await set_up(tool, ADA, sequenceId=44)
    assert (call.result.error_code, call.result.retryable) == ("access_denied", False)
    assert "belongs to another member of your team" in call.result.error_message
    assert outreach(database) == {}
    assert (await set_up(tool, ADA, plan="plan_b")).data["recipientsAdded"] == 1


async def test_more_than_max_recipients_adds_nobody_and_says_both_numbers(tool, hunter, database):
    call = await set_up(tool, *numbered(4), maxRecipients=3)
    assert (call.result.error_code, call.result.retryable) == ("too_many_recipients", False)
    assert "4 leads are to be added, and maxRecipients allows 3." in call.result.error_message
    assert (hunter.requests("POST"), outreach(database)) == ([], {})
    assert (await set_up(tool, *numbered(4), plan="plan_b", maxRecipients=4)).result.success


@pytest.mark.parametrize(("sequence", "said"), [(43, "its first email has no content"), (53, "no email account")])
async def test_a_sequence_that_cannot_start_says_what_is_in_and_a_later_plan_starts_it(tool, hunter, sequence, said):
    call = await set_up(tool, ADA, EVA, sequenceId=sequence, start=True)
    assert (call.result.error_code, call.result.retryable) == ("sequence_not_ready", False)
    assert said in call.result.error_message
    assert "2 leads of this step are in the sequence, which isn't started." in call.result.error_message
    assert hunter.recipients(sequence) == [ADA, EVA]


async def test_a_failed_start_is_made_up_for_by_the_next_attempt(tool, hunter):
    hunter.fault("/v2/sequences/42/start", status=503, times=1)
    failed = await set_up(tool, *numbered(75), start=True)
    assert failed.result.retryable is True
    assert "75 leads of this step are in the sequence, which isn't started." in failed.result.error_message
    done = await set_up(tool, *numbered(75), start=True)
    assert (done.data["recipientsAdded"], done.data["alreadyIn"], done.data["started"]) == (75, 0, True)
    assert hunter.mailed() == Counter(numbered(75))


async def test_a_batch_in_doubt_is_looked_up_and_counts_for_the_step_that_sent_it(tool, hunter, database):
    """Hunter has added 50, and its answer can't be read."""
    hunter.add(*numbered(50))
    hunter.fault(method="POST", status=201, body="no json", times=1)
    failed = await set_up(tool, *numbered(75))
    assert (failed.result.error_code, failed.result.retryable) == ("bad_answer", True)
    assert Counter(outreach(database).values()) == {"asked": 50, "claimed": 25}
    done = await set_up(tool, *numbered(75))
    assert (done.data["recipientsAdded"], done.data["leftOut"]) == (75, [])
    assert hunter.asked_to_add()[2:] == [numbered(25, first=50)]
    assert sorted(hunter.recipients()) == sorted(numbered(75))


async def test_a_person_suppressed_between_two_attempts_is_not_added(tool, hunter, database):
    hunter.fault(method="POST", status=503, times=1)
    await set_up(tool, ADA, EVA)
    with account_transaction(database, ACCOUNT) as connection:
        suppress(connection, ACCOUNT, [ADA], reason="asked")
    done = await set_up(tool, ADA, EVA)
    assert (done.data["recipientsAdded"], reasons(done)) == (1, {"ada": "suppressed"})
    assert hunter.recipients() == [EVA]


async def test_a_sequence_started_between_two_attempts_gets_nobody_more(tool, hunter):
    hunter.add(BEN)
    hunter.fault(method="POST", status=503, times=1)
    await set_up(tool, ADA)
    hunter.start()
    refused = await set_up(tool, ADA)
    assert (refused.result.error_code, refused.result.retryable) == ("sequence_running", False)
    assert hunter.mailed() == {BEN: 1}


async def test_a_sequence_that_is_started_between_two_batches_gets_nobody_more(tool, hunter, database):
    active = {"data": {"status": "active"}}
    hunter.fault("/v2/sequences/42", method="GET", status=200, after=1, times=1, body=active)
    call = await set_up(tool, *numbered(120))
    assert (call.result.error_code, call.result.retryable) == ("sequence_running", False)
    assert call.result.error_message.endswith("50 leads of this step are in the sequence by now.")
    assert hunter.recipients() == numbered(50)
    assert outreach(database) == {(email, 42): "added" for email in numbered(50)}


@pytest.mark.parametrize(
    "params",
    [
        {"sequenceId": 0},
        {"sequenceId": 2**63},
        {"sequenceId": "forty-two"},
        {"verificationStatuses": []},
        {"verificationStatuses": ["good"]},
        {"maxRecipients": 0},
        {"sequence_name": "Outreach"},
    ],
)
async def test_wrong_params_are_refused(tool, params):
    call = await set_up(tool, ADA, **params)
    assert (call.result.error_code, call.result.retryable) == ("invalid_params", False)


async def test_a_missing_source_step_is_named(tool):
    call = await call_tool(tool, "EMAIL_SEQUENCE_SETUP", {"sourceStepId": "save", "sequenceId": 42})
    assert (call.result.error_code, call.result.retryable) == ("missing_source", False)
    assert "'save'" in call.result.error_message


def test_it_is_announced_with_its_effects_and_the_wire_names_of_its_params(tool):
    served = tool.tools["EMAIL_SEQUENCE_SETUP"]
    assert (served.effects, served.resolve is not None) == ("once", True)
    names = (
        "sourceStepId",
        "sequenceId",
        "onlyNew",
        "verificationStatuses",
        "start",
        "allowRecontact",
        "maxRecipients",
    )
    for name in names:
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
    monkeypatch.setenv("HUNTER_API_KEY", "key")
    monkeypatch.setenv("HUNTER_BASE_URL", "api.hunter.io")
    with pytest.raises(ConfigurationError, match="HUNTER_BASE_URL is no http or https address"):
        responder()


def test_an_unusable_database_is_one_clear_error(monkeypatch):
    monkeypatch.setenv("HUNTER_API_KEY", "key")
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", "mysql://somewhere/leads")
    with pytest.raises(ConfigurationError, match="LEADPLAN_LEADS_DATABASE_URL"):
        responder()
