"""The command line, run in this process against a service that answers as each test says."""

from collections.abc import Iterator

import pytest
from control_stub import CommandLine, ControlStub, served_in_a_thread

from leadplan_cli.main import main


@pytest.fixture
def stub(nats_url: str) -> Iterator[ControlStub]:
    with served_in_a_thread(nats_url) as stub:
        yield stub


@pytest.fixture
def leadplan(nats_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """Run the command line: exit code, standard output, standard error."""
    monkeypatch.setenv("NATS_URL", nats_url)

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as raised:
            main(arguments)
        captured = capsys.readouterr()
        return int(raised.value.code or 0), captured.out, captured.err

    return run
