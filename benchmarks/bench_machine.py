"""What a run was made on, for the results."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from bench_rounds import Options

from leadplan_cli.local.nats_server import nats_server_program

_DISTRIBUTIONS = ("leadplan", "nats-py", "uvloop", "msgspec")


def machine(options: Options) -> dict[str, str]:
    """The machine, the versions, and how the run was set up."""
    server = subprocess.run([nats_server_program(), "--version"], capture_output=True, text=True, check=True)  # noqa: S603
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "memoryGib": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}",
        "system": f"{platform.system()} {platform.release()}",
        "loadBefore": f"{os.getloadavg()[0]:.2f}",
        "python": platform.python_version(),
        "natsServer": server.stdout.split()[-1].removeprefix("v"),
        **{name: version(name) for name in _DISTRIBUTIONS},
        "responder": options.responder,
        "floor": options.floor or "default",
        "executorSettings": " ".join(f"{name}={value}" for name, value in options.executor_settings.items())
        or "defaults",
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
