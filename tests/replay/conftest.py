"""The modules beside this file, those of tests/core and of tests/faults: pytest's importlib mode doesn't find them."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "core", HERE.parent / "faults"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
