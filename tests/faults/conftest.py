"""What the fault tests share lies in the modules ``fault_*.py`` beside this file, and in those of the core's tests.

In pytest's importlib mode test folders aren't on the module path, so this puts both there.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "core"):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
