"""What help teaches: every command has its section, its examples, and its options on the server; shells complete."""

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from leadplan_cli.connection_options import given_options
from leadplan_cli.help_sections import SECTIONS, SectionedGroup
from leadplan_cli.main import app, main

OFFLINE = {
    *("demo", "dev", "plan", "leads", "executor", "tool", "sandbox", "new-tool", "completion"),
    *("context ls", "context select"),
}
"""What talks to no server, or to one that it is told of by NATS_URL alone."""


def commands(group: Any = None, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every command that does something, with those of groups below."""
    group = group or typer.main.get_command(app)
    for name, command in group.commands.items():
        whole = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from commands(command, whole)
        else:
            yield whole, command


def help_of(*arguments: str) -> str:
    outcome = CliRunner().invoke(app, [*arguments, "--help"])
    assert outcome.exit_code == 0
    return outcome.output


def test_every_command_stands_in_one_section():
    listed = [name for names in SECTIONS.values() for name in names]
    group = typer.main.get_command(app)
    assert isinstance(group, SectionedGroup)
    assert sorted(listed) == sorted(group.commands)
    text = help_of()
    assert "Other commands" not in text
    places = [text.index(f"{title}:\n") for title in SECTIONS]
    assert places == sorted(places)


def test_every_summary_fits_its_line():
    assert "..." not in help_of().partition("Options:")[0].partition("Usage:")[2].partition("\n")[2]


def test_help_says_what_to_do_when_something_failed():
    recipe = help_of().partition("When something failed:")[2]
    for command in ("leadplan list --state completed --failed", "leadplan status PLAN", "leadplan events PLAN",
                    "leadplan retry PLAN", "leadplan doctor"):  # fmt: skip
        assert command in recipe
    assert "Exit codes: 0" in recipe


@pytest.mark.parametrize("path", [path for path, _ in commands()])
def test_each_command_s_help_has_an_example_and_the_server_where_it_talks_to_one(path: str):
    text = help_of(*path.split())
    assert f"leadplan {path}" in text.partition("Example")[2]
    offline = path in OFFLINE or path.split(maxsplit=1)[0] in OFFLINE
    for option in ("--server", "--context NAME", "--creds"):
        assert (option in text) != offline, option


def test_options_behind_a_command_go_before_those_in_front(monkeypatch: pytest.MonkeyPatch, tmp_path):
    seen = []
    monkeypatch.setattr(
        "leadplan_cli.connection_choice.choose_connection", lambda: seen.append(dict(given_options.get())) or 1 / 0
    )
    for arguments in (
        ["--context", "a", "--user", "u", "health", "--context", "b"],
        ["health", "-s", "nats://x:1"],
        ["health"],
    ):
        with pytest.raises(ZeroDivisionError):
            main(arguments)
    assert seen == [{"context": "b", "user": "u"}, {"server": "nats://x:1"}, {}]


@pytest.mark.parametrize("command", [["demo"], ["leads", "list"], ["executor"], ["completion", "bash"]])
def test_options_on_the_server_are_refused_where_they_would_do_nothing(command, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--context", "prod", *command])
    assert caught.value.code == 2
    assert f"leadplan: {command[0]} takes no options on the server" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "completed"),
    [("leadplan ev", "events"), ("leadplan events --fo", "--follow"), ("leadplan health --context pr", "prod")],
)
def test_bash_completes(words: str, completed: str, tmp_path):
    (tmp_path / "nats" / "context").mkdir(parents=True)
    (tmp_path / "nats" / "context" / "prod.json").write_text("{}")
    environ = {
        **os.environ,
        "XDG_CONFIG_HOME": str(tmp_path),
        "_LEADPLAN_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    command = [sys.executable, "-m", "leadplan_cli"]
    outcome = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=30, check=True)
    assert outcome.stdout.split() == [completed]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_asks_this_command(shell: str, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["completion", shell])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert f"_LEADPLAN_COMPLETE=complete_{shell}" in out


def test_contexts_are_listed_shown_and_selected(tmp_path, monkeypatch: pytest.MonkeyPatch, capsys):
    folder = tmp_path / "nats" / "context"
    folder.mkdir(parents=True)
    (folder / "prod.json").write_text('{"url": "nats://ann:secret@prod:4222", "description": "The real one"}')
    (folder / "broken.json").write_text("{")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("NATS_URL", raising=False)
    out = []
    for arguments in (["select", "prod"], ["ls"], ["ls", "--json"], ["show"], ["show", "--json"]):
        with pytest.raises(SystemExit) as caught:
            main(["context", *arguments])
        assert caught.value.code == 0
        out.append(capsys.readouterr().out)
    assert out[0] == "selected context prod\n"
    assert out[1].splitlines()[0].startswith("  broken                unreadable")
    assert out[1].splitlines()[1] == "* prod                  nats://prod:4222  The real one"
    assert '"selected":true' in out[2].splitlines()[1]
    assert "nats://prod:4222" in out[3]
    assert '"credentials":"in the address (context prod)"' in out[4]
    assert "secret" not in "".join(out)
