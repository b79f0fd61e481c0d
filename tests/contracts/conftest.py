"""What the contract tests share: the repository's root, and a valid submission to change."""

import copy
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

_HERE = Path(__file__).parent
_SUBMISSION = msgspec.json.decode((_HERE / "protocol_examples" / "plan-submission.json").read_bytes())


@pytest.fixture
def repository() -> Path:
    return _HERE.parent.parent


@pytest.fixture
def submission() -> dict[str, Any]:
    """The six-step submission of protocol section 2, as plain JSON that a test may change."""
    return copy.deepcopy(_SUBMISSION)


@pytest.fixture
def nats_program() -> Path:
    """The nats-server of the wheel that the dev extra installs."""
    return Path(sys.executable).with_name("nats-server")
