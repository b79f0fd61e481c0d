"""The ``leadplan`` command in this process: bad use, plans on standard output, loading tools."""

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from leadplan_cli import json_logs
from leadplan_cli.installed_tools import installed_tools, load_tool, own_tools, tool_name
from leadplan_cli.local.faults import API_PATHS
from leadplan_cli.main import main
from leadplan_client import plan_lead_generation
from leadplan_contracts import LeadGenGoal, PlanSubmission
from leadplan_contracts.validation import read_plan_submission
from leadplan_responder import ConfigurationError

GOAL = "Find dentists in Leeds and start outreach"

CommandLine = Callable[..., tuple[int, str, str]]


@pytest.fixture
def leadplan(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """Run the command line in this process: exit code, standard output, standard error."""
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")  # nobody listens there

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        captured = capsys.readouterr()
        return int(raised.value.code or 0), captured.out, captured.err

    return run


def test_the_version_is_that_of_the_distribution(leadplan: CommandLine):
    code, out, _ = leadplan("--version")
    assert (code, out.split()[0]) == (0, "leadplan")
    assert out.split()[1][0].isdigit()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nonsense"], "nonsense"),
        (["plan"], "GOAL"),
        (["plan", "Find"], "names nothing to search for"),
        (["plan", GOAL, "--country", "Germany"], "country is 'Germany'"),
        (["plan", GOAL, "--context", "minRating"], "no KEY=VALUE"),
        (["plan", GOAL, "--context", 'minRating="high"'], "minRating is 'high'"),
        (["plan", GOAL, "--id", "a.b"], "'a.b' is no plan id"),
        (["plan", GOAL, "--target", "0"], "'--target': Input should be greater than or equal to 1"),
        (["plan", GOAL, "--output", "/nowhere/plan.json"], "can't write /nowhere/plan.json"),
        (["submit", "/nowhere.json"], "can't read /nowhere.json"),
        (["demo", "--fail", "HUNTER_ENRICHH"], "did you mean HUNTER_ENRICH?"),
        (["demo", "--goal", "Find"], "names nothing to search for"),
        (["demo", "--target", "61"], "'--target': Input should be less than or equal to 60"),
        (["tool", "no-such"], "there are EMAIL_SEQUENCE_SETUP, GOOGLE_PLACES_SEARCH"),
    ],
)
def test_bad_use_is_told_and_exits_with_2(leadplan: CommandLine, arguments: list[str], said: str):
    code, out, err = leadplan(*arguments)
    assert (code, out) == (2, "")
    assert said in err


