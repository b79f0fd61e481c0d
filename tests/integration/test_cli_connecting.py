"""A real server that asks for a user, and commands that find theirs in contexts, options and variables."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


async def leadplan(home: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NATS_")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leadplan_cli", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**inherited, "XDG_CONFIG_HOME": str(home), **environment},
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode or 0, out.decode(), err.decode()


@pytest.fixture
def guarded(nats_server: Any, tmp_path: Path) -> str:
    """The address of a server with one user, for whom there is a context ``prod``."""
    nats_server.stop()
    nats_server.extra = "authorization { user: ann, password: s3cret }"
    nats_server.start()
    (tmp_path / "nats" / "context").mkdir(parents=True)
    context = {"url": nats_server.url, "user": "ann", "password": "s3cret"}
    (tmp_path / "nats" / "context" / "prod.json").write_text(json.dumps(context))
    url: str = nats_server.url
    return url


@pytest.mark.parametrize("arguments", [["--context", "prod", "health"], ["health", "--context", "prod"]])
async def test_a_context_before_and_behind_the_command(guarded: str, tmp_path: Path, arguments: list[str]):
    assert (await leadplan(tmp_path, *arguments))[::2] == (0, "")


async def test_the_selected_context_and_variables(guarded: str, tmp_path: Path):
    assert (await leadplan(tmp_path, "context", "select", "prod"))[0] == 0
    assert (await leadplan(tmp_path, "health"))[0] == 0
    found = {"NATS_URL": guarded, "NATS_PASSWORD": "s3cret"}
    assert (await leadplan(tmp_path, "--user", "ann", "health", **found))[0] == 0


async def test_a_refusal_says_whose_credentials_were_shown_and_not_which(guarded: str, tmp_path: Path):
    code, out, err = await leadplan(tmp_path, "health", "--timeout", "0.5", "-s", guarded)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert "Authorization Violation" in err
    assert "credentials shown to it: none; try leadplan context show" in err
    wrong = {"NATS_URL": guarded, "NATS_USER": "ann", "NATS_PASSWORD": "wr0ng"}
    code, out, err = await leadplan(tmp_path, "health", "--timeout", "0.5", **wrong)
    assert "credentials shown to it: user (NATS_USER)" in err
    assert "wr0ng" not in err
