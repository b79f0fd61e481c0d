"""Run the resource tests at full size, and print what they measured.

Exit code 0 when every test passed.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).parent


def readable(text: str) -> str:
    """Figures with as many places as a person reads."""
    return re.sub(r"\d+\.\d+", lambda found: f"{float(found[0]):.2f}", text)


def table(report: Path) -> str:
    """Every figure of every test."""
    lines = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        figures = [(one.get("name", ""), readable(one.get("value", ""))) for one in case.iter("property")]
        lines.append(f"\n{case.get('name')}  ({float(case.get('time', '0')):.0f} s)")
        lines += [f"  {name:<82} {figure}" for name, figure in figures]
    return "\n".join(lines)


def main() -> int:
    """Run; returns pytest's exit code."""
    with tempfile.TemporaryDirectory(prefix="leadplan-resources-") as folder:
        report = Path(folder) / "report.xml"
        tests = sorted(map(str, HERE.glob("test_resources_*.py")))
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
            f"--basetemp={folder}/tests",
        ]
        size = {} if "--ordinary" in sys.argv else {"LEADPLAN_RESOURCES": "long"}
        others = [one for one in sys.argv[1:] if one != "--ordinary"]
        done = subprocess.run([*command, *(others or tests)], env={**os.environ, **size}, check=False)
        print(table(report))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