def test_a_bad_plan_id_to_watch_is_bad_use(leadplan: CommandLine, nats_url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NATS_URL", nats_url)
    code, _, err = leadplan("watch", "plans.*")
    assert code == 2
    assert err.startswith("leadplan: 'plans.*' is no plan id")


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff", b'{"plan": {"id": "p", "steps": []}, "user": {}}'])
def test_a_submission_with_problems_is_not_sent(leadplan: CommandLine, tmp_path: Path, body: bytes):
    file = tmp_path / "plan.json"
    file.write_bytes(body)
    code, _, err = leadplan("submit", str(file))
    assert code == 2
    assert "nothing was sent" in err
    assert len(err.splitlines()) >= 2


def test_all_problems_of_a_submission_are_listed(leadplan: CommandLine, tmp_path: Path):
    file = tmp_path / "plan.json"
    file.write_text('{"plan": {"id": "_p", "title": "T", "steps": []}, "user": {"userId": "u"}}')
    _, _, err = leadplan("submit", str(file))
    assert [line.split(":")[0].strip() for line in err.splitlines()[1:]] == [
        "plan.id", "plan.goal", "plan.createdAt", "plan.steps",
    ]  # fmt: skip


def test_a_plan_is_printed_as_a_submission(leadplan: CommandLine):
    code, out, err = leadplan(
        "plan", GOAL, "--target", "40", "--country", "GB", "--language", "en", "--list-name", "Mine",
        "--sequence", "42", "--start", "--contacts-per-domain", "3", "--schedule", "every 6h",
        "--time-zone", "Europe/London", "--context", "minRating=4.5", "--context", "note=plain text",
        "--id", "plan_1", "--user-id", "u_7", "--account-id", "acct_3", "--email", "owner@example.com",
    )  # fmt: skip
    assert (code, err) == (0, "")
    submission = msgspec.json.decode(out, type=PlanSubmission)
    assert read_plan_submission(out.encode()).plan == submission.plan
    context = {
        "country": "GB", "language": "en", "listName": "Mine", "sequenceId": 42, "startSequence": True,
        "contactsPerDomain": 3, "schedule": "every 6h", "timeZone": "Europe/London", "minRating": 4.5,
        "note": "plain text",
    }  # fmt: skip
    expected = plan_lead_generation(LeadGenGoal(description=GOAL, target_count=40), context, plan_id="plan_1", now_ms=0)
    assert msgspec.structs.replace(submission.plan, created_at=expected.created_at) == expected
    assert msgspec.to_builtins(submission.user) == {
        "userId": "u_7", "accountId": "acct_3", "email": "owner@example.com",
    }  # fmt: skip


def test_a_plan_goes_to_a_file(leadplan: CommandLine, tmp_path: Path):
    file = tmp_path / "plan.json"
    code, out, err = leadplan("plan", GOAL, "--no-monitor", "--output", str(file))
    assert (code, out) == (0, "")
    assert f"leadplan submit {file}" in err
    steps = json.loads(file.read_text())["plan"]["steps"]
    assert [step["id"] for step in steps] == ["search", "domains", "enrich", "save"]


def test_a_tool_without_its_key_names_the_variable(leadplan: CommandLine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HUNTER_API_KEY", raising=False)
    monkeypatch.setattr(json_logs, "configure", lambda level: None)
    code, _, err = leadplan("tool", "hunter-enrich")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "HUNTER_API_KEY" in err


def test_tools_are_found_under_both_spellings():
    assert tool_name("hunter-enrich") == tool_name("HUNTER_ENRICH") == "HUNTER_ENRICH"
    assert set(own_tools()) <= set(installed_tools())


def test_the_demo_s_plan_uses_every_tool_and_each_can_be_made_to_fail():
    plan = plan_lead_generation(LeadGenGoal(description=GOAL), {"sequenceId": 42})
    assert sorted(step.tool for step in plan.steps) == sorted(own_tools())
    without_api = {"LEAD_LIST_SAVE", "MONITOR_SETUP"}
    assert set(API_PATHS) == set(own_tools()) - without_api


def test_a_tool_whose_packages_are_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "leadplan_monitor.responder", None)
    with pytest.raises(Exception, match=r"pip install 'leadplan\[tools\]'"):
        load_tool("monitor-setup")


def test_a_tool_s_process_loads_nothing_of_the_others():
    code = """
import sys
from leadplan_cli.main import main
from leadplan_cli.installed_tools import load_tool
load_tool("monitor-setup")
loaded = {name.partition(".")[0] for name in sys.modules}
print(sorted(loaded & {"rich", "structlog", "leadplan_executor", "leadplan_sandbox", "leadplan_client", "uvicorn"}))
"""
    outcome = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert outcome.stdout.strip() == "[]"


def test_log_lines_are_json(monkeypatch: pytest.MonkeyPatch):
    out = io.StringIO()
    handler = logging.StreamHandler(out)
    handler.setFormatter(json_logs.JsonFormatter())
    logger = logging.getLogger("leadplan.test.json")
    logger.addHandler(handler)
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(logger, "propagate", False)
    logger.info("took %d", 3, extra={"plan": "p", "path": Path("x")})
    try:
        raise ValueError("no")
    except ValueError:
        logger.exception("failed")
    logger.removeHandler(handler)
    first, second = (json.loads(line) for line in out.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {"level": "info", "logger": "leadplan.test.json", "event": "took 3", "plan": "p", "path": "x"}
    assert second["exception"].endswith("ValueError: no")


def test_the_log_level_comes_from_the_environment():
    assert json_logs.log_level({}) == "INFO"
    assert json_logs.log_level({"LEADPLAN_LOG_LEVEL": "DEBUG"}) == "DEBUG"
    with pytest.raises(ConfigurationError, match="LEADPLAN_LOG_LEVEL must be one of DEBUG"):
        json_logs.log_level({"LEADPLAN_LOG_LEVEL": "loud"})


def test_an_unexpected_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch):
    def broken(*_: Any, **__: Any) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr("leadplan_client.planner.plan_lead_generation", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["plan", GOAL])
