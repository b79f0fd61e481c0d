"""What the core tests share lies in the modules ``core_*.py`` beside this file.

In pytest's importlib mode test folders aren't on the module path, so this puts this one there; the shared modules'
asserts are rewritten as those of tests are.
"""

import sys
from pathlib import Path

import pytest

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)

pytest.register_assert_rewrite(
    "core_invariants", "core_requests_sent", "core_rounds", "core_simulation", "core_state_rules"
)
