"""A tool made with ``leadplan new-tool``: its own test passes, and an executor that runs already uses it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from typer.testing import CliRunner

from leadplan_cli.installed_tools import GROUP
from leadplan_cli.main import app, main

NewTool = Callable[..., Path]


@pytest.fixture
def new_tool(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> NewTool:
    def make(name: str, *options: str) -> Path:
        folder = tmp_path / f"written-{name}"
        with pytest.raises(SystemExit) as raised:
            main(["new-tool", name, "--folder", str(folder), *options])
        captured = capsys.readouterr()
        assert (raised.value.code or 0, captured.err) == (0, "")
        for said in (f"cd {folder}", "pip install -e", "pytest", f"leadplan tool {name.upper().replace('-', '_')}"):
            assert said in captured.out
        return folder

    return make


def install(tool: Path) -> None:
    """What ``pip install -e`` leaves of a package, as far as entry points go; PYTHONPATH does the rest."""
    project = tomllib.loads((tool / "pyproject.toml").read_text())["project"]
    record = tool / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    record.mkdir()
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"{name} = {target}" for name, target in project["entry-points"][GROUP].items()]
    (record / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))


@contextlib.asynccontextmanager
async def running(tool: Path, nats_url: str, *command: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The tool as a process; SIGTERM ends it with code 0."""
    environment = {**os.environ, "NATS_URL": nats_url, "PYTHONPATH": str(tool), "PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-m", *command, env=environment)
    try:
        yield process
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def announced(nc: Client, service: str) -> list[dict[str, Any]]:
    """Endpoints in the answer to ``$SRV.INFO.<service>``; empty while nobody answers."""
    asked = nc.new_inbox()
    answers = await nc.subscribe(asked)
    await nc.publish(f"$SRV.INFO.{service}", reply=asked)
    try:
        message = await answers.next_msg(timeout=0.5)
    except TimeoutError:
        return []
    finally:
        await answers.unsubscribe()
    return [] if not message.data else list(json.loads(message.data)["endpoints"])


