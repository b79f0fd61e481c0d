"""The commands of ``leadplan leads`` on a real database of each kind."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text, update

from leadplan_cli.leads_output import write_csv
from leadplan_cli.main import main
from leadplan_leads.database import open_database
from leadplan_leads.outreach import OutreachState
from leadplan_leads.saving import Lead, save_leads
from leadplan_leads.tables import LeadRow, OutreachRow

# For what the kind of database has no part in.
ON_SQLITE = pytest.mark.parametrize("leads_database_url", ["sqlite"], indirect=True)
CommandLine = Callable[..., tuple[int, str, str]]

ADA = Lead(
    email="ada@example.com",
    first_name="Ada",
    last_name="Lovelace",
    company_name='Bright, Dental "& Co"',
    position="Owner",
    phone="+44 113 496 0000",
    confidence=97,
    verification_status="valid",
    verified_on=date(2026, 11, 2),
    sources=["domain_search", "verifier"],
    provenance={"position": "domain_search"},
)
BEN = Lead(email="ben@example.org", first_name='=HYPERLINK("http://x")', company_domain="example.org")


@pytest.fixture
def leadplan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, leads_database_url: str
) -> CommandLine:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("LEADPLAN_LEADS_DATABASE_URL", leads_database_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        captured = capsys.readouterr()
        return int(raised.value.code or 0), captured.out, captured.err

    return run


@pytest.fixture
def engine(leads_database_url: str):
    opened = open_database(leads_database_url)
    yield opened
    opened.dispose()


@pytest.fixture
def two_leads(engine):
    save_leads(engine, account="acct_1", list_name="Leeds dentists", leads=[ADA, BEN], saved_by="plan_1:save")
    return engine


def make_older(engine, email: str, days: int) -> None:
    before = datetime.now(UTC) - timedelta(days=days)
    with engine.begin() as connection:
        connection.execute(update(LeadRow).where(LeadRow.email == email).values(created_at=before, updated_at=before))


def rows_of(table: str) -> list[str]:
    return [line.split()[0] for line in table.splitlines()[1:]]


def test_lists_are_shown_with_their_counts(leadplan, two_leads):
    save_leads(two_leads, account="acct_1", list_name="York vets", leads=[ADA], saved_by="plan_2:save")
    make_older(two_leads, "ben@example.org", days=8)

    code, out, _ = leadplan("leads", "list")
    assert code == 0
    heading, leeds, york = out.splitlines()
    assert heading.split("  ")[0] == "List"
    assert leeds.split()[:4] == ["Leeds", "dentists", "2", "1"]
    assert york.split()[:4] == ["York", "vets", "1", "1"]
    assert f"{datetime.now(UTC):%Y-}" in leeds

    _, out, _ = leadplan("leads", "list", "--json")
    first = json.loads(out.splitlines()[0])
    assert (first["name"], first["leads"], first["newLeads"]) == ("Leeds dentists", 2, 1)
    assert first["updatedAt"].endswith("Z")


def test_a_list_is_shown_with_those_added_last_first(leadplan, two_leads):
    make_older(two_leads, "ada@example.com", days=1)
    code, out, _ = leadplan("leads", "show", "leeds DENTISTS")
    assert code == 0
    assert rows_of(out) == ["ben@example.org", "ada@example.com"]
    assert "Bright, Dental" in out

    _, out, _ = leadplan("leads", "show", "Leeds dentists", "--limit", "1")
    assert rows_of(out) == ["ben@example.org", "1"]
    assert out.splitlines()[-1] == "1 of 2 leads; --limit 0 shows all"


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--status", "VALID"], ["ada"]),
        (["--status", "none"], ["ben"]),
        (["--status", "none", "--status", "valid"], ["ada", "ben"]),
        (["--status", "invalid"], []),
        (["--new"], ["ada"]),
        (["--new", "--since", "5w"], ["ada", "ben"]),
        (["--since", "1d"], ["ada"]),
        (["--since", "2020-01-01"], ["ada", "ben"]),
        (["--since", "2020-01-01T12:00:00+02:00", "--status", "valid"], ["ada"]),
    ],
)
def test_filters_choose_leads(leadplan, two_leads, options, shown):
    make_older(two_leads, "ben@example.org", days=10)
    code, out, _ = leadplan("leads", "show", "Leeds dentists", "--json", *options)
    assert code == 0
    assert [json.loads(line)["email"].partition("@")[0] for line in out.splitlines()] == shown


def test_nothing_to_show_is_said(leadplan, two_leads):
    _, out, _ = leadplan("leads", "show", "Leeds dentists", "--status", "invalid")
    assert out == "Leeds dentists: no leads of these; the list holds 2\n"


@ON_SQLITE
def test_what_people_wrote_doesnt_steer_the_terminal(leadplan, engine):
    lead = Lead(email="eve@example.com", first_name="\x1b[2J[red]Eve\n")
    save_leads(engine, account="acct_1", list_name="Leeds", leads=[lead], saved_by="k")
    _, out, _ = leadplan("leads", "show", "Leeds")
    assert "\x1b" not in out
    assert "�[2J[red]Eve�" in out


def test_csv_holds_everything_and_no_formula(leadplan, two_leads, tmp_path):
    file = tmp_path / "leads.csv"
    code, out, err = leadplan("leads", "export", "Leeds dentists", "-o", str(file), "--bom")
    assert (code, out) == (0, "")
    assert err == f"wrote 2 leads of 'Leeds dentists' to {file}\n"
    content = file.read_bytes()
    assert content.startswith(b"\xef\xbb\xbfid,email,first_name,")
    assert content.count(b"\r\n") == 3
    assert content.count(b"\n") == 3

    ada, ben = csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
    assert ada["company_name"] == ADA.company_name
    assert (ada["phone"], ada["confidence"], ada["verified_on"]) == ("+44 113 496 0000", "97", "2026-11-02")
    assert (ada["sources"], ada["provenance"]) == ("domain_search; verifier", "position=domain_search")
    assert ben["first_name"] == '\'=HYPERLINK("http://x")'
    assert (ben["last_name"], ben["suppressed"]) == ("", "")
    assert set(vars(ADA)) < set(ada)

    _, out, _ = leadplan("leads", "export", "Leeds dentists", "--raw", "--status", "none")
    (raw,) = csv.DictReader(io.StringIO(out, newline=""))
    assert raw["first_name"] == BEN.first_name


@pytest.mark.parametrize("start", ["=1", "+cmd|x", "-2+3|y", "@SUM(A1)", "\t=1", "\r=1", "＝1", "+44 113;=A1"])
def test_texts_that_begin_like_formulas_get_an_apostrophe(start):
    out = io.StringIO(newline="")
    write_csv(out, ["name"], [{"name": start}], raw=False)
    ((_,), (cell,)) = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert cell == f"'{start}"


def test_json_lines_hold_what_is_known(leadplan, two_leads):
    leadplan("leads", "suppress", "example.org", "--reason", "customer")
    _, out, _ = leadplan("leads", "export", "Leeds dentists", "--format", "jsonl")
    ada, ben = map(json.loads, out.splitlines())
    assert ada["verificationStatus"] == "valid"
    assert ada["provenance"] == {"position": "domain_search"}
    assert (ben["suppressed"], "lastName" in ben) == ("customer", False)


def test_an_export_of_many_leads_is_whole_and_may_be_cut_off(two_leads, leads_database_url):
    leads = [Lead(email=f"lead{number}@example.com", last_name="x" * 100) for number in range(3000)]
    save_leads(two_leads, account="acct_1", list_name="Leeds dentists", leads=leads, saved_by="k")
    command = [Path(sys.executable).with_name("leadplan"), "leads", "export", "Leeds dentists"]
    environment = {**os.environ, "LEADPLAN_LEADS_DATABASE_URL": leads_database_url, "LC_ALL": "C", "PYTHONUTF8": "0"}
    whole = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert len(list(csv.reader(io.StringIO(whole.stdout.decode(), newline="")))) == 3003

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as cut:
        cut.stdout.readline()
        cut.stdout.close()
        assert cut.stderr.read() == b""


def test_suppressing_and_unsuppressing(leadplan, two_leads, tmp_path):
    file = tmp_path / "bounces.txt"
    file.write_text("\ufeff# of May\n\nEve@Example.net\n@example.org\n")
    assert leadplan("leads", "suppress", "ada@example.com", "--file", str(file), "--reason", "bounced")[:2] == (
        0,
        "3 put on the suppression list as bounced\n",
    )
    code, out, _ = leadplan("leads", "suppress", "ada@example.com", "--note", "by phone", "--json")
    assert (code, json.loads(out)) == (0, {"added": 0, "known": 1, "reason": "asked"})

    _, out, _ = leadplan("leads", "suppressed")
    assert sorted(rows_of(out)) == ["ada@example.com", "eve@example.net", "example.org"]
    assert "by phone" in out
    _, out, _ = leadplan("leads", "suppressed", "--reason", "bounced", "--json")
    assert {json.loads(line)["address"] for line in out.splitlines()} == {"eve@example.net", "example.org"}

    assert leadplan("leads", "unsuppress", "eve@example.net")[:2] == (0, "1 taken off the suppression list\n")
    code, out, _ = leadplan("leads", "unsuppress", "eve@example.net", "example.org")
    assert (code, out.splitlines()[1]) == (1, "not on the list: eve@example.net")
    leadplan("leads", "unsuppress", "ada@example.com")
    assert leadplan("leads", "suppressed")[1] == "There is nobody on the suppression list.\n"


def test_forgetting_erases_the_person_everywhere(leadplan, two_leads):
    save_leads(two_leads, account="acct_1", list_name="York vets", leads=[ADA], saved_by="plan_2:save")
    with two_leads.begin() as connection:
        row = {"account": "acct_1", "email": "ada@example.com", "sequence_id": 42, "state": OutreachState.ADDED}
        connection.execute(OutreachRow.__table__.insert().values(**row, claimed_by="k", claimed_at=datetime.now(UTC)))

    code, out, err = leadplan("leads", "forget", "Ada@Example.com")
    assert (code, out) == (2, "")
    assert "give --yes" in err

    code, out, _ = leadplan("leads", "forget", "Ada@Example.com", "--yes")
    assert (code, out.splitlines()) == (
        0,
        [
            "erased 2 leads; the objection is on record",
            "next: take them out of Hunter's sequence 42, where they may still be",
        ],
    )
    _, out, _ = leadplan("leads", "forget", "ada@example.com", "--yes", "--json")
    assert json.loads(out) == {"erasedLeads": 0, "sequenceIds": []}
    assert "ada@" not in leadplan("leads", "export", "Leeds dentists")[1]
    _, out, _ = leadplan("leads", "suppressed")
    assert ("digest" in out, "objected" in out, "ada" in out) == (True, True, False)
    again = save_leads(two_leads, account="acct_1", list_name="Leeds dentists", leads=[ADA], saved_by="k")
    assert (again.leads, again.objected) == ([], 1)

    code, out, _ = leadplan("leads", "unsuppress", "ada@example.com")
    assert (code, "the person objected" in out) == (1, True)
    assert leadplan("leads", "unsuppress", "ada@example.com", "--objection-withdrawn")[0] == 0


def test_with_several_accounts_one_must_be_chosen(leadplan, two_leads):
    save_leads(two_leads, account="acct_2", list_name="Hull", leads=[ADA], saved_by="k")
    code, _, err = leadplan("leads", "list")
    assert (code, err) == (
        2,
        "leadplan: the lead database holds 2 accounts, choose one with --account: acct_1, acct_2\n",
    )
    assert rows_of(leadplan("leads", "list", "--account", "acct_2")[1]) == ["Hull"]
    code, _, err = leadplan("leads", "list", "--account", "account_2")
    assert (code, "did you mean acct_2" in err) == (2, True)
    code, _, err = leadplan("leads", "suppress", "x@example.com", "--account", "acct_3")
    assert (code, "account 'acct_3' is new" in err) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show", "Leeds dentist"], "there is no list 'Leeds dentist': did you mean 'Leeds dentists'?"),
        (["show", "dentists"], "did you mean 'Leeds dentists'?"),
        (["export", "qqq"], "there is no list 'qqq': there are Leeds dentists"),
        (["show", "Leeds dentists", "--since", "yesterday"], "'yesterday' is no day such as 2026-11-23"),
        (["show", "Leeds dentists", "--since", "999999w"], "'999999w' is no day"),
        (["show", "Leeds dentists", "--limit", "-1"], "--limit"),
        (["export", "Leeds dentists", "--format", "xlsx"], "--format"),
        (["export", "Leeds dentists", "--format", "jsonl", "--bom"], "--bom and --raw are for --format csv"),
        (["export", "Leeds dentists", "-o", "/nowhere/leads.csv"], "can't write /nowhere/leads.csv"),
        (["suppress"], "name an address or a domain, or give --file"),
        (["suppress", "ada", "b@example.com"], "neither an address nor a domain: 'ada'; nothing was changed"),
        (["suppress", "ada@example.com", "--reason", "objected"], "leadplan leads forget ADDRESS"),
        (["suppress", "ada@example.com", "--reason", "Has Moved"], "'Has Moved' is no word in small letters"),
        (["suppress", "--file", "/nowhere.txt"], "can't read /nowhere.txt"),
        (["forget", "example.com", "--yes"], "'example.com' is no e-mail address"),
        (["list", "--database", "mysql://u:secret@h/d"], "--database: mysql isn't supported"),
        (["list", "--database", "sqlite:////nowhere/leads.db"], "LEAD_LIST_SAVE makes it when it starts"),
    ],
)
@ON_SQLITE
def test_bad_use_is_one_line(leadplan, two_leads, arguments, said):
    code, out, err = leadplan("leads", *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert "secret" not in err
    assert len([line for line in err.splitlines() if line.startswith("leadplan: ")]) <= 1
    assert leadplan("leads", "suppressed")[1] == "There is nobody on the suppression list.\n"


@ON_SQLITE
def test_a_wrong_line_of_a_file_is_named_by_its_number(leadplan, two_leads, tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("ada@example.com\n# fine\nnonsense\n")
    code, _, err = leadplan("leads", "suppress", "--file", str(file))
    assert (code, f"line 3 of {file}" in err, "ada@" in err) == (2, True, False)


def test_an_empty_database_is_told(leadplan, engine):
    code, _, err = leadplan("leads", "list")
    assert (code, "holds nothing yet: name the account" in err) == (2, True)


def test_an_older_database_isnt_migrated(leadplan, two_leads):
    with two_leads.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    for arguments in (["list"], ["suppress", "x@example.com"], ["forget", "x@example.com", "--yes"]):
        code, out, err = leadplan("leads", *arguments)
        assert (code, out) == (2, "")
        assert "older release: start LEAD_LIST_SAVE" in err
    with two_leads.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "0002"


def test_a_database_that_fails_midway_is_one_line(leadplan, two_leads):
    with two_leads.begin() as connection:
        connection.execute(text("DROP TABLE leads"))
    code, _, err = leadplan("leads", "list")
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("leadplan: the lead database said: ")


@pytest.mark.parametrize("command", ["list", "show", "export", "suppress", "unsuppress", "suppressed", "forget"])
@ON_SQLITE
def test_each_commands_help_has_an_example(leadplan, command):
    code, out, _ = leadplan("leads", command, "--help")
    assert code == 0
    assert f"leadplan leads {command}" in out.partition("Example")[2]