COMMANDS = {
    "the leadplan command": ("leadplan_cli", "tool", "greet-people"),
    "Python alone": ("greet_people_tool.responder",),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_an_executor_that_runs_already_uses_it_and_its_schema_is_announced(
    new_tool: NewTool,
    executor_process: Callable[..., Any],
    eventually: Callable[..., Awaitable[None]],
    feed: Any,
    nc: Client,
    nats_url: str,
    command: tuple[str, ...],
):
    executor = executor_process()
    await eventually(lambda: executor.serving)
    tool = new_tool("greet-people")
    install(tool)
    plan = json.loads((tool / "plan.json").read_text())
    plan["plan"]["steps"][0]["retry"] = {"maxRetries": 0}
    (before,) = (await feed.run({**plan, "plan": {**plan["plan"], "id": "before"}}))["stepResults"]
    assert before["errorMessage"] == "no responder listens for GREET_PEOPLE"

    async with running(tool, nats_url, *command):

        async def is_there() -> bool:
            return bool(await announced(nc, "greet-people"))

        await eventually(is_there, what="the new tool")
        (endpoint,) = await announced(nc, "greet-people")
        assert (endpoint["name"], endpoint["subject"]) == ("GREET_PEOPLE", "tools.GREET_PEOPLE")
        assert (endpoint["metadata"]["tool"], endpoint["metadata"]["effects"]) == ("GREET_PEOPLE", "none")
        schema = endpoint["metadata"]["params_schema"]
        assert '"openingWord"' in schema
        assert '"Whom to greet."' in schema

        result = await feed.run(plan)
        assert result["overallStatus"] == "succeeded", result
        assert result["stepResults"][0]["data"] == {"greetings": ["Hello Ada", "Hello Ben"]}
        progress = [event["meta"] for event in feed.of("greet-people-1", "STEP_PROGRESS")]
        assert {"progress": 0.5, "message": "1 of 2 names"} in progress  # the next one comes too soon after it

        plan["plan"] |= {"id": "blank", "steps": [{**plan["plan"]["steps"][0], "params": {"names": ["Ada", " "]}}]}
        (blank,) = (await feed.run(plan))["stepResults"]
        assert (blank["status"], blank["attempts"]) == ("failed", 1)
        assert "name 2 of 2 is blank" in blank["errorMessage"]
    assert executor.process.poll() is None, "and nobody restarted it"


@pytest.mark.parametrize("effects", ["none", "idempotent", "once"])
def test_its_own_test_passes_at_once_and_fails_when_the_tool_is_broken(new_tool: NewTool, effects: str):
    tool = new_tool("GREET_PEOPLE", "--effects", effects)
    passed = own_test_of(tool)
    assert passed.returncode == 0, passed.stdout + passed.stderr
    assert "4 passed" in passed.stdout
    assert f"`{effects}`" in (tool / "README.md").read_text()
    module = tool / "greet_people_tool" / "responder.py"
    assert f'effects="{effects}"' in module.read_text()
    module.write_text(module.read_text().replace("if not name.strip()", "if name is None"))
    failed = own_test_of(tool)
    assert failed.returncode == 1
    assert "1 failed, 3 passed" in failed.stdout


def own_test_of(tool: Path) -> subprocess.CompletedProcess[str]:
    """Its test in a process of its own, in its folder, nothing installed."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio"],
        cwd=tool, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def test_what_is_written(new_tool: NewTool):
    tool = new_tool("SEND_INVOICE_TOOL", "--effects", "once")
    written = {path.relative_to(tool).as_posix(): path.read_text() for path in tool.rglob("*") if path.is_file()}
    assert sorted(written) == [
        ".dockerignore", "Dockerfile", "README.md", "plan.json", "pyproject.toml", "send_invoice_tool/__init__.py",
        "send_invoice_tool/py.typed", "send_invoice_tool/responder.py", "tests/test_send_invoice_tool.py",
    ]  # fmt: skip
    assert "FROM python:3.11-slim\n" in written["Dockerfile"]
    assert "\nUSER leadplan\n" in written["Dockerfile"]
    project = tomllib.loads(written["pyproject.toml"])["project"]
    assert project["entry-points"][GROUP] == {"SEND_INVOICE_TOOL": "send_invoice_tool.responder:responder"}
    assert [path for path, text in written.items() if "$" in text] == []


def test_it_passes_strict_type_checks_and_is_well_formatted(new_tool: NewTool):
    tool = new_tool("zip-codes")
    ruff = [sys.executable, "-m", "ruff"]
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--follow-imports=silent"]
    for command in (
        [*ruff, "format", "--check", "--isolated", "--no-cache", "--line-length=120", "."],
        [*ruff, "check", "--isolated", "--no-cache", "--line-length=120", "--select=E,F,I,UP,B", "."],
        [*mypy, "zip_codes_tool"],
    ):
        done = subprocess.run(command, cwd=tool, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"{done.args}: {done.stdout}{done.stderr}"


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line that says why, with exit code 2."""

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as raised:
            main(["new-tool", *arguments])
        captured = capsys.readouterr()
        assert (raised.value.code, captured.out) == (2, "")
        assert captured.err.count("\n") == 1, captured.err
        return captured.err

    return run


@pytest.mark.parametrize(
    "name", ["", "9lives", "_x", "greet people", "grüße", "ß", "a.b", "A" * 65, "tools/greet", "x\n"]
)
def test_a_name_that_no_tool_can_have_is_refused(tmp_path: Path, refused: Callable[..., str], name: str):
    assert "can't be a tool's name" in refused(name, "--folder", str(tmp_path / "new"))
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_left_alone(tmp_path: Path, refused: Callable[..., str]):
    (tmp_path / "mine").write_text("mine")
    assert "is there already" in refused("greet", "--folder", str(tmp_path))
    assert "is there already" in refused("greet", "--folder", str(tmp_path / "mine"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cant_be_written_is_told(tmp_path: Path, refused: Callable[..., str]):
    (tmp_path / "file").write_text("")
    assert "can't write" in refused("greet", "--folder", str(tmp_path / "file" / "new"))


def test_without_a_folder_it_takes_the_tools_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Callable[..., str]
):
    monkeypatch.chdir(tmp_path)
    outcome = CliRunner().invoke(app, ["new-tool", "GREET_PEOPLE"])
    assert outcome.exit_code == 0
    assert "cd greet-people\n" in outcome.output
    assert (tmp_path / "greet-people" / "pyproject.toml").is_file()
    assert "greet-people is there already" in refused("greet-people")


def test_its_help_has_examples():
    outcome = CliRunner().invoke(app, ["new-tool", "--help"])
    assert outcome.exit_code == 0
    assert "leadplan new-tool greet-people" in outcome.output.partition("Examples:")[2]
